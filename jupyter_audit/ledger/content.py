"""
Content: bytes that an entry commits to but does not hold, so that they can be purged (P6).

The commitment is salted, so that after a purge nobody can try likely contents against it. It is made
over the bytes as they were given; how they are stored (compressed or not) can change without touching
a single proof.
"""

from __future__ import annotations

import zlib
from hashlib import sha256

SALT_SIZE = 32
DOMAIN = b"jupyter-audit content v1\x00"
"""Stands before salt and data, so that no commitment can be mistaken for another hash of ours."""

_WORTH_COMPRESSING = 1024
_LEVEL = 6
# Window bits and memory level: zlib's own make it clear a quarter of a megabyte first, which for a cell's
# code takes six times as long as compressing it.
_SMALL = 4096
_SMALL_WINDOW = (12, 5)
_LARGE_WINDOW = (15, 8)


class ContentError(ValueError):
    """Stored content cannot be unpacked, or is not what was committed to."""


def commit(data: bytes, salt: bytes) -> str:
    """Return the commitment, 64 hex digits: SHA-256(DOMAIN ‖ salt ‖ data). `salt` has 32 bytes."""
    if len(salt) != SALT_SIZE:
        raise ContentError(f"the salt has {len(salt)} bytes, not {SALT_SIZE}")
    return sha256(DOMAIN + salt + data).hexdigest()


def pack(data: bytes) -> tuple[str, bytes]:
    """Return (encoding, bytes to store): `zlib` where that is shorter, else `plain`."""
    if len(data) >= _WORTH_COMPRESSING:
        window = _SMALL_WINDOW if len(data) <= _SMALL else _LARGE_WINDOW
        stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, *window)
        packed = stream.compress(data) + stream.flush()
        if len(packed) < len(data):
            return "zlib", packed
    return "plain", data


def unpack(encoding: object, stored: object, size: int) -> bytes:
    """
    Return the content of `size` bytes that `pack` stored; raises `ContentError`.

    Never unpacks more than `size`: what is stored may come from somebody who means harm.
    """
    if not isinstance(stored, bytes):
        raise ContentError("it is not stored as bytes")
    if encoding == "plain":
        data = stored
    elif encoding == "zlib":
        stream = zlib.decompressobj()
        try:
            data = stream.decompress(stored, size + 1)
        except zlib.error as error:
            raise ContentError("it cannot be decompressed") from error
        if not stream.eof or stream.unused_data:
            raise ContentError("its compressed form does not end where it should")
    else:
        raise ContentError(f"it is stored in an unknown encoding, {encoding!r}")
    if len(data) != size:
        raise ContentError(f"it has {len(data)} bytes where its entry says {size}")
    return data


def open_commitment(digest: str, size: int, salt: object, encoding: object, stored: object) -> bytes:
    """Return the content if it is what `digest` commits to; raises `ContentError`."""
    data = unpack(encoding, stored, size)
    if not isinstance(salt, bytes) or commit(data, salt) != digest:
        raise ContentError("it is not what its entry commits to")
    return data
