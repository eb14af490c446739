"""
Files with secrets: read only where no other account can, and put under a passphrase (docs/keys.md).

Under a passphrase a line is base64 of salt ‖ box: NaCl's secretbox of the plain line, its key Argon2id over the
passphrase with that salt (16 bytes; libsodium's interactive limits).
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random

from jupyter_audit.errors import KeyFileError
from jupyter_audit.ledger.note import NoteError, decode_base64


def read_secret(path: Path, what: str, *, missing: str, exposed: str, most: int = 4096) -> bytes:
    """
    Return the content, `most` bytes of it, of a file that holds a secret of this account.

    Raises `KeyFileError` if it is missing, not ours, or readable by others; `missing` and `exposed` say what that means.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise KeyFileError(f"There is no {what} at {path}.", advice=missing) from error
    except OSError as error:
        raise KeyFileError(f"The {what} {path} cannot be opened: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise KeyFileError(f"The {what} {path} is not a file of this account.")
        if mode & 0o077:
            raise KeyFileError(
                f"The {what} {path} is open to other accounts (mode {mode:04o}).",
                advice=f"{exposed} Find out who could; then `chmod 600 {path}`.",
            )
        return file.read(most)


class WrongPassphraseError(NoteError):
    """A key is protected by another passphrase than the one that was given."""


def lock_up(text: str, secret: bytes) -> str:
    """Return a key's line under a passphrase, in base64: salt ‖ box."""
    salt = random(argon2id.SALTBYTES)
    return base64.b64encode(salt + SecretBox(_stretched(secret, salt)).encrypt(text.encode())).decode()


def unlock(encoded: str, secret: bytes) -> str:
    """
    Return the line that `lock_up` put under a passphrase.

    Raises `WrongPassphraseError` for another passphrase (or a damaged box: nobody can tell them apart), `NoteError` for what is
    no such line.
    """
    try:
        data = decode_base64(encoded)
        salt, box = data[: argon2id.SALTBYTES], data[argon2id.SALTBYTES :]
        return SecretBox(_stretched(secret, salt)).decrypt(box).decode("ascii")
    except CryptoError:
        raise WrongPassphraseError("it is not protected by this passphrase") from None
    except (NoteError, UnicodeDecodeError):
        raise NoteError("it is not in the form of a protected key") from None


def _stretched(secret: bytes, salt: bytes) -> bytes:
    # The interactive limits: every command that writes pays them, some 50 ms.
    operations, memory = argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE
    return argon2id.kdf(SecretBox.KEY_SIZE, secret, salt, opslimit=operations, memlimit=memory)
