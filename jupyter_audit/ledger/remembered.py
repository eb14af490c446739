"""
The remembered checkpoint: the newest one seen, kept outside the ledger, so that a rollback is noticed (P5).

It only ever lags behind what is durable in the ledger. Written by rename, so that it is whole or old.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from jupyter_audit.errors import RollbackError
from jupyter_audit.ledger.checkpoint import Checkpoint, unverified_checkpoint
from jupyter_audit.ledger.note import NoteError

_NEWEST = "SELECT note FROM entry WHERE note IS NOT NULL ORDER BY seq DESC LIMIT 1"


def load_remembered(path: Path, ledger: Path) -> Checkpoint:
    """Return the remembered checkpoint; raises `RollbackError` if it is missing or malformed."""
    try:
        return unverified_checkpoint(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, NoteError) as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be used ({error})"
        raise RollbackError(
            f"The remembered checkpoint {path} {what}, so a rollback of the ledger could not be noticed.",
            advice="Verify the ledger against a checkpoint that was kept elsewhere "
            "(`jupyter audit verify --since FILE`). If it holds, remember its newest one: "
            f'sqlite3 {ledger} "{_NEWEST}" > {path}',
        ) from error


def remember(path: Path, note: str) -> None:
    """
    Put `note` where `load_remembered` finds it, unless a newer one of the same ledger is there already.

    Raises `OSError` if it cannot be written.
    """
    new = unverified_checkpoint(note)
    try:
        old = unverified_checkpoint(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, NoteError):
        old = None
    if old is not None and old.origin == new.origin and old.size >= new.size:
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave an empty one, which refuses to open
    temporary.replace(path)
