"""A server that does nothing any more, because somebody keeps it busy: what it should end ends by itself, and nothing else does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import websocket
from support.beats import Beats, Scene
from support.processes import bearing
from support.servers import AuditedServer, audited_server, wait_for

GRACE_S = 0.5
LATE_S = 2 * GRACE_S
"""How long after the end of a grant nobody waits for the server any more."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    profiles = "--JupyterAudit.profiles={'production-debug': {'terminals': True}}"
    grace = (f"--JupyterAudit.grace_seconds={GRACE_S}", "--JupyterAudit.sweep_seconds=0.1")
    with audited_server(Path(tmp_path_factory.mktemp("busy")), profiles, *grace) as running:
        yield running


@contextmanager
def standing_still(server: AuditedServer) -> Iterator[None]:
    """Stop a server's process, as what people can do to it does: tests/attacks/requests/lab_licenses.py, and there may be more."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


def scene_and_terminal(server: AuditedServer) -> tuple[Scene, str]:
    """Have everything begun in a kernel and in a terminal on a grant that will soon expire; return also what the terminal's bears."""
    for seconds in (6, 20, 60):
        grant = server.short_grant(seconds).id
        terminal = server.request("POST", "/api/terminals", {})[1]["name"]
        address = f"{server.url.replace('http', 'ws', 1)}/terminals/websocket/{terminal}"
        typed = f"{server.work}/{grant}-typed"
        with contextlib.closing(websocket.create_connection(address, header=[f"Authorization: token {server.token}"])) as socket:
            program = f"trap '' HUP INT TERM; touch {typed}; while :; do sleep 0.1; done"
            socket.send(json.dumps(["stdin", f'setsid sh -c "{program}" &\r']))
            wait_for(Path(typed).exists, "what was typed to run")
        if scene := Scene.begin(server, grant):
            return scene, typed
    raise AssertionError("a minute was too short for a kernel to begin")


def test_what_a_grant_was_for_ends_with_it_though_its_server_stands_still(server: AuditedServer) -> None:
    scene, typed = scene_and_terminal(server)
    with standing_still(server):
        wait_for(lambda: not bearing(str(scene.beats.prefix)), "all of the kernel's to be gone")
        wait_for(lambda: not bearing(typed), "all of the terminal's to be gone")
        scene.beats.take_away()
        assert scene.beats.heard() == set()
        assert server.entries("access.expired", grant=scene.grant) == []
    scene.assert_ended("expired", None)
    ended = server.await_entry("session.ended", lambda e: e.grant == scene.grant and e.body["kernel_id"] != scene.kernel.kernel_id)
    assert ended.body["cause"] in ("expired", "shell_ended"), ended.body


def test_a_grant_that_was_extended_goes_on_though_its_server_stands_still_at_the_end_that_it_had(server: AuditedServer) -> None:
    grant = server.short_grant(3)
    beats = Beats(server.work / "extended-")
    kernel = server.kernel()
    assert kernel.run(beats.code)["status"] == "ok"
    asked = server.api("POST", f"grants/{grant.id}/extend", {"minutes": 20, "reason": "it takes longer"})
    server.api("POST", f"requests/{asked['id']}/approve", {})
    # The server looks at the latest when the grant was to end.
    wait_for(lambda: time.time() > grant.not_after.timestamp() + LATE_S / 4, "the end that it had")
    with standing_still(server):
        wait_for(lambda: time.time() > grant.not_after.timestamp() + 2 * LATE_S, "what was the latest then")
        assert beats.go_on()
    assert kernel.printed("print('and on')") == "and on\n"
    server.revoke(grant.id)
