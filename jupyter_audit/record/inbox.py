"""
The inbox: what anybody hands to the recorder, in its order, until the recorder's thread takes it.

What waits is bounded, in entries and in bytes. Whatever has arrived is taken at once, for each look costs as much as
recording a part of an entry.
"""

from __future__ import annotations

import threading
from collections import deque

from jupyter_audit.record.waiting import Append, Transact

MOST_WAITING = 10_000
"""Entries."""

MOST_WAITING_BYTES = 256 * 1024 * 1024
"""Contents, of whatever waits; one that is larger by itself is taken when nothing else waits."""

Item = Append | Transact | None
"""None ends the recorder."""


class Inbox:
    """Safe to put into from any thread; one thread takes."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._awaited = False
        self.closed = False
        self.entries = 0
        """That wait."""
        self.bytes = 0
        """Of contents that wait."""

    def put(self, item: Append | Transact) -> bool:
        """Add an item; return False if it was not added because it is one too many, or the inbox is closed."""
        entries, size = item.entries, item.size
        with self._lock:
            fits = self.entries + entries <= MOST_WAITING and self.bytes + size <= MOST_WAITING_BYTES
            if self.closed or not (fits or not self.entries):
                return False
            self.entries += entries
            self.bytes += size
            self._add(item)
        return True

    def close(self) -> bool:
        """Add the end, after which nothing more is added; return False if that was done before."""
        with self._lock:
            if self.closed:
                return False
            self.closed = True
            self._add(None)
        return True

    def take(self, most: int, timeout: float | None = None) -> list[Item]:
        """
        Return what waits: `most` entries or a few more, and nothing beyond a decision or the end, which is the last then.

        Waits for the first; returns an empty list if there is none for `timeout` seconds.
        """
        taken: list[Item] = []
        with self._lock:
            if not self._items:
                self._awaited = True
                self._arrived.wait(timeout)
                self._awaited = False
            while self._items and most > 0:
                item = self._items.popleft()
                taken.append(item)
                if item is None:
                    break
                self.entries -= item.entries
                self.bytes -= item.size
                most -= item.entries
                if isinstance(item, Transact):
                    break
        return taken

    def _add(self, item: Item) -> None:
        self._items.append(item)
        if self._awaited:
            self._awaited = False
            self._arrived.notify()
