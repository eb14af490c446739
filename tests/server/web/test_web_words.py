"""Rules are read and acknowledged, feedback given, and numbers seen, over HTTP and in the panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.servers import AuditedServer
from web_house import TOKENS, Person

from jupyter_audit.cli.main import main

People = Callable[[str | None], Person]


def test_the_rules_are_read_and_acknowledged_by_the_caller_alone(person: People, house: AuditedServer) -> None:
    erin = person("erin")
    row = next(one for one in erin.get("profiles")["profiles"] if one["name"] == "production-debug")
    assert row["rules"][0].startswith("Everything that you run is recorded")
    made = erin.post("acknowledgements", profile="production-debug", version=row["version"][:12])
    assert made == {"profile": "production-debug", "version": row["version"]}
    again = {name: person(name).get("profiles")["profiles"] for name in ("erin", "otto")}
    known = {name: {one["name"]: one["acknowledged"] for one in rows}["production-debug"] for name, rows in again.items()}
    assert known == {"erin": True, "otto": False}
    assert erin.ask("POST", "acknowledgements", {"profile": "production-debug", "version": "0" * 64}).status_code == 409
    assert person("nina").ask("POST", "acknowledgements", {"profile": "production-debug", "version": row["version"]}).status_code == 403


def test_feedback_is_tied_to_what_it_is_about(person: People, house: AuditedServer) -> None:
    otto = person("otto")
    assert otto.ask("POST", "requests", {"profile": "nothing", "reason": "orders are stuck", "ticket": "SHOP-1"}).status_code == 403
    about = otto.post("feedback", text="which profiles are there?")["about"]
    refused = house.reader.entry(about)
    assert (refused.type, refused.actor.name) == ("access.refused", "otto")
    assert person("erin").ask("POST", "feedback", {"text": "mine", "about": about}).status_code == 404
    assert otto.ask("POST", "feedback", {"text": ""}).status_code == 400


def test_whoever_sits_at_a_shared_server_is_told_commands_that_reach_it(
    person: People, house: AuditedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = replace(house, token=TOKENS["otto"]).kernel()
    [error] = [m for m in client.wait(client.execute("1")) if m["header"]["msg_type"] == "error"]
    assert '    jupyter audit request --reason "why" --ticket "TICKET-1" --server URL\n' in error["content"]["evalue"]
    refused = person("ana").ask("POST", "requests/r-000000000000/approve", {}).json()
    assert refused["advice"] == "`jupyter audit requests --server URL` lists them."

    monkeypatch.setenv("JUPYTER_AUDIT_TOKEN", TOKENS["ana"])
    main(["approve", "r-000000000000", "--server", house.url])
    assert f"`jupyter audit requests --server {house.url}` lists them." in capsys.readouterr().err


@pytest.mark.parametrize(("name", "status"), [("erin", 403), ("ana", 403), ("aude", 200), ("adam", 200), ("nina", 403)])
def test_numbers_are_for_admins_and_auditors(person: People, name: str, status: int) -> None:
    answer = person(name).ask("GET", "stats")
    assert answer.status_code == status
    if status == 200:
        assert set(answer.json()["approval_seconds"]) == {"median", "p95"}
