"""
A server that is killed, or stops, takes its sessions along, on the rungs without a process tree of the kernel's own, too.

The higher rungs' are in tests/attacks/test_killed_servers.py and tests/server/test_endings.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from pathlib import Path

import pytest
from isolation_house import MARKS, House
from support.beats import Scene
from support.servers import audited_server, wait_for

from jupyter_audit.access.terms import Rung


@pytest.mark.parametrize("rung", [pytest.param(rung, marks=MARKS[rung], id=rung.value) for rung in (Rung.NONE, Rung.LANDLOCK)])
def test_nothing_outlives_a_server_that_was_killed(rung: Rung, tmp_path: Path) -> None:
    mark = f"mark-{uuid.uuid4().hex}"

    def bearing() -> list[bytes]:
        return subprocess.run(["pgrep", "-f", mark], capture_output=True, check=False).stdout.split()

    with audited_server(tmp_path, f"--JupyterAudit.isolation={rung.value}") as server:
        server.grant()
        client = server.kernel()
        session = House(rung, server, {}).session_of(client)
        client.run(
            f"import os, subprocess, sys\njob = [sys.executable, '-c', 'import time; time.sleep(600)', {mark!r}]\n"
            "subprocess.Popen(job)\nsubprocess.Popen(job, start_new_session=True, env={})\n"
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: os.execve(sys.executable, job, {})\n    os._exit(0)"
        )
        wait_for(lambda: len(bearing()) >= 3, "the processes to run")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        wait_for(lambda: not bearing(), "the processes to be gone", 10)
        mark = f"{session}/connection.json"
        wait_for(lambda: not bearing(), "kernel and supervisor to be gone", 10)


def test_nothing_outlives_its_grant_or_a_stop_where_nothing_fences_it(tmp_path: Path) -> None:
    with audited_server(tmp_path, "--JupyterAudit.isolation=none", "--JupyterAudit.grace_seconds=2") as server:
        expiring = Scene.on_a_short_grant(server)
        expiring.assert_ended("expired")
        stopping = Scene.begin(server, server.grant())
        assert stopping
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        stopping.assert_ended("server_stopped")
