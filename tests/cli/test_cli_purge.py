"""`jupyter audit purge`: an admin takes contents away, and the ledger says who and why."""

from __future__ import annotations

import pytest
from cli_house import CommandLine, Past

from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger
from jupyter_audit.model import SERVER, Actor, Content, Draft
from jupyter_audit.record import kinds

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


def contents_left(cli: CommandLine) -> set[tuple[str, str]]:
    with LedgerReader.open(cli.home.ledger) as reader:
        entries = list(reader.entries(types=("cell.admitted",)))
        return {(str(e.session), name) for e in entries for name in e.contents if reader.content(e.seq, name) is not None}


def test_retention_takes_what_is_older_than_each_setting_and_keeps_the_rest(empty: CommandLine) -> None:
    cli = empty
    create_ledger(cli.home, clock=Past(200), actor=EVE)
    for days in (200, 50, 1):
        with open_ledger(cli.home, clock=Past(days)) as ledger:
            contents = {"message": Content(b"secret()"), "outputs": Content(b"4711"), "query": Content(b"4711")}
            ledger.append([Draft("cell.admitted", {}, actor=EVE, session=f"s-{days}", contents=contents)])
    assert "retention_days" in cli("purge", "--retention", "--solo").err
    config = cli.config(
        "c.JupyterAudit.solo = True\nc.JupyterAudit.retention_days = 100\n"
        "c.JupyterAudit.retention_days_of = {'outputs': 30, 'query': 0}\n"
    )

    planned = cli("purge", "--retention", "--dry-run", "--json", "--config", config).rows()
    done = cli("purge", "--retention", "--json", "--config", config).rows()

    counted = [{key: row[key] for key in ("names", "contents", "bytes")} for row in planned]
    assert counted == [{key: row[key] for key in ("names", "contents", "bytes")} for row in done]
    assert [(row["names"], row["contents"]) for row in done] == [(["outputs"], 2), (["message"], 1)]
    assert contents_left(cli) == {
        ("s-200", "query"),
        ("s-50", "message"),
        ("s-50", "query"),
        ("s-1", "message"),
        ("s-1", "outputs"),
        ("s-1", "query"),
    }
    assert "3 purged" in cli.good("verify").out
    again = cli.good("purge", "--retention", "--config", config).out
    assert again.count("nothing that fits") == 2


def test_a_person_is_purged_with_what_their_cells_printed(cli: CommandLine) -> None:
    printed = {"outputs": Content(b"Erika Mustermann")}
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        for session, who in (("s-eve", EVE), ("s-bob", Actor("bob", "test"))):
            started = kinds.SessionStarted("srv", f"k-{session}", "audit", "landlock", "a.ipynb")
            ledger.append([kinds.draft(started, actor=who, session=session)])
            ledger.append([Draft("cell.admitted", {}, actor=who, session=session, contents={"message": Content(b"show()")})])
            ledger.append([Draft("cell.finished", {}, actor=SERVER, session=session, contents=printed)])

    assert cli("purge", "--actor", "eve", "--dry-run", "--json").rows()[0]["contents"] == 2
    cli.good("purge", "--actor", "eve", "--reason", "DPO-18")

    with LedgerReader.open(cli.home.ledger) as reader:
        held = {e.session for e in reader.entries() for name in e.contents if reader.content(e.seq, name) is not None}
    assert held == {"s-bob"}
    assert "2 purged" in cli.good("verify").out


def test_a_person_of_more_sessions_than_one_entry_can_name_is_purged_whole(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_audit.cli.purge.SESSIONS_AT_ONCE", 2)
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        for number in range(5):
            session = f"s-{number}"
            started = kinds.SessionStarted("srv", f"k-{number}", "audit", "landlock", "a.ipynb")
            ledger.append([kinds.draft(started, actor=EVE, session=session)])
            ledger.append([Draft("cell.finished", {}, actor=SERVER, session=session, contents={"outputs": Content(b"4711")})])

    done = cli("purge", "--actor", "eve", "--reason", "DPO-19", "--json").rows()

    assert [row["contents"] for row in done] == [2, 2, 1]
    assert "5 purged" in cli.good("verify").out


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
