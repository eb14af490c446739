"""
Proof files: one entry, or the growth between two checkpoints, shown to somebody who does not have the ledger (P7).

A proof of an entry is JSON around the entry's own text and a C2SP tlog-proof (https://c2sp.org/tlog-proof), so that
other tools can check its inner part. It carries the key changes before it, each proven under the key that it ended:
whoever has the ledger's first key needs no other. Pure: no files, no secrets.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.checkpoint import Checkpoint, parse_checkpoint
from jupyter_audit.ledger.content import SEALED, ContentError, UnopenedError, commit, open_commitment
from jupyter_audit.ledger.envelope import KEY_ROTATED, EnvelopeError, parse_envelope
from jupyter_audit.ledger.merkle import HASH_SIZE, ProofError, leaf_hash, verify_consistency, verify_inclusion
from jupyter_audit.ledger.note import NoteError, VerifierKey, decode_base64, parse_named_key, parse_note
from jupyter_audit.model import Entry

ENTRY_FORMAT = "jupyter-audit/entry-proof@v1"
GROWTH_FORMAT = "jupyter-audit/consistency-proof@v1"
TLOG_PROOF = "c2sp.org/tlog-proof@v1"

MOST_CHARACTERS = 256 * 1024 * 1024
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
_MOST_HASHES = 63


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An entry's text and the tlog-proof that it is in the tree of a checkpoint."""

    raw: str
    tlog_proof: str


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """
    What a proof file showed: the entry, the checkpoint it is under, and the contents that came with it.

    `sealed` are those that came sealed and were not opened: they are the bytes that were recorded, for these auditors.
    """

    entry: Entry
    checkpoint: Checkpoint
    key: VerifierKey
    contents: Mapping[str, bytes]
    sealed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Shown = tuple[bytes, bytes] | bytes
"""A content in a proof file: salt and data, or the bytes that are sealed."""


@dataclass(frozen=True, slots=True)
class ProvenGrowth:
    """What a consistency proof showed: the tree of `new` begins with all of the tree of `old`."""

    old: Checkpoint
    new: Checkpoint


def format_tlog_proof(index: int, path: Sequence[bytes], note: str) -> str:
    """Return the C2SP tlog-proof of the leaf `index` under the checkpoint in `note`."""
    hashes = "".join(base64.b64encode(part).decode() + "\n" for part in path)
    return f"{TLOG_PROOF}\nindex {index}\n{hashes}\n{note}"


def format_entry_proof(
    inclusion: Inclusion, key_changes: Sequence[Inclusion], contents: Mapping[str, Shown]
) -> str:
    """Return the proof file of an entry. `contents` gives each content that is to be shown."""
    value: dict[str, Any] = {
        "format": ENTRY_FORMAT,
        "entry": inclusion.raw,
        "proof": inclusion.tlog_proof,
        "key_changes": _changes(key_changes),
        "contents": {name: _shown(content) for name, content in contents.items()},
    }
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def format_growth_proof(old: str, new: str, hashes: Sequence[bytes], key_changes: Sequence[Inclusion]) -> str:
    """Return the proof file that the checkpoint `new` extends the checkpoint `old`, both signed notes."""
    value: dict[str, Any] = {
        "format": GROWTH_FORMAT,
        "old": old,
        "new": new,
        "proof": [base64.b64encode(part).decode() for part in hashes],
        "key_changes": _changes(key_changes),
    }
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def format_key_change(change: Inclusion) -> str:
    """Return what shows one key change to whoever knows the key that it ended."""
    return json.dumps(_changes([change])[0], ensure_ascii=False) + "\n"


def _shown(content: Shown) -> dict[str, str]:
    if isinstance(content, bytes):
        return {"sealed": base64.b64encode(content).decode()}
    salt, data = content
    return {"salt": base64.b64encode(salt).decode(), "data": base64.b64encode(data).decode()}


def _changes(key_changes: Sequence[Inclusion]) -> list[dict[str, str]]:
    return [{"entry": change.raw, "proof": change.tlog_proof} for change in key_changes]


def unverified_origin(text: str) -> str:
    """Return which ledger a key change says it is of, without believing it; raises `VerificationError`."""
    members = _object(_json(text), "the key change")
    _members(members, {"entry", "proof"}, "the key change")
    try:
        return parse_checkpoint(parse_note(_parse_tlog_proof(str(members["proof"]))[2]).text).origin
    except NoteError as error:
        raise _no_proof(f"its checkpoint is malformed: {error}") from error


def check_key_change(text: str, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, VerifierKey, Checkpoint]:
    """
    Check one key change: return the key that it ended, the one that it names, and the checkpoint that it ends.

    Raises `VerificationError` (damage `proof`) if that is not shown under one of `keys`.
    """
    members = _object(_json(text), "the key change")
    _members(members, {"entry", "proof"}, "the key change")
    entry, checkpoint, ended = _included(members, keys)
    return ended, _key_named(entry, checkpoint), checkpoint


def check_proof(
    text: str, keys: Sequence[VerifierKey], *, auditors: Sequence[AuditorSecret] = ()
) -> ProvenEntry | ProvenGrowth:
    """
    Check a proof file against the keys that the caller trusts, and return what it shows.

    `auditors` are secret keys that open contents which came sealed.

    Raises `VerificationError` (damage `proof`) for everything that is not a proof under one of these keys.
    """
    value = _object(_json(text), "the file")
    if value.get("format") == ENTRY_FORMAT:
        _members(value, {"format", "entry", "proof", "key_changes", "contents"}, "the file")
        return _check_entry(value, keys, auditors)
    if value.get("format") == GROWTH_FORMAT:
        _members(value, {"format", "old", "new", "proof", "key_changes"}, "the file")
        return _check_growth(value, keys)
    raise _no_proof(f"its format is {value.get('format')!r}, not one that this program knows")


# --- an entry -----------------------------------------------------------------------------------------


def _check_entry(
    value: Mapping[str, Any], keys: Sequence[VerifierKey], auditors: Sequence[AuditorSecret]
) -> ProvenEntry:
    # Where the file shows key changes, what it proves must be under the newest key: the older ones have ended.
    entry, checkpoint, key = _included(value, _changed_keys(value["key_changes"], keys)[-1:] or keys)
    contents, sealed = _contents(entry, value["contents"], auditors)
    return ProvenEntry(entry, checkpoint, key, contents, sealed)


def _changed_keys(changes: object, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Return the keys that the key changes name, one after the other, each shown under the one before it."""
    if not isinstance(changes, list):
        raise _no_proof("its key_changes are no list")
    named: list[VerifierKey] = []
    for change in changes:
        members = _object(change, "a key change")
        _members(members, {"entry", "proof"}, "a key change")
        entry, checkpoint, _ = _included(members, named[-1:] or keys)
        named.append(_key_named(entry, checkpoint))
    return named


def _included(value: Mapping[str, Any], keys: Sequence[VerifierKey]) -> tuple[Entry, Checkpoint, VerifierKey]:
    """Return the entry in `value`, once its proof shows it under a checkpoint that one of `keys` signed."""
    raw, proof = value["entry"], value["proof"]
    if not isinstance(raw, str) or not isinstance(proof, str):
        raise _no_proof("its entry and proof are no texts")
    try:
        entry = parse_envelope(raw).entry
    except EnvelopeError as error:
        raise _no_proof(f"its entry is none: {error}") from error
    index, path, note = _parse_tlog_proof(proof)
    checkpoint, key = _signed(note, keys)
    if entry.seq != index:
        raise _no_proof(f"it shows leaf {index}, and its entry says that it is entry {entry.seq}")
    try:
        verify_inclusion(index, checkpoint.size, leaf_hash(raw.encode()), path, checkpoint.root)
    except ProofError as error:
        raise _no_proof(f"entry {index} is not under its checkpoint: {error}") from error
    return entry, checkpoint, key


def _key_named(entry: Entry, checkpoint: Checkpoint) -> VerifierKey:
    """Return the key that a key change names; it must be the last entry that its checkpoint covers."""
    if entry.type != KEY_ROTATED or entry.seq + 1 != checkpoint.size:
        raise _no_proof(f"entry {entry.seq} is no key change under the key that it ended")
    try:
        key = parse_named_key(entry.body.get("verifier_key"))
    except NoteError as error:
        raise _no_proof(f"entry {entry.seq} names no key: {error}") from error
    if key.name != checkpoint.origin:
        raise _no_proof(f"entry {entry.seq} names a key of another ledger")
    return key


def _contents(
    entry: Entry, value: object, auditors: Sequence[AuditorSecret]
) -> tuple[dict[str, bytes], dict[str, tuple[str, ...]]]:
    shown: dict[str, bytes] = {}
    closed: dict[str, tuple[str, ...]] = {}
    for name, part in _object(value, "its contents").items():
        members = _object(part, f"content {name}")
        commitment = entry.contents.get(name)
        if commitment is None:
            raise _no_proof(f"its entry commits to no content named {name}")
        if "sealed" in members:
            _members(members, {"sealed"}, f"content {name}")
            try:
                stored = decode_base64(str(members["sealed"]))
                if commitment.sealed is None:
                    raise ContentError("its entry does not say that it is sealed")
                shown[name] = open_commitment(commitment, b"", SEALED, stored, auditors=auditors)
            except UnopenedError as error:
                closed[name] = error.recipients
            except (NoteError, ContentError) as error:
                raise _no_proof(f"content {name} is not what the entry commits to: {error}") from error
            continue
        _members(members, {"salt", "data"}, f"content {name}")
        try:
            data = decode_base64(str(members["data"]))
            fits = commit(data, decode_base64(str(members["salt"]))) == commitment.digest
        except (NoteError, ContentError) as error:
            raise _no_proof(f"content {name} cannot be read") from error
        if not fits or len(data) != commitment.size:
            raise _no_proof(f"content {name} is not what the entry commits to")
        shown[name] = data
    return shown, closed


def _parse_tlog_proof(text: str) -> tuple[int, list[bytes], str]:
    """Return index, path and checkpoint of a tlog-proof without the optional `extra` line, which we never write."""
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    found = _INDEX.fullmatch(lines[1]) if len(lines) > 1 else None
    if not separator or lines[0] != TLOG_PROOF or found is None or len(lines) - 2 > _MOST_HASHES:
        raise _no_proof(f"its inner part is no {TLOG_PROOF}")
    return int(found[1]), [_hash(line) for line in lines[2:]], note


# --- growth -------------------------------------------------------------------------------------------


def _check_growth(value: Mapping[str, Any], keys: Sequence[VerifierKey]) -> ProvenGrowth:
    proof = value["proof"]
    if not isinstance(proof, list) or len(proof) > _MOST_HASHES * 2:
        raise _no_proof("its proof is no list of hashes")
    changed = _changed_keys(value["key_changes"], keys)
    old, _ = _signed(value["old"], [*keys, *changed])
    new, _ = _signed(value["new"], changed[-1:] or keys)
    if old.origin != new.origin:
        raise _no_proof("its two checkpoints are of different ledgers")
    try:
        verify_consistency(old.size, old.root, new.size, new.root, [_hash(part) for part in proof])
    except ProofError as error:
        raise _no_proof(f"the later checkpoint does not extend the earlier one: {error}") from error
    return ProvenGrowth(old, new)


# --- what both need -----------------------------------------------------------------------------------


def _signed(note: object, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, VerifierKey]:
    try:
        if not isinstance(note, str):
            raise NoteError("it is no text")
        parsed = parse_note(note)
        checkpoint = parse_checkpoint(parsed.text)
        signers = parsed.verify([key for key in keys if key.name == checkpoint.origin])
    except NoteError as error:
        raise _no_proof(f"its checkpoint cannot be believed: {error}") from error
    return checkpoint, signers[0]


def _hash(text: object) -> bytes:
    try:
        data = decode_base64(text) if isinstance(text, str) else b""
    except NoteError:
        data = b""
    if len(data) != HASH_SIZE:
        raise _no_proof("one of its hashes is none")
    return data


def _json(text: str) -> object:
    if len(text) > MOST_CHARACTERS:
        raise _no_proof("it is too long")
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise _no_proof(f"it is not JSON: {error}") from error


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _no_proof(f"{what} is no object")
    return value


def _members(value: Mapping[str, object], wanted: set[str], what: str) -> None:
    if value.keys() != wanted:
        raise _no_proof(f"{what} has not exactly the members {', '.join(sorted(wanted))}")


def _no_proof(why: str) -> VerificationError:
    return VerificationError(
        f"The proof does not hold: {why}.",
        damage="proof",
        advice="Ask for it again where the ledger is (`jupyter audit prove`), and for the key where it was kept "
        "when the ledger was created.",
    )
