"""
The head: where a ledger stands, and whether what a file says about it can be believed.

Looks at the newest entries, the newest checkpoint and the remembered one; the work does not grow with the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from jupyter_audit.clock import format_time
from jupyter_audit.errors import RollbackError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger.checkpoint import Checkpoint, parse_checkpoint
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import KEY_ROTATED
from jupyter_audit.ledger.merkle import CompactRange
from jupyter_audit.ledger.note import NoteError, VerifierKey, parse_named_key, parse_note
from jupyter_audit.ledger.places import BLOCK, Label, read_labels
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.tree import STEP, StoredTree, read_leaves
from jupyter_audit.model import Entry

NEWEST_ENTRY = "SELECT seq + 1, note FROM entry ORDER BY seq DESC LIMIT 1"
"""The size of the ledger, and the checkpoint over all of it."""


class Head(NamedTuple):
    """Where the ledger stood when this writer last saw it."""

    tree: CompactRange
    labels: Sequence[Label]
    """Of the entries in the newest block, which is not complete."""
    note: str
    time: str  # of the newest entry


def key_at(reader: LedgerReader, size: int) -> VerifierKey:
    """Return the key in force at `size`: a key change is signed by the key that it ends."""
    changes = list(reader.entries(types=[KEY_ROTATED], stop=size - 1, newest_first=True, limit=1))
    return named_key(changes[0] if changes else reader.entry(0))


def named_key(entry: Entry) -> VerifierKey:
    try:
        return parse_named_key(entry.body.get("verifier_key"))
    except NoteError as error:
        raise damaged("key", f"Entry {entry.seq} names no key: {error}.", seq=entry.seq) from error


def load_head(reader: LedgerReader) -> Head:
    """Return the head, after the newest entries were hashed again and found under the newest signature."""
    connection = reader.connection
    row = connection.execute(NEWEST_ENTRY).fetchone()
    if row is None:
        raise damaged("origin", "The ledger has no entries.", seq=0)
    size, note = row
    if note is None:
        raise damaged("checkpoint_missing", f"No checkpoint covers the newest of the {size} entries.", seq=size - 1)
    stored = StoredTree(connection)
    tree = stored.compact_range(size)
    checkpoint = read_checkpoint(note, key_at(reader, size), reader.origin, size)
    if tree.root() != checkpoint.root:
        raise damaged("entry_changed", f"The newest checkpoint does not fit the {size} entries.")
    # The last complete subtree is taken from the cache above; look whether its entries are still those.
    complete = size >> STEP
    if complete and _tree_of(read_leaves(connection, (complete - 1) << STEP, complete << STEP)).root() != (
        stored.subtree(STEP, complete - 1)
    ):
        raise damaged("entry_changed", f"Entries before {complete << STEP} are not those that were signed.")
    labels = read_labels(connection, size - size % BLOCK, size)
    return Head(tree, labels, note, format_time(reader.entry(size - 1).time))


def _tree_of(leaves: Sequence[bytes]) -> CompactRange:
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree


def read_checkpoint(note: object, key: VerifierKey, origin: str, size: int) -> Checkpoint:
    """Return the checkpoint in `note` if this key signed it for this ledger and size."""
    try:
        if not isinstance(note, str):
            raise NoteError("it is not text")
        parsed = parse_note(note)
        checkpoint = parse_checkpoint(parsed.text)
    except NoteError as error:
        raise damaged("checkpoint_form", f"The checkpoint of size {size} is malformed: {error}.") from error
    if checkpoint.origin != origin or checkpoint.size != size:
        raise damaged("checkpoint_form", f"The checkpoint of size {size} is of another ledger or size.")
    try:
        parsed.verify([key])
    except NoteError as error:
        raise damaged(
            "checkpoint_signature",
            f"The checkpoint of size {size} is not signed by this ledger's key: {error}.",
        ) from error
    return checkpoint


def check_remembered(reader: LedgerReader, head: Head, remembered: Checkpoint, home: Home) -> None:
    advice = (
        "Keep both files as they are, for evidence. Put back a ledger that is not older than what was "
        f"remembered in {home.remembered_checkpoint}, and find out who replaced it."
    )
    if remembered.origin != reader.origin:
        raise RollbackError(
            f"The remembered checkpoint is of {remembered.origin}, the ledger is {reader.origin}.",
            advice=advice,
        )
    if remembered.size > head.tree.size:
        raise RollbackError(
            f"The ledger was rolled back: it has {head.tree.size} entries of {remembered.size} remembered.",
            advice=advice,
        )
    try:
        root = reader.root(remembered.size)
    except VerificationError as error:
        message = f"The ledger does not hold what was remembered: {error}"
        raise RollbackError(message, advice=advice) from error
    if root != remembered.root:
        raise RollbackError(
            f"The ledger was replaced: its first {remembered.size} entries are not those remembered.",
            advice=advice,
        )
