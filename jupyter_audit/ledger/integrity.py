"""
SQLite's own check of a file, which one of the processes that verify does while the others walk.

It reads every page and compares every index with its table, which says nothing of what was signed; it finds what
would make readers see something else than a verifier does.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.store import connect


def integrity(connection: sqlite3.Connection) -> str:
    """Return what SQLite says of the file that is open; `ok` if nothing is wrong. Raises `sqlite3.Error`."""
    (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return str(word)


def integrity_apart(path: Path) -> str | None:
    """Return what SQLite says of the file at `path`; None if it could not be read, which whoever asked then finds, too."""
    try:
        with contextlib.closing(connect(path, writable=False)) as connection:
            return integrity(connection)
    except (sqlite3.Error, UnicodeDecodeError, LedgerError):
        return None
