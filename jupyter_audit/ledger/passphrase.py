"""
The passphrase of a protected key: where it comes from, once for each process.

In this order: a file descriptor ($JUPYTER_AUDIT_KEY_PASSPHRASE_FD), a file ($JUPYTER_AUDIT_KEY_PASSPHRASE_FILE, or the systemd
credential `jupyter-audit-passphrase`), the environment ($JUPYTER_AUDIT_KEY_PASSPHRASE, which is taken out of it so that
no child inherits it), the terminal. Kernels get none of these variables: theirs are an allow-list. The keys of
auditors and of approvers have names of their own, so that one machine can hold them all.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jupyter_audit.errors import KeyFileError

VARIABLE = "JUPYTER_AUDIT_KEY_PASSPHRASE"
CREDENTIAL = "jupyter-audit-passphrase"
SHORTEST = 12
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Lock:
    """What a passphrase protects, and where that one is looked for."""

    key: str
    variable: str
    credential: str


SIGNING_KEY = Lock("the ledger's signing key", VARIABLE, CREDENTIAL)
APPROVER_KEY = Lock("the approver's key", "JUPYTER_AUDIT_APPROVER_PASSPHRASE", "jupyter-audit-approver-passphrase")
AUDITOR_KEY = Lock("the auditor's key", "JUPYTER_AUDIT_AUDITOR_PASSPHRASE", "jupyter-audit-auditor-passphrase")


@cache
def passphrase(lock: Lock) -> bytes:
    """
    Return the passphrase, without a newline at its end.

    It is kept in memory: descriptors and terminals give it once, and a key that changes is read again. Raises
    `KeyFileError` if there is none, or it is not safe where it is.
    """
    secret = _find(lock).rstrip(b"\r\n")
    if len(secret) < SHORTEST:
        raise KeyFileError(f"The passphrase of {lock.key} is shorter than {SHORTEST} bytes.")
    return secret


def confirm(lock: Lock = SIGNING_KEY) -> None:
    """Have a new passphrase that is typed typed twice: a slip would lock the key up. Raises `KeyFileError`."""
    typed = _is_typed(lock)
    first = passphrase(lock)
    if typed and getpass.getpass("The same passphrase again: ").encode() != first:
        raise KeyFileError("The two passphrases are not the same. Nothing was changed.")


def _is_typed(lock: Lock) -> bool:
    given = (lock.variable, f"{lock.variable}_FD", f"{lock.variable}_FILE", "CREDENTIALS_DIRECTORY")
    return not any(name in os.environ for name in given)


def _find(lock: Lock) -> bytes:
    variable, credential = lock.variable, lock.credential
    descriptor = os.environ.pop(f"{variable}_FD", None)
    if descriptor is not None:
        try:
            with os.fdopen(int(descriptor), "rb") as file:
                return file.read(_LONGEST)
        except (ValueError, OSError) as error:
            raise KeyFileError(f"${variable}_FD does not name a file descriptor that can be read: {descriptor}.") from error
    named = os.environ.get(f"{variable}_FILE")
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if named is not None:
        return _from_file(Path(named))
    if credentials is not None and credential in _listed(Path(credentials)):
        # systemd writes it readable for root's group where it gives it to the unit's account by an ACL.
        return _from_file(Path(credentials) / credential, most=0o040)
    given = os.environ.pop(variable, None)
    if given is not None:
        return os.fsencode(given)
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"Passphrase of {lock.key}: ").encode()
    raise KeyFileError(
        f"{lock.key[0].upper()}{lock.key[1:]} is protected by a passphrase, and none was given.",
        advice=f"Give it by ${variable}_FILE, ${variable}_FD, the systemd credential {credential}, or on a terminal "
        "(docs/keys.md).",
    )


def _listed(folder: Path) -> list[str]:
    """Return the names in the folder of the unit's credentials."""
    try:
        return os.listdir(folder)  # noqa: PTH208 (names)
    except OSError as error:
        raise KeyFileError(
            f"The folder of credentials {folder} cannot be read: {error.strerror}.",
            advice="systemd makes it for the account of the unit (User=); unset $CREDENTIALS_DIRECTORY elsewhere.",
        ) from error


def _from_file(path: Path, most: int = 0) -> bytes:
    """Return what a passphrase's file holds. Raises `KeyFileError` if others may do more with it than the mode `most` says."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077 & ~most:
                raise KeyFileError(
                    f"The passphrase file {path} is open to other accounts (mode {mode:04o}).",
                    advice=f"Choose another passphrase (`jupyter audit keys protect`), and `chmod 600 {path}`.",
                )
            return file.read(_LONGEST)
    except OSError as error:
        raise KeyFileError(f"The passphrase file {path} cannot be read: {error.strerror}.") from error
