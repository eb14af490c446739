"""Observers: who may watch a live kernel, what they see, that nothing they send runs, and that they may end it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import websocket
from support.servers import V1, AuditedServer, KernelClient, reply_of, wait_for
from web_house import TOKENS, Person

People = Callable[[str | None], Person]


class As:
    """The server, as one person's token sees it."""

    def __init__(self, house: AuditedServer, name: str) -> None:
        self.url, self.token = house.url, TOKENS[name]


@contextmanager
def erins_kernel(house: AuditedServer) -> Iterator[KernelClient]:
    erin, ana = Person(house, "erin"), Person(house, "ana")
    grant = ana.post(f"requests/{erin.request_access()}/approve")["id"]
    headers = {"Authorization": f"token {TOKENS['erin']}"}
    made = requests.post(f"{house.url}/api/kernels", json={"name": "audit"}, headers=headers, timeout=60)
    assert made.status_code == 201, made.text
    client = KernelClient(As(house, "erin"), made.json()["id"])  # type: ignore[arg-type]
    client.printed("print('begun')")
    yield client
    client.close()
    ana.ask("POST", f"grants/{grant}/revoke", {"reason": "the test is over"})


@pytest.fixture(scope="module")
def erins(house: AuditedServer) -> Iterator[KernelClient]:
    """A kernel of erin's, under a grant, for tests that leave it alive."""
    with erins_kernel(house) as client:
        yield client


@pytest.fixture
def doomed(house: AuditedServer) -> Iterator[KernelClient]:
    """A kernel of erin's that a test ends."""
    with erins_kernel(house) as client:
        yield client


def watch(house: AuditedServer, name: str, kernel: str, subprotocol: str | None = None) -> KernelClient:
    return KernelClient(As(house, name), kernel, subprotocol)  # type: ignore[arg-type]


def session_of(person: People, client: KernelClient, name: str = "ana") -> dict[str, Any]:
    [session] = [one for one in person(name).get("sessions")["sessions"] if one["kernel_id"] == client.kernel_id]
    return dict(session)


@pytest.mark.parametrize("subprotocol", [None, V1], ids=["json", "v1"])
@pytest.mark.parametrize("name", ["ana", "aude"])
def test_code_and_outputs_flow_to_an_observer(
    house: AuditedServer, erins: KernelClient, name: str, subprotocol: str | None
) -> None:
    observer = watch(house, name, erins.kernel_id, subprotocol)
    assert erins.printed("print('to be ' + 'seen')") == "to be seen\n"
    seen: list[dict[str, Any]] = []
    while not any(m["header"]["msg_type"] == "stream" for m in seen):
        seen.append(observer.receive())
    [code] = [m["content"] for m in seen if m["header"]["msg_type"] == "audit_admitted"]
    assert code["code"] == "print('to be ' + 'seen')"
    assert seen[-1]["content"]["text"] == "to be seen\n"
    assert house.entries("cell.admitted")[-1].seq == code["entry"]
    observer.close()


@pytest.mark.parametrize(
    ("msg_type", "channel", "content"),
    [
        ("execute_request", "shell", {"code": "open('by-observer', 'w')", "silent": True}),
        ("execute_request", "control", {"code": "open('by-observer', 'w')"}),
        ("execute_request", "shell", {"code": "%audit request 20m let me in --ticket T-1"}),
        ("complete_request", "shell", {"code": "pri", "cursor_pos": 3}),
        ("inspect_request", "shell", {"code": "print", "cursor_pos": 3}),
        ("comm_open", "shell", {"comm_id": "x", "target_name": "x", "data": {}}),
        ("debug_request", "control", {"type": "request", "command": "initialize", "seq": 1, "arguments": {}}),
        ("interrupt_request", "control", {}),
        ("shutdown_request", "control", {"restart": False}),
        ("input_reply", "stdin", {"value": "1"}),
        ("history_request", "shell", {"hist_access_type": "tail", "n": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_that_an_observer_sends_reaches_the_kernel(
    house: AuditedServer, erins: KernelClient, msg_type: str, channel: str, content: dict[str, Any]
) -> None:
    running = erins.execute("import time\nfor _ in range(20): time.sleep(0.05)\nprint('undisturbed')")
    observer = watch(house, "ana", erins.kernel_id)
    sent = observer.send(msg_type, content, channel=channel)
    refused = house.await_entry(
        "cell.refused" if msg_type == "execute_request" else "message.refused", lambda e: e.body["msg_id"] == sent
    )
    assert refused.actor.name == "ana"
    assert refused.body["cause"] in ("not_owner", "unknown_type", "never_passed")
    messages = erins.wait(running)
    assert reply_of(messages)["status"] == "ok"
    assert not (house.work / "by-observer").exists()
    assert all(m["parent_header"].get("msg_id") != sent for m in erins.heard)
    observer.close()


def test_others_may_not_watch_and_observers_may_not_interrupt_or_restart(house: AuditedServer, erins: KernelClient) -> None:
    for name in ("otto", "adam", "nina"):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            watch(house, name, erins.kernel_id)
    for name in ("ana", "aude", "otto"):
        for act in ("interrupt", "restart"):
            answer = requests.post(
                f"{house.url}/api/kernels/{erins.kernel_id}/{act}", headers={"Authorization": f"token {TOKENS[name]}"}, timeout=60
            )
            assert answer.status_code == 403


def test_watching_is_put_down_by_name_and_the_owner_sees_it(
    person: People, house: AuditedServer, erins: KernelClient
) -> None:
    wait_for(lambda: session_of(person, erins)["watched_by"] == [], "the observers of other tests to be gone")
    observer = watch(house, "aude", erins.kernel_id)
    session = session_of(person, erins)
    assert session["watched_by"] == ["aude"]
    assert session_of(person, erins, "erin")["watched_by"] == ["aude"]
    page = requests.get(f"{house.url}/audit/panel", headers={"Authorization": f"token {TOKENS['erin']}"}, timeout=60).text
    assert "<strong>aude</strong> watches your session" in page
    observer.close()
    wait_for(lambda: session_of(person, erins)["watched_by"] == [], "the watching to end")
    since = house.await_entry("session.watched", lambda e: e.actor.name == "aude" and e.body["watching"])
    ended = house.await_entry("session.watched", lambda e: e.actor.name == "aude" and e.seq > since.seq)
    assert [(e.session, e.body["owner"]) for e in (since, ended)] == [(session["id"], "erin")] * 2
    assert not ended.body["watching"]


def test_an_observer_takes_neither_the_owners_connection_nor_the_output_that_waits_for_it(
    house: AuditedServer, erins: KernelClient
) -> None:
    """Jupyter closes an older connection of the same session id, and drops buffered output for another one's."""
    observer = KernelClient(As(house, "ana"), erins.kernel_id, session=erins.session)  # type: ignore[arg-type]
    assert erins.printed("print('still here')") == "still here\n"
    erins.execute("import time; time.sleep(0.5); print('while away')")
    erins.close()
    watch(house, "aude", erins.kernel_id).close()
    observer.close()
    observer = watch(house, "ana", erins.kernel_id)
    while not any(m["content"].get("text") == "while away\n" for m in observer.heard):
        observer.receive()
    erins.connect()
    while not any(m["content"].get("text") == "while away\n" for m in erins.heard):
        erins.receive()
    observer.close()


@pytest.mark.parametrize("name", ["ana", "aude"])
def test_an_observer_may_end_a_session_and_the_ledger_says_who_and_why(
    person: People, house: AuditedServer, doomed: KernelClient, name: str
) -> None:
    session = session_of(person, doomed)["id"]
    observer = watch(house, name, doomed.kernel_id)
    running = doomed.execute("import time; time.sleep(60)")
    assert person("otto").ask("POST", f"sessions/{session}/end", {"reason": "not mine"}).status_code == 404
    person(name).post(f"sessions/{session}/end", reason="drops tables \x1b[2J")
    ordered = house.await_entry("session.end_ordered", lambda e: e.session == session)
    assert (ordered.actor.name, ordered.body["owner"]) == (name, "erin")
    assert "drops tables" in ordered.body["reason"]
    ended = house.await_entry("session.ended", lambda e: e.session == session)
    assert (ended.body["cause"], ended.body["clean"]) == ("observer", True)
    while not any(m["header"]["msg_type"] == "error" and m["parent_header"].get("msg_id") == running for m in doomed.heard):
        doomed.receive()
    told = next(m for m in doomed.heard if m["header"]["msg_type"] == "error")["content"]["evalue"]
    assert f"{name} ended this session: drops tables" in told
    assert "\x1b" not in told
    while not any(m["content"].get("execution_state") == "dead" for m in observer.heard):
        observer.receive()


def test_a_kernel_that_is_ended_by_jupyters_own_api_is_put_down_by_name_too(
    house: AuditedServer, person: People, doomed: KernelClient
) -> None:
    session = session_of(person, doomed)["id"]
    answer = requests.delete(
        f"{house.url}/api/kernels/{doomed.kernel_id}", headers={"Authorization": f"token {TOKENS['ana']}"}, timeout=60
    )
    assert answer.status_code == 204
    ordered = house.await_entry("session.end_ordered", lambda e: e.session == session)
    assert ordered.actor.name == "ana"


def test_the_page_that_shows_a_session_is_for_observers_and_lets_nothing_run_but_its_own_script(
    house: AuditedServer, person: People, erins: KernelClient
) -> None:
    session = session_of(person, erins)["id"]
    for name, expected in (("ana", 200), ("aude", 200), ("erin", 404), ("otto", 404), ("adam", 404)):
        answer = requests.get(
            f"{house.url}/audit/panel/watch/{session}", headers={"Authorization": f"token {TOKENS[name]}"}, timeout=60
        )
        assert answer.status_code == expected, name
        if expected == 200:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "require-trusted-types-for 'script'" in policy
            assert "'unsafe" not in policy
    assert json.dumps(session)[1:-1] in answer.text or expected != 200


def test_a_flood_reaches_an_observer_in_part_and_the_kernel_does_not_wait(house: AuditedServer, erins: KernelClient) -> None:
    observer = watch(house, "ana", erins.kernel_id)
    assert erins.run("import sys\nfor n in range(200):\n    print('x' * 2000)\n    sys.stdout.flush()")["status"] == "ok"
    assert erins.run("print('y' * 3_000_000)")["status"] == "ok"
    assert erins.printed("print('after')") == "after\n"
    while not any(m["content"].get("text") == "after\n" for m in observer.heard):
        observer.receive()
    assert any(m["header"]["msg_type"] == "audit_left_out" for m in observer.heard)
    observer.close()
