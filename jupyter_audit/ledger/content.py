"""
Content: bytes that an entry commits to but does not hold, so that they can be purged, or sealed for auditors (P6).

The commitment is salted, so that after a purge nobody can try likely contents against it. It is made
over the bytes as they were given; how they are stored (compressed or not) can change without touching
a single proof.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256

from jupyter_audit.ledger.auditors import AuditorKey, AuditorSecret
from jupyter_audit.ledger.sealing import SealError, recipients, seal, unseal
from jupyter_audit.model import Commitment, Content

SALT_SIZE = 32
_SALTS_AT_ONCE = 64
DOMAIN = b"jupyter-audit content v1\x00"
"""Stands before salt and data, so that no commitment can be mistaken for another hash of ours."""

_new_commitment = sha256(DOMAIN).copy  # which takes half as long as to begin a hash

SEALED = "sealed"
_PACKINGS = ("plain", "zlib")
"""Encodings of unsealed content; sealed content says which by a byte: the place in this list."""

_WORTH_COMPRESSING = 1024
_LEVEL = 6
# Window bits and memory level: zlib's own make it clear a quarter of a megabyte first, which for a cell's
# code takes six times as long as compressing it.
_SMALL = 4096
_SMALL_WINDOW = (12, 5)
_LARGE_WINDOW = (15, 8)
_PIECE = 256 * 1024


class ContentError(ValueError):
    """Stored content cannot be unpacked, or is not what was committed to."""


class UnopenedError(ContentError):
    """The stored bytes are those that were recorded; they are sealed for `recipients`, none of whose keys was given."""

    def __init__(self, sealed_for: tuple[str, ...]) -> None:
        super().__init__(f"it is sealed for {', '.join(sealed_for)}")
        self.recipients = sealed_for


class FalseSealError(ContentError):
    """The stored bytes are those that were recorded, but are not what the entry says: its writer was wrong, or lied."""


def commit(data: bytes, salt: bytes) -> str:
    """Return the commitment, 64 hex digits: SHA-256(DOMAIN ‖ salt ‖ data). `salt` has 32 bytes."""
    if len(salt) != SALT_SIZE:
        raise ContentError(f"the salt has {len(salt)} bytes, not {SALT_SIZE}")
    digest = _new_commitment()
    digest.update(salt)
    digest.update(data)
    return digest.hexdigest()


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


def store(content: Content, auditors: Sequence[AuditorKey] = ()) -> tuple[Commitment, bytes, str, bytes]:
    """
    Return the commitment to a content, and the salt, encoding and bytes to store; sealed where there are `auditors`.

    Sealed content keeps its salt inside, so that likely contents cannot be tried against the digest.
    """
    salt = _new_salt()
    digest, size = commit(content.data, salt), len(content.data)
    encoding, stored = pack(content.data)
    if not auditors:
        return Commitment(digest, size, content.media_type), salt, encoding, stored
    sealed = seal(salt + bytes([_PACKINGS.index(encoding)]) + stored, auditors)
    return Commitment(digest, size, content.media_type, sha256(sealed).hexdigest()), b"", SEALED, sealed


_salts: list[bytes] = []
os.register_at_fork(after_in_child=_salts.clear)  # two processes must never take the same ones


def _new_salt() -> bytes:
    """Return a salt that nobody had; the system is asked for some at a time."""
    try:
        return _salts.pop()
    except IndexError:
        fresh = os.urandom(SALT_SIZE * _SALTS_AT_ONCE)
        _salts.extend(fresh[at : at + SALT_SIZE] for at in range(SALT_SIZE, len(fresh), SALT_SIZE))
        return fresh[:SALT_SIZE]


def open_commitment(
    commitment: Commitment, salt: object, encoding: object, stored: object, *, auditors: Sequence[AuditorSecret] = ()
) -> bytes:
    """Return the content as `open_salted` does, without its salt."""
    return open_salted(commitment, salt, encoding, stored, auditors=auditors)[1]


def open_salted(
    commitment: Commitment, salt: object, encoding: object, stored: object, *, auditors: Sequence[AuditorSecret] = ()
) -> tuple[bytes, bytes]:
    """
    Return salt and content if they are what its entry commits to; `auditors` open what is sealed.

    Raises `UnopenedError` if it is sealed for none of them (and its bytes are those that were recorded),
    `FalseSealError` if it does not hold what the entry says, `ContentError` for everything else.
    """
    if commitment.sealed is not None:
        return _open_sealed(commitment, salt, encoding, stored, auditors)
    data = unpack(encoding, stored, commitment.size)
    if not isinstance(salt, bytes) or commit(data, salt) != commitment.digest:
        raise ContentError("it is not what its entry commits to")
    return salt, data


def check_commitment(
    commitment: Commitment, salt: object, encoding: object, stored: object, *, auditors: Sequence[AuditorSecret] = ()
) -> None:
    """
    Check a content as `open_commitment` does, with the same errors, without keeping it.

    Of what is not sealed this takes little memory, whatever is stored: nobody may have believed the entry yet, so its size
    and digest are no reason to unpack what was put there to fill the memory.
    """
    if commitment.sealed is not None or encoding != "zlib" or commitment.size <= _PIECE or not isinstance(stored, bytes):
        open_commitment(commitment, salt, encoding, stored, auditors=auditors)
        return
    if not isinstance(salt, bytes) or len(salt) != SALT_SIZE:
        raise ContentError("it is not what its entry commits to")
    digest, size = sha256(DOMAIN + salt), 0
    for piece in _inflate(stored):
        digest.update(piece)
        size += len(piece)
        if size > commitment.size:
            break
    if size != commitment.size or digest.hexdigest() != commitment.digest:
        raise ContentError("it is not what its entry commits to")


def _inflate(stored: bytes) -> Iterator[bytes]:
    """Yield what `stored` decompresses to, in pieces; raises `ContentError` if that is not all there is."""
    stream = zlib.decompressobj()
    try:
        for start in range(0, len(stored), _PIECE):
            rest = stored[start : start + _PIECE]
            while True:
                piece = stream.decompress(rest, _PIECE)
                yield piece
                rest = stream.unconsumed_tail
                if not rest and len(piece) < _PIECE:
                    break
    except zlib.error as error:
        raise ContentError("it cannot be decompressed") from error
    if not stream.eof or stream.unused_data:
        raise ContentError("its compressed form does not end where it should")


def _open_sealed(
    commitment: Commitment, salt: object, encoding: object, stored: object, auditors: Sequence[AuditorSecret]
) -> tuple[bytes, bytes]:
    if encoding != SEALED or salt != b"" or not isinstance(stored, bytes):
        raise ContentError("its entry says that it is sealed, and it is not")
    if sha256(stored).hexdigest() != commitment.sealed:
        raise ContentError("the sealed bytes are not those that were recorded")
    try:
        sealed_for = recipients(stored)
        opened = [inner for secret in auditors if (inner := unseal(stored, secret)) is not None]
    except SealError as error:
        raise FalseSealError(str(error)) from error
    if not opened:
        raise UnopenedError(sealed_for)
    salted = b"", b""
    for inner in opened:  # each of the keys must open what the entry commits to
        salted = _open_inner(commitment, inner)
    return salted


def _open_inner(commitment: Commitment, inner: bytes) -> tuple[bytes, bytes]:
    salt, packing, packed = inner[:SALT_SIZE], inner[SALT_SIZE : SALT_SIZE + 1], inner[SALT_SIZE + 1 :]
    try:
        if packing not in (b"\0", b"\1"):
            raise ContentError("it is packed in an unknown way")
        data = unpack(_PACKINGS[packing[0]], packed, commitment.size)
        if commit(data, salt) == commitment.digest:
            return salt, data
    except ContentError as error:
        raise FalseSealError(f"what is sealed cannot be unpacked: {error}") from error
    raise FalseSealError("what is sealed is not what its entry commits to")
