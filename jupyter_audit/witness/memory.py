"""
What a witness must never forget: for each ledger the last checkpoint that it cosigned, and the key changes it was shown.

One SQLite file, on disk before anything is answered. It is made once, on purpose; a witness that lost it must not go
on under the same key, because it would cosign again what it may have contradicted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.checkpoint import parse_checkpoint
from jupyter_audit.ledger.cosignature import WitnessKey, verify_cosignatures
from jupyter_audit.ledger.note import NoteError, parse_note, parse_verifier_key

APPLICATION_ID = 0x4A415754
"""`JAWT`, in the file's header."""

BUSY_TIMEOUT_S = 5.0
MOST_EVIDENCE = 100
"""Contradicting checkpoints that are kept for each ledger; its own key has signed every one of them."""

_SCHEMA = """
CREATE TABLE cosigned (origin TEXT PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE key_change (origin TEXT NOT NULL, ended TEXT NOT NULL, named TEXT NOT NULL, PRIMARY KEY (origin, ended)) STRICT;
CREATE TABLE evidence (note TEXT PRIMARY KEY, origin TEXT NOT NULL, time TEXT NOT NULL, why TEXT NOT NULL) STRICT;
"""
_LOST = (
    "Keep the folder for evidence. Restore it only if nothing was cosigned since that copy; if in doubt make a new "
    "witness in a new folder (`jupyter audit witness init`), with a new key."
)


class MemoryLostError(LedgerError):
    """A witness cannot know any more what it cosigned."""

    code = "witness_memory"


class Memory:
    """The file, opened. One process may have several; each change is one transaction, so several processes may too."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty memory. Raises `OSError` if there is one (`FileExistsError`), or it cannot be written."""
        path.touch(mode=0o600, exist_ok=False)
        with closing(_connect(path)) as connection:
            connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; BEGIN; {_SCHEMA} COMMIT;")

    @classmethod
    def open(cls, path: Path, key: WitnessKey) -> Memory:
        """Open the memory of the witness with this key; raises `MemoryLostError` unless all of it is whole and its own."""
        try:
            connection = _connect(path)
            try:
                _check(connection, key)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, UnicodeDecodeError, NoteError) as error:
            raise MemoryLostError(f"The witness's memory {path} cannot be used: {error}.", advice=_LOST) from error
        return cls(connection)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the write lock for a block; what it changed is on disk afterwards, or, if it raised, was not changed."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def cosigned(self, origin: str) -> str | None:
        """Return the last checkpoint of this ledger that was cosigned, with its signatures."""
        row = self._connection.execute("SELECT note FROM cosigned WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else str(row[0])

    def keep_cosigned(self, origin: str, note: str) -> None:
        """Remember a checkpoint instead of the one before it."""
        self._connection.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?)", (origin, note))

    def key_changes(self, origin: str) -> Mapping[str, str]:
        """Return the key changes of this ledger that were shown: the key that ended, and the one that followed it."""
        return dict(self._connection.execute("SELECT ended, named FROM key_change WHERE origin = ?", (origin,)))

    def keep_key_change(self, origin: str, ended: str, named: str) -> None:
        """Remember a key change."""
        self._connection.execute("INSERT INTO key_change VALUES (?, ?, ?)", (origin, ended, named))

    def keep_evidence(self, origin: str, time: str, why: str, note: str) -> None:
        """Keep a signed checkpoint that contradicts the one that was cosigned."""
        (count,) = self._connection.execute("SELECT count(*) FROM evidence WHERE origin = ?", (origin,)).fetchone()
        if count < MOST_EVIDENCE:
            self._connection.execute("INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?)", (note, origin, time, why))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )
    # A rollback journal, and the folder synced after it is removed: when COMMIT returns, a power cut changes nothing.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA fullfsync = ON")
    return connection


def _check(connection: sqlite3.Connection, key: WitnessKey) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise NoteError("it is not a witness's memory")
    (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if word != "ok":
        raise NoteError(f"it is damaged: {word}")
    for origin, text in connection.execute("SELECT origin, note FROM cosigned"):
        note = parse_note(text)
        if parse_checkpoint(note.text).origin != origin or key not in verify_cosignatures(note, [key]):
            raise NoteError(f"what it holds of {origin} was not cosigned with this witness's key")
    for origin, ended, named in connection.execute("SELECT origin, ended, named FROM key_change"):
        if {parse_verifier_key(ended).name, parse_verifier_key(named).name} != {origin}:
            raise NoteError(f"a key change of {origin} names another ledger")
