"""
The audit home: the one folder that holds everything the engineer's code must not reach.

    <home>/                     mode 0700, owned by the account that runs the server
        ledger.db               the ledger (and SQLite's -wal and -shm beside it)
        keys/ledger.key         the signing key of the current epoch, mode 0600
        keys/ledger.vkey        the ledger's first public key, for auditors
        remembered.checkpoint   the last checkpoint seen, kept outside the ledger to notice a rollback
        people.json             who may log in, with hashes of their passwords and tokens, mode 0600
        anchors/                what each sink of checkpoints has taken
        cache/                  what can be made again from the ledger, such as the index of `search`
        cosigned/               the newest checkpoint that each witness cosigned
        run/                    what one server's life needs: connection files, server info, kernel folders
        jupyter/                the Jupyter configuration folder of the server that the launcher starts

Whoever can write here can stop the recording and sign entries; they still cannot change what a
remembered or witnessed checkpoint covers without being found out (docs/threat-model.md).
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.errors import HomeError

HOME_VARIABLE = "JUPYTER_AUDIT_HOME"


def default_home() -> Path:
    """Return `$JUPYTER_AUDIT_HOME`, or the data folder of this account as its platform has it."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "jupyter-audit"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "jupyter-audit"


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one audit home. Building it touches nothing on disk."""

    path: Path

    @property
    def ledger(self) -> Path:
        """The ledger's SQLite file."""
        return self.path / "ledger.db"

    @property
    def signing_key(self) -> Path:
        """The secret of the current key epoch."""
        return self.path / "keys" / "ledger.key"

    @property
    def next_signing_key(self) -> Path:
        """The secret that a rotation under way will put in its place."""
        return self.path / "keys" / "ledger.key.next"

    @property
    def verifier_key(self) -> Path:
        """The ledger's first public key, as a signed-note verifier key: later ones are proven from it."""
        return self.path / "keys" / "ledger.vkey"

    @property
    def remembered_checkpoint(self) -> Path:
        """The newest checkpoint that any of our processes has seen."""
        return self.path / "remembered.checkpoint"

    @property
    def people(self) -> Path:
        """Who may log in, where the server asks this file (`jupyter audit people`)."""
        return self.path / "people.json"

    @property
    def next_people(self) -> Path:
        """The file that a change under way will put in its place."""
        return self.path / "people.json.next"

    @property
    def anchors(self) -> Path:
        """What each sink of checkpoints has taken."""
        return self.path / "anchors"

    @property
    def caches(self) -> Path:
        """The folder of what can be made again from the ledger; a purge empties it."""
        return self.path / "cache"

    @property
    def cosigned(self) -> Path:
        """The newest checkpoint that each witness cosigned, a signed note each."""
        return self.path / "cosigned"

    @property
    def run(self) -> Path:
        """The folder of things that live no longer than a server does."""
        return self.path / "run"

    @property
    def jupyter_config(self) -> Path:
        """The Jupyter configuration folder of a server that the launcher starts."""
        return self.path / "jupyter"

    def create(self) -> None:
        """Make the folders, private to this account. Existing ones are left as they are, then checked."""
        for folder in (self.path, self.path / "keys", self.run, self.jupyter_config):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check()

    def check(self) -> None:
        """
        Raise `HomeError` unless the home exists, is ours, and nobody else can write or read it.

        The signing key and, in the run folder, the server's own token are protected by these modes.
        """
        if not self.path.is_dir():
            raise HomeError(
                f"There is no audit home at {self.path}.",
                advice=f"Run `jupyter audit init --home {self.path}` once, or name the right one "
                f"with --home or ${HOME_VARIABLE}.",
            )
        for folder in (self.path, self.path / "keys", self.run):
            if not folder.is_dir():
                continue
            status = folder.stat()
            if status.st_uid != os.geteuid():
                raise HomeError(
                    f"{folder} belongs to another account (uid {status.st_uid}).",
                    advice="Run this as the account that owns the audit home.",
                )
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise HomeError(
                    f"{folder} is open to other accounts (mode {stat.S_IMODE(status.st_mode):04o}).",
                    advice=f"Run `chmod 700 {folder}`, and find out who could have used it meanwhile.",
                )
