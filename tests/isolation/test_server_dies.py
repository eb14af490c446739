"""
A grant that expires, and a server that stops or is killed, take their sessions along on every rung.

The highest rung's are in tests/server/test_endings.py and tests/attacks/test_killed_servers.py; what a revocation ends on each is in
test_probes.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from datetime import UTC, datetime

import pytest
from isolation_house import MARKS, House, folder_for, server_on
from support.beats import Scene
from support.servers import wait_for

from jupyter_audit.access.terms import Rung

BELOW_THE_HIGHEST = [pytest.param(rung, marks=marks, id=rung.value) for rung, marks in MARKS.items() if rung is not Rung.BUBBLEWRAP_LANDLOCK]


@pytest.mark.parametrize("rung", BELOW_THE_HIGHEST)
def test_nothing_outlives_a_server_that_was_killed(rung: Rung, tmp_path_factory: pytest.TempPathFactory) -> None:
    mark = f"mark-{uuid.uuid4().hex}"

    def bearing() -> list[bytes]:
        return subprocess.run(["pgrep", "-f", mark], capture_output=True, check=False).stdout.split()

    with folder_for(rung, tmp_path_factory) as folder, server_on(rung, folder) as server:
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


@pytest.mark.parametrize("rung", BELOW_THE_HIGHEST)
def test_nothing_outlives_its_grant_or_a_stop(rung: Rung, tmp_path_factory: pytest.TempPathFactory) -> None:
    with folder_for(rung, tmp_path_factory) as folder, server_on(rung, folder, "--JupyterAudit.grace_seconds=1") as server:
        expiring = Scene.on_a_short_grant(server)
        expiring.assert_ended("expired", 1)
        stopping = Scene.begin(server, server.grant())
        assert stopping
        stopped = datetime.now(UTC)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        stopping.assert_ended("server_stopped", 1, stopped)
