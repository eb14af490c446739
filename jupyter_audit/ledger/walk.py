"""
The walk of a verification: from the first entry to the last, each judged with all that stands before it.

The numbers in brackets are those of the steps in `verify`. Streams; what is kept in memory does not grow with the
ledger. Must never import the writer or a secret key.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.checkpoint import parse_checkpoint
from jupyter_audit.ledger.content import ContentError, FalseSealError, UnopenedError, open_commitment
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import (
    CREATED,
    KEY_ROTATED,
    PURGED,
    Envelope,
    EnvelopeError,
    parse_envelope,
)
from jupyter_audit.ledger.kept import Kept
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import (
    NoteError,
    VerifierKey,
    format_verifier_key,
    parse_note,
    parse_verifier_key,
)
from jupyter_audit.ledger.purge import Selection, parse_selections
from jupyter_audit.ledger.schema import FORMAT_VERSION, has_object
from jupyter_audit.ledger.store import KEEP_AND_VERIFY
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.model import Entry

Progress = Callable[[int, int], None]

NO_ROW: tuple[object, ...] = (None, None, None, None, None)
_PROGRESS_EVERY = 512


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
class Walk:
    """One walk through a ledger, from its first entry to its last."""

    connection: sqlite3.Connection
    trusted: Sequence[VerifierKey]
    kept: Kept | None
    progress: Progress | None
    auditors: Sequence[AuditorSecret] = ()
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
    contents_opened: int = 0
    sealed_for: Counter[str] = field(default_factory=Counter)
    """How many sealed contents were not opened, by whom they are sealed for."""
    purges: dict[int, list[Selection]] = field(default_factory=dict)
    checkpoint: tuple[object, ...] = NO_ROW
    """The next checkpoint that is stored; after the walk one that no commit ends in, if there is such a one."""
    content: tuple[object, ...] = NO_ROW
    """The next content that is stored; after the walk one of no entry, if there is such a one."""

    def run(self) -> None:
        """Walk to the last entry; raises `VerificationError` for the first that shows a damage."""
        self._load_purges()
        (total,) = self.connection.execute("SELECT count(*) FROM entry").fetchone()
        checkpoints = self._rows("SELECT size, note FROM checkpoint ORDER BY size")
        contents = self._rows("SELECT seq, name, salt, encoding, data FROM content ORDER BY seq, name")
        self.checkpoint = next(checkpoints, NO_ROW)
        self.content = next(contents, NO_ROW)
        for seq, raw, leaf in self._rows("SELECT seq, raw, leaf FROM entry NOT INDEXED ORDER BY seq"):
            entry = self._take_entry(seq, raw, leaf)  # (2)
            held: dict[object, tuple[object, ...]] = {}
            while self.content[0] is not None and number_of(self.content[0]) <= entry.seq:
                self._expect_content_of(entry, self.content)
                held[self.content[1]] = self.content[2:]
                self.content = next(contents, NO_ROW)
            self._take_contents(entry, held)  # (4)
            while self.checkpoint[0] is not None and number_of(self.checkpoint[0]) <= self.tree.size:
                self._take_checkpoint(entry, *self.checkpoint[:2])  # (3)
                self.checkpoint = next(checkpoints, NO_ROW)
            if self.commit.end == self.tree.size and self.checkpoint_end != self.tree.size:
                raise self._no_checkpoint()
            if self.kept is not None:
                self.kept.compare(self.tree)  # (6)
            if self.progress is not None and (entry.seq % _PROGRESS_EVERY == 0 or entry.seq + 1 == total):
                self.progress(entry.seq + 1, total)

    def blame(self, error: VerificationError) -> VerificationError:
        """Return what is to be named for `error`, which the walk or the end of it came upon."""
        suspect = self.commit.suspect
        if suspect is None or error.seq == suspect:
            return error
        return self._changed()  # it follows from an entry before it that is not what was signed

    def _rows(self, sql: str) -> Iterator[tuple[object, ...]]:
        return iter(self.connection.execute(sql))

    # --- entries (2) ------------------------------------------------------------------------------

    def _take_entry(self, seq: object, raw: object, stored_leaf: object) -> Entry:
        expected = self.tree.size
        number = number_of(seq)
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
        size = number_of(stored_size)
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
                self.purges[number_of(seq)] = parse_selections(entry)
            except EnvelopeError as error:
                raise damaged("entry_form", f"Entry {seq} is damaged: {error}.", seq=number_of(seq)) from error

    def _expect_content_of(self, entry: Entry, row: tuple[object, ...]) -> None:
        seq, name = row[:2]
        if seq != entry.seq or name not in entry.contents:
            self._suspend(
                damaged(
                    "content_foreign",
                    f"Content {name!r} is stored for entry {seq}, which does not commit to it.",
                    seq=number_of(seq),
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
                open_commitment(commitment, *row, auditors=self.auditors)
                self.contents_opened += commitment.sealed is not None
            except UnopenedError as error:
                self.sealed_for[", ".join(error.recipients)] += 1
            except FalseSealError as error:
                message = f"Content {name} of entry {entry.seq} was recorded wrong: {error}."
                self._suspend(damaged("content_false", message, seq=entry.seq))
            except ContentError as error:
                message = f"Content {name} of entry {entry.seq} was changed: {error}."
                self._suspend(damaged("content_changed", message, seq=entry.seq))

    def _purge_of(self, entry: Entry, name: str) -> int | None:
        for purge, selections in self.purges.items():
            if any(selection.covers(entry, name) for selection in selections):
                return purge
        return None

    # --- caches (5) -------------------------------------------------------------------

    def _check_subtree(self, level: int, position: int, digest: bytes) -> None:
        row = self.connection.execute(
            "SELECT hash FROM subtree WHERE level = ? AND position = ?", (level, position)
        ).fetchone()
        self.subtrees += 1
        if row is None or row[0] != digest:
            first, last = position << level, ((position + 1) << level) - 1
            message = f"The hash stored over entries {first} to {last} is not theirs."
            self._suspend(damaged("subtree", message, seq=first))


def _selections(entry: Entry) -> list[Selection] | None:
    try:
        return parse_selections(entry)
    except EnvelopeError:
        return None


def number_of(value: object) -> int:
    """Return what an INTEGER column of a STRICT table holds."""
    if not isinstance(value, int):
        raise damaged("file", f"A number in the file is none: {value!r}.")
    return value
