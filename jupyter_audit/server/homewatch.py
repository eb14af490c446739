"""
The audit home stays private while the server runs: modes that somebody changed are put right, and a finding says so (P3, P5).

On the rungs `none` and `landlock` code in a cell can chmod what belongs to the server's account, and let the machine's other
accounts into the home. Linux tells of that at once (inotify), so that it is noticed even where the modes are right again before
somebody looks. The sweep looks besides, for systems and moments where it does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.gate.sessions import Session
from jupyter_audit.home import Home
from jupyter_audit.model import Draft
from jupyter_audit.record import kinds
from jupyter_audit.server.inotify import AttributeEvents

RULE = "home-modes"

REST_S = 0.1
"""Seconds between two looks that events bring: a cell can make events without end."""

QUIET_S = 60.0
"""Seconds for which no second finding says the same of the same file; what is seen meanwhile gathers."""

MOST_SESSIONS = 20
"""Sessions that a finding names one by one."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """
    A file or folder whose modes were others than they must be.

    `mode` is what was found, None where it was right again already; `right` what it is now; `why` it could not be put right.
    """

    path: str
    mode: int | None
    right: int
    why: str = ""

    def __str__(self) -> str:
        """Say it, without the count."""
        if self.mode is None:
            return f"{self.path} (attributes set by somebody; its mode is {self.right:04o})"
        done = f"which cannot be put right: {self.why}" if self.why else f"put back to {self.right:04o}"
        return f"{self.path} (mode {self.mode:04o}, {done})"


class PrivateModes:
    """
    What is private in some folders, and in the home itself, and must stay so.

    The first look takes in what there is. What was closed to other accounts then, or when it came, keeps the mode that it had;
    what was open (the public key, say) is private by the folder that it lies in alone.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._known: dict[str, tuple[int, int]] = {}
        self.look()

    def look(self) -> list[Lapse]:
        """Put right what is not as it must be; return what that was. Never raises."""
        seen: dict[str, tuple[int, int]] = {}
        lapses: list[Lapse] = []
        for folder in self._folders:
            # Each before its files: of a folder that is closed to its owner none could be seen.
            for path, status in _folder_and_files(folder):
                if path not in seen and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                    self._judge(path, status, seen, lapses)
        # What could not be seen may be open by the next look: only what is gone is forgotten.
        self._known = {path: known for path, known in self._known.items() if path not in seen and not _is_gone(path)} | seen
        return lapses

    def right(self, path: str) -> int | None:
        """Return the mode that a file must have; None of one that need not be private."""
        return self._known[path][1] if path in self._known else None

    def _judge(self, path: str, status: os.stat_result, seen: dict[str, tuple[int, int]], lapses: list[Lapse]) -> None:
        mode, known = stat.S_IMODE(status.st_mode), self._known.get(path)
        if known is not None and known[0] == status.st_ino:
            right = known[1]
        elif known is None and mode & 0o077:
            return
        else:
            right = mode & ~0o077  # of a file that took the place of a private one, too
        seen[path] = (status.st_ino, right)
        if mode != right:
            lapses.append(_put_right(path, mode, right))


def _folder_and_files(folder: Path) -> Iterable[tuple[str, os.stat_result]]:
    with contextlib.suppress(OSError):  # not there (yet), or gone again
        yield str(folder), folder.lstat()
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    yield entry.path, entry.stat(follow_symlinks=False)


def _is_gone(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _put_right(path: str, mode: int, right: int) -> Lapse:
    try:
        os.chmod(path, right)  # noqa: PTH101 (paths are texts here)
    except OSError as error:
        return Lapse(path, mode, right, error.strerror or type(error).__name__)
    return Lapse(path, mode, right)


class HomeWatch:
    """
    Looks after the modes of the audit home. Belongs to the event loop, but for its making.

    `owe` puts an entry down, `sessions` are those that there are, `runtime` is the folder of Jupyter's runtime files.
    """

    def __init__(
        self,
        home: Home,
        runtime: Path,
        owe: Callable[[Draft], None],
        sessions: Callable[[], Iterable[Session]],
        log: logging.Logger,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owe, self._sessions, self._log, self._monotonic = owe, sessions, log, monotonic
        folders = [folder.resolve() for folder in (home.path, home.path / "keys", home.run, runtime)]
        # The runtime folder of a server that our launcher did not start is Jupyter's, and not ours to look after.
        folders = [folder for folder in folders if folder.is_relative_to(folders[0])]
        self._modes = PrivateModes(folders)
        # SQLite gives these their owner as it makes them, where the server is root.
        self._unheard = {folders[0] / f"{home.ledger.name}{end}" for end in ("-wal", "-shm", "-journal")}
        self._gathered: dict[str, tuple[Lapse, int]] = {}
        self._there: set[str] = set()
        self._running: set[int] = set()
        self._told: dict[str, float] = {}
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events: AttributeEvents | None = None
        try:
            self._events = AttributeEvents(folders)
        except OSError as error:
            log.info("jupyter-audit: the modes of the audit home are looked at by each sweep alone: %s", error)

    def follow(self) -> None:
        """Have each event looked into at once, by the running loop."""
        if self._events is not None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._events.descriptor, self._heard)

    def close(self) -> None:
        """Look for the last time, say what was seen, and stop."""
        if self._closed:
            return
        self.look(last=True)
        self._closed = True
        if self._events is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._events.descriptor)
            self._events.close()

    def look(self, *, last: bool = False) -> None:
        """Put right what somebody changed, and say so: at once, or after a while if it was said just now. Never raises."""
        heard = self._heard_of()
        lapses = {lapse.path: lapse for lapse in self._modes.look()}
        if lapses:
            heard |= self._heard_of()  # our own
        for path in sorted(heard - lapses.keys()):
            if (right := self._modes.right(path)) is not None:
                lapses[path] = Lapse(path, None, right)
        for path, lapse in lapses.items():
            before, times = self._gathered.get(path, (lapse, 0))
            # That it was open says more than that somebody touched it.
            self._gathered[path] = (before if lapse.mode is None else lapse, times + 1)
        if lapses:
            for session in self._sessions():
                self._there.add(session.id)
                self._running |= {cell.admitted for cell in session.capture.running() if not cell.canary}
        now = self._monotonic()
        if self._gathered and (last or any(now - self._told.get(path, -QUIET_S) >= QUIET_S for path in self._gathered)):
            self._tell(now)

    def _heard(self) -> None:
        assert self._loop is not None
        assert self._events is not None
        self._loop.remove_reader(self._events.descriptor)
        self.look()
        self._loop.call_later(REST_S, self.follow)

    def _heard_of(self) -> set[str]:
        return {str(path) for path in self._events.take() - self._unheard} if self._events is not None else set()

    def _tell(self, now: float) -> None:
        said = "; ".join(f"{lapse}{f', {times} times' if times > 1 else ''}" for lapse, times in self._gathered.values())
        self._told |= dict.fromkeys(self._gathered, now)
        self._gathered = {}
        there = ", ".join(sorted(self._there)[:MOST_SESSIONS]) + (" and others" if len(self._there) > MOST_SESSIONS else "")
        finding = kinds.FindingRaised(
            rule=RULE,
            title="Modes in the audit home were changed",
            level="high",
            explanation=(
                f"Somebody changed modes in the audit home while the server ran: {said}. Whoever has another account on the "
                "machine may have read there meanwhile: the signing key, the server's token, what was recorded. "
                f"Sessions that there were then: {there or 'none'}. The entries named are those of the cells that ran. What to "
                "check: what these cells do, and who was logged in. Rotate the key and revoke tokens, unless it is known to be "
                "harmless."
            ),
            entries=sorted(self._running),
        )
        self._there, self._running = set(), set()
        self._log.critical("jupyter-audit: modes in the audit home were changed while the server runs: %s", said)
        self._owe(kinds.draft(finding))
