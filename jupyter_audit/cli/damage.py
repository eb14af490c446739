"""What `jupyter audit verify` says of a ledger that is not whole: all that was found, for a person to file, or for a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.damage import DAMAGES
from jupyter_audit.ledger.report import Before

KEEP = (
    "Keep this file as it is, for evidence. A backup that verifies, or a checkpoint kept elsewhere, shows how the ledger was "
    "while it was whole."
)
"""The next step where a damage has none of its own."""

NOT_COMPARED = frozenset({"remembered", "witness"})
"""Classes that say nothing of the ledger: what it was to be compared with cannot be used, or is not of it."""

_MEANINGS = {
    "file": "The file cannot be read as a whole. Nothing is shown of what cannot be read.",
    "schema": "The file is not a ledger of this format, or it was changed by another way than appending.",
    **dict.fromkeys(
        ("leaf", "subtree", "place"),
        "What the file stores beside its entries, to save time, is not theirs: it was changed by another way than appending.",
    ),
    "key": "The ledger was not begun under the key that was given, or a change of its key is not in order.",
    "rollback": "What the file holds is as it was signed, and it is not all that was: entries that were signed are missing.",
    "fork": "The file is whole in itself, and not the ledger whose checkpoint was kept: it was replaced, or there are two.",
    "content_false": "Content was recorded that is not what its entry says. The entries are as they were signed.",
}
"""What a class means for the ledger, for whoever has to answer for it."""

_CHANGED = "The ledger is not what was signed."


def verdict(error: VerificationError) -> str:
    """Return what is found in two words: that the ledger is damaged, or only that it was not compared as it should be."""
    return "not compared" if error.damage in NOT_COMPARED else "damaged"


def damage_json(error: VerificationError, keys: Sequence[str], witness_keys: Sequence[str]) -> dict[str, Any]:
    """Return the damage, and what was whole before it, as JSON-ready values. What is not known is null."""
    before = _before(error)
    return {
        "origin": before.origin or None,
        "keys_given": list(keys),
        "witness_keys": list(witness_keys),
        "keys": list(before.keys),
        "entries": before.stored or None,
        "entries_whole": before.whole,
        "first": before.first or None,
        "last": before.last or None,
        "damage": error.damage,
        "seq": error.seq,
        "detail": str(error),
        "advice": error.advice or KEEP,
    }


def damage_text(
    error: VerificationError, path: Path, keys: Sequence[str], witness_keys: Sequence[str], since: str | None
) -> str:
    """Return the report of the damage for a person to read, and to file. `since` is the file compared with."""
    before = _before(error)
    lines = [
        ("File", str(path)),
        ("Ledger", before.origin or "not known: its first entry was not read, or not believed"),
        *(("Key given", key) for key in keys),
        *([("Compared", f"with the checkpoint kept in {since}")] if since else []),
        *([("Witness", f"demanded: {key}") for key in witness_keys] or [("Witness", "none demanded")]),
        *([("Span", f"{before.first} to {before.last}, of the entries that are whole")] if before.first else []),
        ("Entries", f"the first {before.whole} of {before.stored} are as they were signed" if before.stored else "not read"),
        ("Damage", f"{error.damage}: {DAMAGES[error.damage]}"),
        ("Entry", "the damage is not in one entry" if error.seq is None else str(error.seq)),
        ("Reason", str(error)),
        ("Next step", error.advice or KEEP),
        ("Verdict", f"{verdict(error).upper()} ({error.damage}). {_meaning(error, before)}"),
    ]
    return "\n".join(f"{name:<14}{value}" for name, value in lines)


def _meaning(error: VerificationError, before: Before) -> str:
    if error.damage not in NOT_COMPARED:
        return _MEANINGS.get(error.damage, _CHANGED)
    if not before.stored:
        return "The ledger itself was not looked at: what it was to be compared with cannot be used."
    return "The file is whole in itself. That it is all that was signed is not shown: what was kept is not of this ledger."


def _before(error: VerificationError) -> Before:
    return error.before if isinstance(error.before, Before) else Before()
