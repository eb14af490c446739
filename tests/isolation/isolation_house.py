"""A server on one rung, and the names that probes find in its cells."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import namespaces
import psutil
import pytest
from support.servers import AuditedServer, KernelClient, audited_server, make_home

from jupyter_audit.access.terms import Rung
from jupyter_audit.gate import bubblewrap
from jupyter_audit.gate.isolation import account_of
from jupyter_audit.gate.landlock import SIGNALS_ABI, abi_version

OLD = "NOT AVAILABLE HERE: this machine's Landlock is older than the table is about; doctor says so too"
BARE = f"NOT AVAILABLE HERE: {bubblewrap.failure()}"
NO_LANDLOCK = pytest.mark.skipif(abi_version() < SIGNALS_ABI, reason=OLD)
NO_NAMESPACES = pytest.mark.skipif(bubblewrap.failure() is not None, reason=BARE)

FLOOR = 64 * 1024 * 1024
"""Bytes that a house's disk must have free, where that is its own, for cells to run."""

ACCOUNT = "nobody"
"""The account that kernels run under where it is not the server's."""


@functools.cache
def account_failure() -> str:
    """Return why no kernel can run under the account; nothing if one can."""
    entry = account_of(ACCOUNT)
    child = [sys.executable, "-I", "-c", "import jupyter_audit_kernel, psutil"]
    code = f"import subprocess; subprocess.run({child!r}, check=True, cwd='/', user={entry.uid}, group={entry.gid}, extra_groups=())"
    with tempfile.TemporaryDirectory() as aside:
        command = [*namespaces.after(namespaces.python_for_all(Path(aside))), sys.executable, "-I", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no kernel can run under the account {ACCOUNT}: {done.stderr.strip()[-200:]}"


NO_ACCOUNT = pytest.mark.skipif(bool(namespaces.failure()), reason=f"NOT AVAILABLE HERE: {namespaces.failure()}")

MARKS = {
    Rung.NONE: (),
    Rung.ACCOUNT: (NO_ACCOUNT,),
    Rung.LANDLOCK: (NO_LANDLOCK,),
    Rung.BUBBLEWRAP: (NO_NAMESPACES,),
    Rung.BUBBLEWRAP_LANDLOCK: (NO_NAMESPACES, NO_LANDLOCK),
}


@contextmanager
def server_on(rung: Rung, folder: Path, *options: str, mounts: Sequence[str] = ()) -> Iterator[AuditedServer]:
    """
    A server on a rung, in `folder`, which `folder_for` has made, after the shell commands `mounts` in a mount namespace of its own.
    """
    options = (f"--JupyterAudit.isolation={rung.value}", *options)
    if rung is Rung.ACCOUNT:
        make_home(folder)
        (folder / "work").chmod(0o777)
        for name in ("aside", "tmp"):
            (folder / name).mkdir()
        # Sessions have their folders in TMPDIR then, where a server that is killed leaves them.
        mounts = [*namespaces.python_for_all(folder / "aside"), f"export TMPDIR={folder / 'tmp'}", *mounts]
        options = (f"--JupyterAudit.kernel_account={ACCOUNT}", *options)
    with audited_server(folder, *options, before=namespaces.after(mounts) if mounts else ()) as server:
        yield server


@contextmanager
def folder_for(rung: Rung, factory: pytest.TempPathFactory) -> Iterator[Path]:
    """
    A folder for a server on a rung.

    On `account` it is none of pytest's own, which let no other account in; on the default rung none in /tmp, which is another
    one inside, so that the audit home itself is what is covered there.
    """
    if rung not in (Rung.ACCOUNT, Rung.BUBBLEWRAP_LANDLOCK):
        yield factory.mktemp("r")
        return
    if rung is Rung.ACCOUNT and account_failure():
        pytest.skip(f"NOT AVAILABLE HERE: {account_failure()}")
    with tempfile.TemporaryDirectory(prefix="ja-test-", dir="/tmp" if rung is Rung.ACCOUNT else "/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@dataclass
class House:
    """
    A server on one rung, with another program of the same account beside it: `beside` is what probes find it by.
    """

    rung: Rung
    server: AuditedServer
    beside: dict[str, object]
    lacks_daemons: str = ""
    lacks_a_disk: str = ""
    """Why there are no stand-ins for the system's daemons, and why its disk is none that may be filled; nothing where there are."""

    def session_of(self, client: KernelClient) -> str:
        started = self.server.await_entry("session.started", lambda e: e.body["kernel_id"] == client.kernel_id)
        assert started.body["isolation"] == self.rung.value
        return str(started.session)

    def supervisor_of(self, client: KernelClient) -> int:
        return self._supervisor(self.session_of(client)).pid

    def folder_of(self, client: KernelClient) -> Path:
        """Return the private folder of a kernel's session, which its own command line names."""
        session = self.session_of(client)
        command = self._supervisor(session).cmdline()
        file = next(Path(argument) for argument in command if f"/{session}/" in argument)
        return next(folder for folder in file.parents if folder.name == session)

    def _supervisor(self, session: str) -> psutil.Process:
        for child in psutil.Process(self.server.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if f"/{session}/" in " ".join(child.cmdline()):
                    return child
        raise AssertionError(f"session {session} has no supervisor")

    def names(self, client: KernelClient, other: KernelClient) -> dict[str, object]:
        """Return the names that probes use."""
        if self.rung is not Rung.ACCOUNT and not (self.server.home.run / "sessions").exists():
            pytest.fail("sessions have their folders elsewhere: the temporary folder's path is too long for a socket")
        return {
            "HOME": str(self.server.home.path),
            "SERVER": self.server.process.pid,
            "SUPERVISOR": self.supervisor_of(client),
            "OWN": self.session_of(client),
            "OTHER": str(self.folder_of(other)),
            "URL": self.server.url,
            **self.beside,
        }
