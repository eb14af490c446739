"""
With Jupyter's `use_pending_kernels` on, where requests are answered before a kernel has started or ended, its end is the end all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import websocket
from support.processes import bearing
from support.servers import AuditedServer, KernelClient, audited_server, wait_for

CONFIG = """
import asyncio, pathlib, threading, time
from concurrent.futures import Future
import jupyter_audit.server.kernelspecs as specs
from jupyter_audit.gate.provisioner import AuditProvisioner
from jupyter_audit.record.recorder import Recorder
folder = pathlib.Path(FOLDER)
specs.ENV_JUPYTER_PATH.append(str(folder / "share"))
launch, record = AuditProvisioner.launch_kernel, Recorder.record
async def launched(self, *args, **kwargs):
    while (folder / "hold-launch").exists():
        await asyncio.sleep(0.01)
    return await launch(self, *args, **kwargs)
def recorded(self, draft):
    entry = record(self, draft)
    if draft.type != "session.started" or not (folder / "hold-begin").exists():
        return entry
    late = Future()
    def tell():
        while (folder / "hold-begin").exists():
            time.sleep(0.01)
        late.set_result(entry.result())
    threading.Thread(target=tell).start()
    return late
AuditProvisioner.launch_kernel, Recorder.record = launched, recorded
c.AsyncMultiKernelManager.use_pending_kernels = True
c.JupyterAudit.allowed_kernels = ["audit", "missing"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("pending"))
    spec = folder / "share" / "kernels" / "missing"
    spec.mkdir(parents=True)
    argv = ["no-such-kernel", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "missing", "language": "python"}))
    config = folder / "admin.py"
    config.write_text(CONFIG.replace("FOLDER", repr(str(folder))))
    with audited_server(folder, f"--config={config}") as running:
        yield running


def started(server: AuditedServer, name: str = "audit") -> str:
    status, model = server.request("POST", "/api/kernels", {"name": name})
    assert status == 201, model
    return str(model["id"])


def session_of(server: AuditedServer, kernel_id: str) -> str:
    return str(server.await_entry("session.started", lambda e: e.body["kernel_id"] == kernel_id).session)


def test_the_owner_of_a_kernel_that_is_being_started_is_connected_once_it_has(server: AuditedServer) -> None:
    grant = server.grant()
    hold = server.folder / "hold-launch"
    hold.touch()
    with ThreadPoolExecutor() as pool:
        kernel_id = started(server)
        connected = pool.submit(KernelClient, server, kernel_id)
        session_of(server, kernel_id)
        hold.unlink()
        assert connected.result().printed("print(6 * 7)") == "42\n"
    server.revoke(grant)


def test_the_owner_of_a_kernel_that_did_not_start_is_told_why(server: AuditedServer) -> None:
    kernel_id = started(server, "missing")
    with pytest.raises(websocket.WebSocketBadStatusException, match="500"):
        KernelClient(server, kernel_id)
    ended = server.await_entry("session.ended", lambda e: e.session == session_of(server, kernel_id))
    assert ended.body["cause"] == "not_started"
    assert server.request("DELETE", f"/api/kernels/{kernel_id}")[0] == 204


def test_a_kernel_that_was_deleted_is_gone_when_that_is_answered(server: AuditedServer) -> None:
    kernel = KernelClient(server, started(server))
    session = session_of(server, kernel.kernel_id)
    assert bearing(f"{session}/connection.json") != []
    assert server.request("DELETE", f"/api/kernels/{kernel.kernel_id}")[0] == 204
    assert bearing(f"{session}/connection.json") == []
    server.await_entry("session.ended", lambda e: e.session == session)


def test_a_kernel_is_gone_when_the_grant_has_ended(server: AuditedServer) -> None:
    grant = server.grant()
    kernel = KernelClient(server, started(server))
    kernel.run("import subprocess; subprocess.Popen(['sleep', '600'])")
    session = session_of(server, kernel.kernel_id)
    server.revoke(grant)
    ended = server.await_entry("session.ended", lambda e: e.session == session)
    assert (ended.body["cause"], ended.body["clean"], ended.grant) == ("revoked", True, grant)
    assert bearing(f"{session}/connection.json") == []


def test_what_begins_while_the_server_stops_is_ended_and_put_down(server: AuditedServer) -> None:
    """The last one here: it stops the server."""
    hold = server.folder / "hold-begin"
    kernels = [KernelClient(server, started(server)).kernel_id]
    hold.touch()
    kernels.append(started(server))
    sessions = [session_of(server, kernel_id) for kernel_id in kernels]
    server.process.terminate()
    wait_for(lambda: "received signal" in server.log, "the server to stop")
    hold.unlink()
    assert server.process.wait(timeout=60) == 0
    ended = {str(entry.session): entry.body["cause"] for entry in server.entries("session.ended")}
    assert [ended[session] for session in sessions] == ["server_stopped"] * 2
    assert [bearing(f"{session}/connection.json") for session in sessions] == [[], []]
