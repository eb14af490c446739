"""
What approvers sign with keys of their own, and the check of it (docs/signed-approvals.md). Pure; needs public keys only.

A signature is Ed25519 over a domain ‖ 0x00 ‖ canonical JSON (RFC 8785), or a passkey's assertion whose challenge is the
SHA-256 of that: the domain keeps what was signed for one purpose from counting for another. A statement names the ledger and
the hash of the request's entry, so that it says yes or no to that one request and to every word of it, and to no other. Whoever
holds the server's key cannot make one.
"""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol, TypeVar

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from jupyter_audit.access.passkey import CounterError, Passkey, PasskeyError, check_assertion, is_assertion, parse_assertion
from jupyter_audit.clock import parse_time
from jupyter_audit.ledger.canonical import CanonicalError, canonicalize, parse_canonical
from jupyter_audit.ledger.note import NoteError, VerifierKey, decode_base64, format_verifier_key
from jupyter_audit.model import Json

APPROVAL = b"jupyter-audit approval v1"
REGISTRATION = b"jupyter-audit approver key v1"
WITHDRAWAL = b"jupyter-audit approver key withdrawn v1"
PASSKEY_REGISTRATION = b"jupyter-audit passkey v1"

BY_PASSKEY = "passkey"
"""The `key` of a statement that a passkey signs: which of a person's passkeys is up to them, and stands in the assertion."""

LONGEST_STATEMENT = 16 * 1024
"""Characters."""

SHORTEST_NONCE = 32
"""Hexadecimal digits."""

PublicKey = VerifierKey | Passkey


class SigningError(ValueError):
    """A statement, key or signature is not what it has to be."""


class ClonedError(SigningError):
    """A passkey's counter did not go on: there may be a copy of it."""


class SignsBytes(Protocol):
    """Whoever holds a secret key, such as `ledger.keys.Signer`."""

    verifier: VerifierKey

    def signature(self, message: bytes) -> bytes:
        """Return the 64 bytes of the Ed25519 signature over a message."""


class Said(Protocol):
    """What statements of any kind have: dataclasses that name their key, their time and a passkey's nonce."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def key(self) -> str:
        """The key's line, or `BY_PASSKEY`."""

    @property
    def time(self) -> str:
        """What the clock of whoever made the statement said."""

    @property
    def nonce(self) -> str:
        """What nobody can guess; of passkeys alone."""


S = TypeVar("S", bound=Said)
"""A kind of statement."""


class Decision(StrEnum):
    """What a statement says."""

    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Statement:
    """
    What an approver signs. `entry` is the leaf hash, in hex, of the entry of the request, which holds every word of it.

    `reason` is why it was denied, `key` the verifier key of the signature, `time` what the approver's clock said. What a
    passkey signs has `BY_PASSKEY` for a key, the server's clock for a time, and a `nonce`; no other has one.
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
    nonce: str = ""

    def text(self) -> str:
        """Return the canonical JSON."""
        return text_of(self)


@dataclass(frozen=True, slots=True)
class Signed:
    """The text of a statement, and the signature over it in base64 or as a passkey's assertion: what an entry keeps."""

    statement: str
    signature: str

    def __bool__(self) -> bool:
        """Say whether there is anything: entries without a signature have empty texts."""
        return bool(self.statement or self.signature)


def sign(signer: SignsBytes, statement: Statement) -> Signed:
    """Return the statement under the signer's key and signature."""
    return sign_as(APPROVAL, signer, statement)


def sign_as(domain: bytes, signer: SignsBytes, statement: Said) -> Signed:
    """Return a statement of any kind under the signer's key and signature."""
    text = text_of(replace(statement, key=format_verifier_key(signer.verifier)))
    return Signed(text, seal(signer, domain, text))


def text_of(statement: Said) -> str:
    """Return the canonical JSON of a statement; one without a nonce does not name it."""
    values: dict[str, Json] = dataclasses.asdict(statement)
    if not statement.nonce:
        del values["nonce"]
    return canonicalize(values)[0]


def seal(signer: SignsBytes, domain: bytes, text: str) -> str:
    """Return the signature over a text, in base64."""
    return base64.b64encode(signer.signature(message(domain, text))).decode()


def check(signed: Signed, expected: Statement, key: PublicKey, counter: int = 0) -> tuple[Statement, int]:
    """
    Return the statement and the key's new counter, if it says what is `expected` (but for `key`, `time` and `nonce`) and `key`
    signed it.

    Raises `SigningError` naming the first thing that differs.
    """
    return check_as(APPROVAL, signed, expected, key, counter)


def check_as(domain: bytes, signed: Signed, expected: S, key: PublicKey, counter: int) -> tuple[S, int]:
    """Do what `check` does, for statements of any kind."""
    said = parse_said(type(expected), signed.statement)
    check_said(said, expected, key)
    return said, check_seal(key, domain, signed.statement, signed.signature, counter)


def check_said(said: Said, expected: Said, key: PublicKey) -> None:
    """
    Raise `SigningError` naming the first thing that a statement says otherwise than it must, if `key` is to have signed it.

    `expected` is of the same kind; its `key`, `time` and `nonce` are not looked at.
    """
    own = ("key", "time", "nonce")
    for name in (field.name for field in dataclasses.fields(expected) if field.name not in own):
        if getattr(said, name) != getattr(expected, name):
            raise SigningError(f"it was signed for another {name}: {getattr(said, name)!r}, not {getattr(expected, name)!r}")
    if said.key != (BY_PASSKEY if isinstance(key, Passkey) else key_text(key)):
        raise SigningError(f"it was signed with another key than {key_name(key)}")
    if bool(said.nonce) != isinstance(key, Passkey) or (said.nonce and len(said.nonce) < SHORTEST_NONCE):
        raise SigningError("it has a nonce and should have none, or none that will do")


def check_seal(key: PublicKey, domain: bytes, text: str, signature: str, counter: int = 0) -> int:
    """
    Return the key's counter from here on (0 for keys that have none), if `signature` is the key's over a text.

    Raises `SigningError`, and `ClonedError` for a passkey whose counter was at `counter` and did not go on.
    """
    if isinstance(key, Passkey):
        try:
            return check_assertion(key, message(domain, text), parse_assertion(signature), counter)
        except CounterError as error:
            raise ClonedError(str(error)) from error
        except PasskeyError as error:
            raise SigningError(str(error)) from error
    try:
        VerifyKey(key.public).verify(message(domain, text), decode_base64(signature))
    except (BadSignatureError, NoteError, ValueError, TypeError) as error:
        raise SigningError(f"the signature is not that of the {key_name(key)}") from error
    return counter


def signer_of(signature: str) -> str:
    """Return the credential of the passkey that a signature says it is of; empty for an Ed25519 key's. Raises `SigningError`."""
    try:
        return parse_assertion(signature).credential if is_assertion(signature) else ""
    except PasskeyError as error:
        raise SigningError(str(error)) from error


def key_text(key: PublicKey) -> str:
    """Return the line by which people compare a public key."""
    return key.text if isinstance(key, Passkey) else format_verifier_key(key)


def key_name(key: PublicKey) -> str:
    """Return what to call a key in an error."""
    return key.name if isinstance(key, Passkey) else f"key {key.name}+{key.id.hex()}"


def parse_statement(text: str) -> Statement:
    """Read a statement about a request in its one spelling. Raises `SigningError`."""
    return parse_said(Statement, text)


def parse_said(kind: type[S], text: str) -> S:
    """Read a statement of one kind, whose members are texts and numbers, in its one spelling. Raises `SigningError`."""
    try:
        value: dict[str, Any] = parse_canonical(text) if len(text) <= LONGEST_STATEMENT else {}
    except (CanonicalError, UnicodeEncodeError) as error:
        raise SigningError(f"the statement is {error}") from error
    fields = {field.name: int if field.type == "int" else str for field in dataclasses.fields(kind)}
    if "nonce" not in value:
        del fields["nonce"]
    if value.keys() != fields.keys() or any(type(value[name]) is not kind for name, kind in fields.items()):
        raise SigningError("the statement does not have the members of one")
    if value.get("nonce") == "":
        raise SigningError("the statement has an empty nonce")
    return kind(**value)


def signed_at(statement: Said) -> datetime:
    """Return when a statement was signed, by the approver's clock. Raises `SigningError`."""
    try:
        return parse_time(statement.time)
    except ValueError as error:
        raise SigningError(f"the statement's time is not one: {error}") from error


def registration_text(origin: str, name: str, key: str, replaces: str) -> str:
    """Return what a new key signs to show that its owner wants it registered for `name`; `replaces` vouches with the same."""
    return canonicalize({"key": key, "name": name, "origin": origin, "replaces": replaces})[0]


def passkey_text(origin: str, name: str, passkey: Passkey) -> str:
    """Return what a new passkey signs to show that its owner wants it registered for `name`, and what vouches for it."""
    said: dict[str, Json] = {"name": name, "origin": origin, "key": passkey.text, "credential": passkey.credential,
                             "rp_id": passkey.rp_id, "label": passkey.label, "aaguid": passkey.aaguid}  # fmt: skip
    return canonicalize(said)[0]


def withdrawal_text(origin: str, name: str, key: str) -> str:
    """Return what a key signs to end itself."""
    return canonicalize({"key": key, "name": name, "origin": origin})[0]


def message(domain: bytes, text: str) -> bytes:
    """Return the bytes that are signed for one purpose. Raises `SigningError` for what is not Unicode."""
    try:
        return domain + b"\0" + text.encode()
    except UnicodeEncodeError as error:
        raise SigningError("the statement is not Unicode") from error
