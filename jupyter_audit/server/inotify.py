"""
Which files had their modes set, told by Linux itself, however short it was (inotify(7)).

A look at the modes themselves sees only what they are at that moment. Spoken directly, in two calls of the C library.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

_IN_ATTRIB = 0x4
_IN_Q_OVERFLOW = 0x4000
_IN_ONLYDIR = 0x01000000
_EVENT = struct.Struct("=iIII")

MOST_READ = 64 * 1024
"""Bytes of events that are taken in one go, some 2,000 of them: whoever makes them could do so for ever."""


class AttributeEvents:
    """
    Notices when the attributes of `folders`, or of what lies directly in them, are set: modes, owners, times, extended ones.

    Raises `OSError` when made where that cannot be had: on other systems than Linux, or where the account watches too much.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        if sys.platform != "linux":
            raise OSError(f"there is no inotify on {sys.platform}")
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._first = folders[0]
        try:
            self._folders = {
                _checked(libc.inotify_add_watch(self.descriptor, os.fsencode(folder), _IN_ATTRIB | _IN_ONLYDIR)): folder
                for folder in folders
            }
        except OSError:
            self.close()
            raise

    def take(self) -> set[Path]:
        """Return whose attributes were set since the last time. The first folder stands for those that Linux lost count of."""
        try:
            data = os.read(self.descriptor, MOST_READ)
        except BlockingIOError:
            return set()
        found: set[Path] = set()
        while data:
            watch, mask, _, length = _EVENT.unpack_from(data)
            name = os.fsdecode(data[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
            data = data[_EVENT.size + length :]
            if mask & _IN_Q_OVERFLOW:
                found.add(self._first)
            elif mask & _IN_ATTRIB and watch in self._folders:
                found.add(self._folders[watch] / name)
        return found

    def close(self) -> None:
        """Stop."""
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
