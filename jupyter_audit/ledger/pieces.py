"""
Pieces: a ledger cut where commits end, so that its parts can be walked at the same time.

A piece is walked from where the walk before it should end, by what the file says: stored keys, stored hashes. That is
a guess and no more. Whoever puts the pieces together must see that each began where the one before it came to,
and walk in turn wherever one did not, or found anything wrong: so the verdict is that of one walk (P5).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jupyter_audit.errors import LedgerError, VerificationError
from jupyter_audit.ledger.canonical import MAX_INTEGER
from jupyter_audit.ledger.envelope import CREATED, KEY_ROTATED, EnvelopeError, parse_envelope
from jupyter_audit.ledger.glance import Glance
from jupyter_audit.ledger.merkle import node_hash, peak_positions
from jupyter_audit.ledger.note import NoteError, VerifierKey, parse_verifier_key
from jupyter_audit.ledger.places import BLOCK, PlaceRow, parse_offsets, read_labels
from jupyter_audit.ledger.schema import contents_of
from jupyter_audit.ledger.tree import STEP, StoredTree
from jupyter_audit.ledger.walk import NO_ROW, Counts, Row, Rows, Standing, Walk, number_of, owner_of

PIECE_ENTRIES = 4096
_LEAST_ENTRIES = 256
COMMIT_BYTES = 32 * 1024 * 1024
"""How large a commit is looked at as a whole."""
_FIRST_END = "SELECT seq FROM entry WHERE seq >= ? AND note IS NOT NULL ORDER BY seq LIMIT 1"
_LAST_END = "SELECT seq FROM entry WHERE note IS NOT NULL ORDER BY seq DESC LIMIT 1"

Keys = Sequence[tuple[int, VerifierKey]]
"""Keys of a ledger, each with the number of the entry that names it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of whole commits: the entries from `start`, before `stop`."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Walked:
    """A piece in which nothing was wrong, if the ledger does stand at `began` before it."""

    began: Standing
    ended: Standing
    counts: Counts


def cut(connection: sqlite3.Connection) -> Iterator[Piece]:
    """
    Yield pieces from the first entry on, as far as commits can be told apart. What follows the last one is not in any.

    The last ones are smaller, so that all who walk are done at about the same time. Ends early where the file cannot be
    read: the one who walks in turn comes upon it, and says so.
    """
    start = 0
    with contextlib.suppress(sqlite3.Error, LedgerError):
        last = connection.execute(_LAST_END).fetchone()
        stop = 0 if last is None else number_of(last[0]) + 1
        while start < stop:
            size = min(PIECE_ENTRIES, max((stop - start) // 4, _LEAST_ENTRIES))
            (end,) = connection.execute(_FIRST_END, (start + size - 1,)).fetchone() or last
            if end > MAX_INTEGER:
                return  # a number that no entry can say
            yield Piece(start, end + 1)
            start = end + 1


def stored_size(connection: sqlite3.Connection) -> int:
    """Return how many entries there are by the number of the newest; no more than entries can be numbered."""
    (newest,) = connection.execute("SELECT max(seq) FROM entry").fetchone()
    return 0 if newest is None else min(number_of(newest), MAX_INTEGER) + 1


def walk_piece(glance: Glance, connection: sqlite3.Connection, keys: Keys, piece: Piece) -> Walked | None:
    """Walk a piece apart from the others; None if anything in it is wrong, or seems so from where it was begun."""
    try:
        in_force = tuple(key for since, key in keys if since < piece.start or since == 0 < piece.start)
        origin, time = "", None
        if piece.start:
            origin = in_force[0].name
            (before,) = connection.execute("SELECT raw FROM entry WHERE seq = ?", (piece.start - 1,)).fetchone()
            time = parse_envelope(str(before)).entry.time
        labels = tuple(read_labels(connection, piece.start - piece.start % BLOCK, piece.start))
        began = Standing(origin, in_force, piece.start, _peaks(connection, piece.start), time, labels)
        walk = Walk(glance.terms, began)
        for commit in _commits(connection, piece):
            if not glance.follow(walk, commit):
                walk.go(commit)
                if not walk.ended():
                    return None
    except Exception:  # whatever it is: the one who walks in turn comes upon it, and says so
        return None
    return Walked(began, walk.standing(), walk.counts) if walk.ended() and walk.tree.size == piece.stop else None


def _commits(connection: sqlite3.Connection, piece: Piece) -> Iterator[Rows]:
    """Yield the commits of a piece, by where checkpoints are. Raises `OverflowError` for one that is too large."""
    entries, contents = _cursors(connection, piece.start, piece.stop)
    content = next(contents, NO_ROW)
    rows: list[Row] = []
    held: list[Row] = []
    weight = 0
    for row in entries:
        rows.append(row)
        weight += len(row[3])
        if row[2] is not None:
            while content is not NO_ROW and owner_of(content) <= row[0] and weight <= COMMIT_BYTES:
                held.append(content)
                weight += len(content[4])
                content = next(contents, NO_ROW)
            yield _rows(connection, rows, held)
            rows, held, weight = [], [], 0
        if weight > COMMIT_BYTES:
            raise OverflowError


def _cursors(connection: sqlite3.Connection, start: int, stop: int | None) -> tuple[sqlite3.Cursor, sqlite3.Cursor]:
    """Return what is stored of the entries from `start`, before `stop`, and their contents. From 0: all there are."""
    # Also what should not be there: rows before the first.
    first_id, after = contents_of(start, stop or 0)
    span = (start or -(2**63), 2**63 - 1 if stop is None else stop - 1)
    ids = (first_id or -(2**63), 2**63 - 1 if stop is None else after - 1)
    return (
        connection.execute("SELECT seq, leaf, note, raw FROM entry WHERE seq BETWEEN ? AND ? ORDER BY seq", span),
        connection.execute(
            "SELECT id, name, salt, encoding, data FROM content WHERE id BETWEEN ? AND ? ORDER BY id", ids
        ),
    )


def rows_from(connection: sqlite3.Connection, start: int, stop: int | None = None) -> Rows:
    """Return the rows of the entries from `start`, before `stop` or to the end, to be walked in turn."""
    return _rows(connection, *_cursors(connection, start, stop))


def _rows(connection: sqlite3.Connection, entries: Iterable[Row], contents: Iterable[Row]) -> Rows:
    """Return rows with the caches that are stored."""

    def subtree(level: int, position: int) -> object:
        row = connection.execute("SELECT hash FROM subtree WHERE level = ? AND position = ?", (level, position)).fetchone()
        return None if row is None else row[0]

    def has_places(places: Sequence[PlaceRow]) -> bool:
        sql = "SELECT offsets FROM place WHERE name = ? AND value = ? AND block = ?"
        return all(connection.execute(sql, row[:3]).fetchone() == row[3:] for row in places)

    return Rows(entries, contents, subtree, has_places)


def entries_of_type(connection: sqlite3.Connection, kind: str) -> list[Row]:
    """Return seq and raw of the entries that stored places name for a type, and of those in the newest block that look so."""
    size = stored_size(connection)
    # Of blocks that there are: what else stands there, or is no number at all, names no entry.
    sql = "SELECT block, offsets FROM place WHERE name = 'type' AND value = ? AND block BETWEEN 0 AND ? ORDER BY block"
    places = connection.execute(sql, (kind, size // BLOCK))
    found: list[Row] = []
    for block, offsets in places.fetchall():
        with contextlib.suppress(VerificationError):
            for offset in sorted(parse_offsets(block, offsets)):
                found += connection.execute("SELECT seq, raw FROM entry WHERE seq = ?", (block * BLOCK + offset,))
    return [*found, *entries_that_look_so(connection, kind, size - size % BLOCK)]


def entries_that_look_so(connection: sqlite3.Connection, kind: str, start: int = 0) -> Iterator[Row]:
    """Yield seq and raw of the entries from `start` on whose text has that type in it somewhere; reads all of them."""
    sql = "SELECT seq, raw FROM entry WHERE seq >= ? AND instr(raw, ?) ORDER BY seq"
    return connection.execute(sql, (start, f'"type":"{kind}"'))


def keys_named(connection: sqlite3.Connection) -> Keys:
    """Return the keys that entries name."""
    keys = []
    for kind in (CREATED, KEY_ROTATED):
        for seq, raw in entries_of_type(connection, kind):
            with contextlib.suppress(EnvelopeError, NoteError):
                keys.append((number_of(seq), parse_verifier_key(str(parse_envelope(str(raw)).entry.body.get("verifier_key")))))
    return keys


def _peaks(connection: sqlite3.Connection, size: int) -> tuple[bytes, ...]:
    """Return the peaks of the tree of `size` as stored hashes have them; as many as there must be, whatever they are."""
    stored = StoredTree(connection)
    peaks = []
    for level, position in peak_positions(size):
        try:
            peaks.append(_of_leaves(connection, level, position) if level < STEP else stored.subtree(level, position))
        except (VerificationError, TypeError, IndexError):
            peaks.append(b"")
    return tuple(peaks)


def _of_leaves(connection: sqlite3.Connection, level: int, position: int) -> bytes:
    rows = connection.execute(
        "SELECT leaf FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq", (position << level, (position + 1) << level)
    )
    hashes: list[bytes] = [leaf for (leaf,) in rows]
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]
