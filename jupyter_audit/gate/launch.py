"""
A supervised process: starts a command on a session's terms, isolated and under the supervisor, and ends it with
everything it started (P2, P3).

Kernels and terminals are both started here and nowhere else, so that whatever a rung keeps out of reach of the
one is out of reach of the other.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from jupyter_audit_kernel.formats import SESSION_VARIABLE, VERIFY_KEY_VARIABLE
from nacl.signing import VerifyKey

from jupyter_audit.gate.isolation import Rung, allowed_paths
from jupyter_audit.gate.supervisor import MARKER

POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class LaunchTerms:
    """
    What one session's process is started with.

    `environment` are the names of the server's variables that are passed on. `session_dir` becomes the process's
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
    """How many processes besides the first were killed at the end, and whether all were shown to be gone."""

    processes: int
    clean: bool


class Supervised:
    """One command under the supervisor. `process` is the supervisor's."""

    def __init__(self, terms: LaunchTerms, process: subprocess.Popen[bytes], result_fd: int) -> None:
        self.terms = terms
        self.process = process
        self.outcome: EndOutcome | None = None
        self._result_fd: int | None = result_fd

    @classmethod
    def start(
        cls,
        terms: LaunchTerms,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: str | None,
        terminal: int | None = None,
    ) -> Supervised:
        """
        Start the supervisor, which starts `command` in `folder`.

        `terminal` is the descriptor of a terminal's far end, which becomes the command's controlling terminal.
        Raises `OSError` where no process can be started.
        """
        readable: list[str] = []
        writable: list[str] = []
        if terms.rung is Rung.LANDLOCK:
            readable, writable = allowed_paths(terms.hidden, terms.writable, terms.session_dir)
        told = {
            "rung": terms.rung.value,
            "readable": readable,
            "writable": writable,
            "mark": terms.session,
            "terminal": terminal,
        }
        result_in, result_out = os.pipe()
        supervisor = [sys.executable, "-I", "-m", "jupyter_audit.gate.supervisor", str(result_out), json.dumps(told)]
        try:
            process = subprocess.Popen(
                [*supervisor, "--", *command],
                env=dict(environment),
                cwd=folder or None,
                stdin=subprocess.PIPE,
                bufsize=0,  # an order that the supervisor no longer reads must not be left over for close()
                pass_fds=(result_out,) if terminal is None else (result_out, terminal),
                start_new_session=True,
            )
        except BaseException:
            os.close(result_in)
            raise
        finally:
            os.close(result_out)
        return cls(terms, process, result_in)

    def send_signal(self, number: int) -> None:
        """Have the supervisor send a signal to the command's process group."""
        self._order(b"S" + bytes([number]))

    async def end(self) -> None:
        """End the command and everything it started; return when that is done or the grace is over."""
        process, terms = self.process, self.terms
        self._order(b"E")
        until = time.monotonic() + max(terms.grace_seconds, 1.0)
        while process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 (a process's end sets no event)
            await asyncio.sleep(POLL_S)
        if process.poll() is None:
            # The supervisor does not answer. Its death takes the command along; the rest is found by its mark.
            killed = kill_marked(terms.session)
            process.kill()
            self.outcome = EndOutcome(killed, clean=not marked(terms.session))
        self.read_result()

    def read_result(self) -> None:
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

    def _order(self, order: bytes) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                self.process.stdin.write(order)


def make_session_folder(terms: LaunchTerms) -> None:
    """Make the session's private folder."""
    terms.session_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    terms.session_dir.mkdir(mode=0o700)
    for name in ("ipython", "tmp", "cache"):
        (terms.session_dir / name).mkdir(mode=0o700)


def remove_session_folder(terms: LaunchTerms) -> None:
    """Remove the session's private folder."""
    shutil.rmtree(terms.session_dir, ignore_errors=True)


def session_environment(terms: LaunchTerms, server: Mapping[str, str]) -> dict[str, str]:
    """Return a process's whole environment: what is allowed of the server's, its own folders, its session's terms."""
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
