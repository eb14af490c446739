"""
Cosignatures (https://c2sp.org/tlog-cosignature): a witness says that, at a time, it saw a checkpoint that grew from all before.

`cosignature/v1` with Ed25519 only. Public keys only; the secret half is in `witness.cosigner`. Keeps P5 and P7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from jupyter_audit.ledger.note import Note, NoteError, NoteSignature, format_key_text, key_id, parse_key_text

COSIGNATURE_V1 = b"\x04"
"""The signature type of timestamped Ed25519 cosignatures in signed notes."""

LATEST = 253_402_300_799
"""Seconds since 1970: the end of the year 9999. A cosignature with a later time does not hold."""

_TIME_BYTES = 8
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The public key of a witness and its name."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each of its cosignatures."""
        return key_id(self.name, self.public, COSIGNATURE_V1)


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that holds: whose, and the time that the witness gave."""

    key: WitnessKey
    time: datetime


def parse_witness_key(text: str) -> WitnessKey:
    """Read `<name>+<key ID as 8 hex digits>+<base64 of 0x04 ‖ public key>`; raises `NoteError`."""
    return WitnessKey(*parse_key_text(text, COSIGNATURE_V1))


def format_witness_key(key: WitnessKey) -> str:
    """Return the text that `parse_witness_key` reads."""
    return format_key_text(key.name, key.public, COSIGNATURE_V1)


def cosigned_message(text: str, seconds: int) -> bytes:
    """Return what a witness signs: `seconds` since 1970 in UTC, and the whole text of the checkpoint's note."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def cosignature_line(key: WitnessKey, seconds: int, signature: bytes) -> NoteSignature:
    """Return the signature line that says so: its payload is the time as a big-endian u64, then the signature."""
    return NoteSignature(key.name, key.id, seconds.to_bytes(_TIME_BYTES) + signature)


def verify_cosignatures(note: Note, keys: Iterable[WitnessKey]) -> dict[WitnessKey, Cosignature]:
    """
    Return the newest cosignature of each of `keys` that cosigned.

    Raises `NoteError` if a line of one of them does not hold. Lines of unknown keys are passed over.
    """
    known = {(key.name, key.id): key for key in keys}
    found: dict[WitnessKey, Cosignature] = {}
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        time = _verify_line(note.text, line, key)
        if key not in found or time > found[key].time:
            found[key] = Cosignature(key, time)
    return found


def _verify_line(text: str, line: NoteSignature, key: WitnessKey) -> datetime:
    if len(line.signature) != _TIME_BYTES + _SIGNATURE_BYTES:
        raise NoteError(f"the cosignature of {key.name} does not have its length")
    seconds = int.from_bytes(line.signature[:_TIME_BYTES])
    if seconds > LATEST:
        raise NoteError(f"the cosignature of {key.name} has a time after the year 9999")
    try:
        VerifyKey(key.public).verify(cosigned_message(text, seconds), line.signature[_TIME_BYTES:])
        return datetime.fromtimestamp(seconds, UTC)
    except (BadSignatureError, ValueError, TypeError) as error:
        raise NoteError(f"the cosignature of {key.name} does not fit the checkpoint") from error
