"""What tests ask of the processes of this machine."""

from __future__ import annotations

import subprocess

import psutil

from support.servers import AuditedServer


def bearing(mark: str) -> list[int]:
    """Return the processes with `mark` in their command line, as pgrep finds them. The dead have none."""
    found = subprocess.run(["pgrep", "-f", "--", mark], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def alive(process: psutil.Process) -> bool:
    """Return whether a process lives; a dead one that nobody has collected yet (whoever adopts orphans here) does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def processes_of(server: AuditedServer, kernel_id: str) -> list[psutil.Process]:
    """Return a kernel with its supervisor and its sandbox: what has its newest connection file in the command line."""
    started = server.await_entry("session.started", lambda e: e.body["kernel_id"] == kernel_id)
    found = [psutil.Process(pid) for pid in bearing(f"{started.session}/connection.json")]
    assert len(found) >= 2
    return found
