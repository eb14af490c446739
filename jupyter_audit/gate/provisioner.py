"""
The provisioner: starts a kernel's process on the session's terms, and ends it with everything it started.

It is the only one that audited servers use, whatever a kernelspec names. Without terms from the server it
starts nothing. How a process is isolated and supervised is `launch`'s business.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from jupyter_audit.errors import GateError, NotStartedError
from jupyter_audit.gate.inside import stays_inside
from jupyter_audit.gate.launch import (
    EndOutcome,
    LaunchTerms,
    Supervised,
    hand_over,
    make_session_folder,
    remove_session_folder,
    session_environment,
    visible_places,
)

CONNECTION_FILE = "connection.json"


class AuditProvisioner(LocalProvisioner):
    """Runs one kernel under the supervisor."""

    terms: LaunchTerms | None = None
    _kernel: Supervised | None = None

    @property
    def outcome(self) -> EndOutcome | None:
        """What the supervisor found when it swept up after the last launch; None until it has."""
        return self._kernel.outcome if self._kernel is not None else None

    def prepare(self, terms: LaunchTerms) -> Path:
        """Take on the terms for the next launch, make the private folder, and return the connection file's path."""
        self.terms = terms
        self._kernel = None
        make_session_folder(terms)
        return terms.session_dir / CONNECTION_FILE

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare as jupyter_client does, then replace the environment by the allowed one."""
        terms = self._terms()
        prepared: dict[str, Any] = await super().pre_launch(**kwargs)
        prepared["env"] = session_environment(terms, os.environ)
        return prepared

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the supervisor, which starts the kernel."""
        hand_over(self._terms(), self._terms().session_dir / CONNECTION_FILE)
        # Where a file that a traceback names relatively is looked for (/api/resolvePath).
        self.cwd = kwargs.get("cwd")
        self._kernel = Supervised.start(self._terms(), cmd, environment=kwargs["env"], folder=self.cwd)
        self.process = self._kernel.process
        self.pid = self.process.pid
        self.pgid = None
        try:
            await self._kernel.begun()
        except NotStartedError as error:
            error.advice = "Mend the `argv` of its kernelspec (`jupyter kernelspec list` says where), or choose another kernel."
            raise
        return self.connection_info

    def resolve_path(self, path_str: str) -> str | None:
        """
        Return the path of a file as this kernel sees it, if it lies where kernels work or where Python is installed.

        None of any other, whether it is there or not: the server may see more than a kernel. For that reason too
        no link out of these folders is followed.
        """
        terms, folder = self.terms, str(self.cwd or "")
        if terms is None:
            return None
        try:
            # Written with `..`, it would have to be looked up elsewhere first.
            path = os.path.normpath(os.path.join(folder, Path(path_str).expanduser()))  # noqa: PTH118
            shown = any(stays_inside(path, str(place)) for place in visible_places(terms, folder))
            return path if shown and os.path.exists(path) else None  # noqa: PTH110
        except (OSError, RuntimeError, ValueError):
            return None  # what cannot be a path, or begins with the home of nobody

    async def poll(self) -> int | None:
        """Return None while the kernel lives, else its exit code."""
        code: int | None = await super().poll()
        if code is not None:
            self._read_result()
        return code

    async def send_signal(self, signum: int) -> None:
        """Have the supervisor send a signal to the kernel's process group."""
        if signum != 0 and self._kernel is not None:
            self._kernel.send_signal(signum)

    def limit(self, seconds: float) -> None:
        """Have the supervisor end everything by itself if the server has not, a while after `seconds` from now."""
        if self._kernel is not None:
            self._kernel.limit(seconds)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end."""
        await self.send_signal(signal.SIGTERM)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and everything it started; return when that is done or the grace is over."""
        if self._kernel is not None and self.process is not None:
            await self._kernel.end()

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the private folder."""
        await super().cleanup(restart=restart)
        self._read_result()
        if self.terms is not None:
            remove_session_folder(self.terms)

    def _terms(self) -> LaunchTerms:
        if self.terms is None:
            raise GateError(
                "This kernel starts only through an audited server.",
                advice="Start one with `jupyter audit lab`, or choose another kernel.",
            )
        return self.terms

    def _read_result(self) -> None:
        if self._kernel is not None:
            self._kernel.read_result()
