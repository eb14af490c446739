"""
Kernels that are ended, restarted and started at the same moment, whoever asks first: none is left that nobody ends.

Jupyter itself lets these run into one another, and then keeps a process that is no kernel of the server's any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import websocket
from support.processes import bearing
from support.servers import AuditedServer, KernelClient, audited_server, wait_for

CONFIG = r"""
import asyncio, pathlib
from jupyter_audit.gate.provisioner import AuditProvisioner
from jupyter_audit.server.kernels import AuditKernelManager
folder = pathlib.Path(FOLDER)
launch, close = AuditProvisioner.launch_kernel, AuditKernelManager.audit_close
async def held_up(self, *args, **kwargs):
    (folder / f"launching-{self.terms.session}").touch()
    while (folder / "hold").exists():
        await asyncio.sleep(0.01)
    return await launch(self, *args, **kwargs)
async def told(self, *args, **kwargs):
    (folder / f"ending-{self.kernel_id}").touch()
    await close(self, *args, **kwargs)
AuditProvisioner.launch_kernel, AuditKernelManager.audit_close = held_up, told
from jupyter_audit.server.websocket import AuditWebsocketConnection
ask = AuditWebsocketConnection.request_kernel_info
def asked(self):
    (folder / f"connecting-{self.kernel_id}").touch()
    return ask(self)
AuditWebsocketConnection.request_kernel_info = asked
from jupyter_client.session import Session
made = Session.msg
def lasting(self, msg_type, content=None, *args, **kwargs):
    if (folder / "lasting").exists() and "jupyter-audit canary" in (content or {}).get("code", ""):
        wait = "import atexit, os, time\natexit.register(time.sleep, 0.5)\nwhile os.path.exists('canary-lasts'): time.sleep(0.01)\n"
        content["code"] = wait + content["code"]
    return made(self, msg_type, content, *args, **kwargs)
Session.msg = lasting
c.JupyterAudit.sweep_seconds = 0.2
"""


@dataclass
class Held:
    """A server that starts no process as long as it is held up; what is asked of it meanwhile runs in threads."""

    server: AuditedServer
    pool: ThreadPoolExecutor

    @property
    def hold(self) -> Path:
        return self.server.folder / "hold"

    def launches(self) -> int:
        return len(list(self.server.folder.glob("launching-*")))

    def ask(self, method: str, path: str, body: object = None) -> Future[tuple[int, Any]]:
        return self.pool.submit(self.server.request, method, path, body)

    def await_launch(self, count: int) -> None:
        wait_for(lambda: self.launches() >= count, "a launch to be held up")

    def await_ending(self, kernel_id: str) -> None:
        wait_for((self.server.folder / f"ending-{kernel_id}").exists, "the end to be asked for")

    @contextmanager
    def in_its_canary(self, kernel_id: str = "") -> Iterator[str]:
        """Start a kernel, or this one again, and give its id once its canary runs, which lasts until this is left."""
        lasting, lasts = self.server.folder / "lasting", self.server.work / "canary-lasts"
        lasting.touch()
        lasts.touch()
        before = len(self.server.entries("cell.admitted"))
        try:
            path = f"/api/kernels/{kernel_id}/restart" if kernel_id else "/api/kernels"
            status, model = self.server.request("POST", path, {"name": "audit"})
            assert status in (200, 201), model
            path = f"/api/kernels/{model['id']}"
            wait_for(lambda: len(self.server.entries("cell.admitted")) > before, "the canary to be sent")
            wait_for(lambda: self.server.request("GET", path)[1]["execution_state"] == "busy", "the canary to run")
            lasting.unlink()
            yield str(model["id"])
        finally:
            lasting.unlink(missing_ok=True)
            lasts.unlink()

    def await_connecting(self, kernel_id: str) -> None:
        wait_for((self.server.folder / f"connecting-{kernel_id}").exists, "a client to be connecting")

    def canaries_of(self, kernel_id: str) -> list[tuple[str | None, object]]:
        return [(e.session, e.body["passed"]) for e in self.server.entries("session.canary") if e.body["kernel_id"] == kernel_id]

    def sessions_of(self, kernel_id: str) -> list[str]:
        return [str(e.session) for e in self.server.entries("session.started") if e.body["kernel_id"] == kernel_id]

    def assert_all_ended(self, kernel_id: str) -> None:
        for session in self.sessions_of(kernel_id):
            self.server.await_entry("session.ended", lambda e, wanted=session: e.session == wanted)  # type: ignore[misc]
            assert bearing(f"{session}/connection.json") == []
        assert self.server.request("GET", f"/api/kernels/{kernel_id}")[0] == 404


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    folder = Path(tmp_path_factory.mktemp("turns"))
    config = folder / "config.py"
    config.write_text(CONFIG.replace("FOLDER", repr(str(folder))))
    with audited_server(folder, f"--config={config}") as server, ThreadPoolExecutor() as pool:
        yield Held(server, pool)


def test_a_kernel_that_is_ended_while_it_restarts_is_ended(held: Held) -> None:
    kernel = held.server.kernel()
    launched = held.launches()
    held.hold.touch()
    restarted = held.ask("POST", f"/api/kernels/{kernel.kernel_id}/restart")
    held.await_launch(launched + 1)
    deleted = held.ask("DELETE", f"/api/kernels/{kernel.kernel_id}")
    held.await_ending(kernel.kernel_id)
    held.hold.unlink()
    assert deleted.result()[0] == 204
    restarted.result()
    assert len(held.sessions_of(kernel.kernel_id)) == 2
    held.assert_all_ended(kernel.kernel_id)


def test_a_kernel_that_is_being_ended_cannot_be_restarted(held: Held) -> None:
    """Its owner would have a kernel that no grant's end ends."""
    grant = held.server.grant()
    kernel = held.server.kernel()
    # It takes its time to go, so that what comes meanwhile comes meanwhile.
    kernel.run("import atexit, time; atexit.register(time.sleep, 0.5)")
    deleted = held.ask("DELETE", f"/api/kernels/{kernel.kernel_id}")
    held.await_ending(kernel.kernel_id)
    restarts = [held.ask("POST", f"/api/kernels/{kernel.kernel_id}/restart") for _ in range(3)]
    assert deleted.result()[0] == 204
    assert [restart.result()[0] for restart in restarts] == [500] * 3
    assert len(held.sessions_of(kernel.kernel_id)) == 1
    held.assert_all_ended(kernel.kernel_id)
    held.server.revoke(grant)


def test_the_end_of_a_grant_waits_for_no_restart_of_a_kernel_that_does_not_go(held: Held) -> None:
    """A restart asks the kernel to go first, and waits for it."""
    grant = held.server.grant()
    kernel = held.server.kernel()
    kernel.run("import atexit, time; atexit.register(lambda: (open('goes', 'w').close(), time.sleep(600)))")
    restarted = held.ask("POST", f"/api/kernels/{kernel.kernel_id}/restart")
    wait_for((held.server.work / "goes").exists, "the kernel to be asked to go")
    held.server.revoke(grant)
    held.await_ending(kernel.kernel_id)
    assert restarted.result()[0] == 500
    [session] = held.sessions_of(kernel.kernel_id)
    ended = held.server.await_entry("session.ended", lambda e: e.session == session)
    assert (ended.body["cause"], ended.body["clean"], ended.grant) == ("revoked", True, grant)
    held.assert_all_ended(kernel.kernel_id)


def test_a_kernel_that_is_restarted_while_its_canary_runs_is_not_taken_for_one_that_failed_it(held: Held) -> None:
    """
    A restart interrupts whatever runs. It failed with "This kernel is being ended", and the kernel was gone.

    This kernel takes its time to go, so that what became of the canary is known before.
    """
    grant = held.server.grant()
    with held.in_its_canary() as kernel_id:
        assert held.server.request("POST", f"/api/kernels/{kernel_id}/restart")[0] == 200
    kernel = KernelClient(held.server, kernel_id)
    assert kernel.printed("print(6 * 7)") == "42\n"
    first, second = held.sessions_of(kernel_id)
    assert held.server.await_entry("session.ended", lambda e: e.session == first).body["cause"] == "restart"
    assert held.canaries_of(kernel_id) == [(second, True)]
    held.server.revoke(grant)


def test_an_interrupt_waits_for_the_canary_and_does_not_fail_it(held: Held) -> None:
    grant = held.server.grant()
    kernel = held.server.kernel()
    with held.in_its_canary(kernel.kernel_id):
        kernel.send("interrupt_request", {}, channel="control")
        interrupted = held.ask("POST", f"/api/kernels/{kernel.kernel_id}/interrupt")
        # The one over REST is put down, and then waits.
        held.server.await_entry("message.admitted", lambda e: (e.body["msg_type"], e.body["msg_id"]) == ("interrupt_request", ""))
        assert not interrupted.done()
    assert interrupted.result()[0] == 204
    while kernel.receive()["header"]["msg_type"] != "interrupt_reply":
        pass
    assert kernel.printed("print(6 * 7)") == "42\n"
    assert held.canaries_of(kernel.kernel_id) == [(session, True) for session in held.sessions_of(kernel.kernel_id)]
    held.server.revoke(grant)


def test_who_connects_while_a_kernel_is_restarted_twice_is_connected_to_the_last_one(held: Held) -> None:
    """The first one was asked what it is, and nobody else for a minute."""
    grant = held.server.grant()
    with held.in_its_canary() as kernel_id:
        connecting = held.pool.submit(KernelClient, held.server, kernel_id)
        held.await_connecting(kernel_id)
        assert held.server.request("POST", f"/api/kernels/{kernel_id}/restart")[0] == 200
        assert connecting.result(30).printed("print(6 * 7)") == "42\n"
    held.server.revoke(grant)


def test_who_connects_to_a_kernel_that_is_ended_meanwhile_is_told_that_there_is_none(held: Held) -> None:
    with held.in_its_canary() as kernel_id:
        connecting = held.pool.submit(KernelClient, held.server, kernel_id)
        held.await_connecting(kernel_id)
        assert held.server.request("DELETE", f"/api/kernels/{kernel_id}")[0] == 204
        with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
            connecting.result(30)


def test_who_leaves_before_being_connected_is_no_connection_less(held: Held) -> None:
    """Jupyter counts it as one that was there; then the output of whoever is last to leave is not kept for their return."""
    grant = held.server.grant()
    with held.in_its_canary() as kernel_id, closing(HTTPConnection(held.server.url.removeprefix("http://"))) as connection:
        path = f"/api/kernels/{kernel_id}/channels?session_id=hasty"
        connection.putrequest("GET", path)
        for name, value in {
            "Authorization": f"token {held.server.token}",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
            "Sec-WebSocket-Version": "13",
        }.items():
            connection.putheader(name, value)
        connection.endheaders()
        held.await_connecting(kernel_id)
    kernel = KernelClient(held.server, kernel_id)
    assert held.server.request("GET", f"/api/kernels/{kernel_id}")[1]["connections"] == 1
    kernel.socket.close()
    wait_for(lambda: held.server.request("GET", f"/api/kernels/{kernel_id}")[1]["connections"] == 0, "nobody to be connected")
    held.server.revoke(grant)


def test_an_interrupt_of_a_kernel_that_is_restarted_meanwhile_has_nothing_to_stop_and_is_no_error(held: Held) -> None:
    """Jupyter says then that it cannot (500)."""
    with held.in_its_canary() as kernel_id:
        interrupted = held.ask("POST", f"/api/kernels/{kernel_id}/interrupt")
        held.server.await_entry("message.admitted", lambda e: e.body["kernel_id"] == kernel_id)
        launched = held.launches()
        held.hold.touch()
        restarted = held.ask("POST", f"/api/kernels/{kernel_id}/restart")
        held.await_launch(launched + 1)
        assert interrupted.result()[0] == 204
        held.hold.unlink()
        assert restarted.result()[0] == 200


def test_two_kernels_under_one_id_at_the_same_moment_are_one(held: Held) -> None:
    kernel_id = "11111111-2222-3333-4444-555555555555"
    launched = held.launches()
    held.hold.touch()
    first = held.ask("POST", "/api/kernels", {"name": "audit", "kernel_id": kernel_id})
    held.await_launch(launched + 1)
    status, answer = held.server.request("POST", "/api/kernels", {"name": "audit", "kernel_id": kernel_id})
    held.hold.unlink()
    assert (status, "is being started" in answer["message"]) == (409, True)
    assert first.result()[0] == 201
    assert held.server.request("POST", "/api/kernels", {"name": "audit", "kernel_id": kernel_id})[1]["id"] == kernel_id
    assert len(held.sessions_of(kernel_id)) == 1
    assert held.server.request("DELETE", f"/api/kernels/{kernel_id}")[0] == 204
    held.assert_all_ended(kernel_id)


def test_whoever_ends_a_kernel_that_is_being_ended_is_not_told_that_there_is_none(held: Held) -> None:
    """At the end of a grant, or of the server, that would be an error in the middle of ending all the others."""
    kernel = held.server.kernel()
    kernel.run("import atexit, time; atexit.register(time.sleep, 0.5)")
    ends = [held.ask("DELETE", f"/api/kernels/{kernel.kernel_id}") for _ in range(3)]
    assert [end.result()[0] for end in ends] == [204] * 3
    held.assert_all_ended(kernel.kernel_id)


@pytest.mark.parametrize("kernel_id", ["no-uuid", "../../../../etc", "a-b-c-d-e/f", f"{'a' * 97}-b-c-d-e"])
@pytest.mark.parametrize("road", ["kernels", "sessions"])
def test_no_kernel_starts_under_an_id_by_which_nobody_could_end_it(held: Held, road: str, kernel_id: str) -> None:
    before = held.launches()
    kernel = {"name": "audit", "kernel_id": kernel_id}
    asked = kernel if road == "kernels" else {"path": "a.ipynb", "name": "a", "type": "notebook", "kernel": kernel}
    status, answer = held.server.request("POST", f"/api/{road}", asked)
    assert (status, "five words with hyphens" in answer["message"]) == (400, True)
    assert held.launches() == before
