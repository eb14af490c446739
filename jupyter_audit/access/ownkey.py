"""
An approver's own key, on the approver's own machine: a file of mode 0600, and beside it the ledgers it was registered with.

The folder is the person's configuration folder, never the audit home: what lies there the server can read. A key
signs only for ledgers that its owner registered it with from this machine, so that one server cannot have it sign what
is meant for another.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from jupyter_audit.errors import KeyFileError, UsageError
from jupyter_audit.ledger.keys import Signer, read_signer
from jupyter_audit.ledger.note import NoteError
from jupyter_audit.ledger.passphrase import APPROVER_KEY, passphrase
from jupyter_audit.ledger.secretfile import read_secret

KEY_VARIABLE = "JUPYTER_AUDIT_APPROVER_KEY"
FILE_NAME = "approver.key"
KNOWN_SUFFIX = ".ledgers"


def default_key_file() -> Path:
    """Return `$JUPYTER_AUDIT_APPROVER_KEY`, or the file in this person's configuration folder."""
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path.home() / ".config") / "jupyter-audit" / FILE_NAME


def create_own_key(path: Path, name: str, *, protected: bool) -> Signer:
    """
    Make a key and write it to a new file that this account alone can read; `protected` puts it under a passphrase.

    Raises `UsageError` if a file is there already or the name cannot be one, `KeyFileError` without a passphrase.
    """
    try:
        signer = Signer.generate(name)
    except NoteError as error:
        raise UsageError(
            f"{name!r} cannot be the name of a key: {error}.", advice="A name has no spaces and no plus sign."
        ) from error
    text = signer.protected_text(passphrase(APPROVER_KEY)) if protected else signer.secret_text()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise UsageError(
            f"There is a key at {path} already. Nothing was written.",
            advice="Name another file with --key-file: the old key must sign the new one in (docs/signed-approvals.md).",
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return signer


def load_own_key(path: Path) -> Signer:
    """Return the key in a file. Raises `KeyFileError` if it is missing, malformed, not ours, or readable by others."""
    content = read_secret(
        path,
        "approver's key",
        missing="Make one with `jupyter audit keys mine create`, and register it with `jupyter audit keys mine register`.",
        exposed="Whoever read it can approve in your name: withdraw it (`jupyter audit keys mine withdraw`).",
    )
    return read_signer(content, f"The approver's key {path}", APPROVER_KEY)


def remember_ledger(path: Path, origin: str, where: str) -> None:
    """Keep that the key in `path` was registered with a ledger, which stood at `where` then."""
    known = known_ledgers(path)
    if origin not in known:
        known[origin] = where
        beside = _beside(path)
        beside.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        beside.chmod(0o600)


def known_ledgers(path: Path) -> dict[str, str]:
    """Return the ledgers (origin → where it stood) that the key in `path` signs for. Raises `KeyFileError`."""
    try:
        known = json.loads(_beside(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{_beside(path)} cannot be read: {error}.", advice="Register your key again.") from error
    if not isinstance(known, dict) or not all(isinstance(where, str) for where in known.values()):
        raise KeyFileError(f"{_beside(path)} is not what it should be.", advice="Delete it, and register your key again.")
    return known


def _beside(path: Path) -> Path:
    return path.with_name(path.name + KNOWN_SUFFIX)
