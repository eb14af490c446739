"""`jupyter audit purge`: an admin takes contents away, and the ledger says who and why."""

from __future__ import annotations

from cli_house import CommandLine

from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Actor, Content, Draft

EVE = Actor("eve", "test")


def fill(cli: CommandLine) -> None:
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        for session in ("s-1", "s-2"):
            contents = {"message": Content(b"print('secret')")}
            ledger.append([Draft("cell.admitted", {}, actor=EVE, session=session, contents=contents)])


def test_a_session_is_purged_and_the_ledger_stays_whole(cli: CommandLine) -> None:
    fill(cli)
    assert cli("purge", "--session", "s-1", "--dry-run", "--json").rows()[0]["contents"] == 1

    done = cli.good("purge", "--session", "s-1", "--reason", "DPO-17")

    assert "1 contents" in done.out
    (entry,) = cli.entries("content.purged")
    assert entry.body["reason"] == "DPO-17"
    assert "1 purged" in cli.good("verify").out
    assert "nothing that fits" in cli.good("purge", "--session", "s-1", "--reason", "DPO-17").out
    assert cli("log", "--session", "s-1", "--content").code == 0


def test_retention_takes_what_is_older_than_the_setting_and_nothing_without_it(cli: CommandLine) -> None:
    fill(cli)
    refused = cli("purge", "--retention")
    assert refused.code == 2
    assert "retention_days" in refused.err
    config = cli.config("c.JupyterAudit.retention_days = 30\nc.JupyterAudit.solo = True\n")
    assert "nothing that fits" in cli.good("purge", "--retention", "--config", config).out


def test_a_purge_without_an_admin_a_reason_or_a_target_is_refused(cli: CommandLine) -> None:
    fill(cli)
    others = cli.config("c.JupyterAudit.roles = {'admin': ['somebody-else'], 'engineer': ['*']}\n")
    for words, said in (
        (["purge", "--reason", "x"], "Say what is to go"),
        (["purge", "--session", "s-1"], "needs a reason"),
        (["purge", "--before", "yesterday", "--reason", "x"], "is not a time"),
        (["purge", "--session", "s-1", "--reason", "x", "--config", others], "Only an admin"),
    ):
        done = cli(*words)
        assert done.code != 0
        assert said in done.err
    assert cli.entries("content.purged") == []
