"""
The index of `search`: which entries are worth looking at. A cache, made with sqlite-utils (the extra `server` or `review`).

An FTS5 table of trigrams (three letters in a row), so that parts of names are found: `orders` in `shop.orders_v2`. It keeps
neither texts nor positions: an entry that has all trigrams of a word is looked at in the ledger itself. It is bound to one
history of one ledger, and goes on from the last entry that it knows. What does not fit is dropped and made anew, and a
purge drops it whole: FTS5 before SQLite 3.43 cannot take words out of a table that does not keep its texts.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.caches import drop_files, locked_caches
from jupyter_audit.ledger.envelope import PURGED
from jupyter_audit.review.search import Query, Reading, fold, texts_of
from jupyter_audit.review.sqliteutils import database_class

if TYPE_CHECKING:
    from sqlite_utils import Database

VERSION = 2
"""Of tables, folding and what is searched. Another one is dropped: migrating is making it anew."""

FILE = "search.db"
GRAM = 3
MOST_GRAMS = 64
"""Trigrams asked for in one query; more would not make the choice much smaller."""

_BATCH = 1000

Tell = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Nominated:
    """
    The numbers of entries worth looking at, newest first; None: all are.

    `damaged` and `sealed` count contents that could not be read for the index: changed ones, and those for auditors.
    """

    candidates: list[int] | None
    damaged: int = 0
    sealed: int = 0


class _Unfit(Exception):  # noqa: N818 (it is no error: the index is made anew)
    """Why an index cannot be used."""


def nominate(
    home: Home, reader: LedgerReader, query: Query, *, tell: Tell, progress: Progress | None = None
) -> Nominated:
    """
    Return which entries are worth looking at: all where the words are too short for the index.

    Brings the index up to date first; `tell` is given a sentence when it has to be made anew, `progress` how far it is. Raises
    `ConfigError` if sqlite-utils is not installed, `LedgerError` if the index cannot be written.
    """
    if reader.auditors:
        return Nominated(None)  # what such a reader opens must never be written into a file
    try:
        with locked_caches(home) as folder:
            return _nominate(folder, reader, query, tell, progress)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"The index of searches in {home.caches} cannot be used: {error}.",
            advice="Remove that folder, or search with --scan, which needs no index.",
        ) from error


def _nominate(
    folder: Path, reader: LedgerReader, query: Query, tell: Tell, progress: Progress | None
) -> Nominated:
    path = folder / FILE
    if path.exists():
        try:
            return _ask(_open(path, reader), reader, query, progress)
        except _Unfit as error:
            tell(f"The index of searches is made anew: {error}.")
        except (sqlite3.DatabaseError, KeyError, TypeError) as error:
            tell(f"The index of searches is made anew: it was damaged ({error}).")
    while True:
        drop_files(folder)
        try:
            return _ask(_create(path, reader), reader, query, progress)
        except _Unfit:
            continue


def _create(path: Path, reader: LedgerReader) -> Database:
    made_by = database_class()
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    database = made_by(sqlite3.connect(path))
    with database.atomic():
        # `size`: the entries that it knows; `seen`: how many the ledger had when the newest of them were begun to be read.
        state = {"version": VERSION, "origin": reader.origin, "size": 0, "root": reader.root(0).hex(), "seen": reader.size()}
        database.table("state").create({name: type(value) for name, value in state.items()}, strict=True)
        database.table("state").insert(state)
        database.table("unread").create({"seq": int, "name": str, "sealed": int}, pk=("seq", "name"), strict=True)
        database.execute(
            "CREATE VIRTUAL TABLE words USING fts5("
            "text, content='', detail=none, columnsize=0, tokenize='trigram case_sensitive 1')"
        )
    return database


def _open(path: Path, reader: LedgerReader) -> Database:
    """Open the index if it is of this ledger as it stands; raises `_Unfit`, `sqlite3.DatabaseError`."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise _Unfit("others could read or change it")
    database = database_class()(sqlite3.connect(path))
    try:
        states = list(database.table("state").rows)
        if len(states) != 1 or states[0].get("version") != VERSION:
            raise _Unfit("it is of another version")
        state = states[0]
        size = state["size"]
        if state["origin"] != reader.origin:
            raise _Unfit("it is of another ledger")
        if not 0 <= size <= reader.size():
            raise _Unfit(
                f"it knows {size} entries where the ledger has {reader.size()}. Find out whether an old copy of the ledger "
                "was put back: `jupyter audit verify --since` tells"
            )
        if reader.root(size).hex() != state["root"]:
            raise _Unfit("the ledger's entries are not those that it knows. Find out why: `jupyter audit verify` tells")
        return database
    except BaseException:
        database.close()
        raise


def _size(database: Database) -> int:
    (size,) = database.execute("SELECT size FROM state").fetchone()
    return int(size)


def _ask(
    database: Database, reader: LedgerReader, query: Query, progress: Progress | None
) -> Nominated:
    """Bring the index up to date, ask it, and close it."""
    try:
        (seen,) = database.execute("SELECT seen FROM state").fetchone()
        end = reader.size()  # first: a purge that comes after this is found by the second look
        if _purged_since(reader, seen):
            raise _Unfit("contents were purged")
        _extend(database, reader, end, progress)
        if _purged_since(reader, end):
            raise _Unfit("contents were purged while it was extended, and it may have read them before")
        unread = database.table("unread")
        sealed = unread.count_where("sealed = 1")
        return Nominated(_matching(database, query, _size(database)), unread.count - sealed, sealed)
    finally:
        database.close()


def _purged_since(reader: LedgerReader, start: int) -> bool:
    """Return whether entry `start` or a later one says that contents were purged, which had been there before."""
    return any(True for _ in reader.entries(types=(PURGED,), start=start, limit=1))


def _extend(database: Database, reader: LedgerReader, end: int, progress: Progress | None) -> None:
    """Take in what was appended up to `end`, in steps of which each is kept if the next one is broken off."""
    start = _size(database)
    for first in range(start, end, _BATCH):
        last = min(first + _BATCH, end)
        reading = Reading(reader)
        rows = [(entry.seq, _words(texts_of(entry, reading))) for entry in reader.entries(start=first, stop=last)]
        with database.atomic():
            database.conn.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", [row for row in rows if row[1]])
            unread = [(*key, 0) for key in reading.damaged] + [(*key, 1) for key in reading.sealed]
            database.table("unread").insert_all({"seq": seq, "name": name, "sealed": sealed} for seq, name, sealed in unread)
            database.execute("UPDATE state SET size = ?, root = ?, seen = ?", (last, reader.root(last).hex(), end))
        if progress is not None:
            progress(last - start, end - start)


def _words(texts: dict[str, str]) -> str:
    return "\n".join(map(fold, texts.values()))


def _matching(database: Database, query: Query, size: int) -> list[int] | None:
    grams = list(dict.fromkeys(term[i : i + GRAM] for term in query.wanted for i in range(len(term) - GRAM + 1)))
    if not grams:
        return None
    # Spread over all there are, not the first ones: those that many texts have in common come in runs.
    chosen = grams[:: -(-len(grams) // MOST_GRAMS)]
    expression = " AND ".join('"' + gram.replace('"', '""') + '"' for gram in chosen)
    found = database.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC", (expression,))
    return [seq for (seq,) in found if 0 <= seq < size]
