"""Makes proof files from a ledger: reads the paths, the checkpoints and the key changes that `proof` puts together."""

from __future__ import annotations

from jupyter_audit.errors import LedgerError, SealedError, UsageError, VerificationError
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import KEY_ROTATED, PURGED, EnvelopeError
from jupyter_audit.ledger.note import NoteError, parse_named_key
from jupyter_audit.ledger.proof import (
    Inclusion,
    Shown,
    check_proof,
    format_entry_proof,
    format_growth_proof,
    format_tlog_proof,
)
from jupyter_audit.ledger.purge import parse_selections
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.schema import contents_of
from jupyter_audit.ledger.store import explained
from jupyter_audit.model import Entry


def prove_entry(reader: LedgerReader, seq: int, *, with_contents: bool) -> str:
    """
    Return the proof file of entry `seq` under the newest checkpoint.

    `with_contents` puts in the contents that are held, for the reader of the proof to see: opened where the reader has
    the auditor's key, else as they are sealed. Raises `LedgerError` if there is no such entry, `VerificationError` if
    what is stored does not read or does not hold: a proof that shows nothing is never returned.
    """
    note, size = _newest(reader)
    entry = reader.entry(seq)
    if seq >= size:
        raise LedgerError(f"Entry {seq} came after the newest checkpoint. Try again.")
    contents = {name: _held(reader, seq, name) for name in entry.contents} if with_contents else {}
    held = {name: content for name, content in contents.items() if content is not None}
    inclusion = Inclusion(entry.raw, format_tlog_proof(seq, reader.inclusion_proof(seq, size), note))
    return _that_holds(format_entry_proof(inclusion, _key_changes(reader, size), held), reader)


def purge_of(reader: LedgerReader, seq: int, name: str) -> int:
    """
    Return the number of the entry that says that the content `name` of entry `seq` was purged: the first of them.

    Raises `VerificationError` (`content_missing`) where none says so.
    """
    entry = reader.entry(seq)
    for purge in reader.entries(types=[PURGED], start=seq + 1):
        try:
            if any(selection.covers(entry, name) for selection in parse_selections(purge)):
                return purge.seq
        except EnvelopeError as error:
            raise damaged("entry_form", f"Entry {purge.seq} is damaged: {error}.", seq=purge.seq) from error
    advice = "Keep the file as it is, for evidence, and run `jupyter audit verify`."
    raise damaged("content_missing", f"Content {name} of entry {seq} is gone, and no purge explains it.", seq=seq, advice=advice)


def prove_growth(reader: LedgerReader, old: str, new: str | None = None) -> str:
    """
    Return the proof file that the checkpoint `new` (the newest, if none is given) extends the checkpoint `old`.

    Both are signed notes. Raises `UsageError` for a text that is no checkpoint of this ledger, `VerificationError`
    (`rollback`, `fork`) if the ledger is not one that grew from it, or if the proof does not hold.
    """
    note = _newest(reader)[0] if new is None else new
    sizes = []
    for text in (old, note):
        try:
            checkpoint = unverified_checkpoint(text)
        except NoteError as error:
            raise UsageError(f"That is not a checkpoint: {error}.") from error
        if checkpoint.origin != reader.origin:
            raise UsageError(f"That checkpoint is of {checkpoint.origin}, not of {reader.origin}.")
        if checkpoint.size > reader.size():
            message = f"The ledger has {reader.size()} entries, fewer than the {checkpoint.size} of that checkpoint."
            raise damaged("rollback", message, advice="Keep both, for evidence.")
        if checkpoint.root != reader.root(checkpoint.size):
            message = f"The first {checkpoint.size} entries are not those of that checkpoint."
            raise damaged("fork", message, advice="Keep both, for evidence: the ledger was replaced, or there are two.")
        sizes.append(checkpoint.size)
    first, last = sizes
    if first > last:
        raise UsageError(f"The later checkpoint covers {last} entries, fewer than the {first} of the earlier one.")
    return _that_holds(format_growth_proof(old, note, reader.consistency_proof(first, last), _key_changes(reader, last)), reader)


def _that_holds(proof: str, reader: LedgerReader) -> str:
    """Return the proof, once it was checked as its receiver will; raises `VerificationError` if the ledger cannot show it."""
    try:
        check_proof(proof, [parse_named_key(reader.entry(0).body.get("verifier_key"))])
    except (NoteError, VerificationError) as error:
        raise VerificationError(
            f"The ledger cannot show it. {error}",
            damage="proof",
            advice="Nothing was written. `jupyter audit verify` says what was changed; if nothing, the checkpoint given is "
            "not signed by a key of this ledger.",
        ) from error
    return proof


def _newest(reader: LedgerReader) -> tuple[str, int]:
    """Return the newest checkpoint and its size; raises `VerificationError` if it is none."""
    note = reader.checkpoint_note()
    try:
        return note, unverified_checkpoint(note).size
    except NoteError as error:
        raise damaged("checkpoint_form", f"The ledger's newest checkpoint is malformed: {error}.") from error


def _key_changes(reader: LedgerReader, size: int) -> list[Inclusion]:
    """Return every key change before `size`, each under the checkpoint that its old key signed last."""
    # The change that ends the checkpoint itself is under the old key, so the proof does not need it.
    return [prove_key_change(reader, entry) for entry in reader.entries(types=[KEY_ROTATED], stop=size - 1)]


def prove_key_change(reader: LedgerReader, entry: Entry) -> Inclusion:
    """Return a key change under the checkpoint that its old key signed last, which it ends."""
    path = reader.inclusion_proof(entry.seq, entry.seq + 1)
    return Inclusion(entry.raw, format_tlog_proof(entry.seq, path, reader.checkpoint_at(entry.seq + 1)))


def _held(reader: LedgerReader, seq: int, name: str) -> Shown | None:
    """Return a content as it can be shown here; None if it was purged."""
    try:
        return reader.salted(seq, name)
    except SealedError:
        with explained("read the ledger"):
            sql = "SELECT data FROM content WHERE id >= ? AND id < ? AND name = ?"
            row = reader.connection.execute(sql, (*contents_of(seq, seq + 1), name)).fetchone()
        return None if row is None else bytes(row[0])
