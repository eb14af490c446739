"""
What a server that was killed left unsaid: the ends of its sessions, and the cells it saw begin and not end.

Every server holds a lock for as long as it lives. A later one that finds in the ledger a server that did not
stop, and whose lock nobody holds, puts down that there is a gap, and ends that server's sessions in the ledger:
what nobody saw is said, never passed over.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Draft, Entry
from jupyter_audit.record import kinds

GAP = "a server ended without saying so"
"""`what` of the gap entry; its detail's `server` is the server that is meant."""

MOST_CELLS_NAMED = 100
"""Cells without an end that the gap entry names one by one; it counts all of them."""


class LifeLock:
    """Held by a server from before its first entry to after its last; the system lets go of it when the process dies."""

    def __init__(self, run: Path, server: str) -> None:
        self._path = _lock_path(run, server)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let go, and leave no file behind."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def lives(run: Path, server: str) -> bool:
    """Say whether the server of this id is alive: whether somebody holds its lock. What a dead one left is removed."""
    path = _lock_path(run, server)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    path.unlink(missing_ok=True)
    return False


def _lock_path(run: Path, server: str) -> Path:
    return run / f"server-{server}.lock"


def left_unsaid(reader: LedgerReader, alive: Callable[[str], bool]) -> list[Draft]:
    """
    Return what is to be put down about servers that neither stopped nor are `alive`; nothing the second time.

    Meant to be judged with the ledger's write lock held, so that two servers that start do not both say it.
    """
    begun: dict[str, Entry] = {}
    for entry in reader.entries(types=[kinds.ServerStarted.TYPE, kinds.ServerStopped.TYPE, kinds.GapRecorded.TYPE]):
        if entry.type == kinds.ServerStarted.TYPE:
            begun[str(entry.body.get("server"))] = entry
        elif entry.type == kinds.ServerStopped.TYPE:
            begun.pop(str(entry.body.get("server")), None)
        elif entry.body.get("what") == GAP:
            begun.pop(str(kinds.read(entry, kinds.GapRecorded).detail.get("server")), None)
    drafts: list[Draft] = []
    for server, started in begun.items():
        if not alive(server):
            drafts += _of_server(reader, server, started)
    return drafts


def _of_server(reader: LedgerReader, server: str, started: Entry) -> list[Draft]:
    sessions: dict[str, Entry] = {}
    for entry in reader.entries(types=[kinds.SessionStarted.TYPE, kinds.SessionEnded.TYPE], start=started.seq):
        if entry.session is None:
            continue
        if entry.type == kinds.SessionEnded.TYPE:
            sessions.pop(entry.session, None)
        elif entry.body.get("server") == server:
            sessions[entry.session] = entry
    ends: list[Draft] = []
    cells: list[int] = []
    for session, begin in sessions.items():
        grant, open_cells, held = _of_session(reader, session)
        cells += open_cells
        ended = [kinds.CellHoldEnded(hold, "server_died") for hold in held]
        ends += [kinds.draft(kind, grant=grant, session=session) for kind in ended]
        end = kinds.SessionEnded(
            kernel_id=str(begin.body.get("kernel_id")), cause="server_died", processes=0, clean=False
        )
        ends.append(kinds.draft(end, actor=begin.actor, grant=grant, session=session))
    gap = kinds.GapRecorded(
        what=GAP,
        detail={
            "server": server,
            "started": started.seq,
            "sessions": sorted(sessions),
            "cells_without_end": len(cells),
            "cells": sorted(cells)[:MOST_CELLS_NAMED],
        },
    )
    return [kinds.draft(gap), *ends]


def _of_session(reader: LedgerReader, session: str) -> tuple[str | None, Sequence[int], Sequence[str]]:
    """Return a session's grant, the cells of it that have no end, and the held ones of which nobody said what became of them."""
    grant: str | None = None
    cells: set[int] = set()
    held: dict[int, str] = {}
    for entry in reader.entries(session=session):
        grant = entry.grant or grant
        if entry.type == kinds.CellAdmitted.TYPE:
            cells.add(entry.seq)
            held.pop(kinds.read(entry, kinds.CellAdmitted).held, None)
        elif entry.type == kinds.CellFinished.TYPE:
            cells.discard(kinds.read(entry, kinds.CellFinished).admitted)
        elif entry.type == kinds.CellHeld.TYPE:
            held[entry.seq] = str(entry.body.get("hold"))
        elif entry.type in (kinds.CellDenied.TYPE, kinds.CellHoldEnded.TYPE):
            held = {seq: hold for seq, hold in held.items() if hold != entry.body.get("hold")}
    return grant, sorted(cells), list(held.values())
