"""
How many processes (and threads) a server and all its sessions may have together, as whoever runs the machine has set it (Linux).

The server sets no such limit. RLIMIT_NPROC counts by account: it would hold for all sessions of one together, for the server
too, and for root not at all. Only in a user namespace of its own is a session counted apart (`counts_by_namespace`), and that
is what c.JupyterAudit.kernel_processes is for. Else a limit for each session takes a cgroup of its own, which a server can
make only where it was handed a part of the tree. What an admin can always do is to limit the server's cgroup (systemd's
TasksMax=, a container's --pids-limit); this tells whether that was done (cgroups(7): `pids.max`, in every cgroup above a
process; versions 2 and 1).
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def most_processes(pid: int | None = None, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """
    Return how many tasks the cgroups of a process (None: this one) allow at most; None if none of them says, or none can be read.

    `proc` and `cgroups` are where these file systems are mounted.
    """
    try:
        told = (proc / ("self" if pid is None else str(pid)) / "cgroup").read_text()
    except OSError:
        return None
    limits = [_limit_in(folder) for line in told.splitlines() for folder in _folders(line, cgroups)]
    return min((limit for limit in limits if limit is not None), default=None)


def machine_limit(proc: Path = PROC) -> int | None:
    """Return how many tasks the whole machine can have; None where it does not say."""
    limits = []
    for name in ("pid_max", "threads-max"):
        try:
            limits.append(int((proc / "sys" / "kernel" / name).read_text()))
        except (OSError, ValueError):
            continue
    return min(limits, default=None)


def counts_by_namespace(release: str | None = None) -> bool:
    """
    Return whether Linux counts an account's processes in each user namespace apart: from 5.14 on (commit 21d1c5e386bc).

    Pure, given a `release` as uname(2) has it.
    """
    major, minor, *_ = [*(os.uname().release if release is None else release).split("-")[0].split("."), "0", "0"]
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= (5, 14)


def _folders(line: str, cgroups: Path) -> list[Path]:
    """Return the folders of the cgroup in a line of /proc/PID/cgroup and of those above it, if tasks are counted there."""
    _, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    if controllers == "":
        mounts = [cgroups, cgroups / "unified"]
    elif "pids" in controllers.split(","):
        mounts = [cgroups / controllers, cgroups / "pids"]
    else:
        return []
    # What lies outside of this cgroup namespace is shown with `..`, and cannot be seen.
    steps = [step for step in PurePosixPath(path).parts if step not in ("/", "..")]
    return [mount.joinpath(*steps[:depth]) for mount in mounts for depth in range(len(steps) + 1)]


def _limit_in(folder: Path) -> int | None:
    try:
        return int((folder / "pids.max").read_text())
    except (OSError, ValueError):  # also where it says `max`
        return None
