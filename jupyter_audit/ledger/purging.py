"""
Purging: takes contents out of the file for good, and leaves every proof standing (P6).

The rows go, and the entry that says so comes, in one transaction. Then the bytes go: SQLite overwrites what it
deletes, and the write-ahead log is emptied; caches that may hold words of it are dropped. What lies elsewhere is out of
reach: backups, snapshots of the file system, blocks that a disk has set aside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from jupyter_audit.clock import format_time
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger.caches import drop_caches
from jupyter_audit.ledger.envelope import MOST_CONTENTS, PURGED
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.schema import OBJECTS, contents_of
from jupyter_audit.ledger.store import explained
from jupyter_audit.ledger.writer import Ledger
from jupyter_audit.model import Actor, Draft, Entry, Json

_GUARD = "content_kept"
_PURGING = "purge the ledger's contents"
_WITHIN = f"c.id >= {MOST_CONTENTS} * {{0}} AND c.id < {MOST_CONTENTS} * ({{0}} + 1)"
_OF_NUMBERS = f"SELECT c.id FROM json_each(?) AS e CROSS JOIN content AS c WHERE {_WITHIN.format('e.value')}"  # noqa: S608 (our own words)
_OF_ACTOR = f"SELECT c.id FROM entry AS e CROSS JOIN content AS c WHERE e.actor = ? AND {_WITHIN.format('e.seq')}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which contents are to go: those of entries before `before` (None: of all there are), and only those that fit.

    `session` and `actor` narrow it to their entries, `names` to contents of these names. Entries of `sessions_of_actor` count as
    the actor's, whoever is named in them: a server writes what a person's cells printed.
    """

    before: datetime | None = None
    session: str | None = None
    actor: str | None = None
    names: Sequence[str] = ()
    sessions_of_actor: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a purge takes, or took: contents, and bytes as they are stored."""

    contents: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Purge:
    """
    What became of a purge. `entry` is None if there was nothing to take.

    `overwritten` is false if a reader kept the old bytes in the write-ahead log: purging again, or the last
    process that closes the ledger, takes them away. `caches_dropped` is false if somebody used the caches all the
    while; they drop them when they have finished.
    """

    extent: Extent
    entry: Entry | None
    overwritten: bool
    caches_dropped: bool


def measure(reader: LedgerReader, wanted: Wanted) -> Extent:
    """Return how much a purge would take now, without taking it."""
    last = _last(reader, wanted, reader.size())
    return Extent(0, 0) if last is None else _extent(reader, wanted, last)


def purge(ledger: Ledger, wanted: Wanted, *, actor: Actor, reason: str) -> Purge:
    """
    Take contents away, and put down who did, which and why.

    All or nothing, also if the process is killed. Raises `UsageError` without a reason, `LedgerError` if it failed.
    """
    if not reason.strip():
        raise UsageError("A purge needs a reason: the ledger keeps it.")
    taken = Extent(0, 0)

    def take() -> Draft | None:
        nonlocal taken
        last = _last(ledger, wanted, ledger.size())
        if last is None:
            return None
        connection = ledger.connection
        taken = _extent(ledger, wanted, last)
        if not taken.contents:
            return None
        condition, values = _condition(ledger, wanted, last)
        body: dict[str, Json] = {
            "contents": [*_selections(ledger, wanted, last)],
            "reason": reason,
            "count": taken.contents,
        }
        # The trigger that stops mistakes stands aside for this one statement, in this transaction.
        connection.execute(f"DROP TRIGGER {_GUARD}")
        connection.execute(f"DELETE FROM content WHERE {condition}", values)  # noqa: S608 (our own words)
        connection.execute(OBJECTS["trigger", _GUARD])
        return Draft(PURGED, body, actor=actor)

    with explained(_PURGING):
        ledger.connection.execute("PRAGMA secure_delete = ON")
        try:
            entries = ledger.append_own(take)
            (busy, _, _) = ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            ledger.connection.execute("PRAGMA secure_delete = OFF")
    return Purge(
        taken,
        entries[0] if entries else None,
        overwritten=not busy,
        caches_dropped=drop_caches(ledger.home),
    )


def _last(reader: LedgerReader, wanted: Wanted, size: int) -> int | None:
    """Return the last entry whose contents may go. A clock set back makes a purge take too little, never too much."""
    if wanted.before is None:
        return size - 1
    with explained(_PURGING):
        row = reader.connection.execute(
            "SELECT seq FROM entry WHERE seq < ? AND time >= ? ORDER BY seq LIMIT 1",
            (size, format_time(wanted.before)),
        ).fetchone()
    last = size - 1 if row is None else int(row[0]) - 1
    return last if last >= 0 else None


def _extent(reader: LedgerReader, wanted: Wanted, last: int) -> Extent:
    condition, values = _condition(reader, wanted, last)
    sql = f"SELECT count(*), coalesce(sum(length(data)), 0) FROM content WHERE {condition}"  # noqa: S608
    with explained(_PURGING):
        contents, size = reader.connection.execute(sql, values).fetchone()
    return Extent(contents, size)


def _condition(reader: LedgerReader, wanted: Wanted, last: int) -> tuple[str, list[object]]:
    conditions = ["id < ?"]
    parameters: list[object] = [contents_of(0, last + 1)[1]]
    if wanted.session is not None:
        conditions.append(f"id IN ({_OF_NUMBERS})")
        parameters.append(json.dumps(list(reader.numbers(0, last + 1, session=wanted.session))))
    if wanted.actor is not None:
        theirs = [seq for session in wanted.sessions_of_actor for seq in reader.numbers(0, last + 1, session=session)]
        conditions.append(f"id IN ({_OF_ACTOR} UNION ALL {_OF_NUMBERS})")
        parameters.extend((wanted.actor, json.dumps(theirs)))
    if wanted.names:
        conditions.append(f"name IN ({', '.join('?' * len(wanted.names))})")
        parameters.extend(wanted.names)
    return " AND ".join(conditions), parameters


def _selections(reader: LedgerReader, wanted: Wanted, last: int) -> Iterator[dict[str, Json]]:
    """Yield what the purge's entry says; of an actor's sessions those that still hold something to take."""
    yield _selection(wanted, last)
    for session in wanted.sessions_of_actor:
        if wanted.session in (None, session):
            whole = replace(wanted, session=session, actor=None, sessions_of_actor=())
            if _extent(reader, whole, last).contents:
                yield _selection(whole, last)


def _selection(wanted: Wanted, last: int) -> dict[str, Json]:
    selection: dict[str, Json] = {"first": 0, "last": last}
    if wanted.session is not None:
        selection["session"] = wanted.session
    if wanted.actor is not None:
        selection["actor"] = wanted.actor
    if wanted.names:
        selection["names"] = sorted(set(wanted.names))
    return selection
