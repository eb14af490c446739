"""
Verification: everything about a ledger file checked again, from the public key alone (P5, P7).

Trusts nothing that is stored: hashes are made anew from the entries, and caches are compared with them.
Streams; what is kept in memory does not grow with the ledger. Must never import the writer or a secret key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from jupyter_audit.errors import UsageError, VerificationError
from jupyter_audit.ledger.checkpoint import Checkpoint, parse_checkpoint
from jupyter_audit.ledger.content import ContentError, open_commitment
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import (
    CREATED,
    KEY_ROTATED,
    PURGED,
    Envelope,
    EnvelopeError,
    parse_envelope,
)
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import (
    Note,
    NoteError,
    VerifierKey,
    format_verifier_key,
    parse_note,
    parse_verifier_key,
)
from jupyter_audit.ledger.purge import Selection, parse_selections
from jupyter_audit.ledger.report import LedgerReport
from jupyter_audit.ledger.schema import FORMAT_VERSION, has_object, verify_schema, verify_tables
from jupyter_audit.ledger.store import KEEP_AND_VERIFY, connect, explain
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.model import Entry

Progress = Callable[[int, int], None]

_PROGRESS_EVERY = 512
_NO_ROW: tuple[object, ...] = (None, None, None, None, None)


def verify_ledger(
    path: Path, *, verifier_keys: Sequence[str], progress: Progress | None = None, since: str | None = None
) -> LedgerReport:
    """
    Check the whole ledger at `path`, and return what was found in it.

    `verifier_keys` are the keys that the caller trusts; the ledger must begin under one of them. `since` is
    a checkpoint that was kept elsewhere; the ledger must extend it. `progress` is told entries done and in
    all. Raises `VerificationError`, which names the damage and the first entry that shows it; `LedgerError`
    if there is nothing to read; `UsageError` for a key that is none.
    """
    # To believe a ledger, all of this must hold (docs/ledger-format.md numbers the same steps):
    #
    # 1. the file has exactly the schema of the format (what only speeds up or guards is looked at last, so
    #    that a changed entry is named even where the insider left the triggers off);
    # 2. entries are numbered 0, 1, 2, …, each in its only spelling; entry 0 names the origin, and a key that
    #    the caller trusts; none is earlier than the one before it without saying so;
    # 3. where a commit ends there is a checkpoint, and nowhere else; its root is that of the entries before
    #    it, and the key in force signed it;
    # 4. content is what its entry commits to, and where it is missing an entry says that it was purged;
    # 5. what is stored to save time (leaf hashes, subtree hashes, indexes) is what it should be;
    # 6. the ledger extends the checkpoint that the caller kept, if one was given.
    #
    # That everything was recorded in the first place no check of a ledger can show (docs/threat-model.md).
    trusted = [_parse_key(text) for text in verifier_keys]
    kept = None if since is None else _Kept(since)
    connection = connect(path, writable=False)
    try:
        # Text that is not Unicode is to be found in its entry, not to fail the query.
        connection.text_factory = _decode
        connection.execute("BEGIN")  # one snapshot: a server may be appending meanwhile
        verify_tables(connection)  # (1)
        return _Verification(connection, trusted, kept, progress).run()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, "verify the ledger") from error
    finally:
        connection.close()


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _parse_key(text: str) -> VerifierKey:
    try:
        return parse_verifier_key(text)
    except NoteError as error:
        raise UsageError(
            f"That is not a verifier key: {error}.",
            advice="`jupyter audit init` printed it; it is in keys/ledger.vkey of the audit home.",
        ) from error


class _Kept:
    """The checkpoint that the caller kept, until it was compared."""

    def __init__(self, text: str) -> None:
        try:
            self.note: Note = parse_note(text)
            self.checkpoint: Checkpoint = parse_checkpoint(self.note.text)
        except NoteError as error:
            raise damaged("remembered", f"The checkpoint to compare with cannot be used: {error}.") from error

    def verify_signer(self, origin: str, keys: Sequence[VerifierKey]) -> None:
        """Raise unless it is a checkpoint of this ledger, under one of its keys."""
        if self.checkpoint.origin != origin:
            other = self.checkpoint.origin
            raise damaged("remembered", f"The checkpoint to compare with is of {other}, not of {origin}.")
        try:
            self.note.verify(keys)
        except NoteError as error:
            raise damaged("remembered", f"The checkpoint to compare with cannot be used: {error}.") from error

    def compare(self, tree: CompactRange) -> None:
        """Raise if the ledger had another root at this size."""
        if self.checkpoint.size == tree.size and self.checkpoint.root != tree.root():
            raise damaged(
                "fork",
                f"The first {tree.size} entries are not those of the checkpoint that was kept.",
                advice="Keep both, for evidence: the ledger was replaced, or there are two of them.",
            )


@dataclass(slots=True)
class _Commit:
    """The commit that the walk is in: its entries are only believed when its checkpoint is."""

    start: int = 0
    end: int = 1
    suspect: int | None = None
    """The first entry that does not hash to the leaf stored beside it."""
    pending: VerificationError | None = None
    """What is wrong with an entry if its commit turns out to be what was signed."""


@dataclass(slots=True)
class _Verification:
    """One walk through a ledger, from its first entry to its last."""

    connection: sqlite3.Connection
    trusted: Sequence[VerifierKey]
    kept: _Kept | None
    progress: Progress | None
    origin: str = ""
    keys: list[VerifierKey] = field(default_factory=list)
    tree: CompactRange = field(default_factory=CompactRange)
    commit: _Commit = field(default_factory=_Commit)
    previous: Entry | None = None
    first: datetime | None = None
    clock_went_back: int = 0
    checkpoints: int = 0
    checkpoint_end: int = 0
    subtrees: int = 0
    contents_held: int = 0
    contents_purged: int = 0
    purges: dict[int, list[Selection]] = field(default_factory=dict)

    def run(self) -> LedgerReport:
        """Walk, conclude, report."""
        self._load_purges()
        (total,) = self.connection.execute("SELECT count(*) FROM entry").fetchone()
        checkpoints = self._rows("SELECT size, note FROM checkpoint ORDER BY size")
        contents = self._rows("SELECT seq, name, salt, encoding, data FROM content ORDER BY seq, name")
        checkpoint = next(checkpoints, _NO_ROW)
        content = next(contents, _NO_ROW)
        try:
            for seq, raw, leaf in self._rows("SELECT seq, raw, leaf FROM entry NOT INDEXED ORDER BY seq"):
                entry = self._take_entry(seq, raw, leaf)  # (2)
                held: dict[object, tuple[object, ...]] = {}
                while content[0] is not None and _number(content[0]) <= entry.seq:
                    self._expect_content_of(entry, content)
                    held[content[1]] = content[2:]
                    content = next(contents, _NO_ROW)
                self._take_contents(entry, held)  # (4)
                while checkpoint[0] is not None and _number(checkpoint[0]) <= self.tree.size:
                    self._take_checkpoint(entry, *checkpoint[:2])  # (3)
                    checkpoint = next(checkpoints, _NO_ROW)
                if self.commit.end == self.tree.size and self.checkpoint_end != self.tree.size:
                    raise self._no_checkpoint()
                if self.kept is not None:
                    self.kept.compare(self.tree)  # (6)
                if self.progress is not None and (entry.seq % _PROGRESS_EVERY == 0 or entry.seq + 1 == total):
                    self.progress(entry.seq + 1, total)
            return self._conclude(checkpoint, content)
        except VerificationError as error:
            suspect = self.commit.suspect
            if suspect is None or error.seq == suspect:
                raise
            # What was found follows from an entry before it that is not what was signed: that one is named.
            raise self._changed() from error

    def _rows(self, sql: str) -> Iterator[tuple[object, ...]]:
        return iter(self.connection.execute(sql))

    # --- entries (2) ------------------------------------------------------------------------------

    def _take_entry(self, seq: object, raw: object, stored_leaf: object) -> Entry:
        expected = self.tree.size
        number = _number(seq)
        if number != expected:
            raise damaged(
                "sequence",
                f"Entry {expected} is missing: the next one is numbered {number}."
                if number > expected
                else f"There is an entry numbered {number} before entry {expected}.",
                seq=expected,
            )
        if expected == self.commit.end:
            self.commit = _Commit(expected, expected + 1)
        envelope = self._parse(number, raw)
        entry = envelope.entry
        if entry.seq != number:
            raise damaged("sequence", f"Entry {number} says that it is entry {entry.seq}.", seq=number)
        if number == self.commit.start:
            self.commit.end = self.commit.start + envelope.commit
        elif envelope.commit != 1:
            raise damaged(
                "checkpoint_missing",
                f"Entry {number} begins a commit, but the one of entry {self.commit.start} has not ended.",
                seq=number,
            )
        leaf = leaf_hash(entry.raw.encode())
        if leaf != stored_leaf and self.commit.suspect is None:
            self.commit.suspect = number
            self._suspend(
                damaged(
                    "leaf", f"The leaf hash stored beside entry {number} is not that entry's.", seq=number
                )
            )
        self._check_time(envelope)
        self._check_kind(entry)
        for level, position, digest in self.tree.append(leaf, levels=STEP):
            self._check_subtree(level, position, digest)
        self.previous = entry
        self.first = self.first or entry.time
        return entry

    def _parse(self, seq: int, raw: object) -> Envelope:
        try:
            if not isinstance(raw, str):
                raise EnvelopeError("it is not text")
            return parse_envelope(raw)
        except EnvelopeError as error:
            raise damaged("entry_form", f"Entry {seq} is damaged: {error}.", seq=seq) from error

    def _suspend(self, error: VerificationError) -> None:
        """Keep `error` until the commit is known to be what was signed: if not, that is what is wrong."""
        if self.commit.pending is None:
            self.commit.pending = error

    def _check_time(self, envelope: Envelope) -> None:
        entry, previous = envelope.entry, self.previous
        went_back = previous is not None and entry.time < previous.time
        if went_back != envelope.clock_back:
            said = (
                "is earlier than the one before it and does not say so"
                if went_back
                else "says that it is earlier than the one before it, and is not"
            )
            self._suspend(damaged("time", f"Entry {entry.seq} {said}.", seq=entry.seq))
        self.clock_went_back += went_back

    def _check_kind(self, entry: Entry) -> None:
        """Check the kinds of entries that say something about the ledger itself."""
        seq = entry.seq
        if seq == 0:
            self._take_origin(entry)
        elif entry.type == CREATED:
            self._suspend(damaged("origin", f"Entry {seq} is a second {CREATED}.", seq=seq))
        elif entry.type == KEY_ROTATED and seq + 1 != self.commit.end:
            self._suspend(damaged("key", f"The key change in entry {seq} does not end its commit.", seq=seq))
        elif entry.type == PURGED and self.purges.get(seq) != _selections(entry):
            self._suspend(damaged("file", f"The index by type does not know entry {seq}.", seq=seq))

    def _take_origin(self, entry: Entry) -> None:
        body = entry.body
        origin, text = body.get("origin"), body.get("verifier_key")
        if entry.type != CREATED or not isinstance(origin, str) or not isinstance(text, str):
            raise damaged("origin", f"Entry 0 is not a {CREATED} that names origin and key.", seq=0)
        if body.get("format") != FORMAT_VERSION or body.get("epoch") != 0:
            raise damaged("origin", f"Entry 0 is not of format {FORMAT_VERSION} and epoch 0.", seq=0)
        try:
            key = parse_verifier_key(text)
        except NoteError as error:
            raise damaged("origin", f"Entry 0 names a key that is none: {error}.", seq=0) from error
        if key.name != origin or text != format_verifier_key(key):
            raise damaged("origin", "Entry 0 names a key of another origin.", seq=0)
        if key not in self.trusted:
            raise damaged(
                "key",
                f"{origin} was begun under a key that is not among those given: {text}",
                seq=0,
                advice="Either this is another ledger, or somebody made it anew. Ask for the key where it "
                "was kept when the ledger was created, not where the ledger came from.",
            )
        self.origin = origin
        self.keys.append(key)

    # --- checkpoints (3) --------------------------------------------------------------------------

    def _take_checkpoint(self, entry: Entry, stored_size: object, note: object) -> None:
        size = _number(stored_size)
        if size != self.tree.size or size != self.commit.end:
            raise damaged(
                "checkpoint_foreign",
                f"There is a checkpoint of size {size}, where no commit ends.",
                seq=max(size - 1, 0),
            )
        try:
            if not isinstance(note, str):
                raise NoteError("it is not text")
            parsed = parse_note(note)
            checkpoint = parse_checkpoint(parsed.text)
            if checkpoint.size != size or checkpoint.origin != self.origin:
                raise NoteError("it says another size or origin")
        except NoteError as error:
            raise damaged(
                "checkpoint_form", f"The checkpoint of size {size} is malformed: {error}.", seq=size - 1
            ) from error
        try:
            parsed.verify(self.keys[-1:])
        except NoteError as error:
            message = f"The checkpoint of size {size} is not signed by the key in force: {error}."
            raise damaged("checkpoint_signature", message, seq=size - 1) from error
        if checkpoint.root != self.tree.root():
            raise self._changed()
        self.commit.suspect = None
        if self.commit.pending is not None:
            raise self.commit.pending
        self.checkpoints += 1
        self.checkpoint_end = size
        if entry.type == KEY_ROTATED:
            self._take_new_key(entry)

    def _changed(self) -> VerificationError:
        commit = self.commit
        if commit.suspect is not None:
            seq, what = commit.suspect, f"Entry {commit.suspect} is not what was signed"
        elif commit.end - commit.start == 1:
            seq, what = commit.start, f"Entry {commit.start} is not what was signed"
        else:
            seq = commit.start
            what = f"Entries {commit.start} to {commit.end - 1}, of one commit, are not what was signed"
        return damaged("entry_changed", f"{what}; everything before it is.", seq=seq, advice=KEEP_AND_VERIFY)

    def _no_checkpoint(self) -> VerificationError:
        if self.commit.suspect is not None:
            return self._changed()
        start, end = self.commit.start, self.commit.end
        return damaged(
            "checkpoint_missing", f"The commit of entries {start} to {end - 1} has no checkpoint.", seq=start
        )

    def _take_new_key(self, entry: Entry) -> None:
        text = entry.body.get("verifier_key")
        try:
            key = parse_verifier_key(text if isinstance(text, str) else "")
        except NoteError as error:
            raise damaged("key", f"The key change in entry {entry.seq}: {error}.", seq=entry.seq) from error
        if key.name != self.origin or entry.body.get("epoch") != len(self.keys):
            message = f"The key change in entry {entry.seq} is of another origin or epoch."
            raise damaged("key", message, seq=entry.seq)
        self.keys.append(key)

    # --- contents (4) -----------------------------------------------------------------------------

    def _load_purges(self) -> None:
        """Read what was purged before the entries it was purged from come by."""
        if has_object(self.connection, "index", "entry_by_type"):
            sql = "SELECT seq, raw FROM entry INDEXED BY entry_by_type WHERE type = ? ORDER BY seq"
            rows = self.connection.execute(sql, (PURGED,))
        else:
            # Damaged already, but what the damage hides is to be named: look at the texts themselves.
            sql = "SELECT seq, raw FROM entry NOT INDEXED WHERE instr(raw, ?) ORDER BY seq"
            rows = self.connection.execute(sql, (f'"type":"{PURGED}"',))
        for seq, raw in rows:
            try:
                entry = parse_envelope(str(raw)).entry
            except EnvelopeError:
                continue  # the walk will come to it and say so
            if entry.type != PURGED:
                continue
            try:
                self.purges[_number(seq)] = parse_selections(entry)
            except EnvelopeError as error:
                raise damaged("entry_form", f"Entry {seq} is damaged: {error}.", seq=_number(seq)) from error

    def _expect_content_of(self, entry: Entry, row: tuple[object, ...]) -> None:
        seq, name = row[:2]
        if seq != entry.seq or name not in entry.contents:
            self._suspend(
                damaged(
                    "content_foreign",
                    f"Content {name!r} is stored for entry {seq}, which does not commit to it.",
                    seq=_number(seq),
                )
            )

    def _take_contents(self, entry: Entry, held: dict[object, tuple[object, ...]]) -> None:
        for name, commitment in entry.contents.items():
            purge = self._purge_of(entry, name)
            row = held.get(name)
            if row is None:
                self.contents_purged += 1
                if purge is None:
                    self._suspend(
                        damaged(
                            "content_missing",
                            f"Content {name} of entry {entry.seq} is gone, and no purge explains it.",
                            seq=entry.seq,
                        )
                    )
                continue
            self.contents_held += 1
            if purge is not None:
                self._suspend(
                    damaged(
                        "content_unpurged",
                        f"Content {name} of entry {entry.seq} is there, though entry {purge} purged it.",
                        seq=entry.seq,
                    )
                )
            try:
                open_commitment(commitment.digest, commitment.size, *row)
            except ContentError as error:
                message = f"Content {name} of entry {entry.seq} was changed: {error}."
                self._suspend(damaged("content_changed", message, seq=entry.seq))

    def _purge_of(self, entry: Entry, name: str) -> int | None:
        for purge, selections in self.purges.items():
            if any(selection.covers(entry, name) for selection in selections):
                return purge
        return None

    # --- caches (5) and the end -------------------------------------------------------------------

    def _check_subtree(self, level: int, position: int, digest: bytes) -> None:
        row = self.connection.execute(
            "SELECT hash FROM subtree WHERE level = ? AND position = ?", (level, position)
        ).fetchone()
        self.subtrees += 1
        if row is None or row[0] != digest:
            first, last = position << level, ((position + 1) << level) - 1
            message = f"The hash stored over entries {first} to {last} is not theirs."
            self._suspend(damaged("subtree", message, seq=first))

    def _conclude(self, checkpoint: tuple[object, ...], content: tuple[object, ...]) -> LedgerReport:
        size = self.tree.size
        if self.previous is None or self.first is None:
            raise damaged("origin", "The ledger has no entries.", seq=0)
        if checkpoint[0] is not None:
            message = f"A checkpoint covers {checkpoint[0]} entries, but the ledger ends after {size}."
            raise damaged("truncated", message, seq=size)
        if self.checkpoint_end != size:
            message = f"The commit of entries {self.commit.start} to {self.commit.end - 1} is not whole."
            raise damaged("truncated" if self.commit.end > size else "checkpoint_missing", message, seq=size)
        if content[0] is not None:
            message = f"Content {content[1]!r} is stored for entry {content[0]}, which there is not."
            raise damaged("content_foreign", message, seq=_number(content[0]))
        (stored,) = self.connection.execute("SELECT count(*) FROM subtree").fetchone()
        if stored != self.subtrees:
            raise damaged(
                "subtree", f"{stored - self.subtrees} of the stored subtree hashes are of no entries."
            )
        verify_schema(self.connection)  # (1)
        (word,) = self.connection.execute("PRAGMA integrity_check(1)").fetchone()
        if word != "ok":
            raise damaged("file", f"The file is damaged: {word}.", advice=KEEP_AND_VERIFY)
        self._conclude_kept(size)
        return LedgerReport(
            origin=self.origin,
            keys=tuple(format_verifier_key(key) for key in self.keys),
            entries=size,
            checkpoints=self.checkpoints,
            first=self.first,
            last=self.previous.time,
            root=self.tree.root().hex(),
            contents_held=self.contents_held,
            contents_purged=self.contents_purged,
            clock_went_back=self.clock_went_back,
            since=None if self.kept is None else self.kept.checkpoint.size,
            not_checked=tuple(self._not_checked()),
        )

    def _conclude_kept(self, size: int) -> None:
        if self.kept is None:
            return
        self.kept.verify_signer(self.origin, [*self.trusted, *self.keys])
        if self.kept.checkpoint.size > size:
            raise damaged(
                "rollback",
                f"The ledger has {size} entries; a checkpoint of {self.kept.checkpoint.size} was kept.",
                advice="Entries were cut off, or an old copy was put back. Keep both, for evidence.",
                seq=size,
            )

    def _not_checked(self) -> Iterator[str]:
        if self.kept is None:
            yield "whether the newest entries were cut off: no checkpoint kept elsewhere was given (--since)"
        if self.contents_purged:
            yield f"what the purged contents ({self.contents_purged}) were: only their commitments are left"


def _selections(entry: Entry) -> list[Selection] | None:
    try:
        return parse_selections(entry)
    except EnvelopeError:
        return None


def _number(value: object) -> int:
    """Return what an INTEGER column of a STRICT table holds."""
    if not isinstance(value, int):
        raise damaged("file", f"A number in the file is none: {value!r}.")
    return value
