"""
Which file stands at a path: device and inode, asked for without the file's times.

A `stat` asks for all that is known of a file, its times too. Linux (from 6.13 on) then gives the next write to it a time of its
own, and the file's inode has to go to disk with it: for a log that is looked at before each commit, a second write for each of
them, which takes a third as long as the commit. `statx` asks for the inode alone. Where there is none, `stat` does.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Any

_AT_FDCWD = -100
_STATX_INO = 0x100


class _Statx(ctypes.Structure):
    """`struct statx` of linux/stat.h, as far as it is read here."""

    _fields_ = (
        ("before", ctypes.c_uint8 * 32),
        ("ino", ctypes.c_uint64),
        ("between", ctypes.c_uint8 * 96),
        ("dev", ctypes.c_uint64),  # its two halves are major and minor number
        ("after", ctypes.c_uint8 * 112),
    )


_statx: Any = None
with contextlib.suppress(AttributeError, OSError, TypeError):  # not Linux, or a C library without it
    _statx = ctypes.CDLL(None).statx
    _statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    _statx.restype = ctypes.c_int


def identify(path: bytes) -> tuple[int, int]:
    """
    Return device and inode of the file at `path`, links followed; raises `OSError` if there is none.

    The number of a device is not always spelled as `stat` does: compare only what this returned.
    """
    if _statx is not None:
        found = _Statx()
        if _statx(_AT_FDCWD, path, 0, _STATX_INO, ctypes.byref(found)) == 0:
            return found.dev, found.ino
    known = os.stat(path)  # noqa: PTH116 (for each append)
    return known.st_dev, known.st_ino
