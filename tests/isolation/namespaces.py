"""
What tests mount: in namespaces of a server's own, which this machine never sees and which are gone with the server, and
small disks that a test may fill.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@functools.cache
def failure() -> str:
    """Return why there are none on this machine; nothing if there are."""
    if os.geteuid() != 0:
        return "only root can have a mount namespace without giving up being who it is"
    try:
        tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"unshare does not run: {error}"
    return "" if tried.returncode == 0 else f"no mount namespace can be had: {tried.stderr.strip()}"


def after(commands: Sequence[str]) -> list[str]:
    """Return the command line before that of a program that is to run in a namespace of its own, after some shell commands."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", " && ".join([*commands, 'exec "$@"']), "sh"]


@contextmanager
def small_disk(folder: Path, mib: int, files: int) -> Iterator[str]:
    """Put a file system of this size, for this many files, over `folder`; yield why there can be none, or nothing."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,nr_inodes={files},mode=755", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        yield f"no file system can be mounted: {mounted.stderr.strip()}"
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def python_for_all(aside: Path) -> list[str]:
    """
    Return the commands after which every account may come to this Python, if only the way there keeps others out.

    Over the first folder on the way that does, one is put that has nothing in it but Python. `aside` is an empty folder.
    """
    needed = [Path(prefix).resolve() for prefix in dict.fromkeys((sys.prefix, sys.base_prefix))]
    closed = {place: shut for place in needed if (shut := _first_closed(place)) is not None}
    commands = []
    for number, place in enumerate(closed):
        commands += [f"mkdir {_q(aside / str(number))}", f"mount --bind {_q(place)} {_q(aside / str(number))}"]
    commands += [f"mount -t tmpfs -o mode=755 none {_q(shut)}" for shut in dict.fromkeys(closed.values())]
    for number, place in enumerate(closed):
        commands += [f"mkdir -p {_q(place)}", f"mount --bind {_q(aside / str(number))} {_q(place)}"]
    return commands


def _first_closed(place: Path) -> Path | None:
    return next((folder for folder in reversed(place.parents) if not folder.stat().st_mode & 0o001), None)


def _q(path: Path) -> str:
    return shlex.quote(str(path))
