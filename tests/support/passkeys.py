"""A passkey in software: makes itself and signs as an authenticator and its browser do, and can be told to do it wrong."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HOST = "localhost"
ORIGIN = "http://localhost:8888"
PRESENT_AND_VERIFIED = 0x05
AAGUID = bytes(16)


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_key(algorithm: str) -> Any:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa.generate_private_key(65537, 2048)


@dataclass
class SoftPasskey:
    """`counter` goes up by one with each signature, unless it is None: then this one does not count, as synced ones do not."""

    algorithm: str = "ES256"
    rp_id: str = HOST
    counter: int | None = 0
    credential: str = field(default_factory=lambda: encode(os.urandom(16)))
    key: Any = None

    def __post_init__(self) -> None:
        self.key = self.key or new_key(self.algorithm)

    @property
    def text(self) -> str:
        """The public key as entries name it."""
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"passkey:{self.algorithm}:{encode(public)}"

    def sign(self, domain: bytes, text: str, **wrong: Any) -> str:
        """Return the assertion over a text, as the entry keeps it."""
        return self.answer(sha256(domain + b"\0" + text.encode()).digest(), **wrong)

    def answer(
        self,
        digest: bytes,
        *,
        origin: str = ORIGIN,
        rp_id: str = "",
        flags: int = PRESENT_AND_VERIFIED,
        counter: int | None = None,
        more: bytes = b"",
        **client: Any,
    ) -> str:
        """Return the assertion over a challenge, `digest`; `client` replaces members of clientDataJSON."""
        if counter is None and self.counter is not None:
            self.counter += 1
        count = counter if counter is not None else self.counter or 0
        data = sha256((rp_id or self.rp_id).encode()).digest() + bytes([flags]) + count.to_bytes(4, "big") + more
        said = {"type": "webauthn.get", "challenge": encode(digest), "origin": origin, "crossOrigin": False, **client}
        client_data = json.dumps(said).encode()
        return assertion(self.credential, data, client_data, self._signature(data + sha256(client_data).digest()))

    def _signature(self, data: bytes) -> bytes:
        signed: bytes
        if self.algorithm == "ES256":
            signed = self.key.sign(data, ec.ECDSA(SHA256()))
        elif self.algorithm == "RS256":
            signed = self.key.sign(data, padding.PKCS1v15(), SHA256())
        else:
            signed = self.key.sign(data)
        return signed

    def make(self, challenge: str, *, origin: str = ORIGIN, flags: int = PRESENT_AND_VERIFIED | 0x40) -> dict[str, str]:
        """Return what `navigator.credentials.create` gives, as POST passkeys/offers takes it."""
        from webauthn.helpers import encode_cbor

        numbers = self.key.public_key()
        if self.algorithm == "ES256":
            point = numbers.public_numbers()
            cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
        elif self.algorithm == "EdDSA":
            cose = {1: 1, 3: -8, -1: 6, -2: numbers.public_bytes(Encoding.Raw, PublicFormat.Raw)}
        else:
            whole = numbers.public_numbers()
            cose = {1: 3, 3: -257, -1: whole.n.to_bytes(256, "big"), -2: whole.e.to_bytes(3, "big")}
        identity = decode(self.credential)
        data = sha256(self.rp_id.encode()).digest() + bytes([flags]) + (self.counter or 0).to_bytes(4, "big")
        data += AAGUID + len(identity).to_bytes(2, "big") + identity + encode_cbor(cose)
        client = {"type": "webauthn.create", "challenge": challenge, "origin": origin, "crossOrigin": False}
        return {
            "id": self.credential,
            "client_data": encode(json.dumps(client).encode()),
            "attestation": encode(encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})),
        }


def assertion(credential: str, data: bytes, client_data: bytes, signature: bytes) -> str:
    """Return an assertion in the spelling of entries."""
    said = {"authenticatorData": encode(data), "clientDataJSON": encode(client_data), "id": credential, "signature": encode(signature)}
    return json.dumps(said, separators=(",", ":"))


def altered(answer: str, **changed: Any) -> str:
    """Return an assertion with members replaced, or, given a function, made anew from what they were."""
    said = json.loads(answer)
    for name, change in changed.items():
        said[name] = encode(change(decode(said[name]))) if callable(change) else change
    return json.dumps(said, separators=(",", ":"), sort_keys=True)
