"""Every way in which a ledger can be wrong, by name: verifier, spec and tests are made from this table."""

from __future__ import annotations

from collections.abc import Mapping

from jupyter_audit.errors import VerificationError

DAMAGES: Mapping[str, str] = {
    "file": "The file is not a readable SQLite database, or its pages contradict each other.",
    "schema": "Tables, indexes or triggers are missing, changed, or do not belong there; or another format.",
    "origin": "Entry 0 is not a `ledger.created` that names origin, format and key; or there are two.",
    "key": "The ledger was begun under a key that the verifier was not given, or a key change is malformed.",
    "sequence": "Entries are not numbered 0, 1, 2, … without a gap: one was deleted, inserted or moved.",
    "entry_form": "An entry is not in its canonical spelling, or does not have the form of its kind.",
    "entry_changed": "An entry does not hash to what was signed: it was changed or replaced.",
    "time": "An entry is earlier than the one before it and does not say so, or says so and is not.",
    "leaf": "The leaf hash stored beside an entry is not the entry's, though the entry is what was signed.",
    "subtree": "A stored subtree hash is missing, wrong or superfluous.",
    "truncated": "The last commit has more entries than the ledger: entries were cut off.",
    "checkpoint_missing": "A commit has no checkpoint: it was deleted, or its entries were put in unsigned.",
    "checkpoint_foreign": "A checkpoint stands where no commit ends.",
    "checkpoint_form": "A checkpoint is malformed, or of another origin or size.",
    "checkpoint_signature": "A checkpoint is not signed by the key in force at its size.",
    "content_missing": "Content is gone, and no purge entry explains it.",
    "content_changed": "Content does not fit the commitment in its entry.",
    "content_foreign": "Content is stored that no entry commits to.",
    "content_unpurged": "An entry says that content was purged, but it is still there.",
    "remembered": "The checkpoint given to compare with is malformed, unsigned, or of another ledger.",
    "rollback": "The ledger is shorter than the checkpoint given to compare with.",
    "fork": "The ledger is not an extension of the checkpoint given to compare with.",
    "content_false": "Sealed content is malformed, or does not open with the key of an auditor whom it names, or holds "
    "something else than its entry commits to.",
    "witness": "A witness's cosignature that was demanded is missing or does not hold, or is of another ledger.",
    "place": "A stored list of the places of a type, session or grant is missing, wrong or superfluous.",
}
"""Damage class to its meaning, as docs/ledger-format.md shows it. Grows at its end only: the order gives the exit codes."""

FIRST_EXIT_CODE = 40
"""What a command exits with for the first class of the table; the second has the next number, and so on."""


def exit_code(damage: str) -> int:
    """Return what a command that finds this class of damage exits with, so that scripts can tell them apart."""
    return FIRST_EXIT_CODE + list(DAMAGES).index(damage)


def damaged(damage: str, message: str, *, seq: int | None = None, advice: str = "") -> VerificationError:
    """Return the error for a damage class of the table; `seq` is the entry that shows it."""
    error = VerificationError(message, damage=damage, seq=seq, advice=advice)
    error.exit_code = exit_code(damage)
    return error
