"""
Signed notes (https://c2sp.org/signed-note): a text, and under it signatures that name their keys.

Parsing is strict, so that one note has one spelling. Verifying needs public keys only; the secret half
is in `keys`. Keeps P7.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

ED25519 = b"\x01"
"""The signature type of Ed25519 in signed notes."""

_MAX_SIGNATURES = 100
_MAX_LENGTH = 1_000_000


class NoteError(ValueError):
    """A note or a key does not have the form that c2sp.org/signed-note gives it, or is not signed."""


def key_id(name: str, public: bytes, kind: bytes = ED25519) -> bytes:
    """Return the key ID: the first four bytes of SHA-256(name ‖ 0x0A ‖ signature type ‖ public key)."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def check_key_name(name: str) -> str:
    """Return `name`. Raises `NoteError` if it is empty, or has a space, a plus sign or what is no text in it."""
    if not name or "+" in name or any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name):
        raise NoteError(f"not a key name: {name!r}")
    return name


def decode_base64(text: str) -> bytes:
    """Decode standard base64 with padding. Raises `NoteError` for any other spelling of the same bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"not base64: {text!r}") from error
    if base64.b64encode(data).decode() != text:
        raise NoteError(f"not canonical base64: {text!r}")
    return data


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and the name it signs under."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each of its signatures."""
        return key_id(self.name, self.public)

    def verify(self, text: str, signature: bytes) -> None:
        """Raise `NoteError` unless `signature` is this key's over `text`."""
        try:
            VerifyKey(self.public).verify(text.encode(), signature)
        except (BadSignatureError, ValueError, TypeError) as error:
            raise NoteError(f"the signature of {self.name} does not fit the text") from error


def parse_verifier_key(text: str) -> VerifierKey:
    """
    Read `<name>+<key ID as 8 hex digits>+<base64 of 0x01 ‖ public key>`; raises `NoteError`.

    White space around it is passed over, because keys come from files and from people; `parse_named_key` reads those in entries.
    """
    return VerifierKey(*parse_key_text(text, ED25519))


def parse_named_key(text: object) -> VerifierKey:
    """Read a verifier key that an entry names: `format_verifier_key`'s spelling and no other; raises `NoteError`."""
    key = parse_verifier_key(text if isinstance(text, str) else "")
    if format_verifier_key(key) != text:
        raise NoteError(f"the verifier key of {key.name} has something around it")
    return key


def format_verifier_key(key: VerifierKey) -> str:
    """Return the text that `parse_verifier_key` reads."""
    return format_key_text(key.name, key.public, ED25519)


def parse_key_text(text: str, kind: bytes) -> tuple[str, bytes]:
    """Read the text of a verifier key of this signature type: its name and public key. Raises `NoteError`."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise NoteError("a verifier key reads <name>+<key ID>+<key>")
    name, shown_id, encoded = parts
    check_key_name(name)
    data = decode_base64(encoded)
    if len(data) != 33 or data[:1] != kind:
        raise NoteError(f"the verifier key of {name} is not an Ed25519 key of signature type {kind[0]}")
    if key_id(name, data[1:], kind).hex() != shown_id:
        raise NoteError(f"the verifier key of {name} does not have the key ID {shown_id}")
    return name, data[1:]


def format_key_text(name: str, public: bytes, kind: bytes) -> str:
    """Return the text that `parse_key_text` reads."""
    return f"{name}+{key_id(name, public, kind).hex()}+{base64.b64encode(kind + public).decode()}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the key's name and ID, and the signature."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text (ending in a newline) and its signatures, not yet verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def verify(self, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
        """
        Return those of `keys` that signed; one at least.

        Raises `NoteError` if none of them did, or if one of them did and the signature is wrong. Lines
        of unknown keys are passed over, as the specification asks.
        """
        by_name = {(key.name, key.id): key for key in keys}
        signers = []
        for line in self.signatures:
            key = by_name.get((line.name, line.key_id))
            if key is not None:
                key.verify(self.text, line.signature)
                if key not in signers:
                    signers.append(key)
        if not signers:
            raise NoteError("not signed by any of the keys given")
        return tuple(signers)


def format_signature(line: NoteSignature) -> str:
    """Return the signature line of a note, with its newline."""
    return f"\u2014 {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n"


def format_note(note: Note) -> str:
    """Return the text that `parse_note` reads."""
    return note.text + "\n" + "".join(format_signature(line) for line in note.signatures)


def parse_note(text: str) -> Note:
    """Read a signed note; raises `NoteError` for any other form. Nothing is verified yet."""
    if len(text) > _MAX_LENGTH:
        raise NoteError("the note is too long")
    if any((c < " " and c != "\n") or "\ud800" <= c <= "\udfff" for c in text):
        raise NoteError("the note has control characters in it")
    body, separator, lines = text.rpartition("\n\n")
    if not separator or not body:
        raise NoteError("the note has no signatures")
    return Note(body + "\n", parse_signatures(lines))


def parse_signatures(lines: str) -> tuple[NoteSignature, ...]:
    """Read signature lines, one at least, each with its newline; raises `NoteError`."""
    if not lines.endswith("\n"):
        raise NoteError("the note has no signatures")
    signatures: list[NoteSignature] = []
    for line in lines[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        if dash != "\u2014" or not encoded:
            raise NoteError(f"not a signature line: {line!r}")
        data = decode_base64(encoded)
        if len(data) < 5:
            raise NoteError(f"the signature of {name!r} is too short")
        signatures.append(NoteSignature(check_key_name(name), data[:4], data[4:]))
        if len(signatures) > _MAX_SIGNATURES:
            raise NoteError("the note has too many signatures")
    return tuple(signatures)
