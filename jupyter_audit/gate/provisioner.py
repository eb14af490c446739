"""
The provisioner: starts a kernel's process on the session's terms, and ends it with everything it started.

It is the only one that audited servers use, whatever a kernelspec names. Without terms from the server it
starts nothing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_audit_kernel.formats import SESSION_VARIABLE, VERIFY_KEY_VARIABLE
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nacl.signing import VerifyKey

from jupyter_audit.errors import GateError
from jupyter_audit.gate.isolation import Rung, allowed_paths
from jupyter_audit.gate.supervisor import MARKER

POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class LaunchTerms:
    """
    What one kernel is started with.

    `environment` are the names of the server's variables that are passed on. `session_dir` becomes the kernel's
    private folder. `hidden` is out of reach under a sandbox rung, `writable` (besides the private folder) not.
    `grace_seconds` is how long an end may take.
    """

    session: str
    verify_key: VerifyKey
    environment: tuple[str, ...]
    session_dir: Path
    rung: Rung
    hidden: tuple[Path, ...]
    writable: tuple[Path, ...]
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class EndOutcome:
    """How many processes besides the kernel were killed at the end, and whether all were shown to be gone."""

    processes: int
    clean: bool


class AuditProvisioner(LocalProvisioner):
    """Runs one kernel under the supervisor."""

    terms: LaunchTerms | None = None
    outcome: EndOutcome | None = None
    _result_fd: int | None = None

    def prepare(self, terms: LaunchTerms) -> Path:
        """Take on the terms for the next launch, make the private folder, and return the connection file's path."""
        self.terms = terms
        self.outcome = None
        terms.session_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        terms.session_dir.mkdir(mode=0o700)
        for name in ("ipython", "tmp", "cache"):
            (terms.session_dir / name).mkdir(mode=0o700)
        return terms.session_dir / "connection.json"

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare as jupyter_client does, then replace the environment by the allowed one."""
        terms = self._terms()
        prepared: dict[str, Any] = await super().pre_launch(**kwargs)
        prepared["env"] = kernel_environment(terms, dict(os.environ))
        return prepared

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the supervisor, which starts the kernel."""
        terms = self._terms()
        readable: list[str] = []
        writable: list[str] = []
        if terms.rung is Rung.LANDLOCK:
            readable, writable = allowed_paths(terms.hidden, terms.writable, terms.session_dir)
        told = {"rung": terms.rung.value, "readable": readable, "writable": writable, "mark": terms.session}
        result_in, result_out = os.pipe()
        supervisor = [sys.executable, "-I", "-m", "jupyter_audit.gate.supervisor", str(result_out), json.dumps(told)]
        try:
            self.process = subprocess.Popen(  # noqa: ASYNC220 (as jupyter_client's own: a fork, milliseconds)
                [*supervisor, "--", *cmd],
                env=kwargs["env"],
                cwd=kwargs.get("cwd") or None,
                stdin=subprocess.PIPE,
                bufsize=0,  # an order that the supervisor no longer reads must not be left over for close()
                pass_fds=(result_out,),
                start_new_session=True,
            )
        finally:
            os.close(result_out)
        self._result_fd = result_in
        self.pid = self.process.pid
        self.pgid = None
        return self.connection_info

    async def poll(self) -> int | None:
        """Return None while the kernel lives, else its exit code."""
        code: int | None = await super().poll()
        if code is not None:
            self._read_result()
        return code

    async def send_signal(self, signum: int) -> None:
        """Have the supervisor send a signal to the kernel's process group."""
        if signum == 0:
            return
        self._order(b"S" + bytes([signum]))

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end."""
        await self.send_signal(signal.SIGTERM)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and everything it started; return when that is done or the grace is over."""
        process, terms = self.process, self._terms()
        if process is None:
            return
        self._order(b"E")
        until = time.monotonic() + max(terms.grace_seconds, 1.0)
        while process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 (a process's end sets no event)
            await asyncio.sleep(POLL_S)
        if process.poll() is None:
            # The supervisor does not answer. Its death takes the kernel along; the rest is found by its mark.
            killed = kill_marked(terms.session)
            process.kill()
            self.outcome = EndOutcome(killed, clean=not marked(terms.session))
        self._read_result()

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the private folder."""
        await super().cleanup(restart=restart)
        self._read_result()
        if self.terms is not None:
            shutil.rmtree(self.terms.session_dir, ignore_errors=True)

    def _terms(self) -> LaunchTerms:
        if self.terms is None:
            raise GateError(
                "This kernel starts only through an audited server.",
                advice="Start one with `jupyter audit lab`, or choose another kernel.",
            )
        return self.terms

    def _order(self, order: bytes) -> None:
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                self.process.stdin.write(order)

    def _read_result(self) -> None:
        """Take in what the supervisor said at the end, once it has."""
        fd, self._result_fd = self._result_fd, None
        if fd is None:
            return
        os.set_blocking(fd, False)
        try:
            told = json.loads(os.read(fd, 4096))
            self.outcome = EndOutcome(int(told["processes"]), bool(told["clean"]))
        except BlockingIOError:
            self._result_fd = fd
            return
        except (ValueError, KeyError):
            # The supervisor ended without a word: somebody killed it.
            self.outcome = self.outcome or EndOutcome(0, clean=False)
        os.close(fd)


def kernel_environment(terms: LaunchTerms, server: dict[str, str]) -> dict[str, str]:
    """Return a kernel's whole environment: what is allowed of the server's, its own folders, its session's terms."""
    kept = {name: server[name] for name in terms.environment if name in server}
    return kept | {
        "IPYTHONDIR": str(terms.session_dir / "ipython"),
        "TMPDIR": str(terms.session_dir / "tmp"),
        "XDG_CACHE_HOME": str(terms.session_dir / "cache"),
        "MPLCONFIGDIR": str(terms.session_dir / "cache"),  # or matplotlib warns in everybody's first cell
        SESSION_VARIABLE: terms.session,
        VERIFY_KEY_VARIABLE: base64.b64encode(bytes(terms.verify_key)).decode(),
        MARKER: terms.session,
    }


def marked(session: str) -> list[psutil.Process]:
    """Return the living processes that bear a session's mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill_marked(session: str) -> int:
    """Kill every process that bears a session's mark; return how many there were."""
    found = marked(session)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return len(found)
