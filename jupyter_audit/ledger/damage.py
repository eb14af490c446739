"""Every way in which a ledger can be wrong, by name: verifier, spec and tests are made from this table."""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_audit.errors import VerificationError

DAMAGES: Mapping[str, str] = {
    "file": "The file is not a readable SQLite database, or its pages or indexes contradict each other.",
    "schema": "Tables, indexes or triggers are missing, changed, or do not belong there; or another format.",
    "origin": "Entry 0 is not a `ledger.created` that names this ledger's origin, format and first key.",
    "key": "The ledger was begun under a key that the verifier was not given, or a key change is malformed.",
    "sequence": "An entry is missing, or entries are numbered otherwise than 0, 1, 2, … without a gap.",
    "entry_form": "An entry is not in its canonical spelling, or its envelope is not as the format says.",
    "entry_changed": "An entry does not hash to what was signed (changed, swapped, replaced or inserted).",
    "time": "An entry is earlier than the one before it and does not say so, or says so and is not.",
    "checkpoint_form": "A checkpoint is malformed, of another origin, or filed under another size.",
    "checkpoint_signature": "A checkpoint is not signed by the key in force at its size.",
    "checkpoint_missing": "Entries are not covered by a checkpoint, or a key change does not end its commit.",
    "checkpoint_root": "A checkpoint's root is not that of the entries it covers.",
    "truncated": "A checkpoint covers more entries than the ledger has.",
    "subtree": "A stored subtree hash is missing, wrong or superfluous.",
    "content_missing": "Content is gone, and no purge entry explains it.",
    "content_changed": "Content does not fit the commitment in its entry.",
    "content_foreign": "Content is stored that no entry commits to.",
    "content_unpurged": "An entry says that content was purged, but it is still there.",
    "rollback": "The ledger is shorter than a checkpoint that was remembered elsewhere.",
    "fork": "The ledger is not an extension of a checkpoint that was remembered elsewhere.",
    "remembered": "The remembered checkpoint is malformed, or not one of this ledger.",
}
"""Damage class to its meaning, as docs/ledger-format.md shows it."""


def damaged(damage: str, message: str, *, seq: int | None = None, advice: str = "") -> VerificationError:
    """Return the error for a damage class of the table; `seq` is the entry that shows it."""
    assert damage in DAMAGES
    return VerificationError(message, damage=damage, seq=seq, advice=advice)
