"""init, log, tail, verify, checkpoint: what they print, what they exit with, and what reading leaves behind."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_house import COMMAND, CommandLine

from jupyter_audit.cli.entries import parse_since
from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger import open_ledger
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.damage import exit_code
from jupyter_audit.model import Actor, Content, Draft


def append(cli: CommandLine, *drafts: Draft) -> None:
    ledger = open_ledger(cli.home, clock=SystemClock())
    ledger.append(drafts)
    ledger.close()


def test_init_says_where_and_never_overwrites(empty: CommandLine) -> None:
    made = empty.good("init")
    key = empty.home.verifier_key.read_text().strip()
    assert str(empty.home.path) in made.out
    assert key in made.out
    before = empty.home.ledger.read_bytes()
    again = empty("init")
    assert again.code == 4
    assert empty.home.ledger.read_bytes() == before


@pytest.mark.parametrize("words", [("log",), ("requests",), ("grants",), ("checkpoint",), ("request", "--reason",
                         "orders are stuck", "--ticket", "T")])  # fmt: skip
def test_without_a_home_every_command_says_how_to_make_one(empty: CommandLine, words: tuple[str, ...]) -> None:
    done = empty(*words)
    assert done.code in (3, 4)
    assert "jupyter audit init" in done.err
    assert not empty.home.path.exists()


def test_a_home_that_others_can_enter_is_refused(cli: CommandLine) -> None:
    cli.home.path.chmod(0o755)
    for words in (("log",), ("grants",), ("approve", "r-000000000000")):
        assert cli(*words).code == 3


def test_log_shows_the_newest_filtered_and_oldest_first(cli: CommandLine) -> None:
    grant = cli.granted()
    append(cli, *(Draft("cell.admitted", {"n": n}, grant=grant, session="s-000000000001") for n in range(5)))
    rows = cli.good("log", "--type", "cell.", "--limit", "3", "--json").rows()
    assert [row["body"]["n"] for row in rows] == [2, 3, 4]
    assert len(cli.good("log", "--grant", grant, "--json").rows()) == 6
    assert len(cli.good("log", "--session", "s-000000000001", "--json").rows()) == 5
    assert len(cli.good("log", "--type", "cell.admitted", "--type", "access.approved", "--json").rows()) == 6
    assert cli.good("log", "--since", "2999-01-01", "--json").rows() == []
    assert len(cli.good("log", "--since", "1h", "--type", "cell.", "--json").rows()) == 5
    assert "No entry matches" in cli.good("log", "--grant", "g-ffffffffffff").err


def test_log_prints_entries_as_they_were_signed(cli: CommandLine) -> None:
    cli.granted()
    (entry,) = cli.entries("access.approved")
    (row,) = cli.good("log", "--type", "access.approved", "--json").rows()
    assert row == json.loads(entry.raw)


def test_code_is_shown_on_demand_and_purged_code_as_purged(cli: CommandLine) -> None:
    message = Content(json.dumps({"code": "import shop\nshop.orders()"}).encode(), "application/json")
    append(cli, Draft("cell.admitted", {}, contents={"message": message}))
    assert "shop.orders()" not in cli.good("log").out
    assert "    shop.orders()" in cli.good("log", "--content").out
    (row,) = cli.good("log", "--content", "--json", "--type", "cell.").rows()
    assert json.loads(row["content"]["message"])["code"] == "import shop\nshop.orders()"


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\u202eevil\x9b31m"


def test_nothing_that_the_ledger_holds_reaches_the_terminal_as_a_control_character(cli: CommandLine) -> None:
    code = Content(json.dumps({"code": f"print(1)\n{HOSTILE}"}).encode(), "application/json")
    outputs = {"outputs": [{"output": "stream", "mime": "text/plain", "preview": HOSTILE}]}
    shown = Content(json.dumps(outputs).encode(), "application/json")
    append(
        cli,
        Draft(
            "cell.admitted",
            {"cell": HOSTILE, "list": [HOSTILE], HOSTILE: 1},
            actor=Actor("ad\u202ea", "test"),
            contents={"message": code, "outputs": shown, "raw": Content(HOSTILE.encode())},
        ),
    )
    out = cli.good("log", "--content").out
    assert "evil" in out
    assert not [c for c in out if not c.isprintable() and c != "\n"]


def test_reading_is_put_down_before_anything_is_shown(cli: CommandLine) -> None:
    cli.good("log", "--type", "cell.", "--content")
    (read,) = cli.entries("ledger.read")
    assert read.body == {
        "view": "log",
        "detail": {"through": "command line", "types": ["cell."], "content": True},
    }


def test_reading_that_cannot_be_put_down_shows_nothing(cli: CommandLine) -> None:
    cli.home.signing_key.unlink()
    done = cli("log")
    assert done.code == 4
    assert done.out == ""


def test_an_auditor_reads_a_copy_without_any_key(cli: CommandLine, tmp_path: Path) -> None:
    cli.granted()
    cli.good("checkpoint")
    copy = tmp_path / "elsewhere" / "copy.db"
    copy.parent.mkdir()
    source = sqlite3.connect(cli.home.ledger)
    source.execute(f"VACUUM INTO '{copy}'")
    source.close()
    key = cli.home.verifier_key.read_text().strip()
    shutil.rmtree(cli.home.path)
    assert "access.approved" in cli.good("log", "--ledger", str(copy)).out
    assert "WHOLE" in cli.good("verify", "--ledger", str(copy), "--key", key).out
    assert cli.good("checkpoint", "--ledger", str(copy)).out.startswith(key.split("+")[0])


def test_tail_follows_what_other_processes_append_until_interrupted(cli: CommandLine) -> None:
    following = cli.start("tail", "--type", "access.", "--json")
    try:
        assert following.stdout is not None
        asked = cli.json("request", "--reason", "orders are stuck", "--ticket", "T-1")
        row = json.loads(following.stdout.readline())
        assert (row["type"], row["body"]["request"]) == ("access.requested", asked["id"])
        cli.good("withdraw", asked["id"])
        assert json.loads(following.stdout.readline())["type"] == "access.withdrawn"
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=20) == 0
        assert following.stderr is not None
        assert following.stderr.read() == ""
    finally:
        following.kill()
        following.communicate()


def test_a_reader_that_has_enough_is_no_error(cli: CommandLine) -> None:
    append(cli, *(Draft("test.filler", {"text": "x" * 200}) for _ in range(2000)))
    log = cli.start("log", "--limit", "2000", "--json")
    head = subprocess.run(["head", "-n", "1"], stdin=log.stdout, capture_output=True, text=True, check=True)
    assert log.stdout is not None
    log.stdout.close()
    assert json.loads(head.stdout)["type"] == "test.filler"
    assert log.stderr is not None
    assert (log.wait(timeout=20), log.stderr.read()) == (0, "")


def test_a_terminal_of_another_encoding_shows_escapes_and_no_traceback(cli: CommandLine) -> None:
    append(cli, Draft("test.filler", {"text": "注文"}))
    log = cli.start("log", env={"PYTHONIOENCODING": "latin-1"})
    out, err = log.communicate(timeout=20)
    assert (log.returncode, err) == (0, "")
    assert r"\u6ce8" in out


def test_verify_accepts_and_names_the_entry_that_was_changed(cli: CommandLine) -> None:
    cli.granted()
    whole = cli.json("verify")
    assert whole["verdict"] == "whole"
    assert "the key came from beside the ledger" in cli.good("verify").out
    seq = cli.entries("access.requested")[0].seq
    with sqlite3.connect(cli.home.ledger) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f'DROP TRIGGER "{name}"')
        raw.execute("UPDATE entry SET raw = replace(raw, 'T-1', 'T-2') WHERE seq = ?", (seq,))
    raw.close()
    done = cli("verify")
    assert done.code == exit_code("entry_changed")
    key = cli.home.verifier_key.read_text().strip()
    for line in (
        rf"File +{re.escape(str(cli.home.ledger))}",
        rf"Ledger +{key.partition('+')[0]}",
        rf"Key given +{re.escape(key)}",
        r"Witness +none demanded",
        r"Span +2\d{3}-.*Z to 2\d{3}-.*Z, of the entries that are whole",
        rf"Entries +the first {seq} of {whole['entries']} are as they were signed",
        r"Damage +entry_changed: An entry does not hash",
        rf"Entry +{seq}",
        rf"Reason +Entry {seq} is not what was signed",
        r"Next step +Keep the file",
        r"Verdict +DAMAGED \(entry_changed\)\.",
    ):
        assert re.search(f"^{line}", done.out, re.MULTILINE), line
    told = cli("verify", "--json")
    [found] = told.rows()
    assert (told.code, found["verdict"]) == (exit_code("entry_changed"), "damaged")
    assert {name: found[name] for name in ("file", "origin", "keys_given", "entries", "entries_whole", "damage", "seq")} == {
        "file": str(cli.home.ledger),
        "origin": key.partition("+")[0],
        "keys_given": [key],
        "entries": whole["entries"],
        "entries_whole": seq,
        "damage": "entry_changed",
        "seq": seq,
    }


def test_verify_says_how_far_the_ledger_is_whole_and_no_more(cli: CommandLine, tmp_path: Path) -> None:
    cli.granted()
    kept = tmp_path / "kept"
    kept.write_text(cli.good("checkpoint").out)
    cli.good("request", "--reason", "orders are stuck again", "--ticket", "T-2")
    size = cli.json("verify")["entries"]
    alone = cli.good("verify").out
    assert re.search(rf"^Verdict +WHOLE up to its newest checkpoint, of {size} entries: .*cut off was not checked\.$", alone, re.MULTILINE)
    assert re.search(r"^Witness +none demanded$", alone, re.MULTILINE)
    before = unverified_checkpoint(kept.read_text()).size
    compared = cli.good("verify", "--since", str(kept)).out
    assert re.search(rf"^Verdict +WHOLE up to .* none is missing of the {before} under the checkpoint", compared, re.MULTILINE)


def test_a_file_that_is_no_ledger_gets_a_report_too(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "noise.db").write_bytes(b"no database" * 1000)
    done = cli("verify", "--ledger", str(tmp_path / "noise.db"))
    assert done.code == exit_code("file")
    assert re.search(r"^Ledger +not known", done.out, re.MULTILINE)
    assert re.search(r"^Entries +not read$", done.out, re.MULTILINE)
    assert re.search(r"^Verdict +DAMAGED \(file\)", done.out, re.MULTILINE)


def test_verify_names_the_entry_when_one_byte_of_it_was_changed(cli: CommandLine) -> None:
    cli.granted()
    seq = cli.entries("access.requested")[0].seq
    with sqlite3.connect(cli.home.ledger) as raw:
        schema = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in schema:
            raw.execute(f'DROP TRIGGER "{name}"')
        raw.execute("UPDATE entry SET raw = replace(raw, 'T-1', 'T-2') WHERE seq = ?", (seq,))
        for _, sql in schema:
            raw.execute(sql)
    raw.close()
    told = cli("verify", "--json")
    assert (told.code, told.rows()[0]["seq"]) == (exit_code("entry_changed"), seq)


def test_verify_with_a_checkpoint_kept_from_before_finds_an_older_copy(cli: CommandLine, tmp_path: Path) -> None:
    older = tmp_path / "older.db"
    source = sqlite3.connect(cli.home.ledger)
    source.execute(f"VACUUM INTO '{older}'")
    source.close()
    cli.granted()
    kept = tmp_path / "kept.checkpoint"
    kept.write_text(cli.good("checkpoint").out)
    cli.granted()
    assert cli.good("verify", "--since", str(kept)).code == 0
    key = str(cli.home.verifier_key)
    assert cli("verify", "--ledger", str(older), "--key", key, "--since", str(kept)).code == exit_code("rollback")
    assert cli("verify", "--ledger", str(older), "--key", key).code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--key", "nonsense"), 2),
        (("--key", "a+b+c"), 2),
        (("--key", "/nowhere/key"), 2),
        (("--since", "/nowhere/checkpoint"), 2),
        (("--ledger", "/nowhere/ledger.db"), 4),
    ],
)
def test_what_verify_cannot_use_is_said(cli: CommandLine, words: tuple[str, ...], code: int) -> None:
    done = cli("verify", *words)
    assert done.code == code
    assert done.err
    assert "WHOLE" not in done.out


def test_verify_of_somebody_elses_ledger_with_ones_own_key_fails(cli: CommandLine, tmp_path: Path) -> None:
    mine = cli.home.verifier_key.read_text().strip()
    cli.folder = tmp_path / "other"
    cli.folder.mkdir()
    cli.good("init")
    assert cli("verify", "--key", mine).code == exit_code("key")


def test_verify_needs_no_configuration_and_no_secret(cli: CommandLine) -> None:
    cli.home.signing_key.unlink()
    assert cli.good("verify").code == 0


def test_offline_commands_look_where_the_server_keeps_its_ledger_whatever_else_is_wrong_in_its_settings(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_HOME", str(tmp_path / "elsewhere"))
    text = f"c.JupyterAudit.home = {str(cli.home.path)!r}\nc.JupyterAudit.profiles = 'no profiles'\n"
    elsewhere = cli.config(text)
    for words in (["verify"], ["checkpoint"], ["prove", "0"]):
        assert cli(*words, home=False).code != 0
        assert cli(*words, "--config", elsewhere, home=False).code == 0
    system = tmp_path / "etc" / "jupyter_server_config.py"
    system.parent.mkdir()
    system.write_text(text)
    for words in (["verify"], ["checkpoint"], ["prove", "0"]):
        assert cli(*words, home=False).code == 0
    assert cli.home.path.name in cli("verify", home=False).out

    # A configuration that cannot be read is no reason to look at another ledger; nor is it one to read none that is named.
    system.write_text("c.JupyterAudit.home = 7\n")
    assert "c.JupyterAudit.home cannot be used" in cli("verify", home=False).err
    system.write_text("1 / 0\n")
    assert cli("verify", home=False).code == 3
    assert cli("verify").code == 0
    copied = ("--ledger", str(cli.home.ledger), "--key", str(cli.home.verifier_key))
    assert cli("verify", *copied, home=False).code == 0


def test_since_takes_times_and_ages() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert parse_since("90m", now) == now - timedelta(minutes=90)
    assert parse_since("2d", now) == now - timedelta(days=2)
    assert parse_since("2026-11-24T09:30+01:00", now) == datetime(2026, 11, 24, 8, 30, tzinfo=UTC)
    assert parse_since("2026-11-24", now) == datetime(2026, 11, 24, tzinfo=UTC)
    for text in ("yesterday", "", "5", "5w", "-5m", "999999d", "9999999m"):
        with pytest.raises(UsageError):
            parse_since(text, now)


def test_the_installed_command_is_there() -> None:
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.count(".") == 2
