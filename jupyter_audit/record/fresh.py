"""
Code that was just recorded, in memory for the detections: where contents are sealed, nobody reads it from the ledger.

Bounded in bytes: what does not fit is dropped, oldest first, and known to have been. It is forgotten once it was judged.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager

from jupyter_audit.model import Draft, Entry

MOST_BYTES = 64 * 1024 * 1024
NAME = "message"


class FreshContents:
    """The contents `message` of new entries. Safe to call from any thread."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._held: dict[int, bytes] = {}
        self._size = 0
        self._dropped: set[int] = set()
        self._lock = threading.RLock()

    def recording(self) -> AbstractContextManager[bool]:
        """
        Return what to hold from before entries are appended until they are kept here.

        Whoever follows the ledger can see an entry the moment it is durable; asked for its code then, `get` waits.
        """
        return self._lock

    def keep(self, entries: Sequence[Entry], drafts: Sequence[Draft]) -> None:
        """Take what `drafts` held that have become `entries`."""
        with self._lock:
            for entry, draft in zip(entries, drafts, strict=True):
                content = draft.contents.get(NAME)
                if content is not None:
                    self._held[entry.seq] = content.data
                    self._size += len(content.data)
            while self._size > self._most:
                oldest = next(iter(self._held))
                self._size -= len(self._held.pop(oldest))
                self._dropped.add(oldest)

    def get(self, seq: int) -> bytes | None:
        """Return the message of entry `seq`, if it is held."""
        with self._lock:
            return self._held.get(seq)

    def was_dropped(self, seq: int) -> bool:
        """Say whether the message of entry `seq` was here and had to go before it was asked for."""
        with self._lock:
            return seq in self._dropped

    def forget(self, through: int) -> None:
        """Let go of everything up to entry `through`."""
        with self._lock:
            for seq in [seq for seq in self._held if seq <= through]:
                self._size -= len(self._held.pop(seq))
            self._dropped = {seq for seq in self._dropped if seq > through}
