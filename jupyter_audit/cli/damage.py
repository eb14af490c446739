"""What `jupyter audit verify` says of a ledger that is not whole: all that was found, for a person to file, or for a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.damage import DAMAGES
from jupyter_audit.ledger.report import Before


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
        "advice": error.advice,
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
        *([("Next step", error.advice)] if error.advice else []),
        ("Verdict", f"DAMAGED ({error.damage}). The ledger is not what was signed, or not the one that was meant."),
    ]
    return "\n".join(f"{name:<14}{value}" for name, value in lines)


def _before(error: VerificationError) -> Before:
    return error.before if isinstance(error.before, Before) else Before()
