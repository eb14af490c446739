"""
What is left when a supervisor was killed: its kernel's processes, which then become the server's own children (P2).

Where no sandbox keeps a cell from killing its supervisor, everything that the supervisor would have swept up is handed
to the next subreaper above it. The server is one (Linux; see PR_SET_CHILD_SUBREAPER in prctl(2)), so that nothing gets
away to init, whatever it did to its session, its group, or its environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

import psutil

from jupyter_audit.gate.supervisor import ROUNDS, hunt

_PR_SET_CHILD_SUBREAPER = 36
_supervisors: set[int] = set()
"""The server's children that are supervisors and no orphans."""


def adopt_from_now_on() -> None:
    """Make this process the one that orphans go to."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def register(supervisor: int) -> None:
    """Note a supervisor, which is no orphan."""
    _supervisors.add(supervisor)


def forget(supervisor: int) -> None:
    """Note that a supervisor is gone."""
    _supervisors.discard(supervisor)


def sweep(since: float) -> tuple[int, bool]:
    """
    Kill the orphans that were started after `since` (seconds of the epoch), with all that descends from them.

    Return how many there were, and whether all are shown to be gone. Children that the server itself started in the
    meantime cannot be told from orphans: call this only when a supervisor ended without a word.
    """
    if sys.platform != "linux":
        return 0, False
    seen: set[int] = set()
    older = {child.pid for child in psutil.Process().children()} - {child.pid for child in _children(since)[0]}
    for turn in range(ROUNDS):
        alive, settled = _orphans(since)
        if not alive and settled:
            return len(seen), True
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        fresh = {process.pid for process in _orphans(since)[0]} - {process.pid for process in alive}
        seen |= {process.pid for process in alive}
        if fresh and turn % 2 == 0:
            continue
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        hunt(_supervisors | older)
    return len(seen), False


def _orphans(since: float) -> tuple[list[psutil.Process], bool]:
    """
    Return the living orphans, and whether no child was dead or dying when it was looked at.

    A dead one's own children have become the server's after these were listed: whoever finds one has to look again.
    """
    found: list[psutil.Process] = []
    children, settled = _children(since)
    for child in children:
        try:
            found += [child, *child.children(recursive=True)]
        except psutil.Error:
            settled = False
    return found, settled


def _children(since: float) -> tuple[list[psutil.Process], bool]:
    """Return the living children that are no supervisors and were started after `since`, and whether none was dead."""
    found: list[psutil.Process] = []
    settled = True
    for child in psutil.Process().children():
        try:
            if child.pid in _supervisors or child.create_time() < since:
                continue
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
                continue
            os.waitpid(child.pid, os.WNOHANG)
        except (psutil.Error, ChildProcessError):
            # Collected by somebody else in this moment.
            pass
        settled = False
    return found, settled
