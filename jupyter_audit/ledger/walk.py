"""
The walk of a verification: entry by entry, each judged with all that stands before it.

Pure: what is stored is handed to it. So a stretch of the ledger can be walked from wherever a commit ended, by
whoever knows where the walk stood there. The numbers in brackets are those of the steps in `verify`. Streams; what
is kept in memory does not grow with the ledger. Must never import the writer or a secret key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.ledger.checkpoint import Checkpoint, is_origin, parse_checkpoint
from jupyter_audit.ledger.content import ContentError, FalseSealError, UnopenedError, check_commitment
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import (
    CREATED,
    KEY_ROTATED,
    MOST_CONTENTS,
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
    parse_named_key,
    parse_note,
    parse_verifier_key,
)
from jupyter_audit.ledger.places import BLOCK, Label, PlaceRow, label_of, places_of
from jupyter_audit.ledger.purge import Purges, Selection, parse_selections
from jupyter_audit.ledger.schema import FORMAT_VERSION
from jupyter_audit.ledger.store import KEEP_AND_VERIFY
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.model import Entry

Row = tuple[Any, ...]

NO_ROW: Row = ()
PROGRESS_EVERY = 512


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a walk stands between two commits: all that decides how it goes on, beside the rows to come."""

    origin: str = ""
    keys: tuple[VerifierKey, ...] = ()
    size: int = 0
    peaks: tuple[bytes, ...] = ()
    time: datetime | None = None
    """That of the entry before."""
    labels: tuple[Label, ...] = ()
    """Of the entries before in a block that is not complete."""


@dataclass(slots=True)
class Counts:
    """What a walk came by."""

    first: datetime | None = None
    clock_went_back: int = 0
    checkpoints: int = 0
    subtrees: int = 0
    places: int = 0
    contents_held: int = 0
    contents_purged: int = 0
    contents_opened: int = 0
    sealed_for: Counter[str] = field(default_factory=Counter)
    """How many sealed contents were not opened, by whom they are sealed for."""
    forks: set[Checkpoint] = field(default_factory=set)
    """Kept checkpoints whose root is not that of the tree at their size."""

    def add(self, later: Counts) -> None:
        """Take in what a walk that went on from here came by."""
        self.first = self.first or later.first
        self.clock_went_back += later.clock_went_back
        self.checkpoints += later.checkpoints
        self.subtrees += later.subtrees
        self.places += later.places
        self.contents_held += later.contents_held
        self.contents_purged += later.contents_purged
        self.contents_opened += later.contents_opened
        self.sealed_for.update(later.sealed_for)
        self.forks |= later.forks


@dataclass(frozen=True, slots=True)
class Rows:
    """What is stored of a stretch of the ledger: the rows of two tables in their order, and the caches on demand."""

    entries: Iterable[Row]
    """seq, leaf, note, raw"""
    contents: Iterable[Row]
    """id, name, salt, encoding, data"""
    subtree: Callable[[int, int], object]
    """Level and position to the hash stored there; None if there is none."""
    has_places: Callable[[Sequence[PlaceRow]], bool]
    """Whether these rows of one block are stored."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a ledger is held to: the keys that are trusted, checkpoints that were kept, and the purges that explain gaps."""

    trusted: Sequence[VerifierKey]
    kept: Sequence[Kept]
    purges: Purges
    auditors: Sequence[AuditorSecret]
    """Secret keys: what is sealed to them is opened, and compared too."""


@dataclass(slots=True)
class _Commit:
    """The commit that the walk is in: its entries are only believed when its checkpoint is."""

    start: int
    end: int
    suspect: int | None = None
    """The first entry that does not hash to the leaf stored beside it."""
    pending: VerificationError | None = None
    """What is wrong with an entry if its commit turns out to be what was signed."""

    def take_pending(self) -> VerificationError:
        """Return what was pending, to be raised. It is kept no longer: raised, it holds the walk, and with it the file's lock."""
        assert self.pending is not None
        found, self.pending = self.pending, None
        return found


class Walk:
    """A walk through a ledger's entries in their order, from where `start` says."""

    def __init__(self, terms: Terms, start: Standing) -> None:
        self._terms = terms
        self._rows = Rows((), (), lambda level, position: None, lambda rows: False)
        self.origin = start.origin
        self.keys = list(start.keys)
        self.tree = CompactRange(start.size, start.peaks)
        self.time = start.time
        self.labels = list(start.labels)
        self.commit = _Commit(start.size, start.size)
        self.checkpoint_end = start.size
        self.counts = Counts()
        self.content = NO_ROW
        """After the walk: the first content of no entry, if there is such a one."""

    def standing(self) -> Standing:
        """Return where the walk stands; only to be asked where a commit has ended."""
        return Standing(self.origin, tuple(self.keys), self.tree.size, tuple(self.tree.peaks), self.time, tuple(self.labels))

    def believe(self, tree: CompactRange, time: datetime | None, labels: list[Label], counts: Counts) -> None:
        """Stand at the end of a commit that was found whole otherwise: the tree, time and labels then, and what came by."""
        self.tree, self.time, self.labels, self.checkpoint_end = tree, time, labels, tree.size
        self.commit = _Commit(tree.size, tree.size)
        self.counts.add(counts)

    def ended(self) -> bool:
        """Return whether a commit has just ended, and no row was left over."""
        at_end = self.commit.end == self.tree.size == self.checkpoint_end
        return at_end and self.content is NO_ROW

    def go(self, rows: Rows, progress: Callable[[int], None] | None = None) -> None:
        """
        Walk to the last of `rows`; raises `VerificationError` for the first entry that shows a damage.

        `progress` is told now and then how many entries are done.
        """
        self._rows = rows
        contents = iter(rows.contents)
        self.content = next(contents, NO_ROW)
        kept = self._terms.kept
        for seq, leaf, note, raw in rows.entries:
            entry = self._take_entry(seq, raw, leaf)  # (2)
            held: dict[object, Row] = {}
            numbered = dict(enumerate(sorted(entry.contents), entry.seq * MOST_CONTENTS))
            while self.content is not NO_ROW and owner_of(self.content) <= entry.seq:
                self._expect_content_of(numbered, self.content)
                held[self.content[1]] = self.content[2:]
                self.content = next(contents, NO_ROW)
            if entry.contents:
                self._take_contents(entry, held)  # (4)
            if note is not None:
                self._take_checkpoint(entry, note)  # (3)
            if self.commit.end == self.tree.size and self.checkpoint_end != self.tree.size:
                raise self._no_checkpoint()
            for other in kept:  # (6)
                if not other.agrees(self.tree):
                    self.counts.forks.add(other.checkpoint)
            if progress is not None and self.tree.size % PROGRESS_EVERY == 0:
                progress(self.tree.size)

    def blame(self, error: VerificationError) -> VerificationError:
        """Return what is to be named for `error`, which the walk or the end of it came upon."""
        suspect = self.commit.suspect
        if suspect is None or error.seq == suspect:
            return error
        return self._changed()  # it follows from an entry before it that is not what was signed

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
        self.labels.append(label_of(entry))
        if len(self.labels) == BLOCK:
            self._check_places(number >> STEP)
        self.time = entry.time
        if self.counts.first is None:
            self.counts.first = entry.time
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
        entry = envelope.entry
        went_back = self.time is not None and entry.time < self.time
        if went_back != envelope.clock_back:
            said = (
                "is earlier than the one before it and does not say so"
                if went_back
                else "says that it is earlier than the one before it, and is not"
            )
            self._suspend(damaged("time", f"Entry {entry.seq} {said}.", seq=entry.seq))
        self.counts.clock_went_back += went_back

    def _check_kind(self, entry: Entry) -> None:
        """Check the kinds of entries that say something about the ledger itself."""
        seq = entry.seq
        if seq == 0:
            self._take_origin(entry)
        elif entry.type == CREATED:
            self._suspend(damaged("origin", f"Entry {seq} is a second {CREATED}.", seq=seq))
        elif entry.type == KEY_ROTATED and seq + 1 != self.commit.end:
            self._suspend(damaged("key", f"The key change in entry {seq} does not end its commit.", seq=seq))
        elif entry.type == PURGED and self._terms.purges.of(seq) != _selections(entry):
            self._suspend(damaged("place", f"The places of its type do not name entry {seq}.", seq=seq))

    def _take_origin(self, entry: Entry) -> None:
        body = entry.body
        origin, text = body.get("origin"), body.get("verifier_key")
        if entry.type != CREATED or not isinstance(origin, str) or not isinstance(text, str):
            raise damaged("origin", f"Entry 0 is not a {CREATED} that names origin and key.", seq=0)
        if not _is_number(body.get("format"), FORMAT_VERSION) or not _is_number(body.get("epoch"), 0):
            raise damaged("origin", f"Entry 0 is not of format {FORMAT_VERSION} and epoch 0.", seq=0)
        if not is_origin(origin):
            raise damaged("origin", f"Entry 0 names an origin that is none: {origin!r}.", seq=0)
        try:
            key = parse_verifier_key(text)
        except NoteError as error:
            raise damaged("origin", f"Entry 0 names a key that is none: {error}.", seq=0) from error
        if key.name != origin or text != format_verifier_key(key):
            raise damaged("origin", "Entry 0 names a key of another origin.", seq=0)
        if key not in self._terms.trusted:
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

    def _take_checkpoint(self, entry: Entry, note: object) -> None:
        size = self.tree.size
        if size != self.commit.end:
            raise damaged(
                "checkpoint_foreign", f"There is a checkpoint of size {size}, where no commit ends.", seq=entry.seq
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
            raise self.commit.take_pending()
        self.counts.checkpoints += 1
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
        what = f"entry {start}" if end - start == 1 else f"entries {start} to {end - 1}"
        return damaged("checkpoint_missing", f"The commit of {what} has no checkpoint.", seq=start)

    def _take_new_key(self, entry: Entry) -> None:
        try:
            key = parse_named_key(entry.body.get("verifier_key"))
        except NoteError as error:
            raise damaged("key", f"The key change in entry {entry.seq}: {error}.", seq=entry.seq) from error
        if key.name != self.origin or not _is_number(entry.body.get("epoch"), len(self.keys)):
            message = f"The key change in entry {entry.seq} is of another origin or epoch."
            raise damaged("key", message, seq=entry.seq)
        self.keys.append(key)

    # --- contents (4) -----------------------------------------------------------------------------

    def _expect_content_of(self, numbered: dict[int, str], row: Row) -> None:
        number, name = row[:2]
        if numbered.get(number) != name:
            seq = owner_of(row)
            message = f"Content {name!r} is stored for entry {seq} under number {number}; the entry commits to no such content."
            self._suspend(damaged("content_foreign", message, seq=seq))

    def _take_contents(self, entry: Entry, held: dict[object, Row]) -> None:
        for name, commitment in entry.contents.items():
            purge = self._terms.purges.first_to_cover(entry, name)
            row = held.get(name)
            if row is None:
                self.counts.contents_purged += 1
                if purge is None:
                    self._suspend(
                        damaged(
                            "content_missing",
                            f"Content {name} of entry {entry.seq} is gone, and no purge explains it.",
                            seq=entry.seq,
                        )
                    )
                continue
            self.counts.contents_held += 1
            if purge is not None:
                self._suspend(
                    damaged(
                        "content_unpurged",
                        f"Content {name} of entry {entry.seq} is there, though entry {purge} purged it.",
                        seq=entry.seq,
                    )
                )
            try:
                check_commitment(commitment, *row, auditors=self._terms.auditors)
                self.counts.contents_opened += commitment.sealed is not None
            except UnopenedError as error:
                self.counts.sealed_for[", ".join(error.recipients)] += 1
            except FalseSealError as error:
                message = f"Content {name} of entry {entry.seq} was recorded wrong: {error}."
                self._suspend(damaged("content_false", message, seq=entry.seq))
            except ContentError as error:
                message = f"Content {name} of entry {entry.seq} was changed: {error}."
                self._suspend(damaged("content_changed", message, seq=entry.seq))

    # --- caches (5) -------------------------------------------------------------------

    def _check_subtree(self, level: int, position: int, digest: bytes) -> None:
        self.counts.subtrees += 1
        if self._rows.subtree(level, position) != digest:
            first, last = position << level, ((position + 1) << level) - 1
            message = f"The hash stored over entries {first} to {last} is not theirs."
            self._suspend(damaged("subtree", message, seq=first))

    def _check_places(self, block: int) -> None:
        rows = places_of(block, self.labels)
        self.labels = []
        self.counts.places += len(rows)
        if not self._rows.has_places(rows):
            first = block << STEP
            message = f"What is stored of the places of types, sessions and grants from entry {first} on is not so."
            self._suspend(damaged("place", message, seq=first))


def _selections(entry: Entry) -> list[Selection] | None:
    try:
        return parse_selections(entry)
    except EnvelopeError:
        return None


def _is_number(value: object, number: int) -> bool:
    return type(value) is int and value == number  # to Python, true is 1


def owner_of(content: Row) -> int:
    """Return the number of the entry for which a content is stored."""
    return number_of(content[0]) // MOST_CONTENTS


def number_of(value: object) -> int:
    """Return what an INTEGER column of a STRICT table holds."""
    if not isinstance(value, int):
        raise damaged("file", f"A number in the file is none: {value!r}.")
    return value
