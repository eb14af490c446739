"""
Caches of a ledger: files in a folder of the audit home that can be dropped at any time (P4), and that a purge reaches (P6).

A cache decides nothing. Whoever makes or uses one holds the folder's lock meanwhile, so that nobody drops it
under their hands; nobody may hold the lock while waiting for a person.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home

PATIENCE_S = 10.0
"""How long a purge waits for somebody who uses a cache."""

_AGAIN_S = 0.05
_ZEROS = bytes(1 << 16)


@contextmanager
def locked_caches(home: Home, patience_s: float | None = None) -> Iterator[Path]:
    """
    Hold the folder of caches for oneself, for the time of a block; make it if it is not there.

    Waits for `patience_s` seconds (None: as long as it takes), then raises `TimeoutError`.
    """
    folder = home.caches
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if patience_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _lock(descriptor, time.monotonic() + patience_s)
        yield folder
    finally:
        os.close(descriptor)


def _lock(descriptor: int, end: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise TimeoutError from error
            time.sleep(_AGAIN_S)


def drop_caches(home: Home) -> bool:
    """
    Overwrite and remove every cache. Returns false if somebody used them all the while.

    Then they see the purge's entry when they have finished, and drop what they made themselves. Raises
    `LedgerError` naming the file that could not be dropped.
    """
    if not home.caches.is_dir():
        return True
    try:
        with locked_caches(home, PATIENCE_S) as folder:
            drop_files(folder)
    except TimeoutError:
        return False
    except OSError as error:
        raise LedgerError(
            f"The ledger itself was purged, but a cache of it could not be dropped ({error.filename}: {error.strerror}); "
            "it may hold what was purged.",
            advice=f"Remove {home.caches} by hand. Nothing is lost with it.",
        ) from error
    return True


def drop_files(folder: Path) -> None:
    """Overwrite and remove what is in the folder of caches, whose lock the caller holds. Raises `OSError`."""
    for path in folder.iterdir():
        _overwrite(path)
        path.unlink()


def _overwrite(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        left = os.fstat(descriptor).st_size
        while left > 0:
            left -= os.write(descriptor, _ZEROS[: min(left, len(_ZEROS))])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
