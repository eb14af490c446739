"""`%audit` in a cell of its own is answered by the server, as the person whose connection it came over, and by nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.servers import V1, AuditedServer, KernelClient, reply_of


@pytest.fixture(scope="module")
def client(server: AuditedServer) -> KernelClient:
    return server.kernel()


@pytest.fixture(scope="module")
def grant(server: AuditedServer) -> str:
    """One for the tests from the first that names it on; those before have none."""
    return server.grant()


@pytest.fixture(scope="module")
def modern(server: AuditedServer, client: KernelClient) -> KernelClient:
    return KernelClient(server, client.kernel_id, V1)


def ask(client: KernelClient, text: str, **options: Any) -> str:
    """Run `%audit text`, which must succeed, and return what it printed."""
    messages = client.wait(client.execute(f"%audit {text}", **options))
    assert reply_of(messages)["status"] == "ok", reply_of(messages)
    return "".join(m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream")


def waiting(server: AuditedServer) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = server.api("GET", "requests")["requests"]
    return rows


def test_access_is_asked_for_in_the_notebook_that_was_refused(server: AuditedServer, client: KernelClient) -> None:
    refusal = reply_of(client.wait(client.execute("print(1)")))
    assert "%audit request" in refusal["evalue"]
    told = ask(client, "request 20m orders can't be paid --ticket SHOP-1")
    [request] = waiting(server)
    assert (request["reason"], request["ticket"], request["minutes"]) == ("orders can't be paid", "SHOP-1", 20)
    assert request["id"] in told
    answered, asked = server.await_entry("cell.answered"), server.await_entry("access.requested")
    assert answered.seq < asked.seq
    assert (answered.actor, answered.body["verb"]) == (asked.actor, "request")
    held = server.reader.content(answered.seq, "message")
    assert held is not None
    assert "can't be paid" in json.loads(held)["code"]
    assert request["id"] in ask(client, "status")
    assert "withdrawn" in ask(client, "withdraw")
    assert waiting(server) == []


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("name", ["client", "modern"])
def test_the_answer_is_what_a_kernel_sends_for_a_cell(
    request: pytest.FixtureRequest, name: str, channel: str
) -> None:
    one: KernelClient = request.getfixturevalue(name)
    sent = one.execute("%audit help", channel=channel, user_expressions={"x": "1/0"})
    messages = one.wait(sent)
    kinds = [(m["channel"], m["header"]["msg_type"]) for m in messages]
    assert kinds == [
        ("iopub", "status"), ("iopub", "execute_input"), ("iopub", "stream"), (channel, "execute_reply"), ("iopub", "status"),
    ]  # fmt: skip
    assert [m["content"]["execution_state"] for m in (messages[0], messages[-1])] == ["busy", "idle"]
    reply = reply_of(messages)
    assert (reply["status"], reply["payload"], reply["user_expressions"]) == ("ok", [], {})
    assert "%audit rules PROFILE" in messages[2]["content"]["text"]
    assert "Everything that you run is recorded" in messages[2]["content"]["text"]


def test_a_silent_one_says_nothing(client: KernelClient) -> None:
    messages = client.wait(client.execute("%audit status", silent=True))
    assert {m["header"]["msg_type"] for m in messages} == {"status", "execute_reply"}


def test_what_cannot_be_done_is_said_in_the_words_of_the_api(server: AuditedServer, client: KernelClient) -> None:
    for text, name, told in (
        ("request 20m orders are stuck", "UsageError", "is not a ticket"),
        ("request 20m x --ticket T-1", "UsageError", "too short"),
        ("request why not --ticket T-1 --profile nothing", "NotPermittedError", "There is no profile"),
        ("extend 10m", "NotFoundError", "no live grant"),
        ("withdraw r-000000000000", "NotFoundError", "There is no request"),
        ("approve r-000000000000", "UsageError", "There is no %audit approve"),
        ("feedback", "UsageError", "empty"),
    ):
        messages = client.wait(client.execute(f"%audit {text}"))
        reply = reply_of(messages)
        assert (reply["status"], reply["ename"]) == ("error", name), text
        assert told in reply["evalue"]
        assert [m["content"]["evalue"] for m in messages if m["header"]["msg_type"] == "error"] == [reply["evalue"]]
    assert server.await_entry("access.refused").body["action"] == "withdraw"


def test_feedback_is_about_the_newest_refusal_of_this_session(server: AuditedServer, client: KernelClient) -> None:
    client.wait(sent := client.execute("print('mine')"))
    mine = server.await_entry("cell.refused", lambda e: e.body["msg_id"] == sent)
    other = server.kernel()
    other.wait(other.execute("print('another')"))
    theirs = server.await_entry("cell.refused", lambda e: e.body["kernel_id"] == other.kernel_id)
    assert f"about entry {mine.seq}." in ask(client, "feedback nobody told me")
    given = server.await_entry("feedback.given")
    assert (given.body["about"], given.session) == (mine.seq, mine.session)
    assert f"about entry {theirs.seq}." in ask(other, f"feedback --about {theirs.seq} nor here")
    other.close()


def test_rules_are_shown_and_acknowledged(server: AuditedServer, client: KernelClient) -> None:
    told = ask(client, "rules").splitlines()
    assert told[0].startswith("The rules of production-debug, version ")
    assert any("Everything that you run is recorded" in line for line in told)
    ask(client, told[-1].partition("%audit ")[2])
    assert server.await_entry("access.acknowledged").body["profile"] == "production-debug"
    assert ask(client, "rules").splitlines()[-1] == "You have acknowledged them."


def test_no_cell_is_counted_for_it(server: AuditedServer, client: KernelClient, grant: str) -> None:
    assert server.kernel().run("%audit status")["execution_count"] == 1  # JupyterLab shows a cell that got 0 as running for ever
    count = client.run("1")["execution_count"]
    assert client.run("%audit status")["execution_count"] == count
    assert client.run("%audit nothing")["execution_count"] == count
    assert client.run("2")["execution_count"] == count + 1


def test_status_tells_the_grant_its_clock_and_its_rules(client: KernelClient, grant: str) -> None:
    client.run("1")
    told = ask(client, "")
    assert grant in told
    assert "min" in told
    assert "A kernel" in told or "It opens no terminal." in told
    assert f"It ends with the grant {grant}." in told


def test_more_time_is_asked_for_while_a_cell_runs_and_the_kernel_is_busy_still(
    server: AuditedServer, client: KernelClient, grant: str
) -> None:
    long = client.execute("import threading; gate = threading.Event(); gate.wait(60)")
    server.await_entry("cell.admitted", lambda e: e.body["msg_id"] == long)
    told = ask(client, "extend 15m")
    [request] = waiting(server)
    assert (request["extends"], request["minutes"], request["reason"]) == (grant, 15, "More time for: a test needs it")
    assert request["id"] in told
    while (last := client.receive())["parent_header"].get("msg_id") != long or last["header"]["msg_type"] != "status":
        pass
    assert last["content"]["execution_state"] == "busy"
    client.send("interrupt_request", {}, channel="control")
    client.wait(long)
    server.api("POST", f"requests/{request['id']}/withdraw", {})


CALLS = (
    "get_ipython().run_line_magic('audit', 'request 20m give me more --ticket T-1')",
    "x = 1\n%audit request 20m give me more --ticket T-1",
    "get_ipython().run_cell('%audit request 20m give me more --ticket T-1')",
    "%%audit request 20m give me more --ticket T-1\nplease",
)


@pytest.mark.parametrize("code", CALLS, ids=["line magic", "beside other code", "run_cell", "cell magic"])
def test_code_in_a_kernel_asks_for_nothing(server: AuditedServer, client: KernelClient, grant: str, code: str) -> None:
    before = (len(server.entries("access.requested")), len(server.entries("cell.answered")))
    assert "works as the only line of a cell" in client.printed(code)
    assert (len(server.entries("access.requested")), len(server.entries("cell.answered"))) == before


def test_a_kernel_that_puts_a_line_into_the_next_cell_has_asked_for_nothing(
    server: AuditedServer, client: KernelClient, grant: str
) -> None:
    before = len(server.entries("cell.answered"))
    reply = client.run("get_ipython().set_next_input('%audit request 20m give me more --ticket T-1', replace=True)")
    assert reply["status"] == "ok"
    assert client.printed("print('done')") == "done\n"
    assert len(server.entries("cell.answered")) == before


def test_cells_that_wait_behind_a_failure_are_aborted_and_recorded_unless_they_ask_not_to(
    server: AuditedServer, client: KernelClient, grant: str
) -> None:
    client.run("trace = []")
    first, second = client.execute("%audit nothing"), client.execute("trace.append(1)")
    client.wait(first)
    assert reply_of(client.wait(second)) == {"status": "aborted"}
    refused = server.await_entry("cell.refused", lambda e: e.body["msg_id"] == second)
    assert refused.body["cause"] == "aborted"
    client.execute("%audit nothing", stop_on_error=False)
    client.run("trace.append(2)")
    assert client.printed("print(trace)") == "[2]\n"


def test_a_note_stands_beside_the_cells_for_whoever_reviews_them(
    server: AuditedServer, client: KernelClient, grant: str
) -> None:
    client.run("1")
    ask(client, 'note I know that "this" looks odd')
    note = server.await_entry("note.made")
    session = server.await_entry("cell.admitted").session
    assert (note.session, note.grant, server.reader.content(note.seq, "note")) == (session, grant, b"I know that this looks odd")
    assert server.reader.entry(note.body["answered"]).body["verb"] == "note"


def test_a_message_id_that_ran_a_cell_asks_for_nothing(server: AuditedServer, client: KernelClient, grant: str) -> None:
    sent = client.execute("1")
    client.wait(sent)
    after = server.reader.size()
    client.wait(client.send("execute_request", {"code": "%audit request 20m give me more --ticket T-1"}, header={"msg_id": sent}))
    refused = server.await_entry("cell.refused", lambda e: e.body["msg_id"] == sent)
    assert refused.body["cause"] == "message_id_reused"
    assert server.entries("cell.answered", "access.requested", start=after) == []
