"""When a grant ends, by time or by hand, whatever it started ends; and the user is told."""

from __future__ import annotations

import contextlib
import json
import signal
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import websocket
from support.beats import Scene, assert_within_grace
from support.processes import alive, bearing, processes_of
from support.servers import AuditedServer, KernelClient, audited_server, wait_for
from support.trackers import http_tracker

GRACE_S = 5.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    """One that allows a kernel besides which checks no permits."""
    with audited_server(Path(tmp_path_factory.mktemp("endings")), "--JupyterAudit.allowed_kernels=['audit', 'python3']") as running:
        yield running


def start_everything(client: KernelClient, mark: str) -> None:
    """In the kernel: a child, a child in a session of its own, a daemon that forked twice, and a shell's job."""
    client.run(
        f"""
import os, subprocess, sys, threading, time
job = [sys.executable, "-c", "import time; time.sleep(600)", {mark!r}]
subprocess.Popen(job)
subprocess.Popen(job, start_new_session=True)
subprocess.run(["sh", "-c", "nohup setsid sh -c 'exec " + sys.executable + " -c \\"import time; time.sleep(600)\\" {mark}' >/dev/null 2>&1 &"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, job)
    os._exit(0)
threading.Thread(target=lambda: time.sleep(600)).start()
"""
    )
    wait_for(lambda: len(bearing(mark)) >= 4, "the kernel's processes to start")


def test_revocation_in_the_middle_of_a_cell_ends_the_cell_the_kernel_and_every_process(server: AuditedServer) -> None:
    grant = server.grant()
    client = server.kernel()
    mark = f"mark-{uuid.uuid4().hex}"
    start_everything(client, mark)
    cell = client.execute("import time\nwhile True: time.sleep(0.1)")
    wait_for(lambda: any(m["header"]["msg_type"] == "execute_input" for m in (client.receive(),)), "the cell to run")
    server.revoke(grant)
    began = time.monotonic()
    wait_for(lambda: not bearing(mark), "every process to be gone", GRACE_S + 3)
    assert time.monotonic() - began < GRACE_S + 3
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.body["cause"], ended.body["clean"], ended.grant) == ("revoked", True, grant)
    assert_within_grace(server, ended, GRACE_S)
    # The child in the kernel's own process group may have ended by the interrupt; the others had to be killed.
    assert ended.body["processes"] >= 3  # type: ignore[operator]
    told = [m for m in client.heard if m["header"]["msg_type"] == "error" and m["parent_header"].get("msg_id") == cell]
    while not any(m["content"]["ename"] == "GrantRevoked" for m in told):
        message = client.receive()
        if message["header"]["msg_type"] == "error" and message["parent_header"].get("msg_id") == cell:
            told.append(message)
    admitted = server.await_entry("cell.admitted", lambda e: e.session == ended.session)
    assert server.finished(admitted.seq).body["status"] in ("error", "ended")


def test_expiry_ends_what_ignores_its_interrupt_and_all_that_was_started(server: AuditedServer) -> None:
    scene = Scene.on_a_short_grant(server)
    scene.assert_ended("expired", GRACE_S)
    assert server.await_entry("access.expired").grant == scene.grant
    busy = server.await_entry("cell.admitted", lambda e: e.body["kernel_id"] == scene.kernel.kernel_id)
    assert server.finished(busy.seq).body["status"] == "ended"


def test_after_the_end_a_cell_on_the_open_socket_is_refused(server: AuditedServer) -> None:
    grant = server.grant()
    client = server.kernel()
    client.run("1")
    server.revoke(grant)
    trace = server.work / "after-the-end"
    # The server may have closed the socket already, which is as good.
    with contextlib.suppress(OSError):
        client.execute(f"open({str(trace)!r}, 'w').close()")
    server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert not trace.exists()


def test_whoever_connected_while_a_cell_ran_is_told_in_the_next_cell_why_the_kernel_ended(server: AuditedServer) -> None:
    """A page that was loaded again does not know the running cell, so what is said under that one is not shown."""
    grant = server.grant()
    before = server.kernel()
    before.execute("print('on', flush=True)\nimport time\nwhile True: time.sleep(0.1)")
    while before.receive()["header"]["msg_type"] != "stream":
        pass
    after = KernelClient.__new__(KernelClient)
    after.server, after.kernel_id, after.subprotocol, after.session, after.heard = server, before.kernel_id, None, uuid.uuid4().hex, []
    after.connect()
    before.close()
    waiting = after.execute("print('behind it')")
    server.await_entry("cell.admitted", lambda e: e.body["msg_id"] == waiting)
    server.revoke(grant)
    server.await_entry("session.ended", lambda e: e.body["kernel_id"] == before.kernel_id)
    sent = after.execute("print('next')")
    told = {m["content"]["ename"]: m["content"]["evalue"] for m in after.wait(sent) if m["header"]["msg_type"] == "error"}
    assert list(told) == ["GrantRevoked"]
    assert grant in told["GrantRevoked"]
    assert "ask for a new grant" in told["GrantRevoked"]
    refused = server.await_entry("cell.refused", lambda e: e.body["msg_id"] == sent)
    assert refused.body["cause"] == "session_ended"
    # JupyterLab lets go of a kernel that is called dead, and then waits for the next cell for ever.
    assert not [m for m in after.heard if m["content"].get("execution_state") == "dead"]
    after.close()


def test_another_grant_does_not_carry_on_a_session_that_its_first_grant_ended(server: AuditedServer) -> None:
    first = server.grant()
    client = server.kernel()
    client.run("1")
    second = server.grant()
    server.revoke(first)
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert ended.grant == first
    server.revoke(second)


def test_a_restart_is_a_new_session_and_ends_what_the_old_one_started(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    mark = f"mark-{uuid.uuid4().hex}"
    start_everything(client, mark)
    status, answer = server.request("POST", f"/api/kernels/{client.kernel_id}/restart")
    assert status == 200, answer
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.body["cause"], ended.body["clean"]) == ("restart", True)
    assert bearing(mark) == []
    again = KernelClient(server, client.kernel_id)
    assert again.printed("print('back')") == "back\n"
    sessions = {e.session for e in server.entries("session.started") if e.body["kernel_id"] == client.kernel_id}
    assert len(sessions) == 2


def test_a_kernel_that_dies_takes_its_daemons_along(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    mark = f"mark-{uuid.uuid4().hex}"
    start_everything(client, mark)
    client.execute("import os; os._exit(3)")
    wait_for(lambda: not bearing(mark), "its processes to be gone")
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.body["cause"], ended.body["clean"]) == ("died", True)


def test_output_goes_on_being_recorded_when_the_browser_is_gone(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.execute("import time\nprint('before', flush=True)\ntime.sleep(1)\nprint('after')")
    while client.receive()["header"]["msg_type"] != "stream":
        pass
    client.close()
    admitted = server.await_entry("cell.admitted", lambda e: e.body["kernel_id"] == client.kernel_id and not e.body["canary"])
    finished = server.finished(admitted.seq)
    assert (finished.body["status"], finished.body["complete"]) == ("ok", True)
    outputs = server.reader.content(finished.seq, "outputs")
    assert outputs is not None
    assert json.loads(outputs)["outputs"][0]["preview"] == "before\nafter\n"


def test_output_after_a_cells_end_is_put_down_as_late(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.run("import threading; threading.Timer(0.5, lambda: print('late')).start()")
    admitted = server.await_entry("cell.admitted", lambda e: e.body["kernel_id"] == client.kernel_id and not e.body["canary"])
    # The kernel's own words at its start can be late output too, of no cell (-1).
    late = server.await_entry("cell.late_output", lambda e: e.body["admitted"] == admitted.seq)
    assert late.body["kernel_id"] == client.kernel_id
    assert late.body["reported_by"] == "kernel"


KNOCK = """
import threading
from jupyter_client import BlockingKernelClient
from ipykernel.kernelapp import IPKernelApp
def knock():
    client = BlockingKernelClient(connection_file=IPKernelApp.instance().abs_connection_file)
    client.load_connection_file(); client.start_channels()
    client.execute("open(MARK, 'w').close()", silent=True)
threading.Thread(target=knock).start()
"""
"""The kernel's own code uses the kernel's ports and key: the road that no fence on the outside closes."""


def test_code_that_comes_past_the_gate_is_found_and_ends_the_session(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.execute(f"MARK = 'past-the-gate'{KNOCK}")
    finding = server.await_entry("finding.raised", lambda e: e.body["rule"] == "foreign-code")
    assert finding.body["level"] == "critical"
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert ended.body["cause"] == "foreign_code"
    report = server.await_entry("kernel.report", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert report.body["detail"]["cause"] == "missing"  # type: ignore[index,call-overload]
    assert not (server.work / "past-the-gate").exists()


def test_in_a_kernel_that_checks_no_permits_it_runs_and_is_found_and_ends_the_session(server: AuditedServer, grant: str) -> None:
    client = server.kernel(name="python3")
    client.execute(f"MARK = 'past-the-gate-of-another-kernel'{KNOCK}")
    finding = server.await_entry("finding.raised", lambda e: e.body["rule"] == "foreign-code" and e.grant == grant)
    assert finding.body["level"] == "critical"
    assert "a cell which this server never sent" in str(finding.body["explanation"])
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.session, ended.body["cause"], ended.body["clean"]) == (finding.session, "foreign_code", True)
    # That it ran shows that the finding came of what was seen, not of a permit.
    assert (server.work / "past-the-gate-of-another-kernel").exists()
    assert [e for e in server.entries("kernel.report") if e.session == ended.session] == []


def test_stopping_the_server_ends_every_session_with_all_that_was_started_and_says_so(tmp_path: Path) -> None:
    profiles = "--JupyterAudit.profiles={'production-debug': {'terminals': True}}"
    with audited_server(tmp_path, profiles, "--JupyterAudit.grace_seconds=2") as server:
        idle = processes_of(server, server.kernel().kernel_id)
        scene = Scene.begin(server, server.grant())
        assert scene
        terminal = server.request("POST", "/api/terminals", {})[1]["name"]
        address = f"{server.url.replace('http', 'ws', 1)}/terminals/websocket/{terminal}"
        typed = f"{scene.beats.prefix}typed"
        with contextlib.closing(websocket.create_connection(address, header=[f"Authorization: token {server.token}"])) as socket:
            program = f"trap '' HUP INT TERM; touch {typed}; while :; do sleep 0.1; done"
            socket.send(json.dumps(["stdin", f'setsid sh -c "{program}" &\rsh -c "{program}"\r']))
            wait_for(lambda: len(bearing(f"touch {typed}")) >= 2 and Path(typed).exists(), "what was typed to run")
            stopped = datetime.now(UTC)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=60) == 0
        assert not any(alive(process) for process in idle)
        assert bearing(typed) == []
        scene.assert_ended("server_stopped", 2, stopped)
        ended = server.entries("session.ended")
        assert [(entry.body["cause"], entry.body["clean"]) for entry in ended] == [("server_stopped", True)] * 3
        assert server.await_entry("server.stopped").seq > max(entry.seq for entry in ended)


def test_a_grant_whose_ticket_is_closed_ends_with_its_kernel(tmp_path: Path) -> None:
    with http_tracker() as tracker:
        tracker.tickets["T-1"] = {"open": True}
        config = tmp_path / "config.py"
        profile = {"ticket_url": tracker.template, "ends_with_ticket": True, "ticket_seconds": 1}
        config.write_text(f"c.JupyterAudit.profiles = {{'production-debug': {profile!r}}}\nc.JupyterAudit.sweep_seconds = 0.1\n")
        config.chmod(0o600)
        with audited_server(tmp_path / "server", "--config", str(config)) as server:
            asked = server.api("POST", "requests", {"profile": "production-debug", "reason": "orders are stuck", "ticket": "T-1"})
            grant = server.api("POST", f"requests/{asked['id']}/approve", {})["id"]
            client = server.kernel()
            assert client.printed("print(1)") == "1\n"
            # A tracker that is down ends nothing at once.
            tracker.asked.clear()
            tracker.down = True
            wait_for(lambda: len(tracker.asked) >= 2, "the tracker to be asked again")
            assert client.printed("print(2)") == "2\n"
            tracker.down = False
            tracker.tickets.clear()
            revoked = server.await_entry("access.revoked", lambda e: e.grant == grant)
            assert (revoked.actor.name, revoked.body["reason"]) == ("jupyter-audit", "The ticket T-1 was closed.")
            assert server.await_entry("session.ended").body["cause"] == "revoked"
            client.close()


def test_an_idle_kernel_or_terminal_ends_and_a_busy_one_does_not(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(
        "c.JupyterAudit.profiles = {'production-debug': {'idle_minutes': 1, 'terminals': True}}\n"
        # A minute is over after three seconds.
        "from jupyter_audit.gate.sessions import Session\nidle_for = Session.idle_for\n"
        "Session.idle_for = lambda self, now: 20 * idle_for(self, now)\n"
    )
    config.chmod(0o600)
    with audited_server(tmp_path, f"--config={config}", "--JupyterAudit.grace_seconds=1") as server:
        server.grant()
        terminal = server.request("POST", "/api/terminals", {})[1]["name"]
        address = f"{server.url.replace('http', 'ws', 1)}/terminals/websocket/{terminal}"
        with contextlib.closing(websocket.create_connection(address, header=[f"Authorization: token {server.token}"])) as socket:
            socket.send(json.dumps(["stdin", "while true; do echo busy; sleep 0.2; done\r"]))
            assert server.request("POST", "/api/terminals", {})[0] == 200
            idle, busy = server.kernel(), server.kernel()
            busy.execute("import time; time.sleep(600)")
            idle.run("x = 1")
            ended = wait_for(lambda: found if len(found := server.entries("session.ended")) == 2 else None, "two to end")
            assert {entry.body["cause"] for entry in ended} == {"idle"}
            assert idle.kernel_id in {entry.body["kernel_id"] for entry in ended}
            assert [model["name"] for model in server.request("GET", "/api/terminals")[1]] == [terminal]
            assert [model["id"] for model in server.request("GET", "/api/kernels")[1]] == [busy.kernel_id]
            idle.close()
            busy.close()
