"""
Auditors' keys: contents are sealed to the public half, so that the server cannot read back what it recorded (P6).

The public half is one line, `auditor+<name>+<key ID>+<base64 of the X25519 key>`; the secret half is another,
`AUDITOR+KEY+<name>+<key ID>+<base64>`, or under a passphrase `PROTECTED+AUDITOR+KEY+<name>+<key ID>+<base64 of salt ‖ box>`
(as in `keys`). The key ID is the first 8 bytes of SHA-256("jupyter-audit auditor key v1" ‖ 0x00 ‖ name ‖ 0x0A ‖ key).
The secret half is made and kept on the auditor's machine; nothing of a server ever needs it. Pure: files are `auditorfile`'s.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from nacl.bindings import crypto_scalarmult
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey

from jupyter_audit.errors import ConfigError
from jupyter_audit.ledger.note import NoteError, decode_base64

MOST_AUDITORS = 16
KEY_SIZE = 32
_ID_DOMAIN = b"jupyter-audit auditor key v1\x00"
_NAME = re.compile(r"[!-*,-~]{1,64}")  # printable ASCII without space and plus
_PUBLIC = "auditor+"
SECRET = "AUDITOR+KEY+"  # noqa: S105 (a prefix)
PROTECTED = "PROTECTED+AUDITOR+KEY+"


class AuditorKeyError(ValueError):
    """A text is not an auditor's key."""


@dataclass(frozen=True, slots=True)
class AuditorKey:
    """The public half: contents can be sealed to it."""

    name: str
    key: bytes

    @property
    def id(self) -> str:
        """The key ID: 16 hex digits."""
        return sha256(_ID_DOMAIN + self.name.encode() + b"\n" + self.key).hexdigest()[:16]

    @property
    def label(self) -> str:
        """How sealed contents name it: `name+id`."""
        return f"{self.name}+{self.id}"

    def __str__(self) -> str:
        return f"{_PUBLIC}{self.label}+{base64.b64encode(self.key).decode()}"


@dataclass(frozen=True, slots=True)
class AuditorSecret:
    """The secret half: opens what was sealed to `public`."""

    public: AuditorKey
    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> AuditorSecret:
        """Return a new random key. Raises `AuditorKeyError` for a name that cannot be one."""
        secret = PrivateKey.generate()
        return cls(AuditorKey(_checked_name(name), bytes(secret.public_key)), bytes(secret))

    @property
    def private(self) -> PrivateKey:
        """The key as NaCl has it."""
        return PrivateKey(self.seed)

    def text(self) -> str:
        """Return the key file's only line."""
        return f"{SECRET}{self.public.label}+{base64.b64encode(self.seed).decode()}\n"


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise AuditorKeyError("its name has 1 to 64 characters of printable ASCII, neither space nor +")
    return name


def parse_auditor_key(text: str) -> AuditorKey:
    """Return the public key that a line spells; raises `AuditorKeyError`."""
    name, key_id, data = _parts(text.strip(), _PUBLIC, "an auditor's public key (auditor+NAME+ID+KEY)")
    key = AuditorKey(name, data)
    if key.id != key_id:
        raise AuditorKeyError("its key ID does not fit its key and name: it was mistyped or cut")
    try:
        crypto_scalarmult(bytes(range(1, 33)), data)
        PublicKey(data)
    except (CryptoError, RuntimeError):
        # A point of small order: whatever is sealed to it, anybody can open.
        raise AuditorKeyError("its key is one that protects nothing") from None
    return key


def parse_auditor_secret(text: str) -> AuditorSecret:
    """Return the secret key that a line spells; raises `AuditorKeyError` without repeating any of it."""
    name, key_id, data = _parts(text.removesuffix("\n"), SECRET, "an auditor's secret key")
    secret = AuditorSecret(AuditorKey(name, bytes(PrivateKey(data).public_key)), data)
    if secret.public.id != key_id:
        raise AuditorKeyError("its key ID does not fit its key")
    return secret


def _parts(line: str, prefix: str, what: str) -> tuple[str, str, bytes]:
    if not line.startswith(prefix) or line.count("+", len(prefix)) < 2:
        raise AuditorKeyError(f"it is not {what}")
    name, key_id, encoded = line.removeprefix(prefix).split("+", 2)
    try:
        data = decode_base64(encoded)
    except NoteError:
        data = b""
    if len(data) != KEY_SIZE:
        raise AuditorKeyError(f"it is not {what}: its key has not {KEY_SIZE} bytes in base64")
    return _checked_name(name), key_id, data


def parse_sealed_to(lines: Sequence[str]) -> tuple[AuditorKey, ...]:
    """Return the auditors that a setting names. Raises `ConfigError`, which says which line is wrong and how."""
    where = "c.JupyterAudit.sealed_to"
    keys: list[AuditorKey] = []
    for line in lines:
        if line.strip().startswith((SECRET, PROTECTED)):
            raise ConfigError(
                f"{where} holds an auditor's secret key. It has no place on a server.",
                advice="Have the auditor make a new key (this one was shown), and put its public line here: auditor+….",
            )
        try:
            keys.append(parse_auditor_key(line))
        except AuditorKeyError as error:
            advice = "Put in the line that `jupyter audit auditor-key create` or `show` printed."
            raise ConfigError(f"{where}: {line!r} cannot be used: {error}.", advice=advice) from error
    if len({key.id for key in keys}) != len(keys):
        raise ConfigError(f"{where} names a key twice.")
    if len(keys) > MOST_AUDITORS:
        raise ConfigError(f"{where} names {len(keys)} keys; {MOST_AUDITORS} are possible.")
    return tuple(keys)
