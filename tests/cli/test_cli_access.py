"""The way of a grant on the command line, as text and as JSON, and what each refusal comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cli_house import CommandLine

from jupyter_audit.access.principals import os_account
from jupyter_audit.clock import format_time

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


BROAD = "c.JupyterAudit.profiles = {'production-debug': {'break_glass': True, 'targets': ['shop', 'stock'], 'approvals': 1}}"


def test_more_time_is_asked_for_and_the_end_moves(cli: CommandLine) -> None:
    grant = cli.granted(minutes=10)
    before = cli.good("grants", "--json").rows()[0]["not_after"]
    asked = cli.good("extend", grant, "--minutes", "5", "--reason", "it takes longer")
    request = asked.out.split()[1]
    assert f"more time for {grant}" in cli.good("requests").out
    assert cli.json("approve", request)["id"] == grant
    (row,) = cli.good("grants", "--json").rows()
    assert (row["extensions"], row["not_after"] > before) == (1, True)
    assert "extended 1x" in cli.good("grants").out


def test_a_grant_can_be_asked_for_a_window_and_a_target(cli: CommandLine) -> None:
    config = cli.config(BROAD)
    starts = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    given = ("--target", "shop", "--starts", starts.isoformat(), "--config", config)
    asked = cli.json(*ASK, *given)
    assert (asked["target"], asked["starts"]) == ("shop", format_time(starts))
    granted = cli.good("approve", asked["id"], "--config", config)
    assert f"from {format_time(starts)}" in granted.out
    assert "approved" in cli.good("grants").out
    assert cli.good("grants", "--live").out == ""
    local = starts.astimezone().replace(tzinfo=None).isoformat()
    assert cli.json(*ASK, "--target", "stock", "--starts", local, "--config", config)["starts"] == format_time(starts)


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01T00:00Z", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "\x1b[2J"])
def test_a_beginning_that_is_no_moment_or_out_of_reach_is_refused(cli: CommandLine, text: str) -> None:
    done = cli(*ASK, "--starts", text)
    assert (done.code, "Traceback" in done.err, "\x1b" in done.err) == (2, False, False)


def test_a_broken_glass_is_told_listed_and_reviewed(cli: CommandLine) -> None:
    config = cli.config(BROAD)
    assert "no glass to break" in cli("break-glass", *ASK[1:]).err
    given = ("--target", "shop", "--minutes", "5", "--config", config)
    told = cli.good("break-glass", *ASK[1:], *given).out
    assert "nobody approved it" in told
    grant = cli.good("grants", "--live", "--json").rows()[0]["id"]
    assert grant in told
    assert "broken glass, not reviewed yet" in cli.good("grants").out
    words = ("review", grant, "--justified", "--comment", "the shop was down")
    assert "still in force" in cli(*words).err
    cli.good("revoke", grant, "--reason", "it works again")
    assert [row["id"] for row in cli.good("grants", "--unreviewed", "--json").rows()] == [grant]
    assert cli("review", grant, "--comment", "neither").code == 2
    assert "not justified" in cli.good("review", grant, "--not-justified", "--comment", "nobody was asked").out
    assert "broken glass, not justified" in cli.good("grants").out
    assert "No broken glass waits" in cli.good("grants", "--unreviewed").err
    assert cli.entries("access.reviewed")[0].body == {"justified": False, "comment": "nobody was asked"}


def test_an_incident_ends_every_grant_those_to_come_included(cli: CommandLine) -> None:
    grants = {cli.granted(), cli.granted()}
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    grants.add(cli.json("approve", cli.json(*ASK, "--starts", later)["id"])["id"])
    assert cli("revoke", "--reason", "which?").code == 2
    assert cli("revoke", grants.copy().pop(), "--everyone", "--reason", "which?").code == 2
    ended = cli.good("revoke", "--everyone", "--reason", "keys were stolen", "--json").rows()
    assert {row["id"] for row in ended} == grants
    assert {row["state"] for row in ended} == {"revoked"}
    assert "No grant was in force" in cli.good("revoke", "--everyone", "--reason", "once more").err
    assert [entry.body for entry in cli.entries("access.revoked")] == [{"everyone": True, "reason": "keys were stolen"}] * 3


def test_the_night_shift_takes_over_on_the_command_line(cli: CommandLine) -> None:
    grant = cli.granted()
    assert "yours already" in cli(*ASK, "--takes-over", grant).err
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jupyter_audit.cli.context.os_account", lambda *_: os_account().__class__("ada", "os-account", os_account().roles))
        asked = cli.json(*ASK, "--takes-over", grant)
    assert f"takes over {grant}" in cli.good("requests").out
    successor = cli.json("approve", asked["id"])["id"]
    assert f"carried on by {successor}" in cli.good("grants").out


def test_no_more_requests_wait_than_may(cli: CommandLine) -> None:
    config = cli.config("c.JupyterAudit.pending_requests = 2")
    first = cli.json(*ASK, "--config", config)["id"]
    cli.json(*ASK, "--config", config)
    assert "as many as may" in cli(*ASK, "--config", config).err
    cli.good("withdraw", first, "--config", config)
    cli.json(*ASK, "--config", config)


def test_doctor_names_broken_glasses_that_nobody_reviewed(cli: CommandLine) -> None:
    config = cli.config(BROAD)
    grant = cli.json("break-glass", *ASK[1:], "--target", "shop", "--config", config)["id"]
    cli.good("revoke", grant, "--reason", "it works again")
    rows = {row["check"]: row for row in cli("doctor", "--json", "--config", config).rows()}
    assert rows["broken glass"]["level"] == "warn"
    assert grant in rows["broken glass"]["result"]
    cli.good("review", grant, "--justified", "--comment", "the shop was down")
    rows = {row["check"]: row for row in cli("doctor", "--json", "--config", config).rows()}
    assert "broken glass" not in rows
