"""
A commit: entries, their contents, the subtrees that they complete, and the one signed checkpoint over them.

Called inside a transaction that holds the write lock; what it returns is true once that is committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.envelope import EnvelopeError, format_entry
from jupyter_audit.ledger.head import Head
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.ledger.packing import Packed
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.model import Entry

_INSERT_ENTRY = "INSERT INTO entry (seq, raw, leaf) VALUES (?, ?, ?)"
_INSERT_CONTENT = "INSERT INTO content (seq, name, salt, encoding, data) VALUES (?, ?, ?, ?, ?)"
_INSERT_SUBTREE = "INSERT INTO subtree (level, position, hash) VALUES (?, ?, ?)"
_INSERT_CHECKPOINT = "INSERT INTO checkpoint (size, note) VALUES (?, ?)"


def insert(
    connection: sqlite3.Connection, head: Head, packed: Sequence[Packed], clock: Clock, signer: Signer
) -> tuple[list[Entry], Head]:
    """Insert entries, contents, subtrees and the checkpoint over them, inside the caller's transaction."""
    tree = head.tree.copy()
    moment = clock.now()
    stamp = format_time(moment)
    # The clock is read under the write lock, so between entries it can only seem to go back if it was
    # set back. What it says is put down as it is, and that it went back is said beside it.
    clock_back = stamp < head.time
    entries: list[Entry] = []
    entry_rows: list[tuple[int, str, bytes]] = []
    content_rows: list[tuple[object, ...]] = []
    subtree_rows: list[tuple[int, int, bytes]] = []
    for item in packed:
        try:
            entry = format_entry(
                item.draft,
                item.commitments,
                seq=tree.size,
                moment=moment,
                time=stamp,
                clock_back=clock_back,
                commit=0 if entries else len(packed),
            )
        except EnvelopeError as error:
            raise LedgerError(f"An entry of type {item.draft.type!r} cannot be recorded: {error}.") from error
        clock_back = False
        content_rows.extend((entry.seq, *row) for row in item.rows)
        leaf = leaf_hash(entry.raw.encode())
        entry_rows.append((entry.seq, entry.raw, leaf))
        subtree_rows += tree.append(leaf, levels=STEP)
        entries.append(entry)
    note = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, tree.size, tree.root())))
    connection.executemany(_INSERT_ENTRY, entry_rows)
    if content_rows:
        connection.executemany(_INSERT_CONTENT, content_rows)
    if subtree_rows:
        connection.executemany(_INSERT_SUBTREE, subtree_rows)
    connection.execute(_INSERT_CHECKPOINT, (tree.size, note))
    return entries, Head(tree, note, stamp)
