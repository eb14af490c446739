"""
The isolation ladder: what keeps a kernel's code away from ledger, key, server and other kernels (P3).

`bubblewrap` gives a kernel namespaces of its own, `landlock` takes the audit home, and everything outside the folders
named, out of its reach, and signals too; `account` runs it under another account; `none` is an ordinary process of the
same one. Claims never go beyond the rung in force, which every session's first entry names. What each rung withstands
is in docs/threat-model.md.

Landlock only knows what is allowed, so "everything but the audit home" is spelled out as the neighbours of each
folder on the way to it. The folders on the way themselves can then not be listed or written directly: a notebook
folder that lies above the audit home is refused.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jupyter_audit.access.terms import Rung
from jupyter_audit.errors import ConfigError
from jupyter_audit.gate import bubblewrap
from jupyter_audit.gate.landlock import LEAST_ABI, SIGNALS_ABI, abi_version

AUTO = "auto"

DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout", "stderr")
"""What a kernel may use of /dev. The rest holds disks, on which anything could be read past every rule."""

_SWITCHING = (0, 1, 5, 6, 7)
"""The capabilities(7) that running kernels under another account takes: CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A rung that cannot be had here: why not, and what would change that."""

    rung: Rung
    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class IsolationReport:
    """
    The rung in force, why it is that one, and what to do about what it leaves open.

    `account` is the account that kernels run under besides, if it is not the server's. `missing` are the higher rungs.
    """

    rung: Rung
    why: str
    advice: str = ""
    account: str = ""
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the operating system, as a process needs it to become that account."""

    uid: int
    gid: int
    groups: tuple[int, ...]


WHY = {
    Rung.BUBBLEWRAP_LANDLOCK: "namespaces of bubblewrap (processes, files, /proc, /tmp), and Landlock version {abi} inside",
    Rung.BUBBLEWRAP: "namespaces of bubblewrap (processes, files, /proc, /tmp)",
    Rung.LANDLOCK: "Landlock version {abi}: files, ptrace and signals are fenced in",
    Rung.ACCOUNT: "kernels run under the account {account}, which cannot read the server's files",
    Rung.NONE: "kernels are ordinary processes of the server's account",
}

ADVICE = {
    Rung.LANDLOCK: "A cell sees other processes' names and environments, and reaches services that listen on sockets of this "
    "account (systemd-run --user, tmux), which can run what outlives the grant.",
    Rung.ACCOUNT: "Kernels share that account: a cell reaches the other kernels'. A sandbox rung closes that.",
    Rung.NONE: "Code in a cell can reach the ledger and its key.",
}


def probe(wanted: str = AUTO, account: str = "") -> IsolationReport:
    """
    Return what this machine can do of what is `wanted` (`auto` or a rung), with kernels under `account` if it is named.

    Raises `ConfigError` if a rung is demanded, or an account, that cannot be had.
    """
    if account:
        _check_may_switch(account)
        _check_interpreter(account)
    missing = {found.rung: found for found in _missing(account)}
    able = [rung for rung in Rung if rung not in missing]
    rung = able[-1] if wanted == AUTO else Rung(wanted)
    if rung in missing:
        raise ConfigError(
            f"c.JupyterAudit.isolation demands {rung.value}, but {missing[rung].why}.", advice=missing[rung].advice
        )
    why = WHY[rung].format(abi=abi_version(), account=account)
    if rung is not able[-1]:
        why += f"; c.JupyterAudit.isolation is {rung.value!r}, though {able[-1].value} can be had"
    elif rung is Rung.NONE:
        why += f": {missing[Rung.LANDLOCK].why}, and {missing[Rung.BUBBLEWRAP].why}"
    if account and rung is not Rung.ACCOUNT:
        why += f"; under the account {account}"
    advice = ADVICE.get(rung, "")
    if rung is Rung.LANDLOCK and abi_version() < SIGNALS_ABI:
        advice += " It can send signals to the server, which stops it, too: Linux 6.12 or newer closes that."
    higher = tuple(missing[step] for step in Rung if step in missing and step.height > rung.height)
    return IsolationReport(rung, why, advice, account, higher)


def _missing(account: str) -> Iterator[Missing]:
    if not account:
        yield Missing(
            Rung.ACCOUNT,
            "no account for kernels is named",
            "Name one in c.JupyterAudit.kernel_account; the server must be root, or have the capabilities to switch.",
        )
    landlock = _landlock_failure()
    namespaces = bubblewrap.failure(account_of(account).uid if account else None)
    if landlock is not None:
        yield Missing(Rung.LANDLOCK, *landlock)
    if namespaces is not None:
        yield Missing(Rung.BUBBLEWRAP, *namespaces)
    both = namespaces or landlock
    if both is not None:
        yield Missing(Rung.BUBBLEWRAP_LANDLOCK, *both)


def _landlock_failure() -> tuple[str, str] | None:
    if abi_version() >= LEAST_ABI:
        return None
    if sys.platform != "linux":
        advice = "Run the server on Linux 6.12 or newer wherever somebody may have a reason to tamper."
        return f"there is no Landlock on {sys.platform}", advice
    advice = "Use Linux 6.12 or newer with landlock among its security modules (lsm=…,landlock)."
    return "this Linux has no Landlock, or too old a version of it", advice


def account_of(name: str) -> Account:
    """Return an account by its name. Raises `ConfigError` if there is none, or if it is root or the server's own."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise ConfigError(
            f"c.JupyterAudit.kernel_account names {name!r}, which is no account of this machine.",
            advice=f"Create it (useradd --system {name}), or take the setting out.",
        ) from error
    if entry.pw_uid in (0, os.geteuid()):
        raise ConfigError(
            f"c.JupyterAudit.kernel_account names {name!r}, which is {'root' if entry.pw_uid == 0 else 'the server itself'}.",
            advice="Name an account that owns nothing of the server's.",
        )
    groups = os.getgrouplist(name, entry.pw_gid)
    return Account(entry.pw_uid, entry.pw_gid, tuple(group for group in groups if group != 0))


def _check_interpreter(account: str) -> None:
    """Raise `ConfigError` unless the account can run the Python that kernels are started with."""
    entry = account_of(account)
    command = [sys.executable, "-I", "-S", "-c", ""]
    try:
        subprocess.run(
            command, check=True, cwd="/", user=entry.uid, group=entry.gid, extra_groups=entry.groups, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(
            f"c.JupyterAudit.kernel_account names {account!r}, which cannot run {sys.executable}: {error}.",
            advice="Install Python and Jupyter Audit where that account may read and run them, such as in /opt.",
        ) from error


def _check_may_switch(account: str) -> None:
    """Raise `ConfigError` unless there is such an account, and this process may start others under it, and end them."""
    account_of(account)
    if os.geteuid() == 0:
        return
    effective = 0
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("CapEff:")]
        effective = int(line.split()[1], 16)
    if not all(effective >> capability & 1 for capability in _SWITCHING):
        raise ConfigError(
            f"c.JupyterAudit.kernel_account names {account!r}, but this server may not switch accounts.",
            advice="Give it the capabilities CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_CHOWN and CAP_DAC_OVERRIDE (systemd: "
            "AmbientCapabilities=), or take the setting out.",
        )


def lies_in(place: Path, folder: Path) -> bool:
    """
    Return whether `place` is `folder` or lies in it, whatever they are called.

    Links are followed, and what is there is compared as a file: one folder has two names where it is mounted twice, and
    where upper and lower case are one.
    """
    real, place = folder.resolve(), place.resolve()
    return any(where == real or _is_same(where, real) for where in (place, *place.parents))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def check_folders(home: Path, root_dir: Path) -> None:
    """
    Raise `ConfigError` if the folder that kernels may write to holds the audit home, or lies in it.

    The sandbox gives the notebook folder as a whole, so whatever is beneath it is given too.
    """
    home, root_dir = home.resolve(), root_dir.resolve()
    if lies_in(home, root_dir) or lies_in(root_dir, home):
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
    return readable, [*map(str, clear_of(writable, hidden)), *devices, str(own)]


def clear_of(writable: Iterable[Path], hidden: Iterable[Path]) -> list[Path]:
    """Return those of the writable folders that are there, and neither hold nor lie in a hidden one."""
    secrets = [path.resolve() for path in hidden]
    places = [path.resolve() for path in writable]
    return [place for place in places if place.exists() and not _reaches(place, secrets)]


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
