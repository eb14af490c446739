"""
Writing: create a ledger, open one with suspicion, append entries and sign the checkpoint over them.

An append returns when its entries are durable and covered by a signature, or raises and has stored
nothing (P1). Any number of processes may append: each takes SQLite's write lock, checks what others
appended since its last look, and goes on from there. Opening never creates anything.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import KeyFileError, LedgerError, RollbackError, UsageError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from jupyter_audit.ledger.content import SALT_SIZE, commit, pack
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import (
    CREATED,
    KEY_ROTATED,
    OWN_TYPES,
    EnvelopeError,
    check_draft,
    format_entry,
)
from jupyter_audit.ledger.keys import Signer, create_key_files
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import (
    NoteError,
    VerifierKey,
    format_verifier_key,
    parse_note,
    parse_verifier_key,
)
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.remembered import load_remembered, remember
from jupyter_audit.ledger.rotation import load_key_in_force, prepare_successor, rewrite, settle, sync_folder
from jupyter_audit.ledger.schema import FORMAT_VERSION, create_schema, verify_schema
from jupyter_audit.ledger.store import KEEP_AND_VERIFY, connect, explain
from jupyter_audit.ledger.tree import STEP, StoredTree, read_leaves
from jupyter_audit.model import Actor, Commitment, Draft, Entry, Json

_log = logging.getLogger(__name__)

_APPENDING = "append to the ledger"
_REMEMBER_EVERY_S = 1.0
_CATCH_UP_PAGE = 256

_INSERT_ENTRY = "INSERT INTO entry (seq, raw, leaf) VALUES (?, ?, ?)"
_INSERT_CONTENT = "INSERT INTO content (seq, name, salt, encoding, data) VALUES (?, ?, ?, ?, ?)"
_INSERT_SUBTREE = "INSERT INTO subtree (level, position, hash) VALUES (?, ?, ?)"
_INSERT_CHECKPOINT = "INSERT INTO checkpoint (size, note) VALUES (?, ?)"
_NEWEST_CHECKPOINT = "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class _Packed:
    """A draft with its contents committed to and ready to be stored."""

    draft: Draft
    commitments: Mapping[str, Commitment]
    rows: Sequence[tuple[str, bytes, str, bytes]]  # name, salt, encoding, data


def _pack(draft: Draft, *, own: bool = False) -> _Packed:
    """Return `draft` ready to be stored. Only the ledger's `own` entries may say something of the ledger."""
    try:
        check_draft(draft)
        if draft.type in OWN_TYPES and not own:
            raise EnvelopeError("only the ledger itself writes entries of that type")
    except EnvelopeError as error:
        raise LedgerError(f"An entry of type {draft.type!r} cannot be recorded: {error}.") from error
    if not draft.contents:
        return _Packed(draft, {}, ())
    commitments, rows = {}, []
    for name in sorted(draft.contents):
        content = draft.contents[name]
        salt = os.urandom(SALT_SIZE)
        commitments[name] = Commitment(commit(content.data, salt), len(content.data), content.media_type)
        rows.append((name, salt, *pack(content.data)))
    return _Packed(draft, commitments, rows)


@dataclass(frozen=True, slots=True)
class _Head:
    """Where the ledger stood when this writer last saw it."""

    tree: CompactRange
    note: str
    time: str  # of the newest entry


def create_ledger(home: Home, *, clock: Clock, actor: Actor) -> None:
    """
    Make the home, a key, and a ledger whose first entry names its origin, its format and that key.

    Never overwrites, and leaves nothing half-made if it fails. Raises `LedgerError` if there is a ledger,
    a key or a remembered checkpoint already, `HomeError` if the home is unsafe.
    """
    home.create()
    for path, what in (
        (home.ledger, "ledger"),
        (home.signing_key, "signing key"),
        (home.verifier_key, "verifier key"),
        (home.remembered_checkpoint, "remembered checkpoint"),
    ):
        if os.path.lexists(path):
            raise LedgerError(
                f"There is a {what} already: {path}. Nothing was created.",
                advice="Use it as it is, or name another home with --home. If the ledger itself is gone, "
                "find out why; only after an `init` that was interrupted are the leftovers safe to remove.",
            )
    origin = f"jupyter-audit/{secrets.token_hex(8)}"
    signer = Signer.generate(origin)
    draft = Draft(
        CREATED,
        {
            "format": FORMAT_VERSION,
            "origin": origin,
            "epoch": 0,
            "verifier_key": format_verifier_key(signer.verifier),
        },
        actor=actor,
    )
    unfinished = home.path / f".ledger-{secrets.token_hex(8)}.db"
    made: list[Path] = []
    try:
        note = _create_file(unfinished, draft, signer, clock)
        create_key_files(signer, home.signing_key, home.verifier_key)
        made += [home.signing_key, home.verifier_key]
        remember(home.remembered_checkpoint, note)
        made.append(home.remembered_checkpoint)
        os.link(unfinished, home.ledger)  # unlike rename, refuses to overwrite
    except (OSError, sqlite3.Error) as error:
        for path in made:
            path.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LedgerError(
            f"The ledger could not be created in {home.path}: {reason}. Nothing was left behind.",
            advice="Check the folder's owner, mode and free space; then run `jupyter audit init` again.",
        ) from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    for folder in (home.path, home.path / "keys"):
        sync_folder(folder)


def _create_file(path: Path, first: Draft, signer: Signer, clock: Clock) -> str:
    """Make a ledger file with its first entry; return its checkpoint."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = connect(path, writable=True)
    try:
        connection.execute("BEGIN IMMEDIATE")
        create_schema(connection)
        _, head = _insert(connection, _Head(CompactRange(), "", ""), [_pack(first, own=True)], clock, signer)
        connection.execute("COMMIT")
    finally:
        connection.close()
    return head.note


def _insert(
    connection: sqlite3.Connection, head: _Head, packed: Sequence[_Packed], clock: Clock, signer: Signer
) -> tuple[list[Entry], _Head]:
    """Insert entries, contents, subtrees and the checkpoint over them, inside the caller's transaction."""
    tree = head.tree.copy()
    moment = clock.now()
    stamp = format_time(moment)
    # The clock is read under the write lock, so between entries it can only seem to go back if it was
    # set back. What it says is put down as it is, and that it went back is said beside it.
    clock_back = stamp < head.time
    entries: list[Entry] = []
    entry_rows: list[tuple[int, str, bytes]] = []
    content_rows: list[tuple[object, ...]] = []
    subtree_rows: list[tuple[int, int, bytes]] = []
    for item in packed:
        try:
            entry = format_entry(
                item.draft,
                item.commitments,
                seq=tree.size,
                moment=moment,
                time=stamp,
                clock_back=clock_back,
                commit=0 if entries else len(packed),
            )
        except EnvelopeError as error:
            raise LedgerError(f"An entry of type {item.draft.type!r} cannot be recorded: {error}.") from error
        clock_back = False
        content_rows.extend((entry.seq, *row) for row in item.rows)
        leaf = leaf_hash(entry.raw.encode())
        entry_rows.append((entry.seq, entry.raw, leaf))
        subtree_rows += tree.append(leaf, levels=STEP)
        entries.append(entry)
    note = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, tree.size, tree.root())))
    connection.executemany(_INSERT_ENTRY, entry_rows)
    if content_rows:
        connection.executemany(_INSERT_CONTENT, content_rows)
    if subtree_rows:
        connection.executemany(_INSERT_SUBTREE, subtree_rows)
    connection.execute(_INSERT_CHECKPOINT, (tree.size, note))
    return entries, _Head(tree, note, stamp)


def open_ledger(home: Home, *, clock: Clock) -> Ledger:
    """
    Open the ledger of `home` for appending, after looking at it with suspicion.

    The home's and key's modes, the schema, the newest entries against the newest checkpoint, and the
    remembered checkpoint are checked; the work does not grow with the ledger. Raises `HomeError`,
    `LedgerMissingError`, `KeyFileError`, `RollbackError`, `VerificationError` or `LedgerError`.
    """
    home.check()
    connection = connect(home.ledger, writable=True)
    try:
        # Before the snapshot: another process may append and remember while this one looks.
        remembered = load_remembered(home.remembered_checkpoint, home.ledger)
        connection.execute("BEGIN")  # one snapshot for everything that is looked at
        verify_schema(connection)
        reader = LedgerReader(connection, home.ledger)
        try:
            signer = load_key_in_force(home, _key_at(reader, reader.size() + 1))
        except KeyFileError:
            # Another process may be moving key files at this moment; not while the write lock is held here.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            signer = load_key_in_force(home, _key_at(reader, reader.size() + 1))
        head = _load_head(reader)
        _check_remembered(reader, head, remembered, home)
        connection.execute("COMMIT")
        ledger = Ledger(connection, home, clock, signer, head)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        raise explain(error, "open the ledger") from error
    except BaseException:
        connection.close()
        raise
    ledger.remember()
    return ledger


def _key_at(reader: LedgerReader, size: int) -> VerifierKey:
    """Return the key in force at `size`: a key change is signed by the key that it ends."""
    changes = list(reader.entries(types=[KEY_ROTATED], stop=size - 1, newest_first=True, limit=1))
    return _named_key(changes[0] if changes else reader.entry(0))


def _named_key(entry: Entry) -> VerifierKey:
    text = entry.body.get("verifier_key")
    try:
        return parse_verifier_key(text if isinstance(text, str) else "")
    except NoteError as error:
        raise damaged("key", f"Entry {entry.seq} names no key: {error}.", seq=entry.seq) from error


def _load_head(reader: LedgerReader) -> _Head:
    """Return the head, after the newest entries were hashed again and found under the newest signature."""
    connection = reader.connection
    row = connection.execute(_NEWEST_CHECKPOINT).fetchone()
    (newest,) = connection.execute("SELECT max(seq) FROM entry").fetchone()
    if row is None:
        raise damaged("checkpoint_missing", "The ledger has no checkpoint.")
    size, note = row
    if newest is None or newest + 1 != size:
        held = 0 if newest is None else newest + 1
        damage = "truncated" if held < size else "checkpoint_missing"
        raise damaged(
            damage,
            f"The newest checkpoint covers {size} entries, but the ledger has {held}.",
            seq=min(held, size),
        )
    stored = StoredTree(connection)
    tree = stored.compact_range(size)
    checkpoint = _read_checkpoint(note, _key_at(reader, size), reader.origin, size)
    if tree.root() != checkpoint.root:
        raise damaged("entry_changed", f"The newest checkpoint does not fit the {size} entries.")
    # The last complete subtree is taken from the cache above; look whether its entries are still those.
    complete = size >> STEP
    if complete and _tree_of(read_leaves(connection, (complete - 1) << STEP, complete << STEP)).root() != (
        stored.subtree(STEP, complete - 1)
    ):
        raise damaged("entry_changed", f"Entries before {complete << STEP} are not those that were signed.")
    return _Head(tree, note, format_time(reader.entry(size - 1).time))


def _tree_of(leaves: Sequence[bytes]) -> CompactRange:
    tree = CompactRange()
    for leaf in leaves:
        tree.append(leaf)
    return tree


def _read_checkpoint(note: object, key: VerifierKey, origin: str, size: int) -> Checkpoint:
    """Return the checkpoint in `note` if this key signed it for this ledger and size."""
    try:
        if not isinstance(note, str):
            raise NoteError("it is not text")
        parsed = parse_note(note)
        checkpoint = parse_checkpoint(parsed.text)
    except NoteError as error:
        raise damaged("checkpoint_form", f"The checkpoint of size {size} is malformed: {error}.") from error
    if checkpoint.origin != origin or checkpoint.size != size:
        raise damaged("checkpoint_form", f"The checkpoint of size {size} is of another ledger or size.")
    try:
        parsed.verify([key])
    except NoteError as error:
        raise damaged(
            "checkpoint_signature",
            f"The checkpoint of size {size} is not signed by this ledger's key: {error}.",
        ) from error
    return checkpoint


def _check_remembered(reader: LedgerReader, head: _Head, remembered: Checkpoint, home: Home) -> None:
    advice = (
        "Keep both files as they are, for evidence. Put back a ledger that is not older than what was "
        f"remembered in {home.remembered_checkpoint}, and find out who replaced it."
    )
    if remembered.origin != reader.origin:
        raise RollbackError(
            f"The remembered checkpoint is of {remembered.origin}, the ledger is {reader.origin}.",
            advice=advice,
        )
    if remembered.size > head.tree.size:
        raise RollbackError(
            f"The ledger was rolled back: it has {head.tree.size} entries of {remembered.size} remembered.",
            advice=advice,
        )
    try:
        root = reader.root(remembered.size)
    except VerificationError as error:
        message = f"The ledger does not hold what was remembered: {error}"
        raise RollbackError(message, advice=advice) from error
    if root != remembered.root:
        raise RollbackError(
            f"The ledger was replaced: its first {remembered.size} entries are not those remembered.",
            advice=advice,
        )


class Ledger(LedgerReader):
    """
    A ledger, opened for appending. For one thread at a time: the one that owns it.

    It may be opened in one thread and handed to another, which then owns it.
    """

    def __init__(
        self, connection: sqlite3.Connection, home: Home, clock: Clock, signer: Signer, head: _Head
    ) -> None:
        super().__init__(connection, home.ledger)
        self._home = home
        self._clock = clock
        self._signer = signer
        self._head = head
        self._key_in_force = signer.verifier
        self._unsettled = home.next_signing_key.exists()  # a rotation was cut off; the next append settles it
        self._deciding = False
        self._remembered_at = time.monotonic()
        self._files = self._identify_files()

    def append(self, drafts: Sequence[Draft]) -> list[Entry]:
        """
        Append all of `drafts` in one commit and return their entries, durable and signed.

        Raises `LedgerError` and has stored nothing otherwise; the ledger can be used again afterwards
        unless the message says that it must be reopened.
        """
        packed = [_pack(draft) for draft in drafts]
        return self._transact(lambda: packed)

    def transact(self, decide: Callable[[LedgerReader], Sequence[Draft]]) -> list[Entry]:
        """
        Append what `decide` returns, judged by the newest state with the write lock held.

        `decide` must be quick (other processes wait) and must not append. What it raises goes through, and
        nothing is stored. Errors as with `append`.
        """
        return self._transact(lambda: [_pack(draft) for draft in decide(self)])

    def append_own(self, act: Callable[[], Draft | None]) -> list[Entry]:
        """
        Append one of the ledger's entries about itself, in the transaction in which `act` does what it says.

        `act` is called with the write lock held and returns the draft; None takes everything back. Errors as with
        `append`, and then nothing of what `act` did is left.
        """

        def prepare() -> list[_Packed]:
            draft = act()
            return [] if draft is None else [_pack(draft, own=True)]

        return self._transact(prepare)

    def rotate_key(self, *, actor: Actor, reason: str) -> Entry:
        """
        Introduce a new key under the one in force, and destroy the old secret; return the entry that says so.

        Other processes that have the ledger open go on with the new key by themselves. Errors as with `append`;
        `KeyFileError` if key files cannot be written.
        """
        if not reason.strip():
            raise UsageError("A new key needs a reason: the ledger keeps it.")

        def introduce() -> Draft:
            epoch = 1 + sum(1 for _ in self.entries(types=[KEY_ROTATED]))
            successor = prepare_successor(self._home, self.origin)
            body: dict[str, Json] = {"epoch": epoch, "verifier_key": format_verifier_key(successor.verifier)}
            return Draft(KEY_ROTATED, body | {"reason": reason}, actor=actor)

        [entry] = self.append_own(introduce)
        self.transact(lambda _: ())  # follows the key, and settles its files, with the write lock held
        return entry

    def protect_key(self, *, protected: bool) -> None:
        """Have the key file need the passphrase from now on, or no longer. Raises `LedgerError`, `KeyFileError`."""

        def write() -> None:
            rewrite(self._home, self._signer, protected=protected)

        self.append_own(write)  # no entry: only for the write lock

    def remember(self) -> None:
        """Put the newest checkpoint where a rollback cannot reach it. Failure is logged, never raised."""
        self._remembered_at = time.monotonic()
        try:
            remember(self._home.remembered_checkpoint, self._head.note)
        except OSError as error:
            # The entries are durable; only the notice of a later rollback would be a little older.
            _log.warning("The checkpoint could not be remembered: %s", error)

    def close(self) -> None:
        """Remember the newest checkpoint and close. Closing twice is harmless."""
        self.remember()
        super().close()

    def _transact(self, prepare: Callable[[], Sequence[_Packed]]) -> list[Entry]:
        if self._deciding:
            raise LedgerError("An append was tried from inside a decision. Return the draft instead.")
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._check_files()
            self._catch_up()
            self._follow_key()
            self._deciding = True
            packed = prepare()
            self._deciding = False
            if not packed:
                connection.execute("ROLLBACK")
                return []
            entries, head = _insert(connection, self._head, packed, self._clock, self._signer)
        except sqlite3.Error as error:
            self._roll_back()
            raise explain(error, _APPENDING) from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._deciding = False
        try:
            self._commit()
        except sqlite3.Error as error:
            self._roll_back()
            if not self._is_stored_after_all(head.note):
                raise explain(error, _APPENDING) from error
        self._head = head
        if entries[-1].type == KEY_ROTATED:
            self._key_in_force = _named_key(entries[-1])
        if time.monotonic() - self._remembered_at >= _REMEMBER_EVERY_S:
            self.remember()
        return entries

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after most failures; after the others this can only fail in a
        # way that the next BEGIN reports.
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _is_stored_after_all(self, note: str) -> bool:
        """
        Return whether a commit that failed is in the ledger nevertheless, and durable.

        Raises `LedgerError` if it is there but cannot be made durable.
        """
        try:
            row = self._connection.execute(_NEWEST_CHECKPOINT).fetchone()
            if row is None or row[1] != note:
                return False
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error as error:
            raise self._unsure(error) from error
        if busy:
            raise self._unsure(None)
        return True

    def _unsure(self, error: sqlite3.Error | None) -> LedgerError:
        because = f" ({error})" if error is not None else ""
        return LedgerError(
            f"A commit failed in a way that leaves open whether it is on disk{because}. "
            "Count it as not recorded; the ledger must be reopened.",
            advice="Check the disk and its free space, then start again; opening looks at what is there.",
        )

    def _identify_files(self) -> tuple[tuple[int, int], tuple[int, int]]:
        status, wal = self._stat()
        return (status.st_dev, status.st_ino), (wal.st_dev, wal.st_ino)

    def _stat(self) -> tuple[os.stat_result, os.stat_result]:
        return os.stat(self.path), os.stat(f"{self.path}-wal")  # noqa: PTH116 (twice for each append)

    def _check_files(self) -> None:
        """Raise `LedgerError` if the files at the ledger's path are no longer those that are open."""
        try:
            same = self._identify_files() == self._files
        except OSError:
            same = False
        if not same:
            raise LedgerError(
                f"The ledger at {self.path} was replaced or removed while it was open; what would be written "
                "now would be lost. The ledger must be reopened.",
                advice="Find out who touched the audit home. Put the ledger back, then start again.",
            )

    def _follow_key(self) -> None:
        """Sign with the key in force from now on, and settle a rotation that is not, with the write lock held."""
        if self._signer.verifier != self._key_in_force:
            self._signer = load_key_in_force(self._home, self._key_in_force)
            settle(self._home, self._key_in_force)
        elif self._unsettled:
            settle(self._home, self._key_in_force)
        self._unsettled = False

    def _catch_up(self) -> None:
        """Take in what other processes appended, if what they left is a continuation of what was known."""
        row = self._connection.execute(_NEWEST_CHECKPOINT).fetchone()
        head = self._head
        if row is not None and row[1] == head.note:
            return
        known = self._connection.execute(
            "SELECT note FROM checkpoint WHERE size = ?", (head.tree.size,)
        ).fetchone()
        if row is None or known is None or known[0] != head.note:
            raise RollbackError(
                f"The ledger was changed while it was open: its checkpoint {head.tree.size} is another.",
                advice=KEEP_AND_VERIFY,
            )
        size, note = row
        checkpoint = _read_checkpoint(note, _key_at(self, size), self.origin, size)
        tree = head.tree.copy()
        while tree.size < size:
            for leaf in read_leaves(self._connection, tree.size, min(tree.size + _CATCH_UP_PAGE, size)):
                tree.append(leaf)
        if tree.root() != checkpoint.root:
            raise damaged("entry_changed", f"The newest checkpoint does not fit the {size} entries.")
        self._key_in_force = _key_at(self, size + 1)  # another process may have changed it
        self._head = _Head(tree, note, format_time(self.entry(size - 1).time))
