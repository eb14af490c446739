"""`jupyter audit search`: what it shows, what it puts down, and that nothing typed is an error of syntax."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli_house import CommandLine

from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Actor, Content, Draft

EVE = Actor("eve", "test")
CODE = "import pandas as pd\nlate = pd.read_sql('SELECT * FROM orders WHERE NOT shipped', shop)\nlate.shipped.sum()"


@pytest.fixture
def shop(cli: CommandLine) -> CommandLine:
    """A ledger with a grant and two cells."""
    cli.granted()
    with open_ledger(cli.home, clock=SystemClock()) as ledger:
        for code in (CODE, "print('\x1b[2J orders')"):
            message = Content(json.dumps({"code": code}).encode(), "application/json")
            ledger.append([Draft("cell.admitted", {}, actor=EVE, session="s-1", contents={"message": message})])
    return cli


def test_words_are_found_with_the_lines_they_stand_in(shop: CommandLine) -> None:
    done = shop.good("search", "READ_SQL", "orders")
    assert "code:2: late = pd.read_sql('SELECT * FROM orders" in done.out
    assert done.out.count("cell.admitted") == 1
    (row,) = shop.good("search", "late.shipped", "--json").rows()
    assert row["found"] == [{"in": "code", "line": 3, "text": "late.shipped.sum()"}]
    assert row["actor"]["name"] == "eve"
    (row,) = shop.good("search", "stuck", "--json").rows()
    assert row["type"] == "access.requested"


def test_unwanted_words_filters_and_limit(shop: CommandLine) -> None:
    assert len(shop.good("search", "orders", "--person", "eve", "--json").rows()) == 2
    assert len(shop.good("search", "orders", "--not", "shipped", "--type", "cell.", "--json").rows()) == 1
    assert len(shop.good("search", "orders -print", "--session", "s-1", "--json").rows()) == 1
    assert shop.good("search", "orders", "--to", "1h", "--json").rows() == []
    assert len(shop.good("search", "orders", "--from", "1h", "--json").rows()) == 3
    limited = shop.good("search", "orders", "--limit", "1")
    assert "older ones" in limited.err
    assert "\\x1b" not in limited.out
    assert "\x1b" not in limited.out


def test_what_was_looked_for_is_put_down_first_and_can_be_purged(shop: CommandLine) -> None:
    shop.good("search", "Jane Doe", "--person", "eve")
    (read,) = shop.entries("ledger.read")
    assert read.body == {"view": "search", "detail": {"through": "command line", "person": "eve"}}
    assert "Jane" in shop.good("log", "--type", "ledger.read", "--content").out
    assert shop.good("search", "Jane Doe", "--json").rows() == []  # what others looked for is no hit
    shop.good("purge", "--names", "query", "--before", "2999-01-01", "--reason", "DPO-17")
    assert b"Jane" not in shop.home.ledger.read_bytes()
    assert "1 purged" in shop.good("verify").out or "2 purged" in shop.good("verify").out


def test_a_search_that_cannot_be_put_down_shows_nothing(shop: CommandLine) -> None:
    shop.home.signing_key.unlink()
    done = shop("search", "orders")
    assert (done.code, done.out) == (4, "")


def test_scanning_finds_the_same_and_makes_no_index(shop: CommandLine) -> None:
    scanned = shop.good("search", "orders", "--scan", "--json").rows()
    assert not shop.home.caches.exists()
    assert shop.good("search", "orders", "--json").rows() == scanned
    assert shop.home.caches.exists()


def test_an_auditor_searches_a_copy_without_key_index_or_trace(shop: CommandLine, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(shop.home.ledger, elsewhere / "copy.db")
    shutil.rmtree(shop.home.path)
    assert len(shop.good("search", "orders", "--ledger", str(elsewhere / "copy.db"), "--json").rows()) == 3
    assert {path.name for path in elsewhere.iterdir()} <= {"copy.db", "copy.db-wal", "copy.db-shm"}


def test_nothing_typed_is_an_error_of_syntax(shop: CommandLine) -> None:
    for words in ('"', "a AND", "NEAR(", "*", "col:x", "x\0y", "' OR 1=1 --", '"""', "é" * 3000):
        assert shop("search", words).code == 0, words


def test_without_a_word_or_with_a_bad_limit_it_is_said_what_to_do(shop: CommandLine) -> None:
    for words, said in ((["search", " "], "no word"), (["search", "x", "--limit", "0"], "--limit"), (["search", "x", "--to", "soon"], "not a time")):
        done = shop(*words)
        assert done.code == 2
        assert said in done.err
    assert shop.entries("ledger.read") == []


def test_without_sqlite_utils_it_is_said_what_to_install_and_scanning_goes_on(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sqlite_utils", None)
    done = shop("search", "orders")
    assert done.code == 3
    assert "jupyter-audit[review]" in done.err
    assert not list(shop.home.caches.iterdir())
    assert len(shop.good("search", "orders", "--scan", "--json").rows()) == 3


def test_a_cache_folder_that_cannot_be_used_is_named(shop: CommandLine) -> None:
    shop.home.caches.write_text("a file")
    done = shop("search", "orders")
    assert done.code == 4
    assert "--scan" in done.err
