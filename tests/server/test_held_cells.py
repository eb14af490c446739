"""
Cells that wait for somebody's approval: nothing runs that nobody approved, what was approved runs once, and whoever waits
is told. Real servers and kernels, several people, and a service.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright
from support.servers import AuditedServer, KernelClient, audited_server, make_home, reply_of, wait_for

from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger
from jupyter_audit.record import kinds
from jupyter_audit.server.websocket import CROWDED_OUT

ROLES = {"engineer": ["erin", "ana"], "approver": ["ana", "abe", "erin"]}
TOKENS = {name: f"the-token-of-{name}" for name in ("erin", "ana", "abe")}
PROFILE = {"cell_approval": "each"}


@dataclass
class As:
    """One person at the server."""

    server: AuditedServer
    name: str

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.server.request(method, f"/audit/api/v1/{path}", body, token=TOKENS[self.name])

    def post(self, path: str, **body: Any) -> Any:
        status, answer = self.ask("POST", path, body)
        assert status < 300, answer
        return answer

    def waiting(self) -> list[dict[str, Any]]:
        return list(self.ask("GET", "held-cells")[1]["held"])

    def next_held(self) -> dict[str, Any]:
        """Return the newest cell that waits, once one does."""
        return dict(wait_for(self.waiting, "a cell to wait")[0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("held"))
    make_home(folder)
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
    config = folder / "config.py"
    config.write_text(
        "c.ServerApp.identity_provider_class = 'jupyter_audit.server.identity.UserTokensIdentityProvider'\n"
        f"c.UserTokensIdentityProvider.digests = {digests!r}\n"
        f"c.JupyterAudit.roles = {ROLES!r}\n"
        f"c.JupyterAudit.profiles = {{'production-debug': {PROFILE!r}}}\n"
        "c.JupyterAudit.requests_per_minute = 10000\n"
    )
    with audited_server(folder, f"--config={config}", solo=False) as running:
        running.token = TOKENS["erin"]
        yield running


@pytest.fixture
def erin(server: AuditedServer) -> As:
    return As(server, "erin")


@pytest.fixture
def ana(server: AuditedServer) -> As:
    return As(server, "ana")


@pytest.fixture(scope="module")
def grant(server: AuditedServer) -> str:
    asked = As(server, "erin").post("requests", profile="production-debug", reason="orders are charged twice", ticket="T-1")
    granted: str = As(server, "ana").post(f"requests/{asked['id']}/approve")["id"]
    return granted


@pytest.fixture(scope="module")
def shared(server: AuditedServer, grant: str) -> KernelClient:
    """One kernel for the tests that leave it as it was."""
    return server.kernel()


def shown(messages: list[dict[str, Any]]) -> str:
    return "".join(m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream")


def entry_of(server: AuditedServer, kind: str, hold: str) -> Any:
    return server.await_entry(kind, lambda entry: entry.body.get("hold") == hold)


def test_a_cell_waits_for_approval_and_then_runs_once(server: AuditedServer, shared: KernelClient, ana: As) -> None:
    sent = shared.execute("held_value = 41 + 1; print(held_value)")
    held = ana.next_held()
    assert (held["code"], held["besides"], held["principal"], held["state"]) == (
        "held_value = 41 + 1; print(held_value)", "", "erin", "waiting",
    )  # fmt: skip
    # Its code is in the ledger, nothing went to the kernel, and the client was told.
    assert server.reader.content(held["entry"], "message") is not None
    assert not [e for e in server.entries("cell.admitted") if e.body["held"] == held["entry"]]
    assert ana.post(f"held-cells/{held['id']}/approve")["state"] == "approved"
    messages = shared.wait(sent)
    kinds = [m["header"]["msg_type"] for m in messages]
    assert "Waiting for approval by an approver" in shown(messages)
    assert kinds.index("clear_output") < kinds.index("execute_input")
    assert reply_of(messages)["status"] == "ok"
    admitted = server.await_entry("cell.admitted", lambda entry: entry.body["held"] == held["entry"])
    approved = entry_of(server, "cell.approved", held["id"])
    assert held["entry"] < approved.seq < admitted.seq
    assert approved.actor.name == "ana"
    assert server.reader.content(held["entry"], "message") == server.reader.content(admitted.seq, "message")
    # The same yes does not let anything run again.
    status, answer = ana.ask("POST", f"held-cells/{held['id']}/approve", {})
    assert (status, "already" in answer["detail"]) == (409, True)
    assert len([e for e in server.entries("cell.admitted") if e.body["held"] == held["entry"]]) == 1


def test_a_denied_cell_does_not_run_and_its_client_reads_why(server: AuditedServer, shared: KernelClient, ana: As) -> None:
    first, behind = shared.execute("denied = True"), shared.execute("behind = True")
    held = ana.next_held()
    ana.post(f"held-cells/{held['id']}/deny", reason="not on a Friday")
    reply = reply_of(shared.wait(first))
    assert (reply["status"], reply["ename"]) == ("error", "CellDenied")
    assert "ana did not approve this cell: not on a Friday" in reply["evalue"]
    # What was sent behind it was meant for what it would have done.
    assert reply_of(shared.wait(behind))["status"] == "aborted"
    refused = server.await_entry("cell.refused", lambda entry: entry.body["held"] == held["entry"])
    assert refused.body["cause"] == "cell_denied"
    assert ana.waiting() == []


def test_nobody_approves_their_own_cell_though_they_are_an_approver(shared: KernelClient, erin: As, ana: As) -> None:
    sent = shared.execute("1")
    held = ana.next_held()
    status, answer = erin.ask("POST", f"held-cells/{held['id']}/approve", {})
    assert (status, "it is their own" in answer["detail"]) == (403, True)
    ana.post(f"held-cells/{held['id']}/deny", reason="enough")
    shared.wait(sent)


def test_a_yes_is_for_one_cell_alone_and_the_channel_keeps_its_order(
    server: AuditedServer, shared: KernelClient, ana: As
) -> None:
    first, second = shared.execute("order = ['first']"), shared.execute("order.append('second'); print(order)")
    held = ana.next_held()
    assert len(ana.waiting()) == 1  # the second waits behind the first, and is not held yet
    ana.post(f"held-cells/{held['id']}/approve")
    assert reply_of(shared.wait(first))["status"] == "ok"
    other = ana.next_held()
    assert other["id"] != held["id"]
    assert "second" in other["code"]
    ana.post(f"held-cells/{other['id']}/approve")
    assert "['first', 'second']" in shown(shared.wait(second))


def test_what_hides_in_a_message_is_shown_with_its_code(shared: KernelClient, ana: As) -> None:
    sent = shared.execute("x = 1", silent=True, user_expressions={"y": "__import__('os').getcwd()"})
    held = ana.next_held()
    assert json.loads(held["besides"]) == {"silent": True, "user_expressions": {"y": "__import__('os').getcwd()"}}
    ana.post(f"held-cells/{held['id']}/deny", reason="no expressions")
    assert reply_of(shared.wait(sent))["ename"] == "CellDenied"


@pytest.mark.parametrize("road", ["control", "subshell"])
def test_no_other_road_takes_a_cell_past_approval(shared: KernelClient, ana: As, road: str) -> None:
    if road == "control":
        sent = shared.execute("other_road = 1", channel="control")
    else:
        made = reply_of(shared.wait(shared.send("create_subshell_request", {}, channel="control")))
        content = {"code": "other_road = 1", "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                   "stop_on_error": True}  # fmt: skip
        sent = shared.send("execute_request", content, header={"subshell_id": made["subshell_id"]})
    held = ana.next_held()
    assert held["code"] == "other_road = 1"
    ana.post(f"held-cells/{held['id']}/deny", reason="no")
    assert reply_of(shared.wait(sent))["ename"] == "CellDenied"


@pytest.mark.parametrize(
    ("msg_type", "content", "channel"),
    [
        ("complete_request", {"code": "a.b", "cursor_pos": 3}, "shell"),
        ("inspect_request", {"code": "a.b", "cursor_pos": 3, "detail_level": 0}, "shell"),
        ("is_complete_request", {"code": "a"}, "shell"),
        ("debug_request", {"type": "request", "seq": 1, "command": "evaluate", "arguments": {"expression": "1"}}, "control"),
    ],
)
def test_what_could_run_code_without_being_a_cell_is_refused(
    server: AuditedServer, shared: KernelClient, msg_type: str, content: dict[str, Any], channel: str
) -> None:
    reply = reply_of(shared.wait(shared.send(msg_type, content, channel=channel)))
    assert "each cell is approved by somebody" in reply["evalue"]
    refused = server.await_entry("message.refused", lambda entry: entry.body["msg_type"] == msg_type)
    assert refused.body["cause"] == "each_cell"


@pytest.mark.parametrize("msg_type", ["comm_open", "comm_msg", "comm_close"])
def test_no_handler_of_an_approved_cell_is_set_off_by_a_comm(server: AuditedServer, shared: KernelClient, msg_type: str) -> None:
    shared.wait(shared.send(msg_type, {"comm_id": "c", "target_name": "t", "data": {}}), reply=False)
    refused = server.await_entry("message.refused", lambda entry: entry.body["msg_type"] == msg_type)
    assert refused.body["cause"] == "each_cell"


@pytest.mark.parametrize("by", ["rest", "message"])
def test_an_interrupt_gives_up_what_waits_and_is_not_stuck_behind_it(
    server: AuditedServer, shared: KernelClient, ana: As, by: str
) -> None:
    sent = shared.execute("never = 1")
    held = ana.next_held()
    if by == "rest":
        assert server.request("POST", f"/api/kernels/{shared.kernel_id}/interrupt")[0] == 204
    else:
        shared.send("interrupt_request", {}, channel="control")
    assert reply_of(shared.wait(sent))["ename"] == "KeyboardInterrupt"
    assert entry_of(server, "cell.hold_ended", held["id"]).body["cause"] == "interrupted"
    assert ana.ask("POST", f"held-cells/{held['id']}/approve", {})[0] == 409


def test_a_client_that_leaves_takes_what_waits_with_it(server: AuditedServer, grant: str, ana: As) -> None:
    client = server.kernel()
    client.execute("gone = 1", stop_on_error=False)
    client.execute("gone = 2", stop_on_error=False)
    held = ana.next_held()
    client.close()
    assert entry_of(server, "cell.hold_ended", held["id"]).body["cause"] == "client_left"
    wait_for(lambda: len([e for e in server.entries("cell.refused") if e.body["cause"] == "client_left"]) == 2, "both refused")
    assert ana.waiting() == []
    server.request("DELETE", f"/api/kernels/{client.kernel_id}")


def test_the_end_of_the_kernel_ends_what_waits(server: AuditedServer, grant: str, ana: As) -> None:
    client = server.kernel()
    sent = client.execute("gone = 1")
    held = ana.next_held()
    server.request("DELETE", f"/api/kernels/{client.kernel_id}")
    assert entry_of(server, "cell.hold_ended", held["id"]).body["cause"] in ("interrupted", "shutdown")
    assert not [e for e in server.entries("cell.admitted") if e.body["msg_id"] == sent]


def test_one_message_id_waits_once(server: AuditedServer, shared: KernelClient, ana: As) -> None:
    content = {"code": "mine = 1", "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
               "stop_on_error": True}  # fmt: skip
    other = KernelClient(server, shared.kernel_id)
    sent = shared.send("execute_request", content)
    held = ana.next_held()
    # The same id with other code, over another websocket, is not let in by the yes to the first.
    other.send("execute_request", {**content, "code": "other = 1"}, header={"msg_id": sent})
    assert reply_of(other.wait(sent))["status"] == "error"
    assert server.await_entry("cell.refused", lambda e: e.body["cause"] == "message_id_reused").body["msg_id"] == sent
    ana.post(f"held-cells/{held['id']}/approve")
    assert reply_of(shared.wait(sent))["status"] == "ok"
    admitted = server.await_entry("cell.admitted", lambda e: e.body["held"] == held["entry"])
    assert json.loads(server.reader.content(admitted.seq, "message") or b"")["code"] == "mine = 1"
    other.send("execute_request", {**content, "code": "other = 2"}, header={"msg_id": sent})
    assert reply_of(other.wait(sent))["status"] == "error"
    other.close()


def test_code_in_the_kernel_cannot_approve_what_waits(server: AuditedServer, shared: KernelClient, ana: As) -> None:
    url = f"{server.url}/audit/api/v1/held-cells"
    code = (
        "import threading, time, urllib.request\n"
        "answers = set()\n"
        "def approve():\n"
        "    for path in ['', '/h-0123456789ab/approve'] * 20:\n"
        "        try:\n"
        f"            asked = urllib.request.Request({url!r} + path, b'{{}}' if path else None)\n"
        "            answers.add(urllib.request.urlopen(asked).status)\n"
        "        except Exception as error:\n"
        "            answers.add(getattr(error, 'code', str(error)))\n"
        "trying = threading.Thread(target=approve)\n"
        "trying.start()"
    )
    first = shared.execute(code)
    ana.post(f"held-cells/{ana.next_held()['id']}/approve")
    shared.wait(first)
    second = shared.execute("trying.join(); print('answers', answers)")
    held = ana.next_held()
    ana.post(f"held-cells/{held['id']}/approve")
    assert "answers {403}" in shown(shared.wait(second))


def test_what_is_sent_behind_a_cell_that_waits_does_not_fill_the_memory(
    server: AuditedServer, shared: KernelClient, ana: As
) -> None:
    first = shared.execute("patient = 1")
    held = ana.next_held()
    sent = [shared.execute(f"#{'x' * 3_000_000}") for _ in range(6)]
    reply = reply_of(shared.wait(sent[-1]))
    assert (reply["ename"], "behind a cell that waits" in reply["evalue"]) == ("NotRecorded", True)
    gap = server.await_entry("gap.recorded", lambda e: e.body["detail"]["kernel_id"] == shared.kernel_id)
    assert (gap.actor.name, gap.body["what"], gap.body["detail"]["messages"]) == ("erin", CROWDED_OUT, 1)
    ana.post(f"held-cells/{held['id']}/deny", reason="enough")
    assert reply_of(shared.wait(first))["ename"] == "CellDenied"
    for each in sent[:-1]:
        assert reply_of(shared.wait(each))["status"] == "aborted"
    after = shared.execute("patient = 2")
    ana.post(f"held-cells/{ana.next_held()['id']}/approve")
    assert reply_of(shared.wait(after))["status"] == "ok"


def test_a_client_that_sent_more_than_may_wait_leaves_with_their_number_in_the_ledger(
    server: AuditedServer, grant: str, ana: As
) -> None:
    client = server.kernel()
    client.execute("patient = 3")
    ana.next_held()
    sent = [client.execute(f"#{'x' * 3_000_000}") for _ in range(8)]
    client.wait(sent[-1])
    client.close()
    gap = server.await_entry("gap.recorded", lambda e: e.body["detail"].get("messages") == 3)
    assert (gap.body["what"], gap.body["detail"]["kernel_id"]) == (CROWDED_OUT, client.kernel_id)
    server.request("DELETE", f"/api/kernels/{client.kernel_id}")


@pytest.mark.browser
def test_an_approver_reads_the_code_in_the_panel_and_approves_it_there(
    server: AuditedServer, shared: KernelClient, browser_path: str
) -> None:
    sent = shared.execute("print('<b>seen</b>')  # \u202e")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page()
        page.goto(f"{server.url}/audit/panel?token={TOKENS['ana']}")
        cell = page.locator("#held article")
        expect(cell).to_have_count(1)
        expect(cell.locator("pre")).to_have_text("print('<b>seen</b>')  # \\u202e")
        expect(cell).to_contain_text("characters that nobody sees")
        cell.get_by_role("button", name="Approve this cell of erin").click()
        assert reply_of(shared.wait(sent))["status"] == "ok"
        expect(page.locator("#held article")).to_have_count(0)
        browser.close()


def test_a_cell_that_nobody_answers_lapses(server: AuditedServer, shared: KernelClient, ana: As) -> None:
    sent = shared.execute("late = 1")
    held = ana.next_held()
    # As the gate would find it a quarter of an hour later; the clock of a running server cannot be set.
    kind = kinds.CellHoldEnded(held["id"], "lapsed")
    ledger = open_ledger(server.home, clock=SystemClock())
    ledger.append([kinds.draft(kind, grant=held["grant"], session=held["session"])])
    ledger.close()
    assert reply_of(shared.wait(sent))["status"] == "error"
    assert ana.ask("POST", f"held-cells/{held['id']}/approve", {})[0] == 409
    assert not [e for e in server.entries("cell.admitted") if e.body["msg_id"] == sent]


def test_a_runbook_waits_for_each_of_its_cells_and_goes_on(server: AuditedServer, grant: str, ana: As, tmp_path: Path) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in ("x = 20 + 1", "print(2 * x)")])
    path = tmp_path / "drain.ipynb"
    nbformat.write(book, path)
    command = [sys.executable, "-m", "jupyter_audit.cli.main", "run", "--home", str(server.home.path), "--server", server.url,
               "--timeout", "60", str(path)]  # fmt: skip
    environment = {**os.environ, "JUPYTER_AUDIT_TOKEN": TOKENS["erin"]}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        for code in ("x = 20 + 1", "print(2 * x)"):
            held = wait_for(lambda code=code: [row for row in ana.waiting() if row["code"] == code], "the cell to wait")[0]
            ana.post(f"held-cells/{held['id']}/approve")
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert "2 of 2 cells ran" in out
    assert err.count("waits for approval: jupyter audit approve-cell h-") == 2
    outputs = nbformat.read(tmp_path / "drain.out.ipynb", as_version=4).cells[1].outputs
    assert [output.text for output in outputs] == ["42\n"]  # nothing is left of the waiting


def test_the_end_of_the_grant_ends_what_waits(server: AuditedServer, erin: As, ana: As) -> None:
    """The last: it ends the grant of the tests before."""
    live = server.request("GET", "/audit/api/v1/grants?live=true")[1]["grants"]
    client = server.kernel()
    sent = client.execute("late = 1")
    held = ana.next_held()
    for one in live:
        ana.post(f"grants/{one['id']}/revoke", reason="enough")
    assert entry_of(server, "cell.hold_ended", held["id"]).body["cause"] in ("refused", "revoked")
    assert reply_of(client.wait(sent))["status"] == "error"
    assert ana.ask("POST", f"held-cells/{held['id']}/approve", {})[0] == 409
