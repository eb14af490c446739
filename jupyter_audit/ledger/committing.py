"""
A commit: entries, their contents, the one signed checkpoint over them, and what is kept of the blocks that they complete.

Called inside a transaction that holds the write lock; what it returns is true once that is committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import repeat

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
    start, size = tree.size, tree.size + len(packed)
    moment = clock.now()
    stamp = format_time(moment)
    entries: list[Entry] = []
    for seq, (item, _) in enumerate(packed, start):
        # The clock is read under the write lock, so between entries it can only seem to go back if it was
        # set back. What it says is put down as it is, and that it went back is said beside it.
        clock_back, commit = (stamp < head.time, len(packed)) if seq == start else (False, 0)
        try:
            entries.append(format_entry(item, seq, moment, stamp, clock_back=clock_back, commit=commit))
        except EnvelopeError as error:
            raise LedgerError(f"An entry of type {item.draft.type!r} cannot be recorded: {error}.") from error
    leaves = [leaf_hash(entry.raw.encode()) for entry in entries]
    subtree_rows = tree.extend(leaves, levels=STEP)
    labels = [*head.labels, *map(label_of, entries)]
    place_rows: list[PlaceRow] = []
    for block in range(start >> STEP, size >> STEP):
        place_rows += places_of(block, labels[:BLOCK])
        labels = labels[BLOCK:]
    note = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, size, tree.root())))
    notes = [*repeat(None, len(entries) - 1), note]
    connection.executemany(_INSERT_ENTRY, zip(range(start, size), leaves, notes, [entry.raw for entry in entries], strict=True))
    connection.executemany(
        _INSERT_CONTENT,
        [(number, *row) for seq, (_, rows) in enumerate(packed, start) for number, row in enumerate(rows, seq * MOST_CONTENTS)],
    )
    if subtree_rows:
        connection.executemany(_INSERT_SUBTREE, subtree_rows)
    if place_rows:
        connection.executemany(_INSERT_PLACE, place_rows)
    return entries, Head(tree, labels, note, stamp)
