"""
bubblewrap: namespaces for one kernel, from the `bwrap` command (P3). No root, no daemon; Debian's package `bubblewrap`.

In them a kernel has a process tree of its own, which ends with its first process; its own /proc, /dev, /tmp and /run; a
read-only view of the rest, without what is hidden; and, where its profile says so, a network of its own with
nothing in it. See bwrap(1), whose options are used as it describes them.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.gate.enter import clear_ambient

MASKED = (Path("/tmp"), Path("/run"))  # noqa: S108 (masked, not used)
"""Where other programs of the account listen on sockets: tmux, session buses, agents, container engines."""

SYSTEM_LINKS = ("/run/current-system", "/run/opengl-driver")
"""Programs and libraries that some distributions keep in a masked folder."""

SYSTEM_CONTROLS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
"""What belongs to root in every /proc, and so to a kernel of root's even without a capability; it steers the whole machine."""

TRIAL_S = 10


@dataclass(frozen=True, slots=True)
class View:
    """
    What of the file system is seen inside, and the network.

    `own` is the session's folder, in which `tmp` becomes /tmp. `hidden` are folders that are empty inside, but for `own`;
    `writable` ones exist and do not reach into them. All paths are resolved. `hosts` stands in for /etc/hosts.
    `capabilities` are had while entering. `as_root` says whether it is root that enters.
    """

    own: Path
    folder: str
    hidden: Sequence[Path]
    writable: Sequence[Path]
    shares_network: bool
    hosts: Path | None = None
    capabilities: Sequence[str] = ()
    as_root: bool = False


def command_prefix(view: View) -> list[str]:
    """Return the command line of bwrap up to the command that is to run inside."""
    arguments = [_bwrap(), "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try"]
    if not view.shares_network:
        arguments.append("--unshare-net")
    arguments += ["--cap-drop", "ALL"]
    for capability in view.capabilities:
        arguments += ["--cap-add", capability]
    arguments += ["--ro-bind", "/", "/", *_devices(view), "--proc", "/proc"]
    for place in SYSTEM_CONTROLS:
        arguments += ["--ro-bind-try", place, place]
    arguments += ["--bind", str(view.own / "tmp"), "/tmp", "--tmpfs", "/run"]  # noqa: S108
    seen = list(view.writable)
    for path in view.writable:
        arguments += ["--bind", str(path), str(path)]
    for path in _needed():
        if _below(path, MASKED):
            arguments += ["--ro-bind-try", str(path), str(path)]
            seen.append(path)
    # After what was let in, so that nothing of it lets these in.
    covered = [path for path in view.hidden if path.is_dir() and (not _below(path, MASKED) or _below(path, seen))]
    for path in covered:
        arguments += ["--tmpfs", str(path)]
    arguments += ["--bind", str(view.own), str(view.own)]
    for path in (*covered, Path("/run")):
        arguments += ["--remount-ro", str(path)]
    if view.hosts is not None:
        arguments += ["--ro-bind", str(view.hosts), "/etc/hosts"]
    return [*arguments, "--chdir", view.folder, "--"]


def _devices(view: View) -> list[str]:
    """
    Return what makes /dev.

    For a /dev with terminals bwrap goes through a second user namespace, if it is not root, in which capabilities say nothing
    about the network any more. Who needs those gets no terminals (`os.openpty`) then.
    """
    if view.as_root or not view.capabilities:
        return ["--dev", "/dev"]
    arguments = ["--tmpfs", "/dev", "--dir", "/dev/shm", "--symlink", "/proc/self/fd", "/dev/fd"]  # noqa: S108
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        arguments += ["--dev-bind-try", f"/dev/{name}", f"/dev/{name}"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        arguments += ["--symlink", f"/proc/self/fd/{number}", f"/dev/{name}"]
    return arguments


def _needed() -> list[Path]:
    """What must stay to be seen, wherever it lies: the interpreter, and how names are resolved."""
    interpreter = Path(sys.executable).resolve().parent.parent
    packages = Path(__file__).resolve().parents[2]
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(interpreter), str(packages), *SYSTEM_LINKS]
    resolver = Path("/etc/resolv.conf")
    if resolver.is_symlink():
        places.append(os.path.realpath(resolver))
    return [Path(place) for place in dict.fromkeys(places)]


def _below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _bwrap() -> str:
    return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin") or "bwrap"


@functools.cache
def failure(account: int | None = None) -> tuple[str, str] | None:
    """
    Return why namespaces cannot be had on this machine, and what to do about it; None if they can. Tried once.

    `account` is the user id of another account that is to have them.
    """
    if sys.platform != "linux":
        advice = "Run the server on Linux wherever somebody may have a reason to tamper."
        return f"bubblewrap needs Linux, this is {sys.platform}", advice
    if not Path(_bwrap()).is_absolute():
        return "bubblewrap is not installed", "Install bubblewrap (apt-get install bubblewrap, dnf install bubblewrap)."
    trial = [_bwrap(), "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--ro-bind", "/", "/"]
    trial += ["--dev", "/dev", "--proc", "/proc", "--cap-drop", "ALL", "--", "/bin/sh", "-c", "exit 0"]
    try:
        done = subprocess.run(
            trial, capture_output=True, text=True, timeout=TRIAL_S, check=False, user=account,
            preexec_fn=clear_ambient,  # as kernels start it; tried once, before there are threads
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not run: {error}", "Run `bwrap --ro-bind / / true` and mend what it says."
    if done.returncode != 0:
        return (
            f"bubblewrap cannot make namespaces here: {done.stderr.strip()[:200]}",
            "Allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces; on "
            "Ubuntu an AppArmor profile for bwrap; in a container, one that may make namespaces). If it is about proc: a unit's "
            "ProtectKernelTunables= and ProcSubset=, or a container, cover parts of /proc (docs/team-server.md).",
        )
    return None
