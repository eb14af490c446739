"""The witness's folder: its key, its verifier key, its memory; private to the account that runs it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.errors import HomeError, UsageError
from jupyter_audit.ledger.cosignature import WitnessKey, format_witness_key
from jupyter_audit.ledger.note import NoteError, check_key_name
from jupyter_audit.witness.cosigner import create_cosigner
from jupyter_audit.witness.memory import Memory


@dataclass(frozen=True, slots=True)
class WitnessFolder:
    """The paths in one witness's folder."""

    path: Path

    @property
    def secret(self) -> Path:
        """The secret key."""
        return self.path / "witness.key"

    @property
    def public(self) -> Path:
        """The verifier key, for the ledger's admin and for auditors."""
        return self.path / "witness.vkey"

    @property
    def memory(self) -> Path:
        """What was cosigned."""
        return self.path / "witness.db"

    def create(self, name: str) -> str:
        """
        Make folder, memory and key; return the verifier key.

        Never overwrites. Raises `HomeError` if one is there or the folder cannot be made, `UsageError` for a bad name.
        """
        try:
            check_key_name(name)
        except NoteError as error:
            raise UsageError(f"That is no name for a witness: {error}.", advice="Such as witness.example.org/w1.") from error
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check()
            # The memory first: a key without its memory must not come to be.
            Memory.create(self.memory)
            key: WitnessKey = create_cosigner(name, self.secret, self.public)
        except FileExistsError as error:
            raise HomeError(
                f"There is a witness in {self.path} already ({error.filename}). Nothing was changed.",
                advice="Name another folder with --folder.",
            ) from error
        except OSError as error:
            raise HomeError(f"The witness's folder {self.path} cannot be made: {error.strerror}.") from error
        return format_witness_key(key)

    def check(self) -> None:
        """Raise `HomeError` unless the folder is there, is ours, and nobody else can read or write it."""
        if not self.path.is_dir():
            raise HomeError(f"There is no witness in {self.path}.", advice="`jupyter audit witness init` makes one.")
        status = self.path.stat()
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid != os.geteuid() or mode & 0o077:
            raise HomeError(
                f"{self.path} is not private to this account (uid {status.st_uid}, mode {mode:04o}).",
                advice=f"Run this as the account that owns it; `chmod 700 {self.path}`, and find out who could have used it.",
            )
