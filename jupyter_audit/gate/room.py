"""
The room that the ledger has left on its disk: a cell that fills the disk must not stop the recording (P1).

Below the floor nothing new runs; below half of it what runs is ended, while there is still room to put that down. Grants of
a recovery profile are let through, for somebody must be able to make room. A disk is full of files, too, when it has no
inodes left, however many bytes are free.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024

FILES_FLOOR = 1000
"""New files that a disk must have room for; a tenth of all where it is made for few."""


@dataclass(slots=True)
class Room:
    """Free bytes where `folder` is, against `floor`, and new files that fit, against theirs, as of the last `look`."""

    folder: Path
    floor: int
    free: int = 0
    files: int = 0
    files_floor: int = 0

    def __post_init__(self) -> None:
        """Look for the first time."""
        self.look()

    def look(self) -> None:
        """Ask the file system. One that makes inodes as it needs them (statvfs: none in all) has no floor for files."""
        now = os.statvfs(self.folder)
        self.free = now.f_bavail * now.f_frsize
        self.files, self.files_floor = now.f_favail, min(FILES_FLOOR, now.f_files // 10)

    @property
    def short(self) -> bool:
        """Whether nothing new may run."""
        return self.free < self.floor or self.files < self.files_floor

    @property
    def spent(self) -> bool:
        """Whether what runs must end."""
        return self.free < self.floor // 2 or self.files < self.files_floor // 2

    def __str__(self) -> str:
        """Say how it stands."""
        if self.files < self.files_floor:
            return (
                f"{self.files} more files fit on the disk where the ledger is (its inodes are used up), fewer than "
                f"the {self.files_floor} that must"
            )
        return (
            f"{self.free // MIB} MiB are free where the ledger is, fewer than the {self.floor // MIB} MiB of "
            "c.JupyterAudit.free_space_floor"
        )
