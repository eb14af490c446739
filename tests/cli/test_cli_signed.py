"""Keys of approvers and signed answers on the command line."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cli_house import CommandLine

from jupyter_audit.access.principals import os_account
from jupyter_audit.ledger import passphrase

ASK = ("request", "--reason", "orders are stuck", "--ticket", "SHOP-1042")
SIGN = ("--sign", "--yes")


@pytest.fixture
def key(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = cli.folder / "mine" / "approver.key"
    monkeypatch.setenv("JUPYTER_AUDIT_APPROVER_KEY", str(path))
    passphrase.passphrase.cache_clear()
    return path


@pytest.fixture
def registered(cli: CommandLine, key: Path) -> str:
    made = cli.json("keys", "mine", "create")["key"]
    assert cli.json("keys", "mine", "register")["key"] == made
    return str(made)


def test_an_approver_makes_a_key_registers_it_and_signs(cli: CommandLine, key: Path, registered: str) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    config = cli.config("c.JupyterAudit.solo = True\nc.JupyterAudit.profiles = {'production-debug': {'signed_approvals': True}}")
    request = cli.json(*ASK, "--config", config)["id"]
    refused = cli("approve", request, "--config", config)
    assert refused.code == 6
    assert "--sign" in refused.err
    done = cli.good("approve", request, *SIGN, "--config", config)
    assert "orders are stuck" in done.err
    assert "is in force" in done.out
    (approved,) = cli.entries("access.approved")
    assert registered in str(approved.body["statement"])
    (row,) = cli.good("keys", "people", "--json").rows()
    assert (row["person"], row["key"], row["trust"]) == (os_account().name, registered, "first")
    assert registered in cli.good("keys", "mine", "show").out


def test_verify_says_who_signed_and_finds_a_key_that_is_not_the_approvers(cli: CommandLine, registered: str) -> None:
    cli.good("approve", cli.json(*ASK)["id"], *SIGN)
    cli.granted()
    me = os_account().name
    told = cli.good("verify", "--approver-key", f"{me}={registered}").out
    assert f"1 ({me} 1) signed by their approvers; 1 ({me} 1) on the server's word" in told
    assert "as given" in told
    assert cli.json("verify")["approvals"]["keys"][0]["compared"] is False
    another = cli.json("keys", "mine", "create", "--key-file", str(cli.folder / "other.key"))["key"]
    forged = cli("verify", "--approver-key", f"{me}={another}")
    assert forged.code == 10
    assert "FORGED" in forged.out
    assert "ask the approvers" in forged.err
    for wrong in ("x", f"{me}=x", f"={registered}"):
        assert cli("verify", "--approver-key", wrong).code == 2


def test_a_denial_is_signed_with_its_reason(cli: CommandLine, registered: str) -> None:
    request = cli.json(*ASK)["id"]
    assert cli.json("deny", request, "--reason", " not now ", *SIGN)["state"] == "denied"
    (denied,) = cli.entries("access.denied")
    assert '"reason":"not now"' in str(denied.body["statement"])


def test_nothing_is_signed_for_a_ledger_that_the_key_was_not_registered_with(cli: CommandLine, key: Path) -> None:
    cli.good("keys", "mine", "create")
    refused = cli("approve", cli.json(*ASK)["id"], *SIGN)
    assert refused.code == 6
    assert "not registered" in refused.err
    assert cli.entries("access.approved") == []


def test_nothing_is_signed_unless_somebody_says_so(cli: CommandLine, registered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = cli("approve", cli.json(*ASK)["id"], "--sign")
    assert refused.code == 2
    assert "--yes" in refused.err


def test_a_key_is_replaced_by_one_that_it_signs_in_and_withdrawn_with_its_own_signature(
    cli: CommandLine, key: Path, registered: str
) -> None:
    new = str(key.with_name("new.key"))
    made = cli.json("keys", "mine", "create", "--key-file", new)["key"]
    refused = cli("keys", "mine", "register", "--key-file", new)
    assert refused.code == 2
    assert "--old-key" in refused.err
    cli.good("keys", "mine", "register", "--key-file", new, "--old-key", str(key))
    assert [row["trust"] for row in cli.good("keys", "people", "--json").rows()] == ["first", "vouched"]
    gone = cli.json("keys", "mine", "withdraw", "--reason", "new machine", "--key-file", new)
    assert (gone["key"], gone["ended_signed"]) == (made, True)
    assert cli("approve", cli.json(*ASK)["id"], *SIGN, "--key-file", new).code == 6


def test_a_key_under_a_passphrase_signs_with_it_only(
    cli: CommandLine, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_APPROVER_PASSPHRASE", "correct horse battery")
    cli.good("keys", "mine", "create", "--protect")
    assert key.read_text().startswith("PROTECTED+KEY+")
    cli.good("keys", "mine", "register")
    passphrase.passphrase.cache_clear()
    refused = cli("approve", cli.json(*ASK)["id"], *SIGN)
    assert refused.code == 4
    assert "passphrase" in refused.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("keys", "mine"), 2, "create, show"),
        (("keys", "mine", "show"), 4, "no approver's key"),
        (("keys", "mine", "withdraw", "--reason", "x"), 6, "has no key"),
        (("keys", "mine", "withdraw"), 2, "--reason"),
        (("keys", "mine", "create", "--name", "a b"), 2, "cannot be the name"),
        (("keys", "rotate", "--reason", "x", "--protect"), 2, "protect"),
        (("approve", "r-000000000000", "--sign"), 4, "no approver's key"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(cli: CommandLine, key: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = cli(*words)
    assert (done.code, said in done.err) == (code, True), done


def test_a_key_is_never_written_over(cli: CommandLine, key: Path, registered: str) -> None:
    before = key.read_bytes()
    assert cli("keys", "mine", "create").code == 2
    assert key.read_bytes() == before


def test_a_key_that_others_could_read_is_refused(cli: CommandLine, key: Path, registered: str) -> None:
    key.chmod(0o644)
    assert "withdraw" in cli("approve", cli.json(*ASK)["id"], *SIGN).err
