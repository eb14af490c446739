"""The files that auditors keep their secret keys in: mode 0600, under a passphrase where they like."""

from __future__ import annotations

import os
from pathlib import Path

from jupyter_audit.errors import KeyFileError, UsageError
from jupyter_audit.ledger.auditors import PROTECTED, SECRET, AuditorSecret, parse_auditor_secret
from jupyter_audit.ledger.note import NoteError
from jupyter_audit.ledger.passphrase import AUDITOR_KEY, passphrase
from jupyter_audit.ledger.secretfile import WrongPassphraseError, lock_up, read_secret, unlock


def load_auditor_secret(path: Path) -> AuditorSecret:
    """Return the secret key in a file. Raises `KeyFileError` if it is missing, malformed, not ours, or readable by others."""
    content = read_secret(
        path,
        "auditor's key",
        missing="It is the file that `jupyter audit auditor-key create` made. Nothing else opens what was sealed to it.",
        exposed="Whoever read it can read what was sealed to it. Make a new key for what is recorded from now on.",
    )
    try:
        text = content.decode("ascii")
        if text.startswith(PROTECTED):
            name, key_id, box = text.removesuffix("\n").removeprefix(PROTECTED).split("+", 2)
            text = unlock(box, passphrase(AUDITOR_KEY))
            if not text.startswith(f"{SECRET}{name}+{key_id}+"):
                raise NoteError("it protects another key than it names")
        return parse_auditor_secret(text)
    except WrongPassphraseError as error:
        advice = "Give the passphrase that it was protected with."
        raise KeyFileError(f"The auditor's key {path} cannot be used: {error}.", advice=advice) from error
    except ValueError as error:  # of its parts, its text or what is inside
        advice = "Name the secret file that `jupyter audit auditor-key create` made, not the public line."
        raise KeyFileError(f"The auditor's key {path} cannot be used: {error}.", advice=advice) from error


def write_auditor_secret(path: Path, secret: AuditorSecret, *, protected: bool) -> None:
    """
    Write a secret key to a new file that this account alone can read.

    Raises `UsageError` if there is a file already: what was sealed to a key that is written over is lost.
    """
    text = secret.text()
    if protected:
        text = f"{PROTECTED}{secret.public.label}+{lock_up(text, passphrase(AUDITOR_KEY))}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already. Nothing was written.", advice="Name another file.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
