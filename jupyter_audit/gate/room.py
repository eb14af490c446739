"""
The room that the ledger has left on its disk: a cell that fills the disk must not stop the recording (P1).

Below the floor nothing new runs; below half of it what runs is ended, while there is still room to put that down. Grants of
a recovery profile are let through, for somebody must be able to make room.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(slots=True)
class Room:
    """Free bytes where `folder` is, against `floor`, as of the last `look`."""

    folder: Path
    floor: int
    free: int = 0

    def __post_init__(self) -> None:
        """Look for the first time."""
        self.look()

    def look(self) -> None:
        """Ask the file system."""
        self.free = shutil.disk_usage(self.folder).free

    @property
    def short(self) -> bool:
        """Whether nothing new may run."""
        return self.free < self.floor

    @property
    def spent(self) -> bool:
        """Whether what runs must end."""
        return self.free < self.floor // 2

    def __str__(self) -> str:
        """Say how it stands."""
        return (
            f"{self.free // MIB} MiB are free where the ledger is, fewer than the {self.floor // MIB} MiB of "
            "c.JupyterAudit.free_space_floor"
        )
