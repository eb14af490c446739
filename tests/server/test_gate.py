"""No grant, no execution; no entry, no execution: for every way in which a client can say "run this"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from support.servers import V1, AuditedServer, KernelClient, reply_of, wait_for

from jupyter_audit.record.kinds import NEVER_SENT
from jupyter_audit.server.websocket import FAILED

PROTOCOLS = [None, V1]


def touch(path: Path) -> str:
    return f"open({str(path)!r}, 'w').close()"


@pytest.mark.parametrize("subprotocol", PROTOCOLS)
def test_a_cell_without_a_grant_is_refused_and_the_kernel_never_sees_it(
    server: AuditedServer, subprotocol: str | None
) -> None:
    client = server.kernel(subprotocol)
    trace = server.work / f"refused-{subprotocol}"
    messages = client.wait(client.execute(touch(trace)))
    [error] = [m["content"] for m in messages if m["header"]["msg_type"] == "error"]
    assert error["ename"] == "NoActiveGrant"
    assert "No active grant. Ask for one" in error["evalue"]
    assert "jupyter audit request" in error["traceback"][0]
    assert reply_of(messages)["status"] == "error"
    refused = server.await_entry("cell.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert refused.body["cause"] == "no_grant"
    held = server.reader.content(refused.seq, "message")
    assert held is not None
    assert json.loads(held)["code"] == touch(trace)
    assert not trace.exists()


@pytest.mark.parametrize("subprotocol", PROTOCOLS)
def test_a_cell_under_a_grant_runs_and_its_entry_came_first(
    server: AuditedServer, grant: str, subprotocol: str | None
) -> None:
    client = server.kernel(subprotocol)
    assert client.printed("print(6 * 7)") == "42\n"
    admitted = server.await_entry("cell.admitted", lambda e: e.body["kernel_id"] == client.kernel_id and not e.body["canary"])
    assert admitted.grant == grant
    assert admitted.actor.vouched_by == "os-account"
    finished = server.finished(admitted.seq)
    assert finished.seq > admitted.seq
    assert finished.body["status"] == "ok"
    outputs = server.reader.content(finished.seq, "outputs")
    assert outputs is not None
    assert json.loads(outputs)["outputs"][0]["preview"] == "42\n"


WAYS = {
    "silent": lambda client, code: client.execute(code, silent=True),
    "no history": lambda client, code: client.execute(code, store_history=False),
    "user expressions": lambda client, code: client.execute("", user_expressions={"x": f"exec({code!r})"}),
    "the control channel": lambda client, code: client.execute(code, channel="control"),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_saying_execute_passes_without_a_grant(server: AuditedServer, way: str) -> None:
    client = server.kernel()
    trace = server.work / f"way-{way}"
    reply = reply_of(client.wait(WAYS[way](client, touch(trace))))
    assert reply["ename"] == "NoActiveGrant"
    assert not trace.exists()


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_saying_execute_is_in_the_ledger(server: AuditedServer, grant: str, way: str) -> None:
    client = server.kernel()
    trace = server.work / f"granted-{way}"
    client.wait(WAYS[way](client, touch(trace)))
    assert trace.exists()
    admitted = server.await_entry("cell.admitted", lambda e: e.body["kernel_id"] == client.kernel_id and not e.body["canary"])
    held = server.reader.content(admitted.seq, "message")
    assert held is not None
    assert f"granted-{way}" in held.decode()


@pytest.mark.parametrize(
    ("msg_type", "content", "channel"),
    [
        ("complete_request", {"code": "pri", "cursor_pos": 3}, "shell"),
        ("inspect_request", {"code": "print", "cursor_pos": 3, "detail_level": 0}, "shell"),
        ("is_complete_request", {"code": "1"}, "shell"),
        ("history_request", {"hist_access_type": "tail", "n": 1, "output": False, "raw": True}, "shell"),
        ("debug_request", {"type": "request", "command": "debugInfo", "seq": 1, "arguments": {}}, "control"),
    ],
)
def test_what_can_make_a_kernel_run_code_needs_a_grant_too(
    server: AuditedServer, msg_type: str, content: dict[str, object], channel: str
) -> None:
    client = server.kernel()
    reply = reply_of(client.wait(client.send(msg_type, content, channel=channel)))
    assert reply["ename"] == "NoActiveGrant"
    refused = server.await_entry("message.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (refused.body["msg_type"], refused.body["cause"]) == (msg_type, "no_grant")


def test_a_message_type_that_nobody_knows_is_refused_and_recorded(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.wait(client.send("run_this_request", {"code": "1"}), reply=False)
    refused = server.await_entry("message.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (refused.body["msg_type"], refused.body["cause"]) == ("run_this_request", "unknown_type")


def test_a_message_id_cannot_be_used_twice(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.wait(client.send("execute_request", {"code": "x = 1"}, header={"msg_id": "twice"}))
    trace = server.work / "twice"
    reply = reply_of(client.wait(client.send("execute_request", {"code": touch(trace)}, header={"msg_id": "twice"})))
    assert reply["status"] == "error"
    refused = server.await_entry("cell.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert refused.body["cause"] == "message_id_reused"
    assert not trace.exists()


@pytest.mark.parametrize(
    "raw",
    [
        "not json",
        "[]",
        json.dumps({"header": {"msg_id": "a", "msg_type": "execute_request"}, "content": '{"code": "1"}', "metadata": {}}),
        json.dumps({"header": {"msg_type": "execute_request"}, "content": {"code": "1"}, "metadata": {}}),
        json.dumps({"header": {"msg_id": "a", "msg_type": "x"}, "content": {}, "metadata": {}, "channel": "iopub"}),
        # jupyter_client would make a date of this id, whose permit would then be another message's.
        json.dumps({"header": {"msg_id": "2026-01-01T00:00:00Z", "msg_type": "execute_request"}, "parent_header": {}, "metadata": {},
                    "content": {"code": "1"}, "channel": "shell"}),
        # Jupyter's packer would make null of it: the kernel would find another message than the one that was permitted.
        '{"header": {"msg_id": "nan", "msg_type": "execute_request"}, "content": {"code": "1", "x": NaN}, "metadata": {}}',
        '{"header": {"msg_id": "inf", "msg_type": "execute_request"}, "content": {"code": "1", "x": 1e999}, "metadata": {}}',
    ],
    ids=["no_json", "a_list", "content_as_text", "no_id", "iopub", "a_date_as_id", "not_a_number", "a_number_beyond_all"],
)
def test_what_does_not_parse_as_one_whole_message_is_refused_and_the_socket_lives_on(
    server: AuditedServer, grant: str, raw: str
) -> None:
    client = server.kernel()
    before = len(server.entries("message.refused"))
    client.socket.send(raw)
    wait_for(lambda: len(server.entries("message.refused")) > before, "the refusal to be recorded")
    assert server.await_entry("message.refused").body["cause"] == "malformed"
    assert client.printed("print(1)") == "1\n"


@pytest.mark.parametrize("raw", [b"", b"\xff" * 8, b"\xff" * 64, (2**40).to_bytes(8, "little") + b"\0" * 64])
def test_a_hostile_binary_frame_neither_passes_nor_hangs_the_server(server: AuditedServer, grant: str, raw: bytes) -> None:
    client = server.kernel(V1)
    client.socket.send_binary(raw)
    refused = server.await_entry("message.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert refused.body["cause"] == "malformed"
    assert client.printed("print(1)") == "1\n"


@pytest.mark.parametrize("field", ["msg_id", "msg_type", "username"])
@pytest.mark.parametrize("subprotocol", [None, V1], ids=["default", "v1"])
def test_half_a_surrogate_pair_in_a_header_is_refused_and_the_next_cell_is_answered(
    server: AuditedServer, grant: str, subprotocol: str | None, field: str
) -> None:
    client = server.kernel(subprotocol)
    header = {"msg_id": "half", "msg_type": "execute_request", "session": client.session, "username": "ella", field: "half\ud800"}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": {"code": "1"}}
    if subprotocol is None:
        client.socket.send(json.dumps({**message, "channel": "shell", "buffers": []}))
    else:
        client.socket.send_binary(serialize_msg_to_ws_v1(message, "shell", lambda part: json.dumps(part).encode()))
    refused = server.await_entry("message.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert refused.body["cause"] == "malformed"
    assert client.printed("print(1)") == "1\n"


def test_a_message_that_the_gate_fails_at_does_not_pass_and_the_ledger_says_so(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    failed = client.execute("1", user_expressions={"half": "half\ud800"})  # Jupyter's packer cannot write it
    assert reply_of(client.wait(failed))["status"] == "error"
    gap = server.await_entry("gap.recorded", lambda e: e.body["detail"].get("msg_id") == failed)  # type: ignore[union-attr]
    detail = {"kernel_id": client.kernel_id, "msg_id": failed, "msg_type": "execute_request", "error": "UnicodeEncodeError"}
    assert (gap.body["what"], gap.body["detail"]) == (FAILED, detail)
    admitted = server.await_entry("cell.admitted", lambda e: e.body["msg_id"] == failed)
    assert (gap.grant, server.finished(admitted.seq).body["error"]) == (grant, NEVER_SENT)
    assert client.printed("print(1)") == "1\n"


def test_the_outer_message_type_is_not_what_counts(server: AuditedServer) -> None:
    client = server.kernel()
    trace = server.work / "outer"
    whole = {
        "header": {"msg_id": "outer", "msg_type": "execute_request", "session": client.session},
        "msg_type": "kernel_info_request", "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [],
        "content": {"code": touch(trace), "silent": False},
    }  # fmt: skip
    client.socket.send(json.dumps(whole))
    assert reply_of(client.wait("outer"))["ename"] == "NoActiveGrant"
    assert not trace.exists()


def test_cells_keep_their_order(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.run("seen = []")
    ids = [client.execute(f"seen.append({number})") for number in range(100)]
    client.wait(ids[-1])
    assert client.printed("print(seen == list(range(100)))") == "True\n"


def test_two_clients_of_one_owner_share_a_kernel(server: AuditedServer, grant: str) -> None:
    first = server.kernel()
    second = KernelClient(server, first.kernel_id, V1)
    first.run("shared = 5")
    assert second.printed("print(shared)") == "5\n"


def test_the_canary_was_read_back_before_the_first_message(server: AuditedServer) -> None:
    client = server.kernel()
    canary = server.await_entry("session.canary", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (canary.body["passed"], canary.body["failure"]) == (True, "")
    first = server.await_entry("message.admitted", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert first.seq > canary.body["cell"]  # type: ignore[operator]
    assert all("canary" not in json.dumps(message) for message in client.heard)


def test_an_input_reply_is_recorded_and_a_password_is_not(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    for code, value, kept in (("name = input()", "an answer", True), ("import getpass; p = getpass.getpass()", "hunter2", False)):
        asked = client.execute(code, allow_stdin=True)
        while client.receive()["header"]["msg_type"] != "input_request":
            pass
        client.send("input_reply", {"value": value}, channel="stdin")
        client.wait(asked)
        entries = [e for e in server.entries("message.admitted") if e.body["kernel_id"] == client.kernel_id]
        entry = entries[-1]
        assert entry.body["msg_type"] == "input_reply"
        held = server.reader.content(entry.seq, "message")
        assert held is not None
        assert (value in held.decode()) is kept
        assert entry.body["masked"] is not kept
