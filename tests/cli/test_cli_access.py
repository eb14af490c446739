"""The way of a grant on the command line, as text and as JSON, and what each refusal comes to."""

from __future__ import annotations

import pytest
from cli_house import CommandLine

from jupyter_audit.access.principals import os_account

ASK = ("request", "--reason", "orders are stuck", "--ticket", "SHOP-1042")


def test_one_person_asks_approves_and_revokes(cli: CommandLine) -> None:
    asked = cli.good(*ASK, "--minutes", "5")
    request = asked.out.split()[1]
    assert f"jupyter audit approve {request}" in asked.out
    assert request in cli.good("requests").out

    approved = cli.good("approve", request)
    assert "You approved your own request; the ledger says so." in approved.out
    grant = approved.out.split()[1]
    assert grant in cli.good("grants", "--live").out

    assert "revoked" in cli.good("revoke", grant, "--reason", "done").out
    assert cli.good("grants", "--live").out == ""
    types = [entry.type for entry in cli.entries("access.")]
    assert types == ["access.requested", "access.approved", "access.revoked"]


def test_json_has_the_same_keys_everywhere(cli: CommandLine) -> None:
    asked = cli.json(*ASK)
    (listed,) = cli.good("requests", "--json").rows()
    assert listed == asked
    granted = cli.json("approve", asked["id"])
    (row,) = cli.good("grants", "--json").rows()
    assert row.keys() == granted.keys()
    assert (row["request"], row["state"], row["principal"]) == (asked["id"], "active", os_account().name)
    assert cli.json("revoke", granted["id"], "--reason", "done")["state"] == "revoked"
    (row,) = cli.good("requests", "--all", "--json").rows()
    assert row["state"] == "approved"


def test_a_request_can_be_denied_or_withdrawn(cli: CommandLine) -> None:
    first, second = cli.json(*ASK)["id"], cli.json(*ASK)["id"]
    assert cli.json("deny", first, "--reason", "not now")["state"] == "denied"
    assert cli.json("withdraw", second)["state"] == "withdrawn"
    assert cli.good("requests", "--json").rows() == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("request", "--reason", "short", "--ticket", "T-1"), 2, "too short"),
        (("request", "--reason", "orders are stuck", "--ticket", "a b"), 2, "not a ticket"),
        ((*ASK, "--minutes", "481"), 2, "481 minutes"),
        ((*ASK, "--minutes", "many"), 2, "invalid int"),
        ((*ASK, "--profile", "root"), 6, "There is no profile"),
        (("request", "--ticket", "T-1"), 2, "--reason"),
        (("approve", "r-000000000000"), 6, "no request"),
        (("revoke", "g-000000000000", "--reason", "x"), 6, "no grant"),
        (("approve", "r-\x1b[2J"), 6, "no request"),
        (("approve",), 2, "REQUEST"),
        (("deny", "r-000000000000", "--reason", ""), 6, "no request"),
        (("fly",), 2, "invalid choice"),
        (("requests", "--serve", "x"), 2, "unrecognized"),
    ],
)
def test_a_refusal_is_a_sentence_and_an_exit_code(cli: CommandLine, words: tuple[str, ...], code: int, said: str) -> None:
    done = cli(*words)
    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err
    assert done.out == ""


def test_roles_of_the_admins_file_hold_on_the_command_line(cli: CommandLine) -> None:
    me = os_account().name
    config = cli.config(f"c.JupyterAudit.roles = {{'engineer': [{me!r}], 'approver': ['bea']}}")
    asked = cli.json(*ASK, "--config", config)
    refused = cli("approve", asked["id"], "--config", config)
    assert refused.code == 6
    assert "not an approver" in refused.err
    assert [entry.actor.name for entry in cli.entries("access.refused")] == [me]


def test_self_approval_needs_solo_mode_even_for_an_approver(cli: CommandLine) -> None:
    me = os_account().name
    roles = f"c.JupyterAudit.roles = {{'engineer': [{me!r}], 'approver': [{me!r}, 'bea']}}"
    config = cli.config(roles)
    asked = cli.json(*ASK, "--config", config)
    assert "own request" in cli("approve", asked["id"], "--config", config).err
    assert cli.json("approve", asked["id"], "--config", config, "--solo")["self_approved"] is True
    assert cli.entries("access.approved")[0].body["solo"] is True


def test_reading_other_peoples_grants_is_put_down_and_ones_own_is_not(cli: CommandLine) -> None:
    cli.granted()
    cli.good("grants")
    cli.good("requests", "--all")
    assert cli.entries("ledger.read") == []
    everybody = cli.config("c.JupyterAudit.roles = {'auditor': ['*']}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jupyter_audit.cli.context.os_account", lambda *_: os_account().__class__("ada", "os-account"))
        cli.good("grants", "--config", everybody)
        cli.good("requests", "--all", "--config", everybody)
    read = cli.entries("ledger.read")
    assert [(entry.actor.name, entry.body["view"]) for entry in read] == [("ada", "grants"), ("ada", "requests")]
