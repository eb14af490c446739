"""Auditors' keys on the command line, and what commands show with one and without."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cli_house import CommandLine

from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger, sealing
from jupyter_audit.ledger.auditors import parse_auditor_key
from jupyter_audit.model import Actor, Content, Draft

EVE = Actor("eve", "os-account")
CODE = "print('kitchensink4711')"


@pytest.fixture
def key(cli: CommandLine, tmp_path: Path) -> Path:
    """Anna's secret key; entry 1 of the ledger is sealed to her."""
    path = tmp_path / "anna.auditor"
    public = parse_auditor_key(cli.json("auditor-key", "create", "anna", "--output", str(path))["public"])
    message = Content(json.dumps({"code": CODE}).encode(), "application/json")
    with open_ledger(cli.home, clock=SystemClock(), sealed_to=[public]) as ledger:
        ledger.append([Draft("cell.admitted", {}, actor=EVE, contents={"message": message})])
    return path


def test_a_key_is_made_private_shown_again_and_never_written_over(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "anna.auditor"
    made = cli.good("auditor-key", "create", "anna", "--output", str(path)).out.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.startswith("auditor+anna+")
    assert cli.good("auditor-key", "show", str(path)).out.strip() == made
    again = cli("auditor-key", "create", "anna", "--output", str(path))
    assert (again.code, "there already" in again.err) == (2, True)
    assert cli("auditor-key", "create", "a b", "--output", str(tmp_path / "x")).code == 2
    assert cli("auditor-key", "create", "anna").code == 2
    assert cli("auditor-key", "show", str(tmp_path / "none")).code == 4


def test_log_says_for_whom_it_is_sealed_and_shows_it_with_the_key(cli: CommandLine, key: Path) -> None:
    closed = cli.good("log", "--content")
    assert "(message is sealed for anna+" in closed.out
    assert "kitchensink" not in closed.out
    [row] = [row for row in cli.good("log", "--content", "--json").rows() if row["type"] == "cell.admitted"]
    assert row["content"]["message"]["sealed_for"][0].startswith("anna+")
    assert CODE in cli.good("log", "--content", "--auditor-key", str(key)).out
    read = cli.entries("ledger.read")[-1]
    assert read.body["detail"]["auditors"][0].startswith("anna+")  # type: ignore[call-overload, index]


def test_verify_opens_what_is_sealed_with_the_key(cli: CommandLine, key: Path) -> None:
    closed = cli.json("verify")
    assert (closed["contents_sealed"], closed["contents_opened"]) == (1, 0)
    assert any("sealed for anna+" in sentence for sentence in closed["not_checked"])
    opened = cli.good("verify", "--auditor-key", str(key)).out
    assert "1 opened with the auditor's key" in opened
    key.chmod(0o644)
    assert cli("verify", "--auditor-key", str(key)).code == 4


def test_a_proof_shows_sealed_content_closed_to_be_opened_there_or_opened_here(
    cli: CommandLine, key: Path, tmp_path: Path
) -> None:
    closed, opened, vkey = tmp_path / "closed.proof", tmp_path / "opened.proof", cli.home.verifier_key.read_text().strip()
    made = cli.good("prove", "1", "--with-contents", "--output", str(closed)).err
    assert "Content message of entry 1 is sealed for anna+" in made
    assert "opens it with --auditor-key" in made
    assert cli.good("prove", "1", "--with-contents", "--auditor-key", str(key), "--output", str(opened)).err == ""
    assert "kitchensink" not in closed.read_text()

    told = cli.json("verify", "--proof", str(closed), "--key", vkey)
    assert told["sealed"]["message"][0].startswith("anna+")
    assert "contents" not in told
    for words in ((str(closed), "--auditor-key", str(key)), (str(opened),)):
        told = cli.json("verify", "--key", vkey, "--proof", *words)
        assert json.loads(told["contents"]["message"])["code"] == CODE
        assert "sealed" not in told


@pytest.mark.parametrize("damage", [lambda text: text[:-8] + "AAAA" + text[-4:], lambda text: ""])
def test_a_proof_with_other_sealed_bytes_does_not_hold(cli: CommandLine, key: Path, tmp_path: Path, damage: object) -> None:
    proof = tmp_path / "entry.proof"
    value = json.loads(cli.good("prove", "1", "--with-contents").out)
    value["contents"]["message"]["sealed"] = damage(value["contents"]["message"]["sealed"])  # type: ignore[operator]
    proof.write_text(json.dumps(value))
    assert cli("verify", "--proof", str(proof)).code == 5
    assert cli("verify", "--proof", str(proof), "--auditor-key", str(key)).code == 5


def test_an_export_holds_sealed_bytes_or_with_the_key_what_they_hold(cli: CommandLine, key: Path, tmp_path: Path) -> None:
    def exported(name: str, *words: str) -> dict[str, str]:
        cli.good("export", str(tmp_path / name), "--type", "cell.", *words)
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        [content] = [line["contents"]["message"] for line in lines if "entry" in line]
        return dict(content)

    assert exported("closed.jsonl").keys() == {"sealed"}
    opened = exported("opened.jsonl", "--auditor-key", str(key))
    assert json.loads(opened["text"])["code"] == CODE
    assert len(opened["salt"]) == 44


def test_search_finds_sealed_words_with_the_key_alone_and_puts_them_into_no_index(cli: CommandLine, key: Path) -> None:
    closed = cli.good("search", "kitchensink4711")
    assert "No entry matches" in closed.err
    assert "contents are sealed for auditors, and were not searched" in closed.err
    assert CODE in cli.good("search", "kitchensink4711", "--auditor-key", str(key)).out
    for file in cli.home.path.rglob("*.db*"):
        assert b"print('kitchensink" not in file.read_bytes()


def test_doctor_says_what_is_sealed_and_refuses_a_setting_that_is_wrong(
    cli: CommandLine, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = cli.good("auditor-key", "show", str(key)).out.strip()
    config = cli.config(f"c.JupyterAudit.solo = True\nc.JupyterAudit.sealed_to = [{public!r}]\n")
    told = cli("doctor", "--config", config).out
    assert "code and outputs are sealed to anna+" in told
    assert "one auditor's key only" in told
    assert "sealing: none" in cli("doctor").out
    with monkeypatch.context() as broken:
        broken.setattr(sealing, "seal", lambda inner, auditors: inner)
        assert "Contents cannot be sealed here" in cli("doctor", "--config", config).out
    for wrong, said in ((public[:-6], "cannot be used"), (key.read_text().strip(), "no place on a server")):
        config = cli.config(f"c.JupyterAudit.solo = True\nc.JupyterAudit.sealed_to = [{wrong!r}]\n")
        done = cli("doctor", "--config", config)
        assert said in done.out
        assert done.code == 1
        assert cli("request", "--config", config, "--reason", "orders are stuck", "--ticket", "T-1").code == 3
