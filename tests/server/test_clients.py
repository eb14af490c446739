"""Ordinary clients keep working: two tabs, lost networks, restarts, large outputs, many cells, buffers, widgets."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from support.servers import V1, AuditedServer, KernelClient, audited_server, frame_v1, reply_of, unframe_v1, wait_for

from jupyter_audit.record import kinds
from jupyter_audit.record.capture import NOT_BEGUN

pytestmark = pytest.mark.usefixtures("grant")

MIB = 1024 * 1024

DEAF = """
from pathlib import Path

import zmq
from jupyter_audit.server import websocket
from tornado.ioloop import PeriodicCallback

held, create_stream = Path({held!r}), websocket.AuditWebsocketConnection.create_stream


def create_and_hold(connection):
    create_stream(connection)
    if connection.session.session != "deaf" or not held.exists():
        return
    iopub = connection.channels["iopub"].socket
    iopub.setsockopt(zmq.UNSUBSCRIBE, b"")

    def hear():
        if not held.exists():
            iopub.setsockopt(zmq.SUBSCRIBE, b"")
            later.stop()

    later = PeriodicCallback(hear, 20)
    later.start()


websocket.AuditWebsocketConnection.create_stream = create_and_hold
websocket.JOIN_S = 60.0
"""
"""
Has the client of session `deaf` hear nothing of its kernel while a file is there: what ZMQ takes a moment for, made long.
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("clients"))
    config = folder / "config.py"
    config.write_text(DEAF.format(held=str(folder / "held")))
    with audited_server(folder, f"--config={config}", "--JupyterAudit.begin_seconds=1") as running:
        yield running


@pytest.fixture(scope="module")
def grant(server: AuditedServer) -> str:
    """One grant for the whole module."""
    return server.grant()


@pytest.fixture(scope="module")
def client(server: AuditedServer, grant: str) -> KernelClient:
    return server.kernel()


def admitted(server: AuditedServer, client: KernelClient) -> int:
    return sum(1 for e in server.entries("cell.admitted") if e.body["kernel_id"] == client.kernel_id)


def test_two_tabs_on_one_kernel_see_each_others_cells(server: AuditedServer, client: KernelClient) -> None:
    other = KernelClient(server, client.kernel_id, V1)
    first = client.execute("shared = 41; print('from one')")
    client.wait(first)
    assert other.printed("print(shared + 1)") == "42\n"
    assert any(m["content"].get("text") == "from one\n" for m in other.heard)
    while not any(m["content"].get("text") == "42\n" for m in client.heard):
        client.receive()
    other.close()
    assert client.printed("print('the first lives on')") == "the first lives on\n"


def test_output_of_a_lost_network_waits_for_the_same_client(server: AuditedServer, client: KernelClient) -> None:
    sent = client.execute("import time\nfor n in range(5): time.sleep(0.1); print('tick', n)")
    client.socket.shutdown()
    finished = server.await_entry("cell.finished", lambda e: server.reader.entry(e.body["admitted"]).body["msg_id"] == sent)
    assert finished.body["status"] == "ok"
    client.connect()
    messages = client.wait(sent)
    assert reply_of(messages)["status"] == "ok"
    text = "".join(m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream")
    assert text.splitlines() == [f"tick {n}" for n in range(5)]


def test_a_restarted_kernel_is_a_new_session_under_the_same_grant(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.run("kept = 1")
    other = KernelClient(server, client.kernel_id, session="deaf")
    before = server.await_entry("session.bound", lambda e: e.body["kernel_id"] == client.kernel_id)
    held = server.folder / "held"
    held.touch()
    status, _ = server.request("POST", f"/api/kernels/{client.kernel_id}/restart", {})
    assert status == 200
    # One tab stays as it is, the other connects anew with the same session id, as JupyterLab does.
    client.close()
    client.connect()
    assert client.run("kept")["ename"] == "NameError"
    # A tab that does not hear the kernel yet has its cell wait, and the kernel asked until it does: it would miss the cell's end.
    sent, since = other.execute("print('led on')"), len(client.heard)
    wait_for(lambda: client.receive()["parent_header"].get("session") == "deaf", "the kernel to be asked")
    assert client.heard[-1]["parent_header"]["msg_type"] == "kernel_info_request", client.heard[since:]
    held.unlink()
    assert reply_of(other.wait(sent))["status"] == "ok"
    other.close()
    after = server.await_entry("session.bound", lambda e: e.body["kernel_id"] == client.kernel_id and e.seq > before.seq)
    assert after.session != before.session
    assert after.grant == before.grant == grant
    ended = server.await_entry("session.ended", lambda e: e.session == before.session)
    assert ended.body["cause"] == "restart"
    client.close()
    server.request("DELETE", f"/api/kernels/{client.kernel_id}")


def connect_beside(client: KernelClient) -> object:
    """Connect anew as a client does whose network was lost: the websocket of before is open and answers nothing. Return that."""
    old = client.socket
    client.connect()
    return old


@contextmanager
def nothing_is_recorded(server: AuditedServer) -> Iterator[None]:
    """Hold the ledger's write lock, so that whatever is admitted waits."""
    with closing(sqlite3.connect(server.home.ledger, isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        yield
        held.execute("ROLLBACK")


def test_a_client_that_connects_anew_beside_its_open_websocket_has_every_cell_run(server: AuditedServer, grant: str) -> None:
    """Before, the kernel had two connections of one name after a restart, and lost the first cell of the newer one."""
    client = server.kernel()
    tab = KernelClient(server, client.kernel_id)
    status, _ = server.request("POST", f"/api/kernels/{client.kernel_id}/restart", {})
    assert status == 200
    for _ in range(3):
        old = connect_beside(client)
        assert [client.printed(f"print({n})") for n in range(5)] == [f"{n}\n" for n in range(5)]
        assert old is not client.socket
    assert tab.printed("print('beside it')") == "beside it\n"
    tab.close()
    server.request("DELETE", f"/api/kernels/{client.kernel_id}")


@pytest.mark.parametrize("with_another_tab", [False, True])
def test_what_a_client_that_connects_anew_has_running_is_answered_to_it(
    server: AuditedServer, client: KernelClient, with_another_tab: bool
) -> None:
    tab = KernelClient(server, client.kernel_id) if with_another_tab else None
    sent = client.execute("import time\nfor n in range(4): time.sleep(0.1); print('tock', n)\ninput('name? ')", allow_stdin=True)
    old = connect_beside(client)
    while (asked := client.receive())["header"]["msg_type"] != "input_request":
        pass
    assert asked["parent_header"]["msg_id"] == sent
    client.send("input_reply", {"status": "ok", "value": "anna"}, channel="stdin")
    messages = client.wait(sent)
    assert reply_of(messages)["status"] == "ok"
    assert old is not client.socket
    if tab is not None:
        tab.close()


def test_a_cell_that_waits_for_its_entry_while_its_client_connects_anew_runs_once(server: AuditedServer, client: KernelClient) -> None:
    client.run("ran = 0")
    with nothing_is_recorded(server):
        sent = client.execute("ran += 1; print('ran', ran)")
        connect_beside(client)
    messages = client.wait(sent)
    assert reply_of(messages)["status"] == "ok"
    assert client.printed("print(ran)") == "1\n"


def test_cells_of_a_tab_that_is_closed_at_once_run_while_another_is_open(server: AuditedServer, client: KernelClient) -> None:
    client.run("seen = []")
    tab = KernelClient(server, client.kernel_id)
    with nothing_is_recorded(server):
        last = [tab.execute(f"seen.append({n})") for n in range(20)][-1]
        tab.close()
    server.await_entry("cell.finished", lambda e: server.reader.entry(e.body["admitted"]).body["msg_id"] == last)
    assert client.printed("print(seen == list(range(20)))") == "True\n"


def test_a_cell_whose_sockets_are_gone_when_its_entry_is_there_is_put_down_as_never_sent(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.run("1")
    with nothing_is_recorded(server):
        sent = client.execute("open('it-ran', 'w')")
        client.close()
        wait_for(lambda: f"Starting buffering for {client.kernel_id}:{client.session}" in server.log, "the client to be gone")
        other = KernelClient.__new__(KernelClient)
        other.__dict__.update(server=server, kernel_id=client.kernel_id, subprotocol=None, session=uuid.uuid4().hex, heard=[])
        other.connect()  # which lets go of what was kept for the first
    admitted = server.await_entry("cell.admitted", lambda e: e.body["msg_id"] == sent)
    finished = server.finished(admitted.seq)
    assert (finished.body["error"], finished.body["reported_by"]) == (kinds.NEVER_SENT, "server")
    assert other.printed("import os; print(os.path.exists('it-ran'))") == "False\n"
    other.close()
    server.request("DELETE", f"/api/kernels/{client.kernel_id}")
    assert [e.seq for e in server.entries("cell.finished") if e.body["admitted"] == admitted.seq] == [finished.seq]


def test_a_cell_that_the_kernel_does_not_begin_is_put_down_and_its_user_told(server: AuditedServer, client: KernelClient) -> None:
    client.run(textwrap.dedent("""
        import asyncio, os, time
        def block():
            open("blocked", "w").close()
            while not os.path.exists("go-on"):
                time.sleep(0.02)
        soon = asyncio.get_running_loop().call_later(0.1, block)
    """))
    wait_for((server.work / "blocked").exists, "the kernel to be blocked between cells")
    sent = client.execute("print('late, but once')")
    gap = server.await_entry("gap.recorded", lambda e: e.body["what"] == NOT_BEGUN)
    admitted = server.await_entry("cell.admitted", lambda e: e.body["msg_id"] == sent)
    assert (gap.session, gap.body["detail"]["entries"]) == (admitted.session, [admitted.seq])  # type: ignore[index, call-overload]
    (server.work / "go-on").touch()
    messages = client.wait(sent)
    told = [m["content"] for m in messages if m["header"]["msg_type"] == "error"]
    assert [one["ename"] for one in told] == ["NotBegun"]
    assert f"entry {admitted.seq}" in told[0]["evalue"]
    assert reply_of(messages)["status"] == "ok"
    assert server.finished(admitted.seq).body["status"] == "ok"


def test_a_hundred_megabytes_of_output_are_counted_in_bounded_memory(server: AuditedServer, client: KernelClient) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    sent = client.execute("import sys\nfor _ in range(100):\n    print('x' * 1_000_000)\n    sys.stdout.flush()")
    finished = server.await_entry("cell.finished", lambda e: server.reader.entry(e.body["admitted"]).body["msg_id"] == sent)
    [stream] = finished.body["outputs"]
    assert (stream["bytes"], stream["lines"], stream["cut"]) == (100 * 1_000_001, 100, True)
    held = json.loads(server.reader.content(finished.seq, "outputs") or b"")
    assert len(held["outputs"][0]["preview"]) == 8192
    client.close()
    client.connect()
    assert client.printed("print('and on')") == "and on\n"
    assert process.memory_info().rss - before < 250 * MIB


def test_what_jupyters_own_limit_keeps_from_a_client_is_said_there_and_the_ledger_has_its_size(server: AuditedServer, grant: str) -> None:
    """A megabyte a second for three seconds, then nothing until it is less: on any Jupyter Server, and so on this one."""
    client = server.kernel()
    sent = client.execute("import sys\nfor _ in range(10):\n    print('x' * 1_000_000)\n    sys.stdout.flush()")
    streams = [m["content"] for m in client.wait(sent) if m["header"]["msg_type"] == "stream"]
    assert sum(len(one["text"]) for one in streams if one["name"] == "stdout") < 10 * 1_000_001
    assert any("IOPub data rate exceeded" in one["text"] for one in streams if one["name"] == "stderr")
    finished = server.await_entry("cell.finished", lambda e: server.reader.entry(e.body["admitted"]).body["msg_id"] == sent)
    [stream] = finished.body["outputs"]
    assert (stream["bytes"], finished.body["complete"]) == (10 * 1_000_001, True)


def test_a_thousand_quick_cells_all_run_in_order_and_are_all_in_the_ledger(server: AuditedServer, client: KernelClient) -> None:
    before = admitted(server, client)
    client.run("ran = []")
    sent = [client.execute(f"ran.append({n})") for n in range(1000)]
    replies: dict[str, str] = {}
    while len(replies) < len(sent):
        message = client.receive()
        if message["header"]["msg_type"] == "execute_reply":
            replies[message["parent_header"]["msg_id"]] = message["content"]["status"]
    assert list(replies) == sent
    assert set(replies.values()) == {"ok"}
    assert client.printed("print(ran == list(range(1000)))") == "True\n"
    assert admitted(server, client) - before == 1002


def test_binary_buffers_reach_the_kernel_and_come_back(server: AuditedServer, client: KernelClient) -> None:
    tab = KernelClient(server, client.kernel_id, V1)
    tab.printed(textwrap.dedent("""
        def echo(comm, opened):
            comm.on_msg(lambda message: comm.send({"got": len(message["buffers"])}, buffers=[bytes(b)[::-1] for b in message["buffers"]]))
        get_ipython().kernel.comm_manager.register_target("echo", echo)
    """))
    comm = uuid.uuid4().hex
    tab.wait(tab.send("comm_open", {"comm_id": comm, "target_name": "echo", "data": {}}), reply=False)
    buffers = [bytes(range(256)) * 40, b"", b"\x00\xff" * 3]
    head = {"msg_id": uuid.uuid4().hex, "msg_type": "comm_msg", "username": "", "session": tab.session,
            "date": "2026-01-01T00:00:00Z", "version": "5.4"}  # fmt: skip
    parts = [json.dumps(part).encode() for part in (head, {}, {}, {"comm_id": comm, "data": {}})]
    tab.socket.send_binary(frame_v1("shell", [*parts, *buffers]))
    while True:
        _, frames = unframe_v1(tab.socket.recv())  # type: ignore[arg-type]
        if json.loads(frames[0])["msg_type"] == "comm_msg":
            break
    assert frames[4:] == [b[::-1] for b in buffers]
    entry = server.await_entry("message.admitted", lambda e: e.body["msg_id"] == head["msg_id"])
    listed = json.loads(server.reader.content(entry.seq, "buffers") or b"")["buffers"]
    assert [one["bytes"] for one in listed] == [len(b) for b in buffers]
    tab.close()


def test_widgets_change_values_in_the_kernel_and_are_recorded(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    messages = client.wait(client.execute("import ipywidgets; slider = ipywidgets.IntSlider(value=3); slider"))
    opened = [m["content"] for m in messages if m["header"]["msg_type"] == "comm_open"]
    [model] = [content for content in opened if content["data"]["state"].get("_model_name") == "IntSliderModel"]
    view = next(m["content"]["data"] for m in messages if m["header"]["msg_type"] == "execute_result")
    assert view["application/vnd.jupyter.widget-view+json"]["model_id"] == model["comm_id"]
    update = {"comm_id": model["comm_id"], "data": {"method": "update", "state": {"value": 42}, "buffer_paths": []}}
    sent = client.send("comm_msg", update)
    client.wait(sent, reply=False)
    assert client.printed("print(slider.value)") == "42\n"
    entry = server.await_entry("message.admitted", lambda e: e.body["msg_id"] == sent)
    assert json.loads(server.reader.content(entry.seq, "message") or b"")["data"]["state"] == {"value": 42}


def codes(server: AuditedServer) -> list[str]:
    """Return the code of the people's cells that were admitted, the newest first; kernels that come back run canaries."""
    entries = [e for e in server.entries("cell.admitted", newest_first=True, limit=10) if not e.body["canary"]]
    return [json.loads(server.reader.content(e.seq, "message") or b"{}").get("code", "") for e in entries]


def test_a_console_in_a_terminal_works_by_way_of_the_server(server: AuditedServer, tmp_path: Path) -> None:
    """`jupyter console` itself talks to a kernel's sockets; `jupyter audit console` is the same console over the server."""
    before = [kernel["id"] for kernel in server.request("GET", "/api/kernels")[1]]
    trap = "open('configuration-was-run', 'w').close()\n"
    (tmp_path / "jupyter_config.py").write_text(trap)
    (tmp_path / "jupyter_konsole_config.py").write_text(trap)
    command = ["-m", "jupyter_audit.cli.main", "console", "--home", str(server.folder / "audit"), "--simple-prompt"]
    with subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("print('by', 6 * 7)\n")
        process.stdin.flush()
        assert any("by 42" in line for line in process.stdout)
        assert server.token not in " ".join(psutil.Process(process.pid).cmdline())
        process.stdin.close()
        process.stdout.read()
    assert process.returncode == 0
    assert not (tmp_path / "configuration-was-run").exists()
    assert "print('by', 6 * 7)" in codes(server)
    assert [kernel["id"] for kernel in server.request("GET", "/api/kernels")[1]] == before


def test_a_program_runs_cells_by_way_of_the_server(server: AuditedServer) -> None:
    from jupyter_kernel_client import JupyterKernelClient

    kernel = JupyterKernelClient(server_url=server.url, token=server.token)
    kernel.start(name="audit")
    answer = kernel.execute("x = 20\nprint(x + 1)\nx * 2")
    server.request("DELETE", f"/api/kernels/{kernel.id}")  # kernel.stop() waits ten seconds for its websocket, on any server
    assert answer["status"] == "ok"
    assert [output["output_type"] for output in answer["outputs"]] == ["stream", "execute_result"]
    assert codes(server)[0].startswith("x = 20")
