"""
SQLite's own check of a file, at the same time as the entries are walked.

It reads every page and compares every index with its table, which says nothing of what was signed; it finds what
would make readers see something else than a verifier does.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from jupyter_audit.ledger.store import connect


class IntegrityCheck:
    """The check of one file, begun at once in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path, writable=False)
        self._word = ""
        self._error: sqlite3.Error | UnicodeDecodeError | None = None
        self._thread = threading.Thread(target=self._run, name="jupyter-audit-integrity", daemon=True)
        self._thread.start()

    def word(self) -> str:
        """Return what SQLite says, `ok` if nothing is wrong; raises `sqlite3.Error` if it could not read the file."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._word

    def close(self) -> None:
        """Let go of the file, also in the middle of the check."""
        while self._thread.is_alive():
            self._connection.interrupt()
            self._thread.join(0.05)
        self._connection.close()

    def _run(self) -> None:
        try:
            self._word = integrity(self._connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._error = error


def integrity(connection: sqlite3.Connection) -> str:
    """Return what SQLite says of the file that is open; `ok` if nothing is wrong."""
    (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return str(word)
