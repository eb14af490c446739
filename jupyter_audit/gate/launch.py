"""
A supervised process: starts a command on a session's terms, isolated and under the supervisor, and ends it with
everything it started (P2, P3).

Kernels and terminals are both started here and nowhere else, so that whatever a rung keeps out of reach of the
one is out of reach of the other.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_audit_kernel.formats import PACKAGES_VARIABLE, SESSION_VARIABLE, VERIFY_KEY_VARIABLE
from nacl.signing import VerifyKey

from jupyter_audit.access.terms import OPEN, NetworkPolicy, Rung
from jupyter_audit.errors import NotStartedError
from jupyter_audit.gate import orphans, said, seccomp
from jupyter_audit.gate.bubblewrap import View, command_prefix
from jupyter_audit.gate.isolation import account_of, allowed_paths, clear_of
from jupyter_audit.gate.network import FILTER, enforcement, hosts_file, routes
from jupyter_audit.gate.pids import counts_by_namespace
from jupyter_audit.gate.supervisor import MARKER

POLL_S = 0.01

BEGIN_S = 20.0
"""Seconds that a command has to be begun before it is taken for a slow one; what follows it looks whether it answers."""

LATE = 2.0
"""How many times the grace a session's supervisor gives the server after the end of a grant, before it acts by itself."""

CLOCK_TICK_S = 1.0
"""How exactly the times at which processes began are known, in seconds, and some more."""

SITE = Path(__file__).parents[2]
"""Where this package is installed."""

SOCKETS = "c"
"""How the names of a kernel's sockets begin, in its private folder."""

PACKAGES = "packages"
"""The folder in a session's private one that packages are installed into, where their user has none."""

LONGEST_SOCKET = 100
"""Bytes of the longest path of a Unix socket that every system takes, with some to spare (unix(7): 108, macOS 104)."""


@dataclass(frozen=True, slots=True)
class LaunchTerms:
    """
    What one session's process is started with.

    `environment` are the names of the server's variables that are passed on. `session_dir` becomes the process's
    private folder. `hidden` is out of reach under a sandbox rung, `writable` (besides the private folder) not.
    `grace_seconds` is how long an end may take. `network` is what it may use of it, `account` (if it is not the server's)
    whom it runs as, `packages` the folder of its user's own that it may install Python packages into, if it is not to
    be gone with the session. `processes` is how many processes and threads it may have, where that can be counted (0: any
    number).
    """

    session: str
    verify_key: VerifyKey
    environment: tuple[str, ...]
    session_dir: Path
    rung: Rung
    hidden: tuple[Path, ...]
    writable: tuple[Path, ...]
    grace_seconds: float
    network: NetworkPolicy = OPEN
    account: str = ""
    packages: Path | None = None
    processes: int = 0

    @property
    def installs_into(self) -> Path:
        """The folder that Python packages are installed into: its user's own, or one that is gone with the session."""
        return self.packages or self.session_dir / PACKAGES


@dataclass(frozen=True, slots=True)
class EndOutcome:
    """How many processes besides the first were killed at the end, and whether all were shown to be gone."""

    processes: int
    clean: bool


class Supervised:
    """One command under the supervisor. `process` is the supervisor's."""

    def __init__(self, terms: LaunchTerms, process: subprocess.Popen[bytes], result_fd: int, begun_fd: int) -> None:
        self.terms = terms
        self.process = process
        self.outcome: EndOutcome | None = None
        self._result_fd: int | None = result_fd
        self._begun_fd: int | None = begun_fd
        self._started = time.time()

    @classmethod
    def start(
        cls,
        terms: LaunchTerms,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: str | None,
        terminal: int | None = None,
    ) -> Supervised:
        """
        Start the supervisor, which starts `command` in `folder`.

        `terminal` is the descriptor of a terminal's far end, which becomes the command's controlling terminal.
        Raises `OSError` where no process can be started.
        """
        told = json.dumps(plan(terms, folder or os.getcwd(), terminal)).encode()  # noqa: PTH109 (as Popen's own default)
        orphans.adopt_from_now_on()
        result_in, result_out = os.pipe()
        begun_in, begun_out = os.pipe()
        said_in, said_out = os.pipe()
        supervisor = [*interpreter("supervisor"), str(result_out), str(begun_out)]
        passed = [result_out, begun_out, *([] if terminal is None else [terminal])]
        try:
            process = subprocess.Popen(
                [*supervisor, "--", *command],
                env=dict(environment),
                cwd=folder or None,
                stdin=subprocess.PIPE,
                stdout=said_out,
                stderr=said_out,
                bufsize=0,  # an order that the supervisor no longer reads must not be left over for close()
                pass_fds=passed,
                start_new_session=True,
            )
        except BaseException:
            os.close(result_in)
            os.close(begun_in)
            os.close(said_in)
            raise
        finally:
            os.close(result_out)
            os.close(begun_out)
            os.close(said_out)
        said.pass_on(terms.session, said_in)
        orphans.register(process.pid)
        supervised = cls(terms, process, result_in, begun_in)
        supervised._order(len(told).to_bytes(4, "big") + told)
        return supervised

    async def begun(self) -> None:
        """
        Return once the command runs. Raises `NotStartedError` if it does not: then there is nothing but its end to wait for.
        """
        fd, self._begun_fd = self._begun_fd, None
        if fd is None:
            return
        os.set_blocking(fd, False)
        told, until = b"", time.monotonic() + BEGIN_S
        try:
            while time.monotonic() < until:
                try:
                    part = os.read(fd, 4096)
                except BlockingIOError:
                    await asyncio.sleep(POLL_S)
                    continue
                told += part
                if not part:
                    break
        finally:
            os.close(fd)
        if told != b"+" and time.monotonic() < until:
            why = told.lstrip(b"+").decode(errors="replace").strip().removeprefix("jupyter-audit: ")
            raise NotStartedError(f"The process could not be started: {why or 'its sandbox could not be made'}.")

    def send_signal(self, number: int) -> None:
        """Have the supervisor send a signal to the command's process group."""
        self._order(b"S" + bytes([number]))

    def limit(self, seconds: float) -> None:
        """Have the supervisor end everything by itself if the server has not, LATE times the grace after `seconds` from now."""
        milliseconds = int(1000 * (max(seconds, 0.0) + LATE * self.terms.grace_seconds))
        self._order(b"L" + milliseconds.to_bytes(8, "big"))

    async def end(self) -> None:
        """End the command and everything it started; return when that is done or the grace is over."""
        process, terms = self.process, self.terms
        self._order(b"E")
        until = time.monotonic() + max(terms.grace_seconds, 1.0)
        while process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 (a process's end sets no event)
            await asyncio.sleep(POLL_S)
        if process.poll() is None:
            # The supervisor does not answer. Its death takes the command along; the rest is the server's then.
            killed = kill_marked(terms.session)
            process.kill()
            process.wait()
            self.read_result()
            if self.outcome is not None:
                self.outcome = EndOutcome(killed + self.outcome.processes, self.outcome.clean)
        self.read_result()

    def read_result(self) -> None:
        """Take in what the supervisor said at the end, once it has."""
        fd, self._result_fd = self._result_fd, None
        if fd is None:
            return
        os.set_blocking(fd, False)
        try:
            told = json.loads(os.read(fd, 4096))
            self.outcome = EndOutcome(int(told["processes"]), bool(told["clean"]))
        except BlockingIOError:
            self._result_fd = fd
            return
        except (ValueError, KeyError):
            # The supervisor ended without a word: somebody killed it. What it had under it is the server's now.
            processes, gone = orphans.sweep(self._started - CLOCK_TICK_S)
            self.outcome = EndOutcome(processes, clean=gone and not marked(self.terms.session))
        orphans.forget(self.process.pid)
        os.close(fd)

    def _order(self, order: bytes) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                while order:
                    order = order[self.process.stdin.write(order) :]


def interpreter(module: str) -> list[str]:
    """
    Return the command line up to the arguments that runs a module of this package, with nothing else of the environment.

    Without `site`: reading its .pth files takes longer than all that these modules do.
    """
    code = f"import sys; sys.path.append({str(SITE)!r}); from jupyter_audit.gate import {module} as m; m.main(sys.argv[1:])"
    return [sys.executable, "-I", "-S", "-c", code]


def plan(terms: LaunchTerms, folder: str, terminal: int | None) -> dict[str, Any]:
    """Return what the supervisor is told: how to start a command in `folder` on these terms."""
    rung, network = terms.rung, terms.network
    by = enforcement(network, rung, can_filter=seccomp.available())
    readable, writable = allowed_paths(terms.hidden, _writable(terms), terms.session_dir)
    outer: list[str] = []
    as_root = os.geteuid() == 0 and not terms.account
    if rung.has_bubblewrap:
        view = View(
            own=terms.session_dir.resolve(),
            folder=folder,
            hidden=[path.resolve() for path in terms.hidden],
            writable=clear_of(_writable(terms), terms.hidden),
            shares_network=network.open,
            hosts=terms.session_dir / "hosts" if network.targets else None,
            capabilities=("CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN") if network.targets else (),
            as_root=as_root,
        )
        outer = command_prefix(view)
        writable.append("/tmp")  # noqa: S108 (the session's own, inside)
        if view.hosts is not None:
            view.hosts.write_text(hosts_file(network))
    inside = {
        "landlock": rung.has_landlock,
        "readable": readable,
        "writable": writable,
        "sandboxed": rung.height >= Rung.LANDLOCK.height,
        "filter": rung is not Rung.NONE and seccomp.available(),
        "families": None if network.open else seccomp.LOCAL if by == FILTER else seccomp.NAMESPACED,
        "processes": terms.processes if rung.has_bubblewrap and counts_by_namespace() and not as_root else 0,
        "offered": [(route.address, route.port) for route in routes(network)],
    }
    return {
        "mark": terms.session,
        "terminal": terminal,
        "account": asdict(account_of(terms.account)) if terms.account else None,
        "targets": network.targets,
        "outer": outer,
        "enter": interpreter("enter"),
        "inside": inside,
    }


def visible_places(terms: LaunchTerms, folder: str) -> list[Path]:
    """
    Return the folders whose files a process on these terms can see on every rung, whoever it runs as, of those that matter to
    its user: where it works (`folder`), what it may write to, and where Python is installed.
    """
    python = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    places = [Path(place) for place in (folder, *python) if place]
    return [*clear_of([*places, *_writable(terms)], terms.hidden), terms.session_dir]


def _writable(terms: LaunchTerms) -> tuple[Path, ...]:
    return terms.writable if terms.packages is None else (*terms.writable, terms.packages)


def sessions_folder(preferred: Path, account: str) -> Path:
    """
    Make the folder in which sessions have their private ones, and return it: `preferred`, if that will do.

    It will not where the paths of sockets in it would be too long, or where another account must get there: then it is a
    new one in the system's folder for temporary files, and just as private but for the way to one's own.
    """
    longest = preferred / "s-0123456789ab" / f"{SOCKETS}-5"
    if not account and len(os.fsencode(longest)) <= LONGEST_SOCKET:
        preferred.mkdir(mode=0o700, parents=True, exist_ok=True)
        return preferred
    folder = Path(tempfile.mkdtemp(prefix="jupyter-audit-"))
    if account:
        folder.chmod(0o711)
    return folder


def make_session_folder(terms: LaunchTerms) -> None:
    """Make the session's private folder, and give it to the account that the process will run as."""
    terms.session_dir.mkdir(mode=0o700)
    folders = [terms.session_dir, *(terms.session_dir / name for name in ("ipython", "tmp", "cache", PACKAGES))]
    for folder in folders[1:]:
        folder.mkdir(mode=0o700)
    for folder in folders:
        hand_over(terms, folder)


def hand_over(terms: LaunchTerms, path: Path) -> None:
    """Give a file or folder to the account that the process will run as, if that is another."""
    if terms.account:
        account = account_of(terms.account)
        os.chown(path, account.uid, account.gid)


def packages_folder(template: str, owner: str, account: str) -> Path | None:
    """
    Return (and make) the folder that a person may install Python packages into; None where `template` is empty.

    `{user}` in it stands for the person, in letters that no path gives a meaning to.
    """
    if not template:
        return None
    person = "".join(c if c.isascii() and c.isalnum() else f"={ord(c):x}=" for c in owner)
    folder = Path(template.replace("{user}", person)).expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account:
        entry = account_of(account)
        os.chown(folder, entry.uid, entry.gid)
    return folder


def remove_session_folder(terms: LaunchTerms) -> None:
    """Remove the session's private folder."""
    shutil.rmtree(terms.session_dir, ignore_errors=True)


def session_environment(terms: LaunchTerms, server: Mapping[str, str]) -> dict[str, str]:
    """
    Return a process's whole environment: what is allowed of the server's, its own folders, its session's terms.

    PYTHONPATH is not in it. A kernel that minds it would run a sitecustomize.py before its first cell: the person's own, or
    that of another session of the account, where no sandbox keeps that one out.
    """
    kept = {name: server[name] for name in terms.environment if name in server}
    packages = str(terms.installs_into)
    return kept | {
        PACKAGES_VARIABLE: packages,
        "PIP_TARGET": packages,
        "IPYTHONDIR": str(terms.session_dir / "ipython"),
        "TMPDIR": str(terms.session_dir / "tmp"),
        "XDG_CACHE_HOME": str(terms.session_dir / "cache"),
        "MPLCONFIGDIR": str(terms.session_dir / "cache"),  # or matplotlib warns in everybody's first cell
        SESSION_VARIABLE: terms.session,
        VERIFY_KEY_VARIABLE: base64.b64encode(bytes(terms.verify_key)).decode(),
        MARKER: terms.session,
    }


def marked(session: str) -> list[psutil.Process]:
    """Return the living processes that bear a session's mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill_marked(session: str) -> int:
    """Kill every process that bears a session's mark; return how many there were."""
    found = marked(session)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return len(found)
