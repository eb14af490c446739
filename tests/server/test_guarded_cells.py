"""Guardrails on a running server: what breaks one never reaches the kernel, on whatever road it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import AuditedServer, KernelClient, audited_server, reply_of, wait_for

from jupyter_audit.model import Entry

CONFIG = """
c.JupyterAudit.profiles = {
    "guarded": {"guardrails": {"no_shell": "refuse", "no_obfuscation": "refuse", "no_network": "warn", "mine": "refuse"}},
    "open": {"output": "digest"},
}
c.JupyterAudit.guardrail_rules = "FOLDER"
"""

MINE = """title: Mine
id: 5a0c6f2e-3d0b-4f61-9d6e-6c1f3f1b7aff
description: No refunds.
level: low
logsource: {product: jupyter_audit, service: guardrail}
detection:
  broken: {uses|contains: ' shop.refund '}
  condition: broken
jupyter_audit:
  explanation: ["It refunds."]
  check: "Ask the shop."
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("guarded"))
    rules = folder / "rules"
    rules.mkdir(mode=0o700)
    (rules / "mine.yml").write_text(MINE)
    (rules / "mine.yml").chmod(0o600)
    config = folder / "jupyter_server_config.py"
    config.write_text(CONFIG.replace("FOLDER", str(rules)))
    config.chmod(0o600)
    with audited_server(folder, f"--config={config}") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: AuditedServer) -> KernelClient:
    server.grant(profile="guarded")
    return server.kernel()


def refused(server: AuditedServer, msg_id: str) -> Entry:
    kinds = ("cell.refused", "message.refused")
    found: Entry = wait_for(
        lambda: next((e for e in server.entries(*kinds, newest_first=True) if e.body["msg_id"] == msg_id), None),
        "the refusal to be put down",
    )
    return found


def test_a_cell_that_breaks_a_guardrail_never_runs_and_says_which_and_what_to_do(
    server: AuditedServer, client: KernelClient
) -> None:
    trace = server.work / "shell"
    msg_id = client.execute(f"!touch {trace}")
    messages = client.wait(msg_id)
    [error] = [m["content"] for m in messages if m["header"]["msg_type"] == "error"]
    assert error["ename"] == "GuardrailBroken"
    assert "Guardrail no_shell: " in error["evalue"]
    assert "ask an admin for a profile" in error["evalue"]
    entry = refused(server, msg_id)
    assert (entry.body["cause"], entry.body["guardrails"], entry.type) == ("guardrail", ["no_shell"], "cell.refused")
    assert client.printed("print(6 * 7)") == "42\n"
    assert not trace.exists()


ROADS: dict[str, Any] = {
    "user expressions": lambda c, code: c.execute("", user_expressions={"x": code}),
    "silent": lambda c, code: c.execute(code, silent=True),
    "the control channel": lambda c, code: c.execute(code, channel="control"),
    "the debugger": lambda c, code: c.send(
        "debug_request", {"type": "request", "seq": 1, "command": "evaluate", "arguments": {"expression": code}}, channel="control"
    ),
    "a log message": lambda c, code: c.send(
        "debug_request",
        {"type": "request", "seq": 1, "command": "setBreakpoints", "arguments": {"breakpoints": [{"logMessage": "{" + code + "}"}]}},
        channel="control",
    ),
    "copying to globals": lambda c, code: c.send(
        "debug_request",
        {"type": "request", "seq": 1, "command": "copyToGlobals", "arguments": {"srcVariableName": code, "dstVariableName": "x"}},
        channel="control",
    ),
    "completion": lambda c, code: c.send("complete_request", {"code": code + ".", "cursor_pos": len(code) + 1}),
}


@pytest.mark.parametrize("road", ROADS)
def test_every_road_that_carries_code_is_judged(server: AuditedServer, client: KernelClient, road: str) -> None:
    trace = server.work / road.replace(" ", "-")
    msg_id = ROADS[road](client, f"__import__('os').system('touch {trace}')")
    assert reply_of(client.wait(msg_id))["status"] == "error"
    entry = refused(server, msg_id)
    assert (entry.body["cause"], entry.body["guardrails"]) == ("guardrail", ["no_shell"])
    assert client.printed("print(1)") == "1\n"
    assert not trace.exists()


def test_what_is_typed_at_a_prompt_is_judged_and_the_user_reads_why_nothing_came(
    server: AuditedServer, client: KernelClient
) -> None:
    asking = client.execute("answer = input('? ')", allow_stdin=True)
    while client.receive()["header"]["msg_type"] != "input_request":
        pass
    msg_id = client.send("input_reply", {"value": "__import__('os').system('id')"}, channel="stdin")
    assert refused(server, msg_id).body["guardrails"] == ["no_shell"]
    while (heard := client.receive())["header"]["msg_type"] != "stream":
        pass
    assert "still waits for input" in heard["content"]["text"]
    assert heard["parent_header"]["msg_id"] == asking
    client.send("input_reply", {"value": "an answer, which is no code"}, channel="stdin")
    client.wait(asking)
    assert client.printed("print(answer)") == "an answer, which is no code\n"


def test_names_of_earlier_cells_are_known_to_the_judge_and_a_new_kernel_has_none(
    server: AuditedServer, client: KernelClient
) -> None:
    assert client.run("import os as o")["status"] == "ok"
    msg_id = client.execute("o.system('id')")
    client.wait(msg_id)
    assert refused(server, msg_id).body["guardrails"] == ["no_shell"]


def test_a_warning_runs_is_seen_by_the_user_and_is_a_finding(server: AuditedServer, client: KernelClient) -> None:
    msg_id = client.execute("import socket\nsocket.gethostname\nprint('ran')")
    streams = [m["content"] for m in client.wait(msg_id) if m["header"]["msg_type"] == "stream"]
    assert "Guardrail no_network" in streams[0]["text"]
    assert streams[1]["text"] == "ran\n"
    admitted = server.await_entry("cell.admitted", lambda e: e.body["msg_id"] == msg_id)
    assert admitted.body["warned"] == ["no_network"]
    finding = server.await_entry("finding.raised", lambda e: admitted.seq in e.body["entries"])
    assert "no_network" in finding.body["explanation"]
    # What the user is told is no output of the kernel's.
    outputs = server.finished(admitted.seq).body["outputs"]
    assert [each["output"] for each in outputs] == ["stream:stdout"]


@pytest.mark.parametrize("code", ["%%mine\nputs 1", "x = (", "x = 1\n" * 30_000], ids=["magic", "syntax", "long"])
def test_code_that_cannot_be_read_is_refused(server: AuditedServer, client: KernelClient, code: str) -> None:
    msg_id = client.execute(code)
    client.wait(msg_id)
    assert refused(server, msg_id).body["guardrails"] == ["unreadable"]


def test_the_admins_own_rule_refuses_in_its_own_words(server: AuditedServer, client: KernelClient) -> None:
    [error] = [
        m["content"] for m in client.wait(client.execute("import shop\nshop.refund(1)")) if m["header"]["msg_type"] == "error"
    ]
    assert "Guardrail mine: It refunds. Ask the shop." in error["evalue"]


def test_what_is_in_force_is_in_the_ledger_with_the_digests_of_the_rules(server: AuditedServer) -> None:
    policy = server.entries("server.started")[-1].body["policy"]
    assert isinstance(policy, dict)
    guardrails = policy["profiles"]["guarded"]["guardrails"]
    assert {name: each["mode"] for name, each in guardrails.items()} == {
        "mine": "refuse", "no_network": "warn", "no_obfuscation": "refuse", "no_shell": "refuse", "unreadable": "refuse",
    }  # fmt: skip
    assert len(guardrails["mine"]["digest"]) == 64


def test_a_profile_without_guardrails_is_not_judged_and_another_s_output_is_kept_as_its_digest_alone(
    server: AuditedServer, client: KernelClient
) -> None:
    for grant in server.api("GET", "grants")["grants"]:
        if grant["state"] == "active":
            server.revoke(grant["id"])
    server.grant(profile="open")
    assert server.kernel().printed("!echo from a shell") == "from a shell\r\n"
    admitted = server.await_entry("cell.admitted", lambda e: not e.body["canary"])
    finished = server.finished(admitted.seq)
    [output] = finished.body["outputs"]
    assert isinstance(output, dict)
    assert (output["bytes"], output["cut"]) == (14, True)
    held = json.loads(server.reader.content(finished.seq, "outputs") or b"")["outputs"][0]
    assert (held["preview"], held["digest"][:12]) == ("", "hmac-sha256:")
