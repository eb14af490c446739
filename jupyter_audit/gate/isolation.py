"""
The isolation ladder: what keeps a kernel's code away from ledger, key, server and other kernels (P3).

`landlock` takes the audit home, and everything outside the folders named, out of the kernel's reach, and its signals
too; `none` is an ordinary process of the same account. Claims never go beyond the rung in force, which every
session's first entry names. What each rung withstands is in docs/threat-model.md.

Landlock only knows what is allowed, so "everything but the audit home" is spelled out as the neighbours of each
folder on the way to it. The folders on the way themselves can then not be listed or written directly: a notebook
folder that lies above the audit home is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jupyter_audit.errors import ConfigError
from jupyter_audit.gate.landlock import LEAST_ABI, SIGNALS_ABI, abi_version

DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout", "stderr")
"""What a kernel may use of /dev. The rest holds disks, on which anything could be read past every rule."""


class Rung(StrEnum):
    """The rungs, from the ground up."""

    NONE = "none"
    LANDLOCK = "landlock"


@dataclass(frozen=True, slots=True)
class IsolationReport:
    """The rung in force, why it is not a higher one, and what it leaves open."""

    rung: Rung
    why: str
    advice: str = ""


def probe(wanted: str) -> IsolationReport:
    """
    Return what this machine can do of what is `wanted` (`auto`, `landlock` or `none`).

    Raises `ConfigError` if `landlock` is demanded and cannot be had.
    """
    if wanted == Rung.NONE:
        return IsolationReport(
            Rung.NONE,
            "c.JupyterAudit.isolation is 'none'",
            "Code in a cell can reach the ledger and its key. Set it to 'auto'.",
        )
    version = abi_version()
    if version >= SIGNALS_ABI:
        return IsolationReport(Rung.LANDLOCK, f"Landlock version {version}: files, ptrace and signals are fenced in")
    if version >= LEAST_ABI:
        return IsolationReport(
            Rung.LANDLOCK,
            f"Landlock version {version}: files and ptrace are fenced in, signals are not",
            "A cell can send signals to the server, which stops it. Linux 6.12 or newer closes that.",
        )
    if sys.platform != "linux":
        reason = f"there is no Landlock on {sys.platform}"
        advice = "Run the server on Linux 6.12 or newer wherever somebody may have a reason to tamper."
    else:
        reason = "this Linux has no Landlock, or too old a version of it"
        advice = "Use Linux 6.12 or newer with landlock among its security modules (lsm=…,landlock)."
    if wanted == Rung.LANDLOCK:
        raise ConfigError(f"c.JupyterAudit.isolation demands landlock, but {reason}.", advice=advice)
    return IsolationReport(Rung.NONE, reason, advice)


def check_folders(home: Path, root_dir: Path) -> None:
    """
    Raise `ConfigError` if the folder that kernels may write to holds the audit home, or lies in it.

    The sandbox gives the notebook folder as a whole, so whatever is beneath it is given too.
    """
    home, root_dir = home.resolve(), root_dir.resolve()
    if root_dir == home or root_dir in home.parents or home in root_dir.parents:
        raise ConfigError(
            f"The audit home {home} and the notebook folder {root_dir} lie in one another.",
            advice="Choose another notebook folder with --root-dir (c.ServerApp.root_dir), or another home "
            "(c.JupyterAudit.home), so that notebooks cannot touch the ledger.",
        )


def allowed_paths(
    hidden: Sequence[Path], writable: Sequence[Path], own: Path
) -> tuple[list[str], list[str]]:
    """
    Return what a kernel may read and what it may write, so that `hidden` is in neither.

    `own` is the session's private folder, which may lie in a hidden one.
    """
    hidden = [path.resolve() for path in hidden]
    readable = [str(path) for path in _neighbours(Path("/"), hidden) if path != Path("/dev")]
    devices = [str(Path("/dev") / name) for name in DEVICES]
    writes = [str(path.resolve()) for path in writable if not _reaches(path.resolve(), hidden)]
    return readable, [*writes, *devices, str(own)]


def _reaches(path: Path, hidden: Iterable[Path]) -> bool:
    return any(path == secret or path in secret.parents or secret in path.parents for secret in hidden)


def _neighbours(folder: Path, hidden: Sequence[Path]) -> list[Path]:
    """All of `folder` but what is hidden: its entries, one level deeper wherever a hidden folder lies below."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        # A link is no place of its own, but a rule on it would open the place it leads to: perhaps one above a
        # hidden folder. What it leads to is listed where it is.
        if path in hidden or path.is_symlink():
            continue
        if any(path in secret.parents for secret in hidden):
            found.extend(_neighbours(path, hidden))
        else:
            found.append(path)
    return found
