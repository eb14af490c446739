"""
What kernels are used for: the paths that clients name with Jupyter's sessions, brought to the kernel's own session.

A path is the client's word. Jupyter itself passes none on to the kernel managers but as a folder to start in, so the
session manager, which every road of a path passes, notes it here.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jupyter_server.services.sessions.sessionmanager import SessionManager

from jupyter_audit.access.notebooks import spelled

opened_document: ContextVar[tuple[str, str] | None] = ContextVar("jupyter_audit_opened_document", default=None)
"""The Jupyter session, and its path, for which the current task starts a kernel."""


class AuditSessionManager(SessionManager):
    """Jupyter's session manager, which tells kernels what they are used for."""

    async def start_kernel_for_session(self, session_id: str, path: Any, *args: Any, **kwargs: Any) -> str:
        """Start a kernel as Jupyter does, and have it know for which path."""
        noted = opened_document.set((session_id, as_said(path)))
        try:
            kernel_id: str = await super().start_kernel_for_session(session_id, path, *args, **kwargs)
        finally:
            opened_document.reset(noted)
        return kernel_id

    async def save_session(
        self,
        session_id: str,
        path: Any = None,
        name: Any = None,
        type: Any = None,  # noqa: A002 (as Jupyter has it)
        kernel_id: Any = None,
    ) -> Any:
        """Save a new session as Jupyter does; its kernel may be one that others use already."""
        self._note(session_id, path, kernel_id)
        return await super().save_session(session_id, path, name, type, kernel_id)  # type: ignore[no-untyped-call]

    async def update_session(self, session_id: str, **kwargs: Any) -> None:
        """Rename, move or bring to another kernel, as Jupyter does."""
        await super().update_session(session_id, **kwargs)  # type: ignore[no-untyped-call]
        model = await self.get_session(session_id=session_id)  # type: ignore[no-untyped-call]
        self._note(session_id, model["path"], model["kernel"]["id"])

    def _note(self, session_id: str, path: Any, kernel_id: Any) -> None:
        if kernel_id in self.kernel_manager:
            self.kernel_manager.get_kernel(kernel_id).audit_document(session_id, as_said(path))


def as_said(path: Any) -> str:
    """Return a path as it can be put down, whatever a client sent for one."""
    return path if isinstance(path, str) else ""


def names_of(paths: Iterable[str], root: Path) -> tuple[str, ...]:
    """
    Return all names of what clients' paths stand for: as spelled, and, where links lead elsewhere below `root`, as that.

    An empty name stands for what has none, and is covered by no pattern. Looks at the disk.
    """
    found: dict[str, None] = {}
    for path in paths:
        name = spelled(path)
        found[name] = None
        if name:
            found[_led_to(name, root)] = None
    return tuple(found)


def _led_to(name: str, root: Path) -> str:
    try:
        return spelled((root / name).resolve().relative_to(root.resolve()).as_posix())
    except (OSError, RuntimeError, ValueError):
        # It leads out of the folder, or in a circle.
        return ""
