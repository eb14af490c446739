"""Observers of a terminal: what they see, that it is entered first, that nothing they send is typed, and that they may end it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from playwright.sync_api import expect, sync_playwright
from support.servers import AuditedServer, wait_for
from web_house import TOKENS, Person, shared_server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("watched"))
    with shared_server(folder, "--JupyterAudit.profiles={'production-debug': {'terminals': True}}") as running:
        erin, ana = Person(running, "erin"), Person(running, "ana")
        ana.post(f"requests/{erin.request_access()}/approve")
        yield running


def as_(name: str) -> dict[str, str]:
    return {"Authorization": f"token {TOKENS[name]}"}


@pytest.fixture
def terminal(house: AuditedServer) -> str:
    """A terminal of erin's; its name."""
    made = requests.post(f"{house.url}/api/terminals", json={}, headers=as_("erin"), timeout=60)
    assert made.status_code == 200, made.text
    return str(made.json()["name"])


@pytest.fixture
def session(house: AuditedServer, terminal: str) -> str:
    started = house.entries("session.started", newest_first=True, limit=1)
    return str(started[0].session)


def connect(house: AuditedServer, name: str, terminal: str) -> Any:
    address = f"{house.url.replace('http', 'ws', 1)}/terminals/websocket/{terminal}"
    return websocket.create_connection(address, header=[f"Authorization: token {TOKENS[name]}"], timeout=60)


def until(socket: Any, text: str) -> None:
    shown = ""
    while text not in shown:
        kind, *given = json.loads(socket.recv())
        shown += given[0] if kind == "stdout" else ""


def watched(house: AuditedServer, session: str) -> list[tuple[str, bool, str]]:
    return [
        (e.actor.name, bool(e.body["watching"]), str(e.body["through"]))
        for e in house.entries("session.watched") if e.session == session
    ]  # fmt: skip


def test_what_a_terminal_shows_flows_to_who_watches_and_nothing_they_send_is_typed(
    house: AuditedServer, terminal: str, session: str
) -> None:
    with contextlib.closing(connect(house, "erin", terminal)) as own, contextlib.closing(connect(house, "ana", terminal)) as observer:
        assert json.loads(observer.recv())[0] == "setup"
        assert watched(house, session) == [("ana", True, "terminal")]
        observer.send(json.dumps(["stdin", "touch ana-was-here\r"]))
        until(observer, "belongs to")
        own.send(json.dumps(["stdin", "echo seen-$((40 + 2))\r"]))
        until(observer, "seen-42")
        assert not (house.work / "ana-was-here").exists()
        house.await_entry("terminal.refused", lambda e: e.actor.name == "ana")
        assert Person(house, "erin").get("sessions")["sessions"][0]["watched_by"] == ["ana"]
    wait_for(lambda: watched(house, session)[1:] == [("ana", False, "terminal")], "the end of the watching to be put down")


def test_nothing_is_shown_before_it_is_entered_that_somebody_watches(house: AuditedServer, terminal: str, session: str) -> None:
    with contextlib.closing(sqlite3.connect(house.home.ledger, isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        observer = connect(house, "aude", terminal)
        observer.settimeout(0.5)
        with pytest.raises(websocket.WebSocketTimeoutException):
            observer.recv()
        held.execute("ROLLBACK")
    observer.settimeout(60)
    assert json.loads(observer.recv())[0] == "setup"
    assert watched(house, session) == [("aude", True, "terminal")]
    observer.close()


def test_the_page_of_a_terminal_is_for_who_may_watch_and_leads_to_its_websocket(
    house: AuditedServer, terminal: str, session: str
) -> None:
    page = f"{house.url}/audit/panel/watch/{session}"
    shown = requests.get(page, headers=as_("ana"), timeout=60)
    assert shown.status_code == 200
    assert f'data-channels="/u/x/terminals/websocket/{terminal}"' in shown.text
    assert "a terminal" in shown.text
    assert [requests.get(page, headers=as_(name), timeout=60).status_code for name in ("erin", "otto")] == [404, 404]
    assert f"watch/{session}" in requests.get(f"{house.url}/audit/panel", headers=as_("ana"), timeout=60).text


def test_who_watches_may_end_it_and_says_why(house: AuditedServer, terminal: str, session: str) -> None:
    with contextlib.closing(connect(house, "erin", terminal)) as own:
        Person(house, "ana").post(f"sessions/{session}/end", reason="that is production")
        until(own, "that is production")
    ended = house.await_entry("session.ended", lambda e: e.session == session)
    assert ended.body["cause"] == "observer"
    ordered = house.await_entry("session.end_ordered", lambda e: e.session == session)
    assert (ordered.actor.name, ordered.body["reason"]) == ("ana", "that is production")
    assert requests.get(f"{house.url}/audit/panel/watch/{session}", headers=as_("ana"), timeout=60).status_code == 404


def test_somebody_elses_terminal_is_out_of_reach_with_a_grant_too_and_the_attempt_is_put_down(
    house: AuditedServer, terminal: str
) -> None:
    otto, ana = Person(house, "otto"), Person(house, "ana")
    grant = ana.post(f"requests/{otto.request_access()}/approve")["id"]
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        connect(house, "otto", terminal)
    assert requests.delete(f"{house.url}/api/terminals/{terminal}", headers=as_("otto"), timeout=60).status_code == 404
    wait_for(lambda: len(house.entries("request.refused")) == 2, "both attempts to be put down")
    refused = [(e.actor.name, e.body["method"], e.body["door"], e.body["target"], e.body["cause"])
               for e in house.entries("request.refused")]  # fmt: skip
    assert refused == [("otto", method, "terminals", terminal, "not_owner") for method in ("GET", "DELETE")]
    with contextlib.closing(connect(house, "erin", terminal)) as own:
        own.send(json.dumps(["stdin", "echo still-$((40 + 2))\r"]))
        until(own, "still-42")
    ana.post(f"grants/{grant}/revoke", reason="the test is over")


def test_what_is_typed_after_the_grant_has_ended_is_refused_and_put_down_and_no_other_terminal_opens(house: AuditedServer) -> None:
    otto, ana = Person(house, "otto"), Person(house, "ana")
    grant = ana.post(f"requests/{otto.request_access()}/approve")["id"]
    made = requests.post(f"{house.url}/api/terminals", json={}, headers=as_("otto"), timeout=60)
    mark = house.work / "typed-too-late"
    with contextlib.closing(connect(house, "otto", made.json()["name"])) as own:
        # A shell that a hang-up does not end is there a while longer, should the server notice before anything is typed.
        own.send(json.dumps(["stdin", "trap '' HUP; echo begun-$((40 + 2))\r"]))
        until(own, "begun-42")
        house.revoke_elsewhere(grant, "ana")
        own.send(json.dumps(["stdin", f"touch {mark}\r"]))
        until(own, "has ended")
        refused = house.await_entry("terminal.refused", lambda e: e.grant == grant)
        assert refused.actor.name == "otto"
        assert refused.body["cause"] in ("grant_ended", "session_ended")
        held = house.reader.content(refused.seq, "input")
        assert held is not None
        assert str(mark) in held.decode()
    assert requests.post(f"{house.url}/api/terminals", json={}, headers=as_("otto"), timeout=60).status_code == 403
    assert house.await_entry("session.refused", lambda e: e.actor.name == "otto").body["cause"] == "no_grant"
    assert not mark.exists()


@pytest.mark.browser
def test_the_page_of_a_terminal_shows_what_is_shown_there_as_text_alone(
    house: AuditedServer, terminal: str, session: str, browser_path: str
) -> None:
    """Colours and cursor movements are left out, what would hide or reorder text is written out, and nothing is markup."""
    hostile = "<img src=x onerror=window.hacked=1>"
    with contextlib.closing(connect(house, "erin", terminal)) as own, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page()
        page.goto(f"{house.url}/audit/panel/watch/{session}?token={TOKENS['ana']}")
        expect(page.locator("#state")).to_have_text("live")
        own.send(json.dumps(["stdin", f"printf '\\033[31m%s\\033[0m \\342\\200\\256gnp \\033]0;title\\007seen-%s\\n' '{hostile}' $((40 + 2))\r"]))
        live = page.locator("#live")
        expect(live).to_contain_text(f"{hostile} \\u202egnp seen-42")
        expect(live).not_to_contain_text("\\u000d")
        own.send(json.dumps(["stdin", "printf 'DROP TABLE orders\\rSELECT 1          \\n'\r"]))
        expect(live).to_contain_text("DROP TABLE orders\\u000dSELECT 1")
        assert page.evaluate("window.hacked") is None
        assert live.locator("img").count() == 0
        page.locator("summary", has_text="End this session").click()
        expect(page.get_by_label("Why?")).to_be_focused()
        page.keyboard.type("it is over")
        page.get_by_role("button", name="End it").click()
        expect(page.locator("#said")).to_be_visible()
        browser.close()
    assert house.await_entry("session.ended", lambda e: e.session == session).body["cause"] == "observer"
