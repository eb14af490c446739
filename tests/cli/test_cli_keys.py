"""`jupyter audit keys`: what signs the ledger, and how that changes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cli_house import CommandLine, Past

from jupyter_audit.cli.keys import is_due
from jupyter_audit.ledger import create_ledger
from jupyter_audit.model import Actor

DAY = timedelta(days=1)


def test_keys_are_listed_with_the_entry_that_introduced_each(cli: CommandLine) -> None:
    assert [row["epoch"] for row in cli("keys", "--json").rows()] == [0]
    assert "destroyed" in cli.good("keys", "rotate", "--reason", "yearly").out
    first, second = cli("keys", "--json").rows()
    assert first["key"] == cli.home.verifier_key.read_text().strip()
    assert (second["epoch"], second["since_entry"]) == (1, 1)
    assert "Key 1" in cli.good("verify").out
    cli.granted()
    cli.good("verify")


def test_a_key_that_is_not_due_stays(cli: CommandLine) -> None:
    stays = cli("keys", "rotate", "--if-older-than", "90d", "--if-entries", "1000", "--reason", "timer", "--json")
    goes = cli("keys", "rotate", "--if-entries", "1", "--reason", "timer", "--json")
    assert [stays.rows()[0]["rotated"], goes.rows()[0]["rotated"]] == [False, True]


@pytest.mark.parametrize(
    ("signed", "age", "most_age", "most_signed", "due"),
    [
        (0, 0 * DAY, None, None, True),
        (5, 1 * DAY, 2 * DAY, None, False),
        (5, 2 * DAY, 2 * DAY, None, True),
        (5, 1 * DAY, None, 5, True),
        (4, 1 * DAY, None, 5, False),
        (4, 3 * DAY, 2 * DAY, 5, True),
        (5, 1 * DAY, 2 * DAY, 5, True),
        (4, 1 * DAY, 2 * DAY, 5, False),
    ],
)
def test_a_key_is_due_by_either_limit(
    signed: int, age: timedelta, most_age: timedelta | None, most_signed: int | None, due: bool
) -> None:
    assert is_due(signed, age, most_age, most_signed) is due


def test_only_an_admin_gives_a_new_key_and_only_for_a_reason(cli: CommandLine) -> None:
    others = cli.config("c.JupyterAudit.roles = {'admin': ['somebody-else'], 'engineer': ['*']}\n")
    assert "Only an admin" in cli("keys", "rotate", "--reason", "x", "--config", others).err
    assert "needs a reason" in cli("keys", "rotate").err
    assert len(cli("keys", "--json").rows()) == 1


def test_doctor_warns_of_a_key_that_has_been_in_force_for_too_long(empty: CommandLine) -> None:
    cli = empty
    create_ledger(cli.home, clock=Past(40), actor=Actor("root", "test"))
    young = cli.config("c.JupyterAudit.solo = True\n")
    (told,) = [row for row in cli("doctor", "--json", "--config", young).rows() if row["check"] == "age of the key"]
    assert (told["level"], "40 days" in told["result"]) == ("ok", True)
    old = cli.config("c.JupyterAudit.solo = True\nc.JupyterAudit.signing_key_days = 40\n")
    (told,) = [row for row in cli("doctor", "--json", "--config", old).rows() if row["check"] == "age of the key"]
    assert (told["level"], "keys rotate" in told["advice"]) == ("warn", True)
    cli.good("keys", "rotate", "--reason", "due", "--config", old)
    (told,) = [row for row in cli("doctor", "--json", "--config", old).rows() if row["check"] == "age of the key"]
    assert told["level"] == "ok"
