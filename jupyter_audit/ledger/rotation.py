"""
Key rotation: a new key is introduced under the old one, and the old secret is destroyed.

A thief of today's key can then not sign the past anew. The new secret is on disk, beside the old one, before the
entry that names it is committed: after a crash at any step one of the two files holds the key in force, and whoever
opens the ledger next finds it. Files are only moved with the ledger's write lock held, so two processes never do.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from jupyter_audit.errors import KeyFileError
from jupyter_audit.home import Home
from jupyter_audit.ledger.keys import Signer, is_protected, load_signer
from jupyter_audit.ledger.note import VerifierKey
from jupyter_audit.ledger.passphrase import SIGNING_KEY, passphrase


def load_key_in_force(home: Home, wanted: VerifierKey) -> Signer:
    """
    Return the signer of the key `wanted`, wherever a rotation left it. Changes nothing.

    Raises `KeyFileError` if it is in neither file, or a file is not safe to use.
    """
    # The file of the next key is looked at first: the other one may be half destroyed already.
    if os.path.lexists(home.next_signing_key):
        # Another process may have put it in its place since: then it is in the other file.
        with contextlib.suppress(KeyFileError):
            successor = load_signer(home.next_signing_key)
            if successor.verifier == wanted:
                return successor
    signer = load_signer(home.signing_key)
    if signer.verifier != wanted:
        raise KeyFileError(
            f"The signing key {home.signing_key} is not the one that {wanted.name} is signed with now.",
            advice="Put back the key that belongs to it. Nothing can be appended with another one.",
        )
    return signer


def prepare_successor(home: Home, name: str) -> Signer:
    """
    Make the next key and put it beside the one in force, durably. Call it with the ledger's write lock held.

    What a rotation that was never committed left there is removed. Raises `KeyFileError` if it cannot be written.
    """
    successor = Signer.generate(name)
    try:
        _write_next(home, successor, protected=is_protected(home.signing_key))
    except OSError as error:
        raise KeyFileError(f"The next key cannot be written: {error.strerror}. Nothing was changed.") from error
    return successor


def rewrite(home: Home, signer: Signer, *, protected: bool) -> None:
    """
    Write the key in force anew, protected by the passphrase or not. Call it with the ledger's write lock held.

    Raises `KeyFileError` if it cannot be written; then the old file is as it was.
    """
    try:
        _write_next(home, signer, protected=protected)
    except OSError as error:
        raise KeyFileError(f"The key cannot be written: {error.strerror}. Nothing was changed.") from error
    settle(home, signer.verifier)


def _write_next(home: Home, signer: Signer, *, protected: bool) -> None:
    text = signer.protected_text(passphrase(SIGNING_KEY)) if protected else signer.secret_text()
    home.next_signing_key.unlink(missing_ok=True)
    descriptor = os.open(home.next_signing_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(home.next_signing_key.parent)


def settle(home: Home, wanted: VerifierKey) -> None:
    """
    Put the key `wanted` in its place and destroy the one before it. Call it with the ledger's write lock held.

    Does nothing where that is done already; removes a next key that never came into force. Raises `KeyFileError`.
    """
    if not os.path.lexists(home.next_signing_key):
        return
    successor: Signer | None = None
    with contextlib.suppress(KeyFileError):  # half written, by a process that was killed before it committed
        successor = load_signer(home.next_signing_key)
    is_next = successor is not None and successor.verifier == wanted
    if not is_next:
        load_key_in_force(home, wanted)  # nothing is removed before the key in force is known to be in the other file
    try:
        if is_next:
            _overwrite(home.signing_key)
            home.next_signing_key.replace(home.signing_key)
        else:
            _overwrite(home.next_signing_key)
            home.next_signing_key.unlink()
        sync_folder(home.signing_key.parent)
    except OSError as error:
        raise KeyFileError(
            f"The old signing key could not be destroyed: {error.strerror}.",
            advice=f"The new key is in force. Mend what hinders writing in {home.signing_key.parent}, then start again.",
        ) from error


def _overwrite(path: Path) -> None:
    """Write over a secret's bytes where they are. What copies a disk or a backup keeps is out of reach (docs/keys.md)."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(bytes(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
