"""
The notebook folder, and nothing outside of it: contents, checkpoints and downloads that follow no link out
(P3).

A kernel may write into the notebook folder, so it can put a symbolic link there: to the signing key, to the
server's own memory in /proc. Jupyter's contents manager looks at names only and follows links with the
server's rights. Here every path is resolved before it is used, and a file that was opened for reading is
looked at once more, because the link may have been put there in between. What is not closed is a write that
races with a cell that swaps a folder for a link; docs/threat-model.md says so.
"""

from __future__ import annotations

import asyncio
import binascii
import errno
import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_core.paths import is_hidden
from jupyter_server.base.handlers import AuthenticatedFileHandler
from jupyter_server.services.contents.filecheckpoints import AsyncFileCheckpoints
from jupyter_server.services.contents.fileio import FileManagerMixin
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from tornado import web
from traitlets import default

from jupyter_audit.gate.drafts import clean
from jupyter_audit.gate.inside import stays_inside
from jupyter_audit.record import kinds
from jupyter_audit.server.acting import acting_principal
from jupyter_audit.server.services import find_services
from jupyter_audit.server.trust import PersonalNotary

CHUNK = 64 * 1024
MOST_PATH = 1000
MOST_PIECES = 2**31
LAST_PIECE = -1


class LeavesFolderError(web.HTTPError, PermissionError):
    """
    A path leads out of the notebook folder.

    A `PermissionError` too, because that is what a folder's listing leaves out instead of failing on it.
    """

    errno = errno.EACCES

    def __init__(self, name: str) -> None:
        super().__init__(
            403, f"{name} leads out of the notebook folder, and is not followed on an audited server."
        )


def check_inside(path: str, root: str, name: str) -> None:
    """Raise `LeavesFolderError`, naming `name`, unless `path` lies in `root` with every link on it."""
    if not stays_inside(path, root):
        raise LeavesFolderError(name)


def opened_path(descriptor: int) -> str:
    """Return the path of the file that a descriptor stands for, as the operating system has it."""
    if sys.platform == "darwin":
        return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def _facts(path: str) -> tuple[int, str]:
    """Return the size of a file and the SHA-256 of its bytes, in hex; nothing of one that is gone again."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (as the contents manager has it)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest
    except OSError:
        return 0, ""


def _facts_of_piece(model: dict[str, Any]) -> tuple[int, str]:
    """Return the size of a piece of an upload, and the SHA-256 of its bytes in hex. It was written, so it can be read."""
    text = str(model["content"])
    piece = text.encode("utf-8") if model["format"] == "text" else binascii.a2b_base64(text)
    return len(piece), hashlib.sha256(piece).hexdigest()


def _piece_of(model: dict[str, Any]) -> int:
    """Return which piece of an upload is to be saved, 0 for a whole file. Raises `HTTPError` for what is no number of one."""
    number = model.get("chunk")
    if number is None:
        return 0
    if type(number) is not int or not (number == LAST_PIECE or 0 < number < MOST_PIECES):
        raise web.HTTPError(400, "The pieces of an upload are counted from 1 (`chunk`); the last one is -1.")
    return number


class _Inside(FileManagerMixin):
    """Whatever turns an API path into one of the file system."""

    root_dir: Any

    def _get_os_path(self, path: str) -> str:
        os_path: str = super()._get_os_path(path)  # type: ignore[no-untyped-call]
        check_inside(os_path, self.root_dir, path)
        return os_path

    @contextmanager
    def open(self, os_path: str, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Open a file, and look where it really lies before anything is read from it."""
        with super().open(os_path, *args, **kwargs) as file:
            check_inside(opened_path(file.fileno()), self.root_dir, Path(os_path).name)
            yield file


class AuditCheckpoints(_Inside, AsyncFileCheckpoints):
    """Checkpoints beside the files, where that is inside the notebook folder."""

    def checkpoint_path(self, checkpoint_id: str, path: str) -> str:
        """Return the path of a checkpoint. Raises `LeavesFolderError` if a link would take it elsewhere."""
        os_path: str = super().checkpoint_path(checkpoint_id, path)  # type: ignore[no-untyped-call]
        check_inside(os_path, self.root_dir, path)
        return os_path


class AuditFileHandler(AuthenticatedFileHandler):
    """Downloads from the notebook folder."""

    def validate_absolute_path(self, root: str, absolute_path: str) -> str:
        """Return the path to serve. Raises `LeavesFolderError` if it leads out of the folder."""
        path: str = super().validate_absolute_path(root, absolute_path)
        check_inside(path, root, Path(path).name)
        return path

    def get_content(  # type: ignore[override]
        self, abspath: str, start: int | None = None, end: int | None = None
    ) -> Iterator[bytes]:
        """Yield the bytes of a file from `start` to before `end`, after a look at where it really lies."""
        with open(abspath, "rb") as file:  # noqa: PTH123 (a descriptor is wanted, not a path)
            check_inside(opened_path(file.fileno()), self.root, Path(abspath).name)
            position = file.seek(start or 0)
            while chunk := file.read(CHUNK if end is None else min(CHUNK, end - position)):
                position += len(chunk)
                yield chunk


class AuditContentsManager(_Inside, AsyncLargeFileManager):
    """Jupyter's contents manager, kept inside the notebook folder. What it changes there is put down."""

    @default("notary")
    def _notary_default(self) -> PersonalNotary:
        return PersonalNotary(parent=self)

    def resolve_path(self, path: str) -> str | None:  # type: ignore[override]  # no coroutine in Jupyter's own of files either
        """Return the API path of a file that this API would show; None of any other, whether it is there or not."""
        try:
            found: str | None = super().resolve_path(path)
            if found is None or (not self.allow_hidden and is_hidden(self._get_os_path(found), self.root_dir)):
                return None
        except (OSError, ValueError):
            return None  # what cannot be a path
        return found

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Save as Jupyter does, and put down what was saved: it may be run later."""
        piece, before = _piece_of(model), self._state(path)
        try:
            saved: dict[str, Any] = await super().save(model, path)  # type: ignore[no-untyped-call]
        except Exception:
            if self._state(path) != before:  # the disk is full now, or a hook of the admin's failed after it
                await self._put_down_saved(path)
            raise
        if model.get("type") == "directory":
            self._put_down(kinds.FileChanged("saved", clean(path.strip("/"), MOST_PATH), "", 0, ""))
        elif piece in (0, LAST_PIECE):
            await self._put_down_saved(path, piece)
        else:
            size, digest = await asyncio.to_thread(_facts_of_piece, model)
            self._put_down(kinds.FileChanged("saved", clean(path.strip("/"), MOST_PATH), "", size, digest, piece))
        return saved

    async def restore_checkpoint(self, checkpoint_id: str, path: str) -> None:
        """Restore as Jupyter does, and put down what the file is now."""
        await super().restore_checkpoint(checkpoint_id, path)  # type: ignore[no-untyped-call]
        await self._put_down_saved(path)

    async def _put_down_saved(self, path: str, piece: int = 0) -> None:
        size, digest = await asyncio.to_thread(_facts, self._get_os_path(path))
        self._put_down(kinds.FileChanged("saved", clean(path.strip("/"), MOST_PATH), "", size, digest, piece))

    def _state(self, path: str) -> tuple[int, int, int] | None:
        """Return what changes of a file that is written; nothing of one that is not there."""
        try:
            status = os.stat(self._get_os_path(path))  # noqa: PTH116 (as the contents manager has it)
        except (OSError, ValueError, web.HTTPError):
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def emit(self, data: dict[str, Any]) -> None:
        """Tell listeners as Jupyter does, and put down what was renamed or deleted."""
        super().emit(data)  # type: ignore[no-untyped-call]
        if data["action"] in ("rename", "delete"):
            source = clean(str(data.get("source_path", "")), MOST_PATH)
            self._put_down(kinds.FileChanged(f"{data['action']}d", clean(str(data["path"]), MOST_PATH), source, 0, ""))

    def _put_down(self, kind: kinds.FileChanged) -> None:
        web_app = getattr(self.parent, "web_app", None)
        services = find_services(web_app.settings) if web_app is not None else None
        principal = acting_principal.get()
        if services is not None and principal is not None:
            services.put_down(kind, principal=principal)

    @default("checkpoints_class")
    def _checkpoints_class_default(self) -> type[AuditCheckpoints]:
        return AuditCheckpoints

    @default("files_handler_class")
    def _files_handler_class_default(self) -> type[AuditFileHandler]:
        return AuditFileHandler
