"""
Writing: open a ledger with suspicion, append entries and sign the checkpoint over them.

An append returns when its entries are durable and covered by a signature, or raises and has stored
nothing (P1). Any number of processes may append: each takes SQLite's write lock, checks what others
appended since its last look, and goes on from there. Opening never creates anything.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import KeyFileError, LedgerError, RollbackError, UsageError
from jupyter_audit.home import Home
from jupyter_audit.ledger.auditors import AuditorKey
from jupyter_audit.ledger.committing import insert
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.envelope import KEY_ROTATED
from jupyter_audit.ledger.head import (
    NEWEST_ENTRY,
    Head,
    check_remembered,
    key_at,
    load_head,
    named_key,
    read_checkpoint,
)
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.ledger.packing import Packed, pack
from jupyter_audit.ledger.places import BLOCK, read_labels
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.ledger.remembered import load_remembered, remember
from jupyter_audit.ledger.rotation import load_key_in_force, prepare_successor, rewrite, settle
from jupyter_audit.ledger.samefile import identify
from jupyter_audit.ledger.schema import verify_schema
from jupyter_audit.ledger.store import KEEP_AND_VERIFY, connect, explain, extend_log
from jupyter_audit.ledger.tree import read_leaves
from jupyter_audit.model import Actor, Draft, Entry, Json

_log = logging.getLogger(__name__)

_APPENDING = "append to the ledger"
_REMEMBER_EVERY_S = 1.0
_CATCH_UP_PAGE = 256
_VERSION = "PRAGMA data_version"


def open_ledger(home: Home, *, clock: Clock, sealed_to: Sequence[AuditorKey] = ()) -> Ledger:
    """
    Open the ledger of `home` for appending, after looking at it with suspicion.

    Contents that are appended are sealed to the auditors in `sealed_to`, so that nobody else can read them back.

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
            signer = load_key_in_force(home, key_at(reader, reader.size() + 1))
        except KeyFileError:
            # Another process may be moving key files at this moment; not while the write lock is held here.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            signer = load_key_in_force(home, key_at(reader, reader.size() + 1))
        head = load_head(reader)
        check_remembered(reader, head, remembered, home)
        connection.execute("COMMIT")
        ledger = Ledger(connection, home, clock, signer, head, sealed_to)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        raise explain(error, "open the ledger") from error
    except BaseException:
        connection.close()
        raise
    ledger.remember()
    return ledger


class Ledger(LedgerReader):
    """
    A ledger, opened for appending. For one thread at a time: the one that owns it.

    It may be opened in one thread and handed to another, which then owns it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        home: Home,
        clock: Clock,
        signer: Signer,
        head: Head,
        sealed_to: Sequence[AuditorKey] = (),
    ) -> None:
        super().__init__(connection, home.ledger)
        self.home = home
        self._clock = clock
        self._signer = signer
        self._head = head
        self._sealed_to = tuple(sealed_to)
        self._key_in_force = signer.verifier
        self._unsettled = home.next_signing_key.exists()  # a rotation was cut off; the next append settles it
        self._deciding = False
        self._remembered_at = time.monotonic()
        self._version: object = None  # of what SQLite last saw of the file, when it was found to be the head's
        self._file, self._wal = os.fsencode(home.ledger), os.fsencode(f"{home.ledger}-wal")
        self._files = self._identify_files()

    def append(self, drafts: Sequence[Draft]) -> list[Entry]:
        """
        Append all of `drafts` in one commit and return their entries, durable and signed.

        Raises `LedgerError` and has stored nothing otherwise; the ledger can be used again afterwards
        unless the message says that it must be reopened.
        """
        packed = [pack(draft, self._sealed_to) for draft in drafts]
        return self._transact(lambda: packed)

    def transact(self, decide: Callable[[LedgerReader], Sequence[Draft]]) -> list[Entry]:
        """
        Append what `decide` returns, judged by the newest state with the write lock held.

        `decide` must be quick (other processes wait) and must not append. What it raises goes through, and
        nothing is stored. Errors as with `append`.
        """
        return self._transact(lambda: [pack(draft, self._sealed_to) for draft in decide(self)])

    def append_own(self, act: Callable[[], Draft | None]) -> list[Entry]:
        """
        Append one of the ledger's entries about itself, in the transaction in which `act` does what it says.

        `act` is called with the write lock held and returns the draft; None takes everything back. Errors as with
        `append`, and then nothing of what `act` did is left.
        """

        def prepare() -> list[Packed]:
            draft = act()
            return [] if draft is None else [pack(draft, self._sealed_to, own=True)]

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
            epoch = 1 + sum(1 for _ in self.numbers(0, self.size(), types=[KEY_ROTATED]))
            successor = prepare_successor(self.home, self.origin)
            body: dict[str, Json] = {"epoch": epoch, "verifier_key": format_verifier_key(successor.verifier)}
            return Draft(KEY_ROTATED, body | {"reason": reason}, actor=actor)

        [entry] = self.append_own(introduce)
        self.transact(lambda _: ())  # follows the key, and settles its files, with the write lock held
        return entry

    def protect_key(self, *, protected: bool) -> None:
        """Have the key file need the passphrase from now on, or no longer. Raises `LedgerError`, `KeyFileError`."""

        def write() -> None:
            rewrite(self.home, self._signer, protected=protected)

        self.append_own(write)  # no entry: only for the write lock

    def make_room(self) -> None:
        """Prepare for many appends, which then take less time. Errors as with `append`."""

        def extend() -> None:
            with contextlib.suppress(OSError):  # appends say what is wrong with the disk
                extend_log(Path(os.fsdecode(self._wal)))

        self.append_own(extend)  # no entry: only for the write lock

    def remember(self) -> None:
        """Put the newest checkpoint where a rollback cannot reach it. Failure is logged, never raised."""
        self._remembered_at = time.monotonic()
        try:
            remember(self.home.remembered_checkpoint, self._head.note)
        except OSError as error:
            # The entries are durable; only the notice of a later rollback would be a little older.
            _log.warning("The checkpoint could not be remembered: %s", error)

    def close(self) -> None:
        """Remember the newest checkpoint and close. Closing twice is harmless."""
        self.remember()
        super().close()

    def _transact(self, prepare: Callable[[], Sequence[Packed]]) -> list[Entry]:
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
            entries, head = insert(connection, self._head, packed, self._clock, self._signer)
        except sqlite3.Error as error:
            self._roll_back()
            raise explain(error, _APPENDING) from error
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._deciding = False
        version, self._version = self._version, None  # whatever interrupts from here on, the next append looks anew
        try:
            self._commit()
        except sqlite3.Error as error:
            self._roll_back()
            if not self._is_stored_after_all(head.note):
                raise explain(error, _APPENDING) from error
        self._head, self._version = head, version
        if entries[-1].type == KEY_ROTATED:
            self._key_in_force = named_key(entries[-1])
        if time.monotonic() - self._remembered_at >= _REMEMBER_EVERY_S:
            self.remember()
        return entries

    def _commit(self) -> None:
        self._connection.execute("COMMIT")

    def _roll_back(self) -> None:
        self._version = None
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
            row = self._connection.execute(NEWEST_ENTRY).fetchone()
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
        return identify(self._file), identify(self._wal)

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
        if self._signer.verifier is self._key_in_force and not self._unsettled:
            return
        if self._signer.verifier != self._key_in_force:
            self._signer = load_key_in_force(self.home, self._key_in_force)
            settle(self.home, self._key_in_force)
        elif self._unsettled:
            settle(self.home, self._key_in_force)
        self._unsettled = False

    def _catch_up(self) -> None:
        """Take in what other processes appended, if what they left is a continuation of what was known."""
        (version,) = self._connection.execute(_VERSION).fetchone()
        if version == self._version:  # SQLite counts whenever another connection, of whatever process, changed anything
            return
        self._continue()
        self._version = version

    def _continue(self) -> None:
        row = self._connection.execute(NEWEST_ENTRY).fetchone()
        head = self._head
        if row is not None and row[1] == head.note:
            return
        known = self._connection.execute("SELECT note FROM entry WHERE seq = ?", (head.tree.size - 1,)).fetchone()
        if row is None or known is None or known[0] != head.note:
            raise RollbackError(
                f"The ledger was changed while it was open: its checkpoint {head.tree.size} is another.",
                advice=KEEP_AND_VERIFY,
            )
        size, note = row
        if note is None:
            raise damaged("checkpoint_missing", f"No checkpoint covers the newest of the {size} entries.", seq=size - 1)
        tree, labels = head.tree.copy(), list(head.labels)
        rotated = False
        while tree.size < size:
            start, stop = tree.size, min(tree.size + _CATCH_UP_PAGE, size)
            for leaf in read_leaves(self._connection, start, stop):
                tree.append(leaf)
            new = read_labels(self._connection, start, stop)
            rotated = rotated or any(kind == KEY_ROTATED for kind, _, _ in new)
            labels += new
        key, key_in_force = self._key_in_force, self._key_in_force
        if rotated:  # by another process
            key, key_in_force = key_at(self, size), key_at(self, size + 1)
        if tree.root() != read_checkpoint(note, key, self.origin, size).root:
            raise damaged("entry_changed", f"The newest checkpoint does not fit the {size} entries.")
        self._key_in_force = key_in_force
        newest = labels[len(labels) - size % BLOCK :]
        self._head = Head(tree, newest, note, format_time(self.entry(size - 1).time))
