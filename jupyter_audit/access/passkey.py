"""
Passkeys: the public half, and the check of what one signed (W3C WebAuthn level 3). Pure; needs public keys only.

A browser does not sign a text; it signs a challenge, and around it says where (clientDataJSON) and how (authenticatorData).
Here the challenge is the SHA-256 of what an Ed25519 key would sign in the same place, so whoever has the entry can see that
this passkey signed that text, at this server's address, after its owner showed who they are (a finger, a PIN).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from jupyter_audit.ledger.canonical import CanonicalError, canonicalize, parse_canonical

PREFIX = "passkey"
LONGEST = 8 * 1024
"""Characters of an assertion, and of a public key."""

SMALLEST_RSA = 2048
LARGEST_RSA = 4096
"""Bits. Every verification takes longer with a larger key, and whoever registers one chooses."""

USER_PRESENT, USER_VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, ATTESTED, EXTENDED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
"""Flags of authenticatorData (section 6.1)."""

LOCAL = "localhost"

Public = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class PasskeyError(ValueError):
    """A passkey, or what is said to be signed by one, is not what it has to be."""


class CounterError(PasskeyError):
    """The passkey's counter did not go on: it may have been copied, or what it signed was sent before."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """
    A passkey as it was registered. `text` is its public key, `credential` the id by which the browser finds it (base64url).

    `rp_id` is the host that it signs for; `label` what its owner calls it; `aaguid` the make that it says it is.
    """

    text: str
    credential: str
    rp_id: str
    label: str
    aaguid: str

    @property
    def name(self) -> str:
        """What to call it in an error."""
        return f"passkey {self.label!r}"


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a browser hands out when a passkey signed: section 5.2.2, and the credential's id."""

    credential: str
    client_data: bytes
    authenticator_data: bytes
    signature: bytes

    def text(self) -> str:
        """Return the canonical JSON that entries keep, under WebAuthn's own names."""
        value: dict[str, Any] = {
            "authenticatorData": encode(self.authenticator_data),
            "clientDataJSON": encode(self.client_data),
            "id": self.credential,
            "signature": encode(self.signature),
        }
        return canonicalize(value)[0]


def is_assertion(signature: str) -> bool:
    """Say whether a signature is a passkey's: JSON, where a key's is base64."""
    return signature.startswith("{")


def parse_assertion(text: str) -> Assertion:
    """Read an assertion in its one spelling. Raises `PasskeyError`."""
    try:
        value: dict[str, Any] = parse_canonical(text) if len(text) <= LONGEST else {}
    except (CanonicalError, UnicodeEncodeError) as error:
        raise PasskeyError(f"the passkey's answer is {error}") from error
    if value.keys() != {"authenticatorData", "clientDataJSON", "id", "signature"}:
        raise PasskeyError("the passkey's answer does not have the members of one")
    credential, client_data, authenticator_data, signature = (
        decode(value[name]) for name in ("id", "clientDataJSON", "authenticatorData", "signature")
    )
    return Assertion(encode(credential), client_data, authenticator_data, signature)


def challenge_of(message: bytes) -> bytes:
    """Return the challenge under which a passkey signs a message."""
    return sha256(message).digest()


def check_assertion(passkey: Passkey, message: bytes, said: Assertion, counter: int) -> int:
    """
    Return the passkey's new counter, if it signed this message, for its host, with its owner verified (section 7.2).

    `counter` is the one before. Which of the host's addresses it was signed at is not asked here; a server that takes an
    assertion asks. Raises `CounterError`, or `PasskeyError` naming the first thing that is wrong.
    """
    if said.credential != passkey.credential:
        raise PasskeyError(f"another passkey than the {passkey.name} signed it")
    _check_client_data(said.client_data, challenge_of(message), passkey.rp_id)
    data = said.authenticator_data
    if len(data) < 37 or data[:32] != sha256(passkey.rp_id.encode()).digest():
        raise PasskeyError(f"the {passkey.name} signed it for another host than {passkey.rp_id}")
    flags = data[32]
    if not flags & USER_PRESENT or not flags & USER_VERIFIED:
        raise PasskeyError(f"the {passkey.name} signed it without verifying who was there")
    if flags & BACKED_UP and not flags & BACKUP_ELIGIBLE:
        raise PasskeyError("it says that the passkey is copied elsewhere, and that it cannot be")
    if not flags & (ATTESTED | EXTENDED) and len(data) != 37:
        raise PasskeyError("the authenticator's data has something after it")
    if not _fits(public_of(passkey.text), said.signature, data + sha256(said.client_data).digest()):
        raise PasskeyError(f"the signature is not that of the {passkey.name}")
    new = int.from_bytes(data[33:37], "big")
    if (new or counter) and new <= counter:
        raise CounterError(
            f"the counter of the {passkey.name} is {new}, and was {counter} before: it may have been copied"
        )
    return new


def public_of(text: str) -> Public:
    """Return the public key that a line `passkey:ALGORITHM:KEY` names, KEY a SubjectPublicKeyInfo. Raises `PasskeyError`."""
    parts = text.split(":") if len(text) <= LONGEST else []
    if len(parts) != 3 or parts[0] != PREFIX:
        raise PasskeyError("a passkey's public key reads passkey:ALGORITHM:KEY")
    try:
        public = serialization.load_der_public_key(decode(parts[2]))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PasskeyError(f"the public key of a passkey cannot be read: {error}") from error
    if not isinstance(public, Public) or text_of(public) != text:
        raise PasskeyError("the public key of a passkey is none of ES256, EdDSA and RS256, or has another spelling")
    return public


def text_of(public: object) -> str:
    """Return the line of a public key. Raises `PasskeyError` for one that passkeys here do not have."""
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        algorithm = "ES256"
    elif isinstance(public, ed25519.Ed25519PublicKey):
        algorithm = "EdDSA"
    elif isinstance(public, rsa.RSAPublicKey) and SMALLEST_RSA <= public.key_size <= LARGEST_RSA:
        algorithm = "RS256"
    else:
        raise PasskeyError("the passkey's algorithm is none of ES256, EdDSA and RS256 (2048 to 4096 bits)")
    data = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"{PREFIX}:{algorithm}:{encode(data)}"


def is_at(origin: object, rp_id: str) -> bool:
    """Say whether a browser may use a passkey of this host at an origin: https at the host or one below it, or localhost."""
    if not isinstance(origin, str):
        return False
    try:
        parts = urlsplit(origin)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or origin != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        return False
    safe = parts.scheme == "https" or (parts.scheme == "http" and (host == LOCAL or host.endswith(f".{LOCAL}")))
    return safe and (host == rp_id or host.endswith(f".{rp_id}"))


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: object) -> bytes:
    """Decode base64url without padding. Raises `PasskeyError` for any other spelling of the same bytes."""
    try:
        data = base64.b64decode(str(text) + "=" * (-len(str(text)) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise PasskeyError("it has something in it that is not base64url") from error
    if encode(data) != text:
        raise PasskeyError("it has something in it that is not canonical base64url")
    return data


def _check_client_data(data: bytes, challenge: bytes, rp_id: str) -> None:
    try:
        said = json.loads(data.decode(), object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise PasskeyError("the browser's data is not JSON") from error
    if not isinstance(said, dict) or said.get("type") != "webauthn.get":
        raise PasskeyError("the browser's data is for another purpose than signing")
    if said.get("challenge") != encode(challenge):
        raise PasskeyError("it was signed for something else")
    if not is_at(said.get("origin"), rp_id):
        raise PasskeyError(f"it was signed at {str(said.get('origin'))[:200]!r}, which is not at {rp_id}")
    if said.get("crossOrigin", False) is not False or "topOrigin" in said:
        raise PasskeyError("it was signed within another site's page")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member is there twice")
    return made


def _fits(public: Public, signature: bytes, data: bytes) -> bool:
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            public.verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
