"""
Pieces: a ledger cut where commits end, so that its parts can be walked at the same time.

A piece is walked from where the walk before it should end, by what the file says: stored keys, stored hashes. That is
a guess and no more. Whoever puts the pieces together must see that each began where the one before it came to,
and walk in turn wherever one did not, or found anything wrong: so the verdict is that of one walk (P5).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jupyter_audit.errors import LedgerError, VerificationError
from jupyter_audit.ledger.envelope import CREATED, KEY_ROTATED, EnvelopeError, parse_envelope
from jupyter_audit.ledger.merkle import node_hash, peak_positions
from jupyter_audit.ledger.note import NoteError, VerifierKey, parse_verifier_key
from jupyter_audit.ledger.places import BLOCK, Label, PlaceRow, parse_offsets, read_labels
from jupyter_audit.ledger.tree import STEP, StoredTree
from jupyter_audit.ledger.walk import NO_ROW, Counts, Row, Rows, Standing, Terms, Walk, number_of

PIECE_ENTRIES = 2048
PIECE_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_LEVELS = range(STEP, 64, STEP)


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of a stretch of whole commits, and where a walk should stand before it."""

    start: int
    before: object
    """The text of the entry before."""
    keys: tuple[VerifierKey, ...]
    peaks: tuple[bytes, ...]
    labels: tuple[Label, ...]
    """Of the entries before in the block that it begins in."""
    entries: Sequence[Row]
    contents: Sequence[Row]
    subtrees: dict[tuple[int, int], object]


@dataclass(frozen=True, slots=True)
class Walked:
    """A piece in which nothing was wrong, if the ledger does stand at `began` before it."""

    began: Standing
    ended: Standing
    counts: Counts
    places: Sequence[PlaceRow]
    """What must be stored of the blocks that it completes; whoever puts the pieces together looks."""


def cut(connection: sqlite3.Connection) -> Iterator[Piece]:
    """
    Yield pieces from the first entry on, as far as commits can be told apart. What follows the last one is not in any.

    Rows are read with `connection`, in the caller's transaction. No piece is much larger than `PIECE_BYTES`, unless
    one commit is. Ends early where the file cannot be read: the one who walks in turn comes upon it, and says so.
    """
    with contextlib.suppress(sqlite3.Error, LedgerError, TypeError, ValueError):
        yield from _cut(connection)


def _cut(connection: sqlite3.Connection) -> Iterator[Piece]:
    entries = connection.execute("SELECT seq, leaf, note, raw FROM entry ORDER BY seq")
    contents = connection.execute("SELECT seq, name, salt, encoding, data FROM content ORDER BY seq, name")
    content = next(contents, NO_ROW)
    keys = _keys(connection)
    start, before = 0, None
    taken: tuple[list[Row], list[Row]] = ([], [])
    weight = 0
    for row in entries:
        seq = number_of(row[0])
        taken[0].append(row)
        weight += len(row[3])
        while content is not NO_ROW and content[0] <= seq and weight <= _MOST_BYTES:
            taken[1].append(content)
            weight += len(content[4])
            content = next(contents, NO_ROW)
        if row[2] is not None and (len(taken[0]) >= PIECE_ENTRIES or weight >= PIECE_BYTES):
            in_force = tuple(key for since, key in keys if since < start or since == 0 < start)
            labels = tuple(read_labels(connection, start - start % BLOCK, start))
            subtrees = _subtrees(connection, start, seq + 1)
            yield Piece(start, before, in_force, _peaks(connection, start), labels, *taken, subtrees)
            start, before = seq + 1, row[3]
            taken, weight = ([], []), 0
        elif weight > _MOST_BYTES:
            return


def walk_piece(terms: Terms, piece: Piece) -> Walked | None:
    """Walk a piece apart from the others; None if anything in it is wrong, or seems so from where it was begun."""
    try:
        time = parse_envelope(str(piece.before)).entry.time if piece.start else None
        origin = piece.keys[0].name if piece.keys else ""
        began = Standing(origin, piece.keys, piece.start, piece.peaks, time, piece.labels)
        walk = Walk(terms, began)
        places: list[PlaceRow] = []

        def has_places(rows: Sequence[PlaceRow]) -> bool:
            places.extend(rows)
            return True

        walk.go(Rows(piece.entries, piece.contents, lambda *at: piece.subtrees.get(at), has_places))
    except Exception:  # whatever it is: the one who walks in turn comes upon it, and says so
        return None
    return Walked(began, walk.standing(), walk.counts, places) if walk.ended() else None


def rows_from(connection: sqlite3.Connection, size: int) -> Rows:
    """Return the rows after the first `size` entries, to be walked in turn; of an empty stretch, all there are."""

    def subtree(level: int, position: int) -> object:
        row = connection.execute("SELECT hash FROM subtree WHERE level = ? AND position = ?", (level, position)).fetchone()
        return None if row is None else row[0]

    least = size or -(2**63)  # also what should not be there: rows before the first
    return Rows(
        connection.execute("SELECT seq, leaf, note, raw FROM entry WHERE seq >= ? ORDER BY seq", (least,)),
        connection.execute("SELECT seq, name, salt, encoding, data FROM content WHERE seq >= ? ORDER BY seq, name", (least,)),
        subtree,
        lambda places: has_places(connection, places),
    )


def has_places(connection: sqlite3.Connection, places: Sequence[PlaceRow]) -> bool:
    """Return whether these rows are stored."""
    return all(
        connection.execute("SELECT offsets FROM place WHERE name = ? AND value = ? AND block = ?", row[:3]).fetchone() == row[3:]
        for row in places
    )


def entries_of_type(connection: sqlite3.Connection, kind: str) -> list[Row]:
    """Return seq and raw of the entries that stored places name for a type, and of those in the newest block that look so."""
    (size,) = connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM entry").fetchone()
    places = connection.execute("SELECT block, offsets FROM place WHERE name = 'type' AND value = ? ORDER BY block", (kind,))
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


def _keys(connection: sqlite3.Connection) -> list[tuple[int, VerifierKey]]:
    """Return the keys that entries name, with the entries' numbers."""
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


def _subtrees(connection: sqlite3.Connection, start: int, stop: int) -> dict[tuple[int, int], object]:
    """Return what is stored of the subtrees that entries `start` up to `stop` complete."""
    return {
        (level, position): digest
        for level in _LEVELS
        if start >> level < stop >> level
        for position, digest in connection.execute(
            "SELECT position, hash FROM subtree WHERE level = ? AND position >= ? AND position < ?",
            (level, start >> level, stop >> level),
        )
    }
