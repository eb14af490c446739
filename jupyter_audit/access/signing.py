"""
What approvers sign with keys of their own, and the check of it (docs/signed-approvals.md). Pure; needs public keys only.

A signature is Ed25519 over a domain ‖ 0x00 ‖ canonical JSON (RFC 8785): the domain keeps what was signed for one purpose
from counting for another. A statement names the ledger and the hash of the request's entry, so that it says yes or no
to that one request and to every word of it, and to no other. Whoever holds the server's key cannot make one.
"""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from jupyter_audit.clock import parse_time
from jupyter_audit.ledger.canonical import CanonicalError, canonicalize, parse_canonical
from jupyter_audit.ledger.note import NoteError, VerifierKey, decode_base64, format_verifier_key
from jupyter_audit.model import Json

APPROVAL = b"jupyter-audit approval v1"
REGISTRATION = b"jupyter-audit approver key v1"
WITHDRAWAL = b"jupyter-audit approver key withdrawn v1"

LONGEST_STATEMENT = 16 * 1024
"""Characters."""


class SigningError(ValueError):
    """A statement, key or signature is not what it has to be."""


class SignsBytes(Protocol):
    """Whoever holds a secret key, such as `ledger.keys.Signer`."""

    verifier: VerifierKey

    def signature(self, message: bytes) -> bytes:
        """Return the 64 bytes of the Ed25519 signature over a message."""


class Decision(StrEnum):
    """What a statement says."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Statement:
    """
    What an approver signs. `entry` is the leaf hash, in hex, of the entry of the request, which holds every word of it.

    `reason` is why it was denied, `key` the verifier key of the signature, `time` what the approver's clock said.
    """

    origin: str
    request: str
    entry: str
    requester: str
    profile: str
    ticket: str
    duration_s: int
    decision: str
    reason: str
    approver: str
    key: str
    time: str

    def text(self) -> str:
        """Return the canonical JSON."""
        values: dict[str, Json] = dataclasses.asdict(self)
        return canonicalize(values)[0]


@dataclass(frozen=True, slots=True)
class Signed:
    """The text of a statement, and the signature over it in base64: what an entry keeps."""

    statement: str
    signature: str

    def __bool__(self) -> bool:
        """Say whether there is anything: entries without a signature have empty texts."""
        return bool(self.statement or self.signature)


def sign(signer: SignsBytes, statement: Statement) -> Signed:
    """Return the statement under the signer's key and signature."""
    text = replace(statement, key=format_verifier_key(signer.verifier)).text()
    return Signed(text, seal(signer, APPROVAL, text))


def seal(signer: SignsBytes, domain: bytes, text: str) -> str:
    """Return the signature over a text, in base64."""
    return base64.b64encode(signer.signature(_message(domain, text))).decode()


def check(signed: Signed, expected: Statement, key: VerifierKey) -> Statement:
    """
    Return the statement, if it says what is `expected` (but for its `key` and `time`) and `key` signed it.

    Raises `SigningError` naming the first thing that differs.
    """
    said = parse_statement(signed.statement)
    for name in (field.name for field in dataclasses.fields(Statement) if field.name not in ("key", "time")):
        if getattr(said, name) != getattr(expected, name):
            raise SigningError(f"it was signed for another {name}: {getattr(said, name)!r}, not {getattr(expected, name)!r}")
    if said.key != format_verifier_key(key):
        raise SigningError(f"it was signed with another key than {key.name}+{key.id.hex()}")
    check_seal(key, APPROVAL, signed.statement, signed.signature)
    return said


def check_seal(key: VerifierKey, domain: bytes, text: str, signature: str) -> None:
    """Raise `SigningError` unless `signature` is the key's over a text."""
    try:
        VerifyKey(key.public).verify(_message(domain, text), decode_base64(signature))
    except (BadSignatureError, NoteError, ValueError, TypeError) as error:
        raise SigningError(f"the signature is not that of the key {key.name}+{key.id.hex()}") from error


def parse_statement(text: str) -> Statement:
    """Read a statement in its one spelling. Raises `SigningError`."""
    try:
        value: dict[str, Any] = parse_canonical(text) if len(text) <= LONGEST_STATEMENT else {}
    except (CanonicalError, UnicodeEncodeError) as error:
        raise SigningError(f"the statement is {error}") from error
    fields = {field.name: int if field.type == "int" else str for field in dataclasses.fields(Statement)}
    if value.keys() != fields.keys() or any(type(value[name]) is not kind for name, kind in fields.items()):
        raise SigningError("the statement does not have the members of one")
    return Statement(**value)


def signed_at(statement: Statement) -> datetime:
    """Return when a statement was signed, by the approver's clock. Raises `SigningError`."""
    try:
        return parse_time(statement.time)
    except ValueError as error:
        raise SigningError(f"the statement's time is not one: {error}") from error


def registration_text(origin: str, name: str, key: str, replaces: str) -> str:
    """Return what a new key signs to show that its owner wants it registered for `name`; `replaces` vouches with the same."""
    return canonicalize({"key": key, "name": name, "origin": origin, "replaces": replaces})[0]


def withdrawal_text(origin: str, name: str, key: str) -> str:
    """Return what a key signs to end itself."""
    return canonicalize({"key": key, "name": name, "origin": origin})[0]


def _message(domain: bytes, text: str) -> bytes:
    try:
        return domain + b"\0" + text.encode()
    except UnicodeEncodeError as error:
        raise SigningError("the statement is not Unicode") from error
