"""Held cells over REST: who sees the code, what is signed about it, and that what hides in code is shown in the panel."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from support.servers import AuditedServer
from web_house import Person, hold_cell

from jupyter_audit.ledger.content import commit
from jupyter_audit.ledger.envelope import parse_envelope

People = Callable[[str | None], Person]
CODE = "if is_admin:\u202e  # only here \u2066\n    drop()"


@pytest.fixture(scope="module")
def cell(house: AuditedServer) -> str:
    erin, ana = Person(house, "erin"), Person(house, "ana")
    asked = erin.post("requests", profile="each-cell", reason="orders are charged twice", ticket="SHOP-1")["id"]
    return hold_cell(house, ana.post(f"requests/{asked}/approve")["id"], CODE)


@pytest.mark.parametrize(("name", "sees"), [("erin", True), ("otto", False), ("ana", True), ("aude", True), ("nina", False)])
def test_code_that_waits_is_shown_to_its_owner_and_to_those_who_watch(person: People, cell: str, name: str, sees: bool) -> None:
    rows = [row for row in person(name).get("held-cells")["held"] if row["id"] == cell]
    assert [row["code"] for row in rows] == ([CODE] if sees else [])
    assert person(name).ask("GET", f"held-cells/{cell}/entry").status_code == (200 if sees else 404)


def test_reading_anothers_code_is_put_down(house: AuditedServer, person: People, cell: str) -> None:
    person("aude").get(f"held-cells/{cell}/entry")
    read = house.await_entry("ledger.read", lambda entry: entry.actor.name == "aude" and entry.body["view"] == "held cell")
    assert read.actor.name == "aude"


def test_an_approvers_machine_can_check_that_the_entry_commits_to_the_code(person: People, cell: str) -> None:
    found = person("ana").get(f"held-cells/{cell}/entry")
    entry = parse_envelope(found["entry"]).entry
    message = base64.b64decode(found["message"])
    assert json.loads(message)["code"] == CODE
    assert commit(message, base64.b64decode(found["salt"])) == entry.contents["message"].digest
    assert (entry.body["hold"], found["me"]) == (cell, "ana")


def test_a_cell_of_another_server_is_answered_from_the_panel_only_with_its_code_at_hand(
    house: AuditedServer, person: People, cell: str
) -> None:
    status, page = house.request("GET", "/audit/panel", token="the-token-of-ana")
    assert status == 200
    assert cell in page
    assert "Its code is not at hand here" in page
    assert f"held-cells/{cell}/approve" not in page
