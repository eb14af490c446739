"""
The signing key: made once with the ledger, kept in a file that only its owner can read.

The files have the forms of signed notes: `PRIVATE+KEY+<name>+<key ID>+<base64 of 0x01 ‖ seed>` and the
verifier key beside it. A key that others could have read is refused, because whoever read it can sign.

A protected key reads `PROTECTED+KEY+<name>+<key ID>+<base64 of salt ‖ box>`: the box is NaCl's secretbox of the plain
line, its key Argon2id over the passphrase with that salt (16 bytes; libsodium's interactive limits).
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from nacl.bindings import crypto_sign, crypto_sign_BYTES
from nacl.signing import SigningKey

from jupyter_audit.errors import KeyFileError
from jupyter_audit.ledger.note import (
    ED25519,
    NoteError,
    VerifierKey,
    check_key_name,
    decode_base64,
    format_verifier_key,
    key_id,
    parse_verifier_key,
)
from jupyter_audit.ledger.passphrase import SIGNING_KEY, Lock, passphrase
from jupyter_audit.ledger.secretfile import WrongPassphraseError, lock_up, read_secret, unlock

_PREFIX = "PRIVATE+KEY+"
_PROTECTED = "PROTECTED+KEY+"


class Signer:
    """Signs notes under one name with one Ed25519 key."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = SigningKey(seed)
        # What `SigningKey.sign` hands to libsodium, without the objects it makes around each signature.
        self._secret = seed + bytes(self._key.verify_key)
        self.verifier = VerifierKey(check_key_name(name), bytes(self._key.verify_key))
        self._id = self.verifier.id
        self._line = f"\n\u2014 {name} "

    @classmethod
    def generate(cls, name: str) -> Signer:
        """Return a signer with a new random key."""
        return cls(name, bytes(SigningKey.generate()))

    def sign(self, text: str) -> str:
        """Return the signed note over `text`, which must end in a newline."""
        encoded = base64.b64encode(self._id + self.signature(text.encode())).decode()
        return f"{text}{self._line}{encoded}\n"

    def signature(self, message: bytes) -> bytes:
        """Return the 64 bytes of the Ed25519 signature over a message."""
        return crypto_sign(message, self._secret)[:crypto_sign_BYTES]

    def protected_text(self, secret: bytes) -> str:
        """Return the key file's only line, unreadable without the passphrase."""
        return f"{_PROTECTED}{self.verifier.name}+{self._id.hex()}+{lock_up(self.secret_text(), secret)}\n"

    def secret_text(self) -> str:
        """Return the key file's only line."""
        encoded = base64.b64encode(ED25519 + bytes(self._key)).decode()
        return f"{_PREFIX}{self.verifier.name}+{self._id.hex()}+{encoded}\n"


def create_key_files(signer: Signer, signing_key: Path, verifier_key: Path, public: str = "") -> None:
    """
    Write both halves, durably, the secret one readable by this account alone. Never overwrites.

    `public` is what stands in the file of the verifier key, if it is not that of a signer of notes.
    Raises `FileExistsError` if either is there, `OSError` if they cannot be written; then neither is left.
    """
    created: list[Path] = []
    try:
        for path, text, mode in (
            (signing_key, signer.secret_text(), 0o600),
            (verifier_key, (public or format_verifier_key(signer.verifier)) + "\n", 0o644),
        ):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            created.append(path)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        for path in created:
            path.unlink(missing_ok=True)
        raise


def is_protected(path: Path) -> bool:
    """Say whether the key in `path` needs a passphrase; raises `OSError` if it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(_PROTECTED)) == _PROTECTED.encode()


def unprotect(text: str, secret: bytes) -> str:
    """Return the plain line of a protected key; raises `NoteError` for another passphrase or form."""
    line = text.removesuffix("\n")
    if not line.startswith(_PROTECTED):
        raise NoteError("it is not a protected signer key")
    name, _, rest = line.removeprefix(_PROTECTED).partition("+")
    shown_id, _, encoded = rest.partition("+")
    plain = unlock(encoded, secret)
    if not plain.startswith(f"{_PREFIX}{name}+{shown_id}+"):
        raise NoteError("it protects another key than it names")
    return plain


def parse_signing_key(text: str) -> Signer:
    """Read a key file's content; raises `NoteError` without repeating any of it."""
    line = text.removesuffix("\n")
    name, _, rest = line.removeprefix(_PREFIX).partition("+")
    shown_id, _, encoded = rest.partition("+")
    if not line.startswith(_PREFIX) or "\n" in line:
        raise NoteError("it is not a signed-note signer key")
    try:
        data = decode_base64(encoded)
    except NoteError:
        raise NoteError("it is not a signed-note signer key") from None
    if len(data) != 33 or data[:1] != ED25519:
        raise NoteError("it is not an Ed25519 key")
    signer = Signer(name, data[1:])
    if key_id(name, signer.verifier.public).hex() != shown_id:
        raise NoteError("its key ID does not fit its key")
    return signer


def load_signer(path: Path) -> Signer:
    """
    Return the signer whose key is in `path`.

    Raises `KeyFileError` if the file is missing, malformed, not ours, or readable by others.
    """
    content = read_secret(
        path,
        "signing key",
        missing="Restore it from where it is kept. Without it nothing can be added to this ledger; "
        "what is in it can still be read and verified.",
        exposed="Whoever read it can sign in this server's name.",
    )
    return read_signer(content, f"The signing key {path}", SIGNING_KEY)


def read_signer(content: bytes, what: str, lock: Lock) -> Signer:
    """Return the signer that a key file's content holds, its passphrase asked for by `lock`. Raises `KeyFileError`."""
    try:
        text = content.decode("ascii")
        return parse_signing_key(unprotect(text, passphrase(lock)) if text.startswith(_PROTECTED) else text)
    except WrongPassphraseError as error:
        advice = "Give the passphrase that it was protected with; an older copy of the key is no help."
        raise KeyFileError(f"{what} cannot be used: {error}.", advice=advice) from error
    except (NoteError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{what} cannot be used: {error}.", advice="Restore it from where it is kept.") from error


def load_verifier_key(path: Path) -> VerifierKey:
    """Return the public key in `path`; raises `KeyFileError` if it is missing or malformed."""
    try:
        return parse_verifier_key(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError, NoteError) as error:
        raise KeyFileError(f"The verifier key {path} cannot be used: {error}.") from error
