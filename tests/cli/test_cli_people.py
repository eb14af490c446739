"""`jupyter audit people`: who may, what it takes, and that every change is an entry that names who made it."""

from __future__ import annotations

import io

import pytest
from cli_house import CommandLine

from jupyter_audit.access.principals import os_account

PASSWORD = "four words that rhyme"


def test_every_change_is_an_entry_that_names_who_made_it(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cli.json("people", "add", "ann", "--group", "dev", "--group", "dev")
    assert (made["groups"], made["credentials"]) == (["dev"], ["token"])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\nand no more"))
    assert cli.json("people", "password", "ann")["credentials"] == ["password", "token"]
    cli.good("people", "token", "ann")
    cli.good("people", "groups", "ann")
    cli.good("people", "add", "bot", "--service", "--on-behalf-of", "ann")
    assert cli.json("people", "remove", "ann")["removed"] == ["ann", "bot"]
    entries = [entry for entry in cli.entries() if entry.type.startswith("people.")]
    assert [(entry.type, entry.body["person"], entry.body.get("what", "")) for entry in entries] == [
        ("people.added", "ann", ""),
        ("people.changed", "ann", "password"),
        ("people.changed", "ann", "token"),
        ("people.changed", "ann", "groups"),
        ("people.added", "bot", ""),
        ("people.removed", "ann", ""),
        ("people.removed", "bot", ""),
    ]
    assert {entry.actor.name for entry in entries} == {os_account().name}
    text = "".join(entry.raw for entry in entries)
    assert made["token"].partition(".")[2] not in text
    assert "argon2" not in text
    assert cli.good("people", "list", "--json").rows() == []


@pytest.mark.parametrize(
    "words",
    [
        ("add",),
        ("list", "ann"),
        ("add", "group:dev"),
        ("add", "bot", "--service"),
        ("add", "bot", "--on-behalf-of", "ann"),
        ("add", "bot", "--service", "--on-behalf-of", "nobody"),
        ("add", "bot", "--service", "--on-behalf-of", "ann", "--password"),
        ("add", "Ann"),
        ("add", "ida", "--password"),
        ("remove", "ann", "--group", "x"),
        ("token", "ann", "--password"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_says_so_and_changes_nothing(
    cli: CommandLine, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.good("people", "add", "ann")
    before = (cli.home.people.read_bytes(), len(cli.entries()))
    monkeypatch.setattr("sys.stdin", io.StringIO("too short\n"))
    done = cli("people", *words)
    assert done.code == 2, done
    assert (cli.home.people.read_bytes(), len(cli.entries())) == before


def test_nobody_is_changed_who_is_not_there(cli: CommandLine) -> None:
    for action in ("remove", "token", "password", "groups"):
        done = cli("people", action, "nobody")
        assert (done.code, "nobody" in done.err) == (6, True)


def test_only_an_admin_may(cli: CommandLine) -> None:
    config = cli.config("c.JupyterAudit.roles = {'engineer': ['*'], 'approver': ['*']}")
    done = cli("people", "add", "ann", "--config", config)
    assert (done.code, "Only an admin" in done.err) == (6, True)
    assert not cli.home.people.exists()


def test_a_file_that_was_changed_by_hand_is_shown_refused_and_accepted(cli: CommandLine) -> None:
    cli.good("people", "add", "ann")
    cli.home.people.write_text(cli.home.people.read_text().replace('"ann"', '"eve"'))
    listed = cli("people", "list", "--json")
    found = {row["check"]: row["level"] for row in cli("doctor", "--json").rows()}
    assert found["people"] == "fail"
    assert (listed.rows()[0]["name"], "not what the ledger says" in listed.err) == ("eve", True)
    assert cli("people", "add", "ben").code == 3
    assert cli.json("people", "accept") == {"people": ["eve"]}
    assert cli.entries()[-1].type == "people.accepted"
    cli.good("people", "add", "ben")
    assert cli("people", "accept").code == 3


def test_what_a_service_could_do_is_explained(cli: CommandLine) -> None:
    profiles = "c.JupyterAudit.profiles = {'agents': {'services': True}}"
    config = cli.config(f"c.JupyterAudit.roles = {{'engineer': ['*'], 'approver': ['ann', 'bea']}}\n{profiles}\n")
    asked = ("profile", "explain", "bot", "agents", "--config", config)
    assert cli.json(*asked)["ask"]["allowed"] is False
    told = cli.json(*asked, "--on-behalf-of", "ann")
    assert told["ask"]["allowed"] is True
    assert {one["name"]: one["allowed"] for one in told["approvers"]} == {"ann": False, "bea": True}
