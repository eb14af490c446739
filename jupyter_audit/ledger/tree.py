"""
The stored tree: hashes of perfect subtrees of a ledger file, from which any root or proof is made.

One hash is kept for every 256 leaves, one for every 65,536, and so on; everything between is computed.
They are a cache: each can be recomputed from the entries, and verification does so (P4).
"""

from __future__ import annotations

import sqlite3

from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash, node_hash, peak_positions, root_of

STEP = 8
"""Levels between stored subtrees: 2^8 leaves, 2^16, 2^24."""


def read_leaves(connection: sqlite3.Connection, start: int, stop: int) -> list[bytes]:
    """Return the leaf hashes of entries `start` up to `stop`; raises `VerificationError` for a gap."""
    leaves: list[bytes] = []
    for seq, raw in connection.execute(
        "SELECT seq, raw FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq", (start, stop)
    ):
        if seq != start + len(leaves):
            break
        if not isinstance(raw, str):
            raise damaged("entry_form", f"Entry {seq} is not text.", seq=seq)
        leaves.append(leaf_hash(raw.encode()))
    if len(leaves) != stop - start:
        missing = start + len(leaves)
        raise damaged("sequence", f"Entry {missing} is missing.", seq=missing)
    return leaves


class StoredTree:
    """The tree of a ledger file, read through one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def subtree(self, level: int, position: int) -> bytes:
        """Return the hash over leaves `position << level` up to `(position + 1) << level`."""
        base = level - level % STEP
        width = 1 << (level - base)
        start = position * width
        stop = start + width
        hashes = self._stored(base, start, stop) if base else read_leaves(self._connection, start, stop)
        while len(hashes) > 1:
            hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
        return hashes[0]

    def _stored(self, level: int, start: int, stop: int) -> list[bytes]:
        rows = self._connection.execute(
            "SELECT hash FROM subtree WHERE level = ? AND position >= ? AND position < ? ORDER BY position",
            (level, start, stop),
        ).fetchall()
        hashes = [bytes(row[0]) for row in rows if isinstance(row[0], bytes) and len(row[0]) == 32]
        if len(hashes) != stop - start:
            raise damaged("subtree", f"Stored hashes of level {level} are missing from {start} to {stop}.")
        return hashes

    def root(self, size: int) -> bytes:
        """Return the root hash that the tree had at `size`."""
        return root_of(self.subtree, 0, size)

    def compact_range(self, size: int) -> CompactRange:
        """Return the tree of `size`, ready to grow."""
        return CompactRange(size, [self.subtree(level, at) for level, at in peak_positions(size)])
