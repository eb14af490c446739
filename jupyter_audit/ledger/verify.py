"""
Verification: everything about a ledger file checked again, from the public key alone (P5, P7).

Trusts nothing that is stored: hashes are made anew from the entries, and caches are compared with them. Streams; what
is kept in memory does not grow with the ledger. Must never import the writer or a secret key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jupyter_audit.clock import format_time
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger.checkpoint import Checkpoint, parse_checkpoint
from jupyter_audit.ledger.content import ContentError, open_commitment
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import CREATED, KEY_ROTATED, PURGED, EnvelopeError, parse_entry, says_clock_back
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import NoteError, VerifierKey, format_verifier_key, parse_note, parse_verifier_key
from jupyter_audit.ledger.schema import FORMAT_VERSION, verify_schema
from jupyter_audit.ledger.store import connect, explain
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.model import Entry

Progress = Callable[[int, int], None]

PAGE = 512


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What was verified. There is only a report of a ledger that is whole: anything else raises."""

    origin: str
    keys: tuple[str, ...]
    entries: int
    checkpoints: int
    first: datetime
    last: datetime
    root: str
    contents_held: int
    contents_purged: int
    clock_went_back: int
    since: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {
            "origin": self.origin,
            "keys": list(self.keys),
            "entries": self.entries,
            "checkpoints": self.checkpoints,
            "first": format_time(self.first),
            "last": format_time(self.last),
            "root": self.root,
            "contents_held": self.contents_held,
            "contents_purged": self.contents_purged,
            "clock_went_back": self.clock_went_back,
            "since": self.since,
        }

    def text(self) -> str:
        """Return the report for a person to read, and to file."""
        lines = [
            f"Ledger        {self.origin}",
            f"Entries       {self.entries}, from {format_time(self.first)} to {format_time(self.last)}",
            f"Root hash     {self.root}",
            f"Checkpoints   {self.checkpoints}, every one signed by the key in force",
            *(f"Key           {key}" for key in self.keys),
            f"Contents      {self.contents_held} held, each as committed to; {self.contents_purged} purged, each by an entry",
        ]
        if self.clock_went_back:
            lines.append(f"Clock         went back {self.clock_went_back} times; the entries say where")
        if self.since is None:
            lines.append("Not checked   whether entries were cut off at the end: no checkpoint was given with --since")
        else:
            lines.append(f"Since         it extends the checkpoint of {self.since} entries that was remembered")
        lines.append("Verdict       WHOLE: no entry was changed, removed, inserted or reordered.")
        return "\n".join(lines)


@dataclass(slots=True)
class _Walk:
    """Where the walk through the entries stands."""

    keys: list[VerifierKey]
    trusted: Sequence[VerifierKey]
    origin: str = ""
    tree: CompactRange = field(default_factory=CompactRange)
    previous: Entry | None = None
    first: datetime | None = None
    clock_went_back: int = 0
    signed: int = 0
    purged: set[tuple[int, str]] = field(default_factory=set)
    held: int = 0
    missing: list[tuple[int, str]] = field(default_factory=list)


def verify_ledger(
    path: Path, *, verifier_keys: Sequence[str], progress: Progress | None = None, since: str | None = None
) -> LedgerReport:
    """
    Check the whole ledger at `path`, and return what was found in it.

    `verifier_keys` are the keys that the caller trusts; the ledger must begin under one of them. `since` is a
    checkpoint that was kept elsewhere; the ledger must extend it. `progress` is told entries done and in all.
    Raises `VerificationError`, which names the damage and the first entry that shows it; `LedgerError` if
    there is nothing to read; `UsageError` for a key that is none.
    """
    # To believe a ledger, all of this must hold:
    #
    # 1. the file is a sound database, with exactly the schema of the format;
    # 2. entry 0 names the origin, and a key that the caller trusts;
    # 3. entries are numbered 0, 1, 2, …, each in its only spelling, and none is earlier than the one before it
    #    without saying so;
    # 4. every checkpoint is signed by the key in force at its size, and its root is that of the entries it covers;
    # 5. the last checkpoint covers the last entry, and every commit has one;
    # 6. the stored subtree hashes are those of the entries;
    # 7. content is what its entry commits to, and where it is missing an entry says that it was purged;
    # 8. the ledger extends the checkpoint that the caller remembered, if one was given.
    #
    # That nothing was left unrecorded in the first place no check of the ledger can prove (docs/threat-model.md).
    trusted = [_parse_key(text) for text in verifier_keys]
    remembered = _parse_remembered(since, trusted) if since is not None else None
    connection = connect(path, writable=False)
    try:
        connection.execute("BEGIN")  # one snapshot: a server may be appending meanwhile
        return _verify(connection, trusted, remembered, progress)
    except sqlite3.Error as error:
        raise explain(error, "verify the ledger") from error
    finally:
        connection.close()


def _verify(
    connection: sqlite3.Connection, trusted: Sequence[VerifierKey], remembered: Checkpoint | None, progress: Progress | None
) -> LedgerReport:
    _verify_file(connection)  # (1)
    checkpoints = _checkpoints(connection)
    upcoming = next(checkpoints, None)
    seen = 0
    walk = _Walk(keys=[], trusted=trusted)
    subtrees = _Subtrees(connection)
    (total,) = connection.execute("SELECT count(*) FROM entry").fetchone()
    fork_checked = remembered is None
    for seq, raw, stored_leaf in _rows(connection):
        entry = _verify_entry(walk, seq, raw)  # (2), (3)
        leaf = leaf_hash(entry.raw.encode())
        if leaf != stored_leaf:  # only a cache, but it tells which entry of a commit it was
            raise damaged("entry_changed", f"Entry {seq} was changed: it does not hash to what was stored with it.", seq=seq)
        complete = walk.tree.append(leaf, levels=STEP)
        for level, position, digest in complete:
            subtrees.verify(level, position, digest)  # (6)
        _verify_contents(connection, walk, entry)  # (7)
        if upcoming is not None and upcoming[0] == walk.tree.size:
            _verify_checkpoint(walk, *upcoming)  # (4)
            seen += 1
            walk.signed = walk.tree.size
            upcoming = next(checkpoints, None)
            _take_new_key(walk, entry)
        elif entry.type == KEY_ROTATED:
            raise damaged("checkpoint_missing", f"The key change in entry {seq} does not end its commit.", seq=seq)
        if remembered is not None and remembered.size == walk.tree.size:
            if remembered.root != walk.tree.root():
                raise damaged(
                    "fork", f"The first {remembered.size} entries are not those of the remembered checkpoint.",
                    advice="Keep both, for evidence: somebody replaced the ledger, or signed two.",
                )
            fork_checked = True
        if progress is not None and (seq % PAGE == 0 or seq + 1 == total):
            progress(seq + 1, total)
    return _conclude(connection, walk, upcoming, seen, subtrees, remembered, fork_checked)


def _conclude(
    connection: sqlite3.Connection,
    walk: _Walk,
    upcoming: tuple[int, object] | None,
    seen: int,
    subtrees: _Subtrees,
    remembered: Checkpoint | None,
    fork_checked: bool,
) -> LedgerReport:
    if walk.previous is None or walk.first is None:
        raise damaged("origin", "The ledger has no entries.", seq=0)
    size = walk.tree.size
    if upcoming is not None:  # (5)
        raise damaged("truncated", f"A checkpoint covers {upcoming[0]} entries, but the ledger ends after {size}.", seq=size)
    (last,) = connection.execute("SELECT max(size) FROM checkpoint").fetchone()
    if last != size:
        raise damaged("checkpoint_missing", f"The entries from {last or 0} on are not covered by any checkpoint.", seq=last or 0)
    subtrees.verify_none_left(size)
    _verify_no_foreign_content(connection)
    for seq, name in walk.missing:
        if (seq, name) not in walk.purged:
            raise damaged("content_missing", f"Content {name} of entry {seq} is gone, and no purge explains it.", seq=seq)
    if remembered is not None and (remembered.size > size or not fork_checked):  # (8)
        raise damaged(
            "rollback", f"The ledger has {size} entries, and a checkpoint of {remembered.size} was remembered.",
            advice="Entries were cut off, or an old copy was put back. Keep both, for evidence.",
        )
    return LedgerReport(
        origin=walk.origin,
        keys=tuple(format_verifier_key(key) for key in walk.keys),
        entries=size,
        checkpoints=seen,
        first=walk.first,
        last=walk.previous.time,
        root=walk.tree.root().hex(),
        contents_held=walk.held,
        contents_purged=len(walk.missing),
        clock_went_back=walk.clock_went_back,
        since=remembered.size if remembered is not None else None,
    )


def _parse_key(text: str) -> VerifierKey:
    try:
        return parse_verifier_key(text.strip())
    except NoteError as error:
        raise UsageError(
            f"That is not a verifier key: {error}.",
            advice="`jupyter audit init` printed it; it is in keys/ledger.vkey of the audit home.",
        ) from error


def _parse_remembered(since: str, trusted: Sequence[VerifierKey]) -> Checkpoint:
    try:
        note = parse_note(since)
        # A key change since then is no reason to reject it: it counts for what it says, signed by a key we trust.
        note.verify(trusted)
        return parse_checkpoint(note.text)
    except NoteError as error:
        raise damaged("remembered", f"The remembered checkpoint cannot be used: {error}.") from error


def _verify_file(connection: sqlite3.Connection) -> None:
    verify_schema(connection)
    (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if word != "ok":
        raise damaged("file", f"The file is damaged: {word}.", advice="Keep it as it is, for evidence, and restore a backup.")


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[int, object, object]]:
    """Yield the entries in order, straight from the table."""
    return iter(connection.execute("SELECT seq, raw, leaf FROM entry NOT INDEXED ORDER BY seq"))


def _checkpoints(connection: sqlite3.Connection) -> Iterator[tuple[int, object]]:
    return iter(connection.execute("SELECT size, note FROM checkpoint ORDER BY size"))


def _verify_entry(walk: _Walk, seq: int, raw: object) -> Entry:
    expected = walk.tree.size
    if seq != expected:
        raise damaged("sequence", f"Entry {expected} is missing: the next one is numbered {seq}.", seq=expected)
    try:
        if not isinstance(raw, str):
            raise EnvelopeError("it is not text")
        entry = parse_entry(raw)
    except (EnvelopeError, UnicodeError, RecursionError) as error:
        raise damaged("entry_form", f"Entry {seq} is damaged: {error}.", seq=seq) from error
    if entry.seq != seq:
        raise damaged("sequence", f"Entry {seq} says that it is entry {entry.seq}.", seq=seq)
    if seq == 0:
        _verify_origin(walk, entry)
    elif entry.type == CREATED:
        raise damaged("origin", f"Entry {seq} is a second {CREATED}.", seq=seq)
    previous = walk.previous
    went_back = previous is not None and entry.time < previous.time
    if went_back != says_clock_back(entry):
        said = "and does not say so" if went_back else "but says it is"
        raise damaged("time", f"Entry {seq} is {'' if went_back else 'not '}earlier than the one before it {said}.", seq=seq)
    walk.clock_went_back += went_back
    walk.first = walk.first or entry.time
    walk.previous = entry
    if entry.type == PURGED:
        _note_purge(walk, entry)
    return entry


def _verify_origin(walk: _Walk, entry: Entry) -> None:
    body = entry.body
    origin, key_text = body.get("origin"), body.get("verifier_key")
    if entry.type != CREATED or body.get("format") != FORMAT_VERSION or not isinstance(origin, str) or not isinstance(key_text, str):
        raise damaged("origin", f"Entry 0 is not a {CREATED} of format {FORMAT_VERSION}.", seq=0)
    try:
        key = parse_verifier_key(key_text)
    except NoteError as error:
        raise damaged("origin", f"Entry 0 names a key that is none: {error}.", seq=0) from error
    if key.name != origin:
        raise damaged("origin", "Entry 0 names a key of another origin.", seq=0)
    if key not in walk.trusted:
        raise damaged(
            "key", f"The ledger {origin} was begun under another key than the one given.", seq=0,
            advice="Either it is another ledger, or somebody made it anew. Compare the key with the one kept elsewhere.",
        )
    walk.origin = origin
    walk.keys.append(key)


def _take_new_key(walk: _Walk, entry: Entry) -> None:
    if entry.type != KEY_ROTATED:
        return
    text = entry.body.get("verifier_key")
    try:
        key = parse_verifier_key(text if isinstance(text, str) else "")
    except NoteError as error:
        raise damaged("key", f"The key change in entry {entry.seq} names no key: {error}.", seq=entry.seq) from error
    if key.name != walk.origin or entry.body.get("epoch") != len(walk.keys):
        raise damaged("key", f"The key change in entry {entry.seq} is of another origin or epoch.", seq=entry.seq)
    walk.keys.append(key)


def _verify_checkpoint(walk: _Walk, size: int, note: object) -> None:
    try:
        if not isinstance(note, str):
            raise NoteError("it is not text")
        parsed = parse_note(note)
        checkpoint = parse_checkpoint(parsed.text)
    except NoteError as error:
        raise damaged("checkpoint_form", f"The checkpoint of size {size} is malformed: {error}.", seq=size - 1) from error
    if checkpoint.size != size or checkpoint.origin != walk.origin:
        raise damaged("checkpoint_form", f"The checkpoint of size {size} says another size or origin.", seq=size - 1)
    try:
        parsed.verify(walk.keys[-1:])
    except NoteError as error:
        raise damaged(
            "checkpoint_signature", f"The checkpoint of size {size} is not signed by the key in force: {error}.", seq=size - 1
        ) from error
    if checkpoint.root != walk.tree.root():
        raise damaged(
            "entry_changed",
            f"The entries from {walk.signed} to {size - 1} are not those that were signed; everything before them is.",
            seq=walk.signed,
        )


def _verify_contents(connection: sqlite3.Connection, walk: _Walk, entry: Entry) -> None:
    for name, commitment in entry.contents.items():
        row = connection.execute(
            "SELECT salt, encoding, data FROM content WHERE seq = ? AND name = ?", (entry.seq, name)
        ).fetchone()
        if row is None:
            walk.missing.append((entry.seq, name))
            continue
        try:
            open_commitment(commitment.digest, commitment.size, *row)
        except ContentError as error:
            raise damaged("content_changed", f"Content {name} of entry {entry.seq} was changed: {error}.", seq=entry.seq) from error
        walk.held += 1


def _note_purge(walk: _Walk, entry: Entry) -> None:
    listed = entry.body.get("contents")
    for item in listed if isinstance(listed, (list, tuple)) else ():
        if isinstance(item, dict) and isinstance(item.get("seq"), int) and isinstance(item.get("name"), str):
            key = (item["seq"], item["name"])
            if key[0] >= entry.seq:
                raise damaged("content_unpurged", f"Entry {entry.seq} purges what came after it.", seq=entry.seq)
            walk.purged.add(key)
            if key not in walk.missing:
                raise damaged("content_unpurged", f"Entry {entry.seq} says that content {key[1]} of entry {key[0]} was purged, "
                              "but it is there.", seq=key[0])


def _verify_no_foreign_content(connection: sqlite3.Connection) -> None:
    row = connection.execute(
        "SELECT c.seq, c.name FROM content c LEFT JOIN entry e ON e.seq = c.seq "
        "WHERE e.seq IS NULL OR json_type(e.raw, '$.contents.' || c.name) IS NULL LIMIT 1"
    ).fetchone()
    if row is not None:
        raise damaged("content_foreign", f"Content {row[1]!r} is stored for entry {row[0]}, which commits to none of that name.", seq=row[0])


class _Subtrees:
    """Compares the stored subtree hashes with those of the walk."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._verified = 0

    def verify(self, level: int, position: int, digest: bytes) -> None:
        row = self._connection.execute(
            "SELECT hash FROM subtree WHERE level = ? AND position = ?", (level, position)
        ).fetchone()
        if row is None or row[0] != digest:
            first = position << level
            raise damaged("subtree", f"The stored hash over entries {first} to {first + (1 << level) - 1} is not theirs.", seq=first)
        self._verified += 1

    def verify_none_left(self, size: int) -> None:
        (stored,) = self._connection.execute("SELECT count(*) FROM subtree").fetchone()
        if stored != self._verified:
            raise damaged("subtree", f"{stored - self._verified} stored hashes belong to no entries of the {size} there are.")
