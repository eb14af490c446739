"""What the REST API shows, to whom; what it puts down about readers; and what it makes of bad input."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.servers import AuditedServer, wait_for
from web_house import TOKENS, Person, shared_server

People = Callable[[str | None], Person]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    """A server of this file's own: what is listed here must not depend on what other files did before."""
    with shared_server(Path(tmp_path_factory.mktemp("api"))) as running:
        yield running


@pytest.fixture(scope="module")
def cells(house: AuditedServer) -> dict[str, int]:
    """What erin ran under a grant, and was refused without one; entry numbers by what they are."""

    erin, ana = Person(house, "erin"), Person(house, "ana")
    kernel = replace(house, token=TOKENS["erin"]).kernel()
    kernel.run("secret = 'refused'")
    grant = ana.post(f"requests/{erin.request_access()}/approve")["id"]
    kernel.run("print('one')\nprint('two')")
    kernel.run("import pandas; pandas.DataFrame({'a': range(60)})")
    kernel.run("1/0")
    found = wait_for(lambda: (rows := erin.get("cells")["cells"]) and rows[0]["status"] == "error" and rows, "the end")
    kernel.close()
    refused = next(row["seq"] for row in found if row["status"] == "refused")
    printed = next(row["seq"] for row in found if row["code"] == "print('one')")
    return {"refused": refused, "printed": printed, "failed": found[0]["seq"], "grant": int(grant[2:], 16)}


def test_a_cell_is_shown_with_what_became_of_it(person: People, cells: dict[str, int]) -> None:
    rows = {row["seq"]: row for row in person("erin").get("cells")["cells"]}
    printed, failed, refused = rows[cells["printed"]], rows[cells["failed"]], rows[cells["refused"]]
    assert (printed["status"], printed["put_out"], printed["lines"]) == ("ok", "printed 2 lines", 2)
    assert 0 <= printed["waited_ms"] <= printed["duration_ms"]
    assert (failed["status"], failed["error"]) == ("error", "ZeroDivisionError")
    assert (refused["status"], refused["refused"], refused["duration_ms"]) == ("refused", "no_grant", None)
    assert any(row["put_out"] == "table of 60 rows" for row in rows.values())


def test_a_cells_whole_code_and_first_outputs_can_be_read(person: People, cells: dict[str, int]) -> None:
    detail = person("erin").get(f"cells/{cells['printed']}")
    assert detail["full_code"] == "print('one')\nprint('two')"
    assert [preview["preview"] for preview in detail["previews"]] == ["one\ntwo\n"]
    assert person("erin").get(f"cells/{cells['refused']}")["previews"] == []


def test_an_entry_that_is_no_cell_is_not_shown_as_one(person: People) -> None:
    for number in (0, 10**15):
        assert person("aude").ask("GET", f"cells/{number}").status_code == 404


@pytest.mark.parametrize("name", ["otto", "nina"])
def test_nobody_without_a_role_for_it_sees_what_others_do(person: People, cells: dict[str, int], name: str) -> None:
    other = person(name)
    mine = [entry for entry in other.get("entries")["entries"] if entry["actor"]["name"] != name]
    assert mine == []
    grant = f"g-{cells['grant']:012x}"
    assert other.get(f"entries?grant={grant}")["entries"] == []
    assert [row for row in other.get("cells")["cells"] if row["principal"] != name] == []
    assert [row for row in other.get("refusals")["refusals"] if row["principal"] != name] == []
    assert [row for row in other.get("grants")["grants"] if row["principal"] != name] == []
    assert [row for row in other.get("requests?state=all")["requests"] if row["principal"] != name] == []
    assert [row for row in other.get("sessions")["sessions"] if row["owner"] != name] == []
    assert other.ask("GET", f"cells/{cells['printed']}").status_code == 403


def test_an_engineer_sees_what_became_of_their_own(person: People, cells: dict[str, int]) -> None:
    types = {entry["type"] for entry in person("erin").get("entries?limit=500")["entries"]}
    assert {
        "access.requested",
        "access.approved",
        "session.started",
        "cell.admitted",
        "cell.finished",
    } <= types
    assert "server.started" not in types


@pytest.mark.parametrize("name", ["ana", "aude", "adam"])
def test_roles_that_review_see_everything(person: People, cells: dict[str, int], name: str) -> None:
    entries = person(name).get("entries?limit=500")["entries"]
    assert [entry["seq"] for entry in entries] == list(range(len(entries)))
    assert person(name).get(f"cells/{cells['printed']}")["principal"] == "erin"


def test_reading_what_others_did_is_put_down_once_and_names_the_reader(
    person: People, house: AuditedServer, cells: dict[str, int]
) -> None:
    aude = person("aude")
    for _ in range(5):
        aude.get("cells")
        aude.get(f"cells/{cells['failed']}")
        aude.get("findings")

    def read_by_aude(view: str) -> list[Any]:
        return [e for e in house.entries("ledger.read") if e.actor.name == "aude" and e.body["view"] == view]

    wait_for(lambda: read_by_aude("cells") and read_by_aude("cell"), "the entries about reading")
    assert len(read_by_aude("cells")) == 1
    assert [entry.body["detail"] for entry in read_by_aude("cell")].count({"entry": cells["failed"]}) == 1


def test_reading_ones_own_is_not_put_down(person: People, house: AuditedServer, cells: dict[str, int]) -> None:
    erin = person("erin")
    for path in ("entries", "cells", "refusals", "grants", "requests?state=all", f"cells/{cells['printed']}"):
        erin.get(path)
    erin.request_access()  # a later entry: what was owed before it is there now
    assert [e for e in house.entries("ledger.read") if e.actor.name == "erin"] == []


@pytest.mark.parametrize("newest_first", ["false", "true"])
def test_pages_put_together_are_the_whole(person: People, cells: dict[str, int], newest_first: str) -> None:
    aude = person("aude")
    there = len(aude.get("entries?limit=500")["entries"])
    found: list[int] = []
    after = ""
    while True:
        page = aude.get(f"entries?limit=7&newest_first={newest_first}{after}")
        found += [entry["seq"] for entry in page["entries"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    # What is put down meanwhile, about this reading say, may be among them.
    assert len(found) >= there
    assert found == sorted(range(len(found)), reverse=newest_first == "true")


def test_entries_are_filtered_by_type_session_and_grant(person: People, cells: dict[str, int]) -> None:
    aude = person("aude")
    access = aude.get("entries?type=access.&limit=500")["entries"]
    assert access
    assert all(entry["type"].startswith("access.") for entry in access)
    both = aude.get("entries?type=cell.admitted&type=cell.refused&limit=500")["entries"]
    assert {entry["type"] for entry in both} == {"cell.admitted", "cell.refused"}
    session = next(entry["session"] for entry in both if entry["seq"] == cells["printed"])
    assert {entry["session"] for entry in aude.get(f"entries?session={session}")["entries"]} == {session}


BAD_BODIES = [
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"{}",
    b'{"profile": 1, "reason": "r", "ticket": "t"}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minutes": true}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minutes": 1.0}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minutes": NaN}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minutes": "30"}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minutes": 481}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minutes": 0}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minutes": -5}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "minuets": 30}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "T-1", "principal": "adam"}',
    b'{"profile": "production-debug", "reason": "first", "reason": "long enough, this", "ticket": "T-1"}',
    b'{"profile": "production-debug", "reason": "short", "ticket": "T-1"}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": ""}',
    b'{"profile": "production-debug", "reason": "long enough, this", "ticket": "two words"}',
    b'{"profile": "production-debug", "reason": "half \\ud800 a character", "ticket": "T-1"}',
    b'{"profile": "production-debug", "reason": "control \\u0000 character", "ticket": "T-1"}',
    b'{"profile": "\\ud800", "reason": "long enough, this", "ticket": "T-1"}',
    b'{"reason": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b'{"profile": "production-debug", "reason": "' + b"x" * 5_000 + b'", "ticket": "T-1"}',
    b'{"profile": "production-debug", "reason": "' + b"x" * 70_000 + b'", "ticket": "T-1"}',
    b'{"profile": "production-debug", "reason": "r", "ticket": "t", "minutes": ' + b"9" * 5_000 + b"}",
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: str(body[:120]))
def test_a_body_that_cannot_be_used_is_refused_in_words(person: People, house: AuditedServer, body: bytes) -> None:
    before = len(house.entries("access.requested"))
    answer = person("erin").ask("POST", "requests", raw=body)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["detail"]) > 10
    assert len(answer.text) < 1_500
    assert len(house.entries("access.requested")) == before


BAD_QUERIES = [
    "entries?limit=0",
    "entries?limit=501",
    "entries?limit=-1",
    "entries?limit=1e2",
    "entries?limit=٣",
    "entries?limit=",
    "entries?limit=1&limit=2",
    "entries?after=9007199254740992",
    "entries?after=x",
    "entries?newest_first=yes",
    "entries?type=Cell.admitted",
    "entries?type=cell%25",
    "entries?type=" + "x" * 500,
    "entries?session=s-1",
    "entries?session=' or 1=1 --",
    "entries?grant=r-0123456789ab",
    "entries?actor=erin",
    "entries?type=%ff",
    "entries?" + "&".join(["type=access."] * 33),
    "requests?state=open",
    "grants?live=1",
    "cells?limit=9999",
    "status?x=1",
]


@pytest.mark.parametrize("path", BAD_QUERIES)
def test_a_query_that_cannot_be_used_is_refused_in_words(person: People, path: str) -> None:
    answer = person("aude").ask("GET", path)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["detail"]) > 10


def test_acts_that_come_too_late_say_what_is_the_case(person: People) -> None:
    erin, ana = person("erin"), person("ana")
    request = erin.request_access()
    erin.post(f"requests/{request}/withdraw")
    answer = ana.ask("POST", f"requests/{request}/approve", {})
    assert (answer.status_code, answer.json()["code"]) == (409, "access")
    assert "withdrawn" in answer.json()["detail"]
    unknown = ana.ask("POST", "requests/r-000000000000/approve", {})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


def test_who_is_denied_reads_why(person: People) -> None:
    erin, ana = person("erin"), person("ana")
    request = erin.request_access()
    ana.post(f"requests/{request}/deny", reason="wait for the <freeze> to end")
    mine = next(row for row in erin.get("requests?state=all")["requests"] if row["id"] == request)
    assert (mine["state"], mine["answered_by"], mine["answer"]) == (
        "denied",
        "ana",
        "wait for the <freeze> to end",
    )
    denied = next(e for e in erin.get("entries?type=access.denied")["entries"] if e["body"]["request"] == request)
    assert denied["actor"]["name"] == "ana"


def test_many_who_answer_at_once_make_one_grant(person: People, house: AuditedServer) -> None:

    request, ana = person("erin").request_access(), person("ana")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ana.ask("POST", f"requests/{request}/approve", {}), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15
    approvals = [e for e in house.entries("access.approved") if e.body["request"] == request]
    assert len(approvals) == 1


def test_what_cannot_be_recorded_is_not_done_and_reading_goes_on(person: People, house: AuditedServer) -> None:
    erin, before = person("erin"), len(house.entries("access.requested"))
    asked = {"profile": "production-debug", "reason": "while the ledger is locked", "ticket": "SHOP-1"}
    blocker = sqlite3.connect(house.home.ledger, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        answer = erin.ask("POST", "requests", asked)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_recorded")
        assert answer.json()["advice"]
        assert erin.get("status")["me"]["name"] == "erin"
        erin.get("entries")
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    assert erin.ask("POST", "requests", asked).status_code == 201
    assert erin.get("status")["recording"] is True
    assert len(house.entries("access.requested")) == before + 1


def test_the_checkpoint_is_the_ledgers_own(person: People, house: AuditedServer) -> None:
    answer = person("erin").ask("GET", "checkpoint")
    lines = answer.text.split("\n")
    assert lines[0] == house.reader.origin
    assert int(lines[1]) <= house.reader.size()


def test_hostile_words_come_back_as_they_were_and_only_as_json(person: People) -> None:
    hostile = "</script><img src=x onerror=alert(1)> ' \" & {{7*7}} \u202e"
    erin = person("erin")
    made = erin.ask("POST", "requests", {"profile": "production-debug", "reason": hostile[:-2], "ticket": "<b>T</b>"})
    assert made.headers["Content-Type"] == "application/json"
    assert made.json()["reason"] == hostile[:-2].strip()
    assert json.loads(made.text)["ticket"] == "<b>T</b>"
