"""
Places: by which entries of a type, a session or a grant are found without reading all of them.

Entries come in blocks of 256. When a block is complete, one row for each type, session and grant in it says where in
the block they stand; those of the newest, incomplete block are looked for in the entries themselves. So an append
changes no index, and a search reads at most one block. A cache: what it names is read from the entries, and
verification makes it anew (P4).
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter

from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.store import explained
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.model import Entry

BLOCK = 1 << STEP
"""Entries of a block: those under one stored subtree."""

NAMES = ("type", "session", "grant")
"""What entries are found by."""

Label = tuple[str, str | None, str | None]
"""The type, session and grant of an entry."""

PlaceRow = tuple[str, str, int, str]
"""name, value, block, offsets"""

InBlock = tuple[int, frozenset[int]]
"""A block, and offsets in it."""

_OFFSETS = [str(offset) for offset in range(BLOCK)]
_PAGE = 256
_READING = "read the ledger"


def label_of(entry: Entry) -> Label:
    """Return what `entry` is found by."""
    return entry.type, entry.session, entry.grant


def places_of(block: int, labels: Sequence[Label]) -> list[PlaceRow]:
    """Return the rows of a block, from the labels of all of its entries."""
    rows = []
    for name, values in zip(NAMES, zip(*labels, strict=True), strict=True):
        found: defaultdict[str | None, list[str]] = defaultdict(list)
        for offset, value in zip(_OFFSETS, values, strict=True):
            found[value].append(offset)
        rows += [(name, value, block, f"[{','.join(offsets)}]") for value, offsets in found.items() if value is not None]
    return rows


def parse_offsets(block: int, stored: object) -> frozenset[int]:
    """Return the offsets in a row of this block; raises `VerificationError` if it does not hold any."""
    offsets = _offsets(str(stored))
    if offsets is None:
        raise damaged("place", f"The places stored of block {block} are malformed.", seq=block * BLOCK)
    return offsets


@lru_cache(maxsize=4096)  # few stand in a block, so the same come again
def _offsets(text: str) -> frozenset[int] | None:
    try:
        offsets = frozenset(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    return offsets if all(type(offset) is int and 0 <= offset < BLOCK for offset in offsets) else None


def read_labels(connection: sqlite3.Connection, start: int, stop: int) -> list[Label]:
    """Return the labels of entries `start` up to `stop`, as far as there are any. Raises `LedgerError`."""
    with explained(_READING):
        return connection.execute(
            "SELECT json_extract(raw, '$.type'), json_extract(raw, '$.session'), json_extract(raw, '$.grant') "
            "FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq",
            (start, stop),
        ).fetchall()


class StoredPlaces:
    """The places of a ledger file, read through one connection; by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._newest: list[Label] = []
        self._newest_from = 0
        self._newest_leaf: object = None

    def seqs(
        self, wanted: Sequence[tuple[str, Collection[str]]], start: int, stop: int, size: int, *, newest_first: bool
    ) -> Iterator[int]:
        """
        Yield the numbers from `start` up to `stop` of entries that have one of the values of each name in `wanted`.

        `size` is how many entries there are. No read transaction is open between two of them. Raises `LedgerError`.
        """
        whole = size - size % BLOCK  # the blocks before it are complete
        parts = [
            self._stored(wanted, start >> STEP, -(-min(stop, whole) // BLOCK), newest_first=newest_first),
            self._in_newest(wanted, whole, size) if stop > whole else iter(()),
        ]
        for block, offsets in chain.from_iterable(reversed(parts) if newest_first else parts):
            for offset in sorted(offsets, reverse=newest_first):
                seq = block * BLOCK + offset
                if start <= seq < stop:
                    yield seq

    def types(self, prefix: str, size: int) -> set[str]:
        """Return the types in the ledger that begin with `prefix`, which ends in a dot."""
        types = {label[0] for label in self._labels(size - size % BLOCK, size) if str(label[0]).startswith(prefix)}
        after, end = prefix, prefix[:-1] + "/"  # "/" follows "." in every collation of bytes
        while True:
            with explained(_READING):
                row = self._connection.execute(
                    "SELECT value FROM place WHERE name = 'type' AND value > ? AND value < ? ORDER BY value LIMIT 1", (after, end)
                ).fetchone()
            if row is None:
                return types
            after = str(row[0])
            types.add(after)

    def _stored(
        self, wanted: Sequence[tuple[str, Collection[str]]], low: int, high: int, *, newest_first: bool
    ) -> Iterator[InBlock]:
        (name, values), *others = wanted
        streams = [self._rows(name, value, low, high, newest_first=newest_first) for value in values]
        merged = heapq.merge(*streams, key=itemgetter(0), reverse=newest_first) if len(streams) > 1 else chain(*streams)
        for block, rows in groupby(merged, key=itemgetter(0)):
            offsets = _union(block, [row[1] for row in rows])
            for other, among in others:
                offsets &= _union(block, [self._offsets(other, value, block) for value in among])
            yield block, offsets

    def _rows(self, name: str, value: str, low: int, high: int, *, newest_first: bool) -> Iterator[tuple[int, str]]:
        order = "DESC" if newest_first else "ASC"
        among = "name = ? AND value = ? AND block >= ? AND block < ?"
        sql = f"SELECT block, offsets FROM place WHERE {among} ORDER BY block {order} LIMIT {_PAGE}"  # noqa: S608 (our own words)
        while low < high:
            with explained(_READING):
                page = self._connection.execute(sql, (name, value, low, high)).fetchall()
            yield from page
            if len(page) < _PAGE:
                return
            if newest_first:
                high = page[-1][0]
            else:
                low = page[-1][0] + 1

    def _offsets(self, name: str, value: str, block: int) -> str:
        with explained(_READING):
            row = self._connection.execute(
                "SELECT offsets FROM place WHERE name = ? AND value = ? AND block = ?", (name, value, block)
            ).fetchone()
        return "[]" if row is None else row[0]

    def _in_newest(self, wanted: Sequence[tuple[str, Collection[str]]], start: int, stop: int) -> Iterator[InBlock]:
        columns = [(NAMES.index(name), values) for name, values in wanted]
        labels = self._labels(start, stop)
        yield start >> STEP, frozenset(
            offset for offset, label in enumerate(labels) if all(label[column] in values for column, values in columns)
        )

    def _labels(self, start: int, stop: int) -> list[Label]:
        """Return the labels of the newest block; those that were read before are not read again."""
        known = start + len(self._newest)
        if start != self._newest_from or known > stop or self._leaf(known - 1) != self._newest_leaf:
            self._newest, self._newest_from, known = [], start, start
        if known < stop:
            self._newest += read_labels(self._connection, known, stop)
            self._newest_leaf = self._leaf(start + len(self._newest) - 1)
        return self._newest

    def _leaf(self, seq: int) -> object:
        with explained(_READING):
            row = self._connection.execute("SELECT leaf FROM entry WHERE seq = ?", (seq,)).fetchone()
        return None if row is None else row[0]


def _union(block: int, lists: Sequence[object]) -> frozenset[int]:
    if len(lists) == 1:
        return parse_offsets(block, lists[0])
    return frozenset().union(*(parse_offsets(block, stored) for stored in lists))
