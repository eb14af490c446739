"""`jupyter audit export`: lines that can be verified from themselves, tables for analysts, and an entry that says who."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cli_house import CommandLine

from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger
from jupyter_audit.ledger.checkpoint import parse_checkpoint
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import parse_note, parse_verifier_key
from jupyter_audit.model import Actor, Content, Draft
from jupyter_audit.record import kinds

EVE = Actor("eve", "test")
SEALED = Path(__file__).parents[1] / "vectors" / "sealed-v1"


@pytest.fixture
def shop(cli: CommandLine) -> CommandLine:
    """A ledger with a grant and a session of three cells, one of whose code is purged, and bytes that are no text."""
    cli.granted()
    where: dict[str, Any] = {"kernel_id": "k", "msg_id": "m", "channel": "shell", "cell": "c"}
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        put = ledger.append
        put([kinds.draft(kinds.SessionStarted("srv", "k", "audit", "none", "a.ipynb"), actor=EVE, session="s-1")])
        for code in ("orders()", "secret()"):
            message = {"message": Content(json.dumps({"code": code}).encode(), "application/json")}
            cell = kinds.CellAdmitted(**where, silent=False, store_history=True, lines=1, canary=False)
            (entry,) = put([kinds.draft(cell, actor=EVE, session="s-1", contents=message)])
            outputs = Content(json.dumps({"outputs": [{"preview": f"shown by {code}"}]}).encode(), "application/json")
            ended = kinds.CellFinished("k", entry.seq, "error", "KeyError", 12, [], True, "kernel")
            put([kinds.draft(ended, session="s-1", contents={"outputs": outputs})])
        refused = kinds.CellRefused(**where, cause="no_grant", lines=1)
        put([kinds.draft(refused, actor=EVE, session="s-2"), Draft("test.bytes", {}, contents={"blob": Content(b"\xff\0")})])
        first = entry.seq
    _purge_one(cli, first)
    return cli


def _purge_one(cli: CommandLine, seq: int) -> None:
    from jupyter_audit.ledger.envelope import PURGED
    from jupyter_audit.ledger.schema import OBJECTS

    with open_ledger(cli.home, clock=SystemClock()) as ledger:

        def take() -> Draft:
            ledger.connection.execute("DROP TRIGGER content_kept")
            ledger.connection.execute("DELETE FROM content WHERE seq = ? AND name = 'message'", (seq,))
            ledger.connection.execute(OBJECTS["trigger", "content_kept"])
            return Draft(PURGED, {"contents": [{"first": seq, "last": seq, "names": ["message"]}], "reason": "x"}, actor=EVE)

        ledger.append_own(take)


def test_lines_of_a_whole_ledger_can_be_verified_from_themselves(shop: CommandLine, tmp_path: Path) -> None:
    size = len(shop.entries())
    done = shop.good("export", str(tmp_path / "all.jsonl"))
    assert f"{size} of {size} entries" in done.out
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    head = lines.pop(0)
    assert head["format"] == "jupyter-audit/export@v1"
    key = parse_verifier_key(shop.home.verifier_key.read_text().strip())
    tree, contents = CompactRange(), []
    for line in lines:
        if "entry" in line:
            tree.append(leaf_hash(rfc8785.dumps(line["entry"])))
            for name, held in line.get("contents", {}).items():
                contents.append((line["entry"]["contents"][name]["digest"], held))
        else:
            note = parse_note(line["checkpoint"])
            note.verify([key])
            checkpoint = parse_checkpoint(note.text)
            assert (checkpoint.size, checkpoint.root) == (tree.size, tree.root())
    assert tree.size == size == head["entries"]
    assert "checkpoint" in lines[-1]
    assert sum(held == {"missing": "purged"} for _, held in contents) == 1
    for digest, held in contents:
        if "salt" in held:
            data = held["text"].encode() if "text" in held else b64decode(held["data"])
            assert hashlib.sha256(b"jupyter-audit content v1\0" + b64decode(held["salt"]) + data).hexdigest() == digest
    assert {"text", "data"} <= {key for _, held in contents for key in held}


def test_who_exported_what_is_put_down_first(shop: CommandLine, tmp_path: Path) -> None:
    size = len(shop.entries())
    shop.good("export", str(tmp_path / "x.jsonl"), "--person", "eve", "--type", "cell.", "--no-contents")
    (entry,) = shop.entries("ledger.exported")
    assert entry.body == {
        "form": "jsonl",
        "to": str(tmp_path / "x.jsonl"),
        "contents": False,
        "entries": size,
        "filters": {"person": "eve", "types": ["cell."]},
        "auditors": [],
    }
    shop.home.signing_key.unlink()
    done = shop("export", str(tmp_path / "y.jsonl"))
    assert done.code == 4
    assert not (tmp_path / "y.jsonl").exists()
    done = shop("export", "-")
    assert (done.code, done.out) == (4, "")


def test_whose_key_opens_what_is_sealed_is_put_down(cli: CommandLine) -> None:
    key = cli.folder / "anna.auditor"
    shutil.copy(SEALED / "anna.auditor", key)
    key.chmod(0o600)
    cli.good("export", "-", "--auditor-key", str(key))
    cli.good("search", "anything", "--auditor-key", str(key))
    (exported,) = cli.entries("ledger.exported")
    (read,) = cli.entries("ledger.read")
    (label,) = exported.body["auditors"]
    assert label.startswith("anna")
    assert read.body["detail"]["auditors"] == [label]


def test_filtered_lines_end_in_the_newest_checkpoint(shop: CommandLine) -> None:
    size = len(shop.entries())
    rows = shop.good("export", "-", "--type", "cell.", "--no-contents").rows()
    assert [row["entry"]["type"] for row in rows[1:-1]] == ["cell.admitted", "cell.finished"] * 2 + ["cell.refused"]
    assert all("contents" not in row for row in rows)
    assert rows[0]["filtered"] is True
    assert rows[-1]["checkpoint"].splitlines()[1] == str(size)


def test_tables_say_what_became_of_each_cell_and_can_be_searched(shop: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "week.db"
    told = shop.json("export", str(file), "--format", "sqlite")
    assert told["entries"] == told["of"]
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row

        def ask(sql: str) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(sql)]

        cells = ask("SELECT * FROM cells ORDER BY seq")
        assert [cell["code"] for cell in cells] == ["orders()", None, None]
        assert [cell["status"] for cell in cells] == ["error", "error", None]
        assert cells[0]["output"] == "shown by orders()"
        assert (cells[0]["person"], cells[0]["session"], cells[0]["error"]) == ("eve", "s-1", "KeyError")
        assert cells[2]["refused"] == "no_grant"
        assert ask("SELECT count(*) AS n FROM cells_fts WHERE cells_fts MATCH 'orders'") == [{"n": 1}]
        assert {row["state"] for row in ask("SELECT state FROM contents")} == {"held", "purged"}
        assert {row["person"] for row in ask("SELECT person FROM entries WHERE type = 'cell.finished'")} == {"eve"}
        (about,) = ask("SELECT * FROM about")
        assert about["checkpoint"].startswith(about["ledger"])
        assert ask("SELECT * FROM pragma_foreign_key_check") == []


@pytest.mark.parametrize("form", ["jsonl", "sqlite"])
def test_the_file_is_private_and_nothing_is_overwritten_or_left_behind(shop: CommandLine, tmp_path: Path, form: str) -> None:
    file = tmp_path / "out" / "file"
    file.parent.mkdir()
    shop.good("export", str(file), "--format", form)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    before = file.read_bytes()
    done = shop("export", str(file), "--format", form)
    assert (done.code, file.read_bytes()) == (2, before)
    assert "not overwritten" in done.err
    assert len(shop.entries("ledger.exported")) == 1  # a refused one took nothing
    assert shop("export", str(tmp_path / "nowhere" / "file"), "--format", form).code == 2


def test_an_export_that_fails_leaves_no_file(shop: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jupyter_audit.cli.export.print_json", full)
    assert shop("export", str(out / "x.jsonl")).code == 1
    assert list(out.iterdir()) == []


def test_what_is_sealed_stays_sealed_and_a_copy_is_exported_without_a_trace(cli: CommandLine, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(SEALED / "ledger.db", copy)
    before = len(cli.entries())
    rows = cli.good("export", "-", "--ledger", str(copy)).rows()
    sealed = [held for row in rows for held in row.get("contents", {}).values() if "sealed" in held]
    assert b64decode(sealed[0]["sealed"]).startswith(b"jupyter-audit/sealed@v1\n")
    cli.good("export", str(tmp_path / "t.db"), "--ledger", str(copy), "--format", "sqlite")
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection:
        states = {row[0] for row in connection.execute("SELECT state FROM contents WHERE text IS NULL")}
    assert "sealed" in states
    assert len(cli.entries()) == before


def test_a_damaged_content_is_named_so_and_the_rest_is_exported(shop: CommandLine, tmp_path: Path) -> None:
    with closing(sqlite3.connect(shop.home.ledger, isolation_level=None)) as connection:
        sql = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'content_unchanged'").fetchone()[0]
        connection.execute("DROP TRIGGER content_unchanged")
        connection.execute("UPDATE content SET data = x'00' WHERE name = 'blob'")
        connection.execute(sql)
    rows = shop.good("export", "-").rows()
    assert {"missing": "damaged"} in [held for row in rows for held in row.get("contents", {}).values()]
