"""
A commit: entries, their contents, the one signed checkpoint over them, and what is kept of the blocks that they complete.

Called inside a transaction that holds the write lock; what it returns is true once that is committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.envelope import MOST_CONTENTS, EnvelopeError, format_entry
from jupyter_audit.ledger.head import Head
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.ledger.packing import Packed
from jupyter_audit.ledger.places import BLOCK, PlaceRow, label_of, places_of
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.model import Entry

_INSERT_ENTRY = "INSERT INTO entry (seq, leaf, note, raw) VALUES (?, ?, ?, ?)"
_INSERT_CONTENT = "INSERT INTO content (id, name, salt, encoding, data) VALUES (?, ?, ?, ?, ?)"
_INSERT_SUBTREE = "INSERT INTO subtree (level, position, hash) VALUES (?, ?, ?)"
_INSERT_PLACE = "INSERT INTO place (name, value, block, offsets) VALUES (?, ?, ?, ?)"


def insert(
    connection: sqlite3.Connection, head: Head, packed: Sequence[Packed], clock: Clock, signer: Signer
) -> tuple[list[Entry], Head]:
    """Insert entries, contents and the checkpoint over them, with what is due of blocks, inside the caller's transaction."""
    tree = head.tree.copy()
    labels = list(head.labels)
    moment = clock.now()
    stamp = format_time(moment)
    # The clock is read under the write lock, so between entries it can only seem to go back if it was
    # set back. What it says is put down as it is, and that it went back is said beside it.
    clock_back = stamp < head.time
    entries: list[Entry] = []
    entry_rows: list[tuple[int, bytes, str | None, str]] = []
    content_rows: list[tuple[object, ...]] = []
    place_rows: list[PlaceRow] = []
    leaves: list[bytes] = []
    for seq, item in enumerate(packed, tree.size):
        try:
            entry = format_entry(
                item.draft,
                item.commitments,
                seq=seq,
                moment=moment,
                time=stamp,
                clock_back=clock_back,
                commit=0 if entries else len(packed),
            )
        except EnvelopeError as error:
            raise LedgerError(f"An entry of type {item.draft.type!r} cannot be recorded: {error}.") from error
        clock_back = False
        for number, row in enumerate(item.rows, seq * MOST_CONTENTS):
            content_rows.append((number, *row))
        leaf = leaf_hash(entry.raw.encode())
        leaves.append(leaf)
        entry_rows.append((seq, leaf, None, entry.raw))
        labels.append(label_of(entry))
        if len(labels) == BLOCK:
            place_rows += places_of(seq >> STEP, labels)
            labels = []
        entries.append(entry)
    subtree_rows = tree.extend(leaves, levels=STEP)
    note = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, tree.size, tree.root())))
    entry_rows[-1] = (seq, leaf, note, entry.raw)
    connection.executemany(_INSERT_ENTRY, entry_rows)
    if content_rows:
        connection.executemany(_INSERT_CONTENT, content_rows)
    if subtree_rows:
        connection.executemany(_INSERT_SUBTREE, subtree_rows)
    if place_rows:
        connection.executemany(_INSERT_PLACE, place_rows)
    return entries, Head(tree, labels, note, stamp)
