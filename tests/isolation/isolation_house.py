"""A server on one rung, and the names that probes find in its cells."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil
import pytest
from support.servers import AuditedServer, KernelClient

from jupyter_audit.access.terms import Rung
from jupyter_audit.gate import bubblewrap
from jupyter_audit.gate.landlock import SIGNALS_ABI, abi_version

OLD = "NOT AVAILABLE HERE: this machine's Landlock is older than the table is about; doctor says so too"
BARE = f"NOT AVAILABLE HERE: {bubblewrap.failure()}"
NO_LANDLOCK = pytest.mark.skipif(abi_version() < SIGNALS_ABI, reason=OLD)
NO_NAMESPACES = pytest.mark.skipif(bubblewrap.failure() is not None, reason=BARE)

MARKS = {
    Rung.NONE: (),
    Rung.LANDLOCK: (NO_LANDLOCK,),
    Rung.BUBBLEWRAP: (NO_NAMESPACES,),
    Rung.BUBBLEWRAP_LANDLOCK: (NO_NAMESPACES, NO_LANDLOCK),
}


@dataclass
class House:
    """A server on one rung, with another program of the same account beside it that listens on two Unix sockets."""

    rung: Rung
    server: AuditedServer
    sockets: dict[str, str]

    def session_of(self, client: KernelClient) -> str:
        started = self.server.await_entry("session.started", lambda e: e.body["kernel_id"] == client.kernel_id)
        assert started.body["isolation"] == self.rung.value
        return str(started.session)

    def supervisor_of(self, client: KernelClient) -> int:
        session = self.session_of(client)
        for child in psutil.Process(self.server.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if f"/{session}/" in " ".join(child.cmdline()):
                    return child.pid
        raise AssertionError(f"session {session} has no supervisor")

    def tell(self, client: KernelClient, other: KernelClient) -> None:
        """Give a kernel the names that probes use."""
        sessions = self.server.home.run / "sessions"
        names = {
            "HOME": str(self.server.home.path),
            "SERVER": self.server.process.pid,
            "SUPERVISOR": self.supervisor_of(client),
            "OWN": self.session_of(client),
            "OTHER": str(sessions / self.session_of(other)),
            "URL": self.server.url,
            **self.sockets,
        }
        if not sessions.exists():
            pytest.fail("sessions have their folders elsewhere: the temporary folder's path is too long for a socket")
        assert client.run("\n".join(f"{name} = {value!r}" for name, value in names.items()))["status"] == "ok"
