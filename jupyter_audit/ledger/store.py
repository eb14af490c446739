"""
The only module that opens the SQLite file: connections, and SQLite's errors put into words.

Nothing here ever creates a database: SQLite is told to open what exists, or to fail. No other code of a
process that writes may open the file by itself, not even to read it: closing it again would drop SQLite's
POSIX locks, and with them what keeps several writers apart.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import TracebackType

from jupyter_audit.errors import LedgerError, LedgerMissingError
from jupyter_audit.ledger.damage import damaged

KEEP_AND_VERIFY = (
    "Keep the file as it is, for evidence; run `jupyter audit verify` on a copy, and restore a backup."
)
"""What to do with a ledger that was found changed."""

BUSY_TIMEOUT_S = 5.0
"""How long an append waits for another process's before it gives up."""


_LOG_BYTES = 1100 * (4096 + 24)
"""SQLite empties its log when it has 1,000 pages, and the commit that comes to that has some more."""

_MEMORY_PAGE = 4096

_COUNTED_AT_ONCE = 100_000
_STEPS_FOR_A_BYTE = 20
_STEPS_AT_LEAST = 3_000_000


def explain(error: sqlite3.Error | UnicodeDecodeError, doing: str) -> LedgerError:
    """Return what SQLite said as a `LedgerError`; `doing` reads like `append to the ledger`."""
    if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in str(error):
        # Text in the file, or a name in SQLite's own message, is not Unicode.
        return damaged(
            "file", f"Could not {doing}: its text is not Unicode ({error}).", advice=KEEP_AND_VERIFY
        )
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerError(
            f"Could not {doing}: it is locked; another process has held it for {BUSY_TIMEOUT_S:.0f} seconds.",
            advice="Find the process that holds it (`fuser` on its -wal file); let it finish, or end it.",
        )
    if primary == sqlite3.SQLITE_FULL:
        return LedgerError(f"Could not {doing}: the disk is full.", advice="Make room, then try again.")
    if primary == sqlite3.SQLITE_READONLY:
        return _read_only(doing)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(
            "file",
            f"Could not {doing}: the file is damaged ({error}).",
            advice=KEEP_AND_VERIFY,
        )
    if primary == sqlite3.SQLITE_INTERRUPT:
        return damaged("file", f"Could not {doing}: the file's pages lead in circles.", advice=KEEP_AND_VERIFY)
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
        return LedgerError(
            f"Could not {doing}: reading or writing the file failed ({name}).",
            advice="Check the disk, its free space and any limit on file sizes, then start again.",
        )
    return LedgerError(f"Could not {doing}: {error}.")


def _read_only(doing: str) -> LedgerError:
    return LedgerError(
        f"Could not {doing}: the file or its folder cannot be written.",
        advice="Check owner and mode of the audit home and of the files in it (the -wal and -shm beside the ledger too), "
        "and whether its file system is read-only.",
    )


class explained:  # noqa: N801 (read as a word: `with explained("read the ledger"):`)
    """Turns SQLite's errors within its block into the ledger's."""

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
            raise explain(error, self._doing) from error


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """
    Open the ledger at `path`, which must exist; the caller owns the connection.

    Raises `LedgerMissingError` if there is none, `LedgerError` if it cannot be opened.
    """
    if not path.is_file():
        raise LedgerMissingError(
            f"There is no ledger at {path}.",
            advice="Run `jupyter audit init` once to create it. If one was there before, find it.",
        )
    doing = "open the ledger"
    if writable:
        if not os.access(path, os.W_OK):
            # SQLite would make a -shm that cannot be written either, and stays when the ledger's mode is mended.
            raise _read_only(doing)
        connection = _connect(path, "mode=rw", doing)
        try:
            _prepare_for_writing(connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            raise explain(error, doing) from error
        except LedgerError:
            connection.close()
            raise
        return connection
    connection = _connect(path, "mode=ro", doing)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        connection.close()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or _has_wal(path):
            raise explain(error, doing) from error
        # A copy in a folder that cannot be written (an auditor's read-only medium): SQLite cannot make
        # its -shm file there. Nobody can be writing either, so reading it as immutable is safe.
        return _connect(path, "immutable=1", doing)
    return connection


def extend_log(log: Path) -> None:
    """
    Make the write-ahead log as long as it gets between two emptyings, so that no append has to make the file longer.

    A disk takes half as long again to make a commit durable for which a file grows. It is written a page of memory at a time:
    Linux keeps what is written at once in one block of the cache, and with each later page it walks through the whole block,
    which takes longer than what is won. To be called with the write lock held:
    nothing stands beyond the log's end then, and SQLite passes over what is no frame. Where there is no room it stays as it was.
    SQLite's locks are not on this file, so closing it drops none.
    """
    descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = end = os.fstat(descriptor).st_size
        try:
            while end < _LOG_BYTES:
                end += os.pwrite(descriptor, bytes(min(_MEMORY_PAGE - end % _MEMORY_PAGE, _LOG_BYTES - end)), end)
            if end > size:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def end_circles(connection: sqlite3.Connection) -> None:
    """
    Have SQLite give up once it has taken far more steps than a file of this size can need.

    Few pages that name each other as children are rows without end, which a verifier would never be done with. A whole
    ledger needs less than one of SQLite's own steps a byte. `count(*)` takes none: it must not be asked for.
    """
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    left: int = max(_STEPS_AT_LEAST, pages * size * _STEPS_FOR_A_BYTE) // _COUNTED_AT_ONCE

    def count() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(count, _COUNTED_AT_ONCE)


def _has_wal(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


def _connect(path: Path, parameters: str, doing: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{parameters}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise explain(error, doing) from error
    # Not `trusted_schema = OFF`: SQLite 3.40 then refuses json_extract in the generated columns. The schema's
    # exact text is verified before anything is read through it instead. Pages are checked for form when read.
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _prepare_for_writing(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise LedgerError(
            f"The ledger cannot be kept safely here: its journal is {mode}, not WAL.",
            advice="Keep the audit home on a local file system; network file systems cannot share a WAL.",
        )
    connection.execute("PRAGMA synchronous = FULL")
    # macOS: fsync alone does not reach the disk there. Elsewhere these do nothing.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
