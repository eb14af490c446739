"""`jupyter audit prove` and `verify --proof`: from the ledger's machine to somebody who has a key and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from cli_house import CommandLine

from jupyter_audit.cli.main import main
from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger
from jupyter_audit.ledger.damage import exit_code
from jupyter_audit.model import Actor, Content, Draft

BAD = Path(__file__).parents[1] / "vectors" / "bad"
EVE = Actor("eve", "test")


def test_a_proof_made_here_is_checked_elsewhere_with_the_key_alone(cli: CommandLine, tmp_path: Path) -> None:
    cli.granted()
    key = cli.home.verifier_key.read_text().strip()
    seq = cli.entries("access.requested")[0].seq
    proof = tmp_path / "entry.proof"
    cli.good("prove", str(seq), "--with-contents", "--output", str(proof))
    assert stat.S_IMODE(proof.stat().st_mode) == 0o600
    cli.home.ledger.rename(tmp_path / "elsewhere.db")

    shown = cli.good("verify", "--proof", str(proof), "--key", key)

    for line in (
        rf"Ledger +{key.partition('+')[0]}",
        r"Checkpoint +of \d+ entries, signed by that key",
        rf"Entry +number {seq}, access\.requested",
        r"Time +2\d{3}-.*Z, by the server's clock",
        r"About +\w+, as os-account says",
        r"Not shown +what came after the checkpoint",
        rf"Verdict +PROVEN\. The entry is what was signed, as number {seq} of the first \d+ of this ledger\.",
    ):
        assert re.search(f"^{line}", shown.out, re.MULTILINE), line
    assert cli("verify", "--proof", str(proof), "--key", key, "--json").rows()[0]["seq"] == seq


def test_a_proof_shows_contents_line_by_line_and_names_those_that_it_came_without(cli: CommandLine, tmp_path: Path) -> None:
    contents = {"message": Content("print('ü')\n\x1b[2J".encode()), "outputs": Content(b"secret")}
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        [entry] = ledger.append([Draft("cell.admitted", {}, session="s-1", grant="g-1", contents=contents)])
    value = json.loads(cli.good("prove", str(entry.seq), "--with-contents").out)
    del value["contents"]["outputs"]
    proof = tmp_path / "entry.proof"
    proof.write_text(json.dumps(value))

    shown = cli.good("verify", "--proof", str(proof)).out

    assert cli("verify", "--proof", str(proof), "--json").rows()[0]["not_shown"] == ["outputs"]
    lines = (r"Session +s-1", r"Grant +g-1", r"Content +message, 16 bytes:\n {14}print\('ü'\)\n {14}\ufffd\[2J", r"Not in it +outputs, 6 bytes")
    for line in lines:
        assert re.search(f"^{line}", shown, re.MULTILINE), line
    assert "secret" not in shown


def test_a_proof_that_was_edited_does_not_hold_and_says_so(cli: CommandLine, tmp_path: Path) -> None:
    cli.granted()
    seq = cli.entries("access.requested")[0].seq
    proof = tmp_path / "entry.proof"
    proof.write_text(cli.good("prove", str(seq)).out.replace("T-1", "T-2"))

    done = cli("verify", "--proof", str(proof), "--json")

    assert (done.code, done.rows()[0]["verdict"]) == (5, "not proven")
    assert "is not under its checkpoint" in done.err


def test_a_proof_that_was_to_show_what_is_purged_says_so_where_it_is_made_and_where_it_is_checked(cli: CommandLine, tmp_path: Path) -> None:
    message, outputs = Content(b"print('secret')"), Content(b"4711")
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        ledger.append([Draft("cell.admitted", {}, actor=EVE, session="s-1", contents={"message": message, "outputs": outputs})])
    cli.good("purge", "--session", "s-1", "--names", "message", "--reason", "DPO-17")
    (purge,) = cli.entries("content.purged")
    proof = tmp_path / "entry.proof"

    made = cli("prove", "1", "--with-contents", "--output", str(proof))

    assert made.code == 1
    assert f"Content message of entry 1 is not in the proof: it was purged, as entry {purge.seq} says." in made.err
    assert f"`jupyter audit prove {purge.seq}`" in made.err
    assert "outputs" not in made.err
    facts = cli.json("verify", "--proof", str(proof))
    assert (facts["not_shown"], facts["contents"]) == (["message"], {"outputs": "4711"})
    assert "Not in it     message, 15 bytes: not asked for when the proof was made, or purged" in cli.good("verify", "--proof", str(proof)).out
    assert "DPO-17" in cli.good("prove", str(purge.seq)).out


def test_contents_that_a_proof_cannot_show_for_another_reason_are_told_of_by_that_reason(cli: CommandLine) -> None:
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        ledger.append([Draft("cell.admitted", {}, actor=EVE, session="s-1", contents={"message": Content(b"x")})])
        ledger.append([Draft("cell.finished", {}, actor=EVE, session="s-1")])
    assert "Entry 2 has no contents" in cli.good("prove", "2", "--with-contents").err
    assert cli.good("prove", "1").err == ""
    with closing(sqlite3.connect(cli.home.ledger)) as other, other:
        triggers = other.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            other.execute(f"DROP TRIGGER {name}")
        other.execute("DELETE FROM content")
        for _, sql in triggers:
            other.execute(sql)

    gone = cli("prove", "1", "--with-contents")

    assert (gone.code, "no purge explains it" in gone.err, gone.out) == (exit_code("content_missing"), True, "")


def test_growth_since_a_kept_checkpoint_is_proven(cli: CommandLine, tmp_path: Path) -> None:
    kept, proof = tmp_path / "kept.checkpoint", tmp_path / "growth.proof"
    kept.write_text(cli.good("checkpoint").out)
    cli.granted()
    cli.good("prove", "--from", str(kept), "--output", str(proof))

    facts = cli("verify", "--proof", str(proof), "--json").rows()[0]

    assert (facts["verdict"], facts["from"]) == ("proven", 1)
    assert facts["to"] == len(cli.entries())
    told = cli.good("verify", "--proof", str(proof)).out
    assert f"PROVEN. The ledger of {facts['to']} entries begins with the very 1 of the older checkpoint" in told


def test_what_cannot_be_proven_is_refused_in_words(cli: CommandLine, tmp_path: Path) -> None:
    kept = tmp_path / "kept.checkpoint"
    kept.write_text("no checkpoint")
    for words, said in (
        (["prove"], "one of the two"),
        (["prove", "0", "--from", str(kept)], "one of the two"),
        (["prove", "0", "--to", str(kept)], "--to needs --from"),
        (["prove", "99"], "There is no entry 99"),
        (["prove", "--from", str(kept)], "not a checkpoint"),
        (["prove", "--from", str(tmp_path / "nowhere")], "cannot be read"),
        (["prove", "0", "--output", str(kept)], "is there already"),
        (["verify", "--proof", str(kept)], "it is not JSON"),
        (["verify", "--proof", str(tmp_path / "nowhere")], "cannot be read"),
    ):
        done = cli(*words)
        assert done.code != 0
        assert said in done.err


def test_a_proof_that_does_not_hold_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for evidence learns here, and not from its receiver, that the ledger does not show it."""
    shutil.copytree(BAD / "entry_changed", tmp_path / "bad")
    shutil.copytree(BAD / "checkpoint_signature", tmp_path / "stranger")
    output, kept = tmp_path / "entry.proof", tmp_path / "kept.checkpoint"
    with closing(sqlite3.connect(tmp_path / "stranger" / "ledger.db")) as connection:
        kept.write_text(connection.execute("SELECT note FROM entry WHERE seq = 6").fetchone()[0])
    for words, said in (
        (["prove", "3", "--ledger", str(tmp_path / "bad" / "ledger.db")], "is not under its checkpoint"),
        (["prove", "--from", str(kept), "--ledger", str(tmp_path / "stranger" / "ledger.db")], "its checkpoint cannot be believed"),
    ):
        assert main([*words, "--output", str(output)]) == 5
        told = capsys.readouterr().err
        assert said in told
        assert "Nothing was written." in told
        assert not output.exists()


def test_what_is_said_of_a_ledger_is_not_passed_over_with_a_proof(cli: CommandLine, tmp_path: Path) -> None:
    proof = tmp_path / "entry.proof"
    cli.good("prove", "0", "--output", str(proof))
    for words in (["--since", "x"], ["--ledger", "x"], ["--witness-key", "x"], ["--workers", "2"]):
        refused = cli("verify", "--proof", str(proof), *words)
        assert (refused.code, words[0] in refused.err) == (2, True)


def test_a_ledger_that_is_not_there_is_no_reason_to_make_one(cli: CommandLine, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.db", tmp_path):
        refused = cli("verify", "--ledger", str(path))
        assert (refused.code, "init" in refused.err) == (4, False)
    for workers in ("0", "-3"):
        assert cli("verify", "--workers", workers).code == 2
