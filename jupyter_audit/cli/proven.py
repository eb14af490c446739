"""`jupyter audit verify --proof`: what a proof file shows, for a person to file, or for a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jupyter_audit.cli.output import clean, clean_block, print_json
from jupyter_audit.clock import format_time
from jupyter_audit.errors import UsageError, VerificationError
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.note import NoteError, format_verifier_key, parse_verifier_key
from jupyter_audit.ledger.proof import ProvenEntry, ProvenGrowth, check_proof

_WIDTH = 14


def verify_proof(text: str, keys: Sequence[str], auditors: Sequence[AuditorSecret], *, as_json: bool) -> int:
    """Check a proof file and print what it shows; return 0. Raises `VerificationError` if it does not hold."""
    try:
        proven = check_proof(text, [parse_verifier_key(key) for key in keys], auditors=auditors)
    except NoteError as error:
        raise UsageError(f"That is not a verifier key: {error}.") from error
    except VerificationError as error:
        if as_json:
            print_json({"verdict": "not proven", "detail": str(error), "advice": error.advice})
        raise
    if as_json:
        facts = _growth_facts(proven) if isinstance(proven, ProvenGrowth) else _entry_facts(proven)
        print_json({"verdict": "proven", **facts})
        return 0
    for name, value in _growth_lines(proven) if isinstance(proven, ProvenGrowth) else _entry_lines(proven):
        first, *more = clean_block(value, indent="").split("\n")
        print(f"{name:<{_WIDTH}}{first}")
        for line in more:
            print(" " * _WIDTH + line)
    return 0


def _entry_facts(proven: ProvenEntry) -> dict[str, Any]:
    shown = {name: data.decode("utf-8", "backslashreplace") for name, data in proven.contents.items()}
    facts: dict[str, Any] = {"ledger": proven.checkpoint.origin, "seq": proven.entry.seq, "entry": proven.entry.raw}
    facts |= {"checkpoint": proven.checkpoint.size, "key": format_verifier_key(proven.key)}
    facts |= {"contents": shown} if shown else {}
    facts |= {"sealed": {name: list(names) for name, names in proven.sealed.items()}} if proven.sealed else {}
    absent = [name for name in proven.entry.contents if name not in proven.contents and name not in proven.sealed]
    return facts | ({"not_shown": absent} if absent else {})


def _growth_facts(proven: ProvenGrowth) -> dict[str, Any]:
    return {"ledger": proven.new.origin, "from": proven.old.size, "to": proven.new.size, "root": proven.new.root.hex()}


def _entry_lines(proven: ProvenEntry) -> Iterator[tuple[str, str]]:
    entry, size = proven.entry, proven.checkpoint.size
    yield "Ledger", proven.checkpoint.origin
    yield "Key", format_verifier_key(proven.key)
    yield "Checkpoint", f"of {size} entries, signed by that key"
    yield "Entry", f"number {entry.seq}, {entry.type}"
    yield "Time", f"{format_time(entry.time)}, by the server's clock"
    yield "About", f"{clean(entry.actor.name)}, as {clean(entry.actor.vouched_by)} says"
    if entry.session is not None:
        yield "Session", clean(entry.session)
    if entry.grant is not None:
        yield "Grant", clean(entry.grant)
    yield "Text", clean(entry.raw)
    for name, commitment in sorted(entry.contents.items()):
        if name in proven.contents:
            yield "Content", f"{name}, {commitment.size} bytes:"
            yield "", proven.contents[name].decode("utf-8", "backslashreplace")
        elif name in proven.sealed:
            yield "Sealed", f"{name}, {commitment.size} bytes, not opened: it is sealed for {', '.join(proven.sealed[name])}"
        else:
            yield "Not in it", f"{name}, {commitment.size} bytes: not asked for when the proof was made, or purged"
    yield "Not shown", "what came after the checkpoint; and that the signing key was not in other hands"
    yield "Verdict", f"PROVEN. The entry is what was signed, as number {entry.seq} of the first {size} of this ledger."


def _growth_lines(proven: ProvenGrowth) -> Iterator[tuple[str, str]]:
    old, new = proven.old.size, proven.new.size
    yield "Ledger", proven.new.origin
    yield "From", f"the checkpoint of {old} entries, root hash {proven.old.root.hex()}"
    yield "To", f"the checkpoint of {new} entries, root hash {proven.new.root.hex()}"
    yield "Not shown", "what the entries say, and what came after the newer checkpoint"
    yield "Verdict", f"PROVEN. The ledger of {new} entries begins with the very {old} of the older checkpoint, each unchanged."
