"""Held cells on the command line: listed, shown, approved and denied; signed only where the code is what the entry commits to."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import timedelta
from typing import Any

import pytest
from cli_house import CommandLine

from jupyter_audit.access.principals import os_account
from jupyter_audit.cli import heldcells
from jupyter_audit.clock import SystemClock, format_time
from jupyter_audit.ledger import LedgerReader, open_ledger, passphrase
from jupyter_audit.model import Actor, Content
from jupyter_audit.record import kinds

CODE = "drop_everything()\u202e\nprint(1)"


@pytest.fixture
def team(cli: CommandLine) -> str:
    """A configuration in which this account approves, and ada's agent asks."""
    me = os_account().name
    return cli.config(
        f"c.JupyterAudit.roles = {{'approver': [{me!r}], 'engineer': ['ada', {me!r}]}}\n"
        "c.JupyterAudit.profiles = {'production-debug': {'cell_approval': 'each'}}"
    )


def held(cli: CommandLine, owner: str = "ada", **changes: Any) -> str:
    """Have a cell of `owner` wait under a grant of theirs, as a server would; return its id."""
    clock = SystemClock()
    now, hold, grant, request = clock.now(), f"h-{secrets.token_hex(6)}", f"g-{secrets.token_hex(6)}", f"r-{secrets.token_hex(6)}"
    asked = kinds.AccessRequested(request, "production-debug", "orders are stuck", "T-1", 600, format_time(now + timedelta(minutes=5)))
    given = kinds.AccessApproved(
        request=request, principal=owner, vouched_by="test", profile="production-debug", not_before=format_time(now),
        not_after=format_time(now + timedelta(minutes=5)), self_approved=False, solo=False,
    )  # fmt: skip
    waits = kinds.CellHeld(**{
        "hold": hold, "kernel_id": "k", "msg_id": "m", "channel": "shell", "cell": "", "silent": False, "lines": 2,
        "profile": "production-debug", "lapses": format_time(now + timedelta(minutes=5)), "on_behalf_of": "",
        "signed_approvals": False, **changes,
    })  # fmt: skip
    message = Content(json_of(CODE), "application/json")
    ledger = open_ledger(cli.home, clock=clock)
    try:
        ledger.append([
            kinds.draft(asked, actor=Actor(owner, "test")),
            kinds.draft(given, actor=Actor("another approver", "test"), grant=grant),
            kinds.draft(waits, actor=Actor(owner, "test"), grant=grant, session="s-0123456789ab", contents={"message": message}),
        ])  # fmt: skip
    finally:
        ledger.close()
    return hold


def json_of(code: str) -> bytes:
    return json.dumps({"code": code, "user_expressions": {"a": "b()"}}).encode()


def test_what_waits_is_listed_shown_whole_and_approved_once(cli: CommandLine, team: str) -> None:
    hold = held(cli)
    (row,) = cli.good("held", "--config", team, "--json").rows()
    assert (row["id"], row["principal"], row["code"], row["state"]) == (hold, "ada", CODE, "waiting")
    assert "drop_everything()\\u202e" in cli.good("held", "--config", team).out
    shown = cli.good("held", hold, "--config", team).out
    assert "drop_everything()\\u202e\n    print(1)" in shown
    assert "b()" in shown
    assert cli.json("approve-cell", hold, "--config", team)["state"] == "approved"
    again = cli("approve-cell", hold, "--config", team)
    assert (again.code, "already" in again.err) == (6, True)
    assert cli.good("held", "--config", team).out == ""
    assert cli.good("held", "--all", "--config", team, "--json").rows()[0]["answered_by"] == os_account().name
    assert cli.entries("ledger.read")[0].body["view"] == "held cells"


def test_a_no_has_a_reason_and_ones_own_cell_gets_no_yes(cli: CommandLine, team: str) -> None:
    hold = held(cli, os_account().name)
    refused = cli("approve-cell", hold, "--config", team)
    assert (refused.code, "it is their own" in refused.err) == (6, True)
    assert cli.json("deny-cell", hold, "--reason", "never mind", "--config", team)["answer"] == "never mind"
    assert cli("held", "h-000000000000", "--config", team).code == 6


def test_a_yes_is_signed_after_the_code_was_shown(cli: CommandLine, team: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_APPROVER_KEY", str(cli.folder / "mine" / "approver.key"))
    passphrase.passphrase.cache_clear()
    cli.good("keys", "mine", "create")
    hold = held(cli, signed_approvals=True)
    assert "--sign" in cli("approve-cell", hold, "--config", team).err
    assert "not registered" in cli("approve-cell", hold, "--sign", "--yes", "--config", team).err
    cli.good("keys", "mine", "register", "--config", team)
    assert "--yes" in cli("approve-cell", hold, "--sign", "--config", team).err
    done = cli.good("approve-cell", hold, "--sign", "--yes", "--config", team)
    assert "drop_everything()" in done.err
    assert "b()" in done.err
    assert "1 signed by their approvers" in cli.good("verify").out.replace(f"1 ({os_account().name} 1)", "1")
    other = held(cli, signed_approvals=True)
    denied = cli.json("deny-cell", other, "--reason", " not now ", "--sign", "--yes", "--config", team)
    assert denied["state"] == "denied"


def test_nothing_is_signed_of_code_that_the_entry_does_not_commit_to(
    cli: CommandLine, team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_APPROVER_KEY", str(cli.folder / "mine" / "approver.key"))
    passphrase.passphrase.cache_clear()
    cli.good("keys", "mine", "create")
    cli.good("keys", "mine", "register", "--config", team)
    hold = held(cli)
    held(cli)
    with LedgerReader.open(cli.home.ledger) as reader:
        entry, other = reader.entries(types=(kinds.CellHeld.TYPE,))
        salt, _ = reader.salted(entry.seq, "message") or (b"", b"")
        origin = reader.origin
    lies: dict[str, dict[str, Any]] = {
        "other code": {"message": base64.b64encode(json_of("print('harmless')")).decode()},
        "another cell": {"entry": other.raw},
        "no code": {"message": None},
        "no base64": {"salt": "%"},
        "no entry": {"entry": "{}"},
    }
    for lie in lies.values():
        found = {"origin": origin, "me": os_account().name, "entry": entry.raw, "salt": base64.b64encode(salt).decode(),
                 "message": base64.b64encode(json_of(CODE)).decode(), **lie}  # fmt: skip

        class Liar:
            def api(self, method: str, path: str, body: object = None, found: Any = found) -> Any:
                assert method == "GET"
                return dict(found)

        monkeypatch.setattr(heldcells, "find_server", lambda home, url, liar=Liar: liar())
        done = cli("approve-cell", hold, "--sign", "--yes", "--server", "http://localhost:1", "--config", team)
        assert done.code == 4, done
    assert cli.entries("cell.approved") == []
