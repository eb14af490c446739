"""Every byte of a ledger's file, flipped: either it is found, or the file still says exactly the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, a_draft, check
from sqlite_pages import (
    CACHE,
    COUNTERS,
    ENCODING,
    FREE,
    LIBRARY,
    NUMBER,
    RESERVED,
    SCHEMA,
    WRITERS,
    pages_of_tree,
    without_meaning,
)

from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.model import Draft

PAGE = 512
"""The smallest that SQLite has: less free space, and inner pages and overflow chains in a file of a few entries."""

TABLES = ("entry", "content", "subtree", "place", "sqlite_schema")


@pytest.fixture
def small(tmp_path: Path, clock: SetClock) -> Home:
    """A ledger of few entries with every table in use but those of complete blocks, as small as SQLite makes it."""
    home = Home(tmp_path / "small")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1), a_draft(2)])
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
        ledger.rotate_key(actor=EVE, reason="yearly")
        ledger.append([a_draft(5)])
    small_pages(home)
    return home


def small_pages(home: Home) -> None:
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("VACUUM")


@pytest.fixture
def block(tmp_path: Path, clock: SetClock) -> Home:
    """A ledger with one complete block of entries: what is stored of it takes inner pages, leaves and overflow."""
    home = Home(tmp_path / "block")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([Draft("test.filler", {}, session=f"s-{number % 7}", grant=f"g-{number % 3}") for number in range(256)])
    small_pages(home)
    return home


def bytes_of(home: Home, *tables: str) -> list[int]:
    """Where in the file these tables are."""
    data = home.ledger.read_bytes()
    with closing(sqlite3.connect(home.ledger)) as connection:
        sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?"
        roots = [connection.execute(sql, (table,)).fetchone()[0] for table in tables]
    pages = sorted(set().union(*(pages_of_tree(data, root) for root in roots)))
    return [at for page in pages for at in range((page - 1) * PAGE, page * PAGE)]


def says(home: Home) -> list[object]:
    """Everything that the file says to whoever reads it through SQLite."""
    with closing(sqlite3.connect(f"{home.ledger.as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        said: list[object] = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")]
        for table in TABLES:
            columns = "type, name, tbl_name, sql" if table == "sqlite_schema" else "*"
            rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
            said.append(sorted(rows, key=repr))
        return said


def check_flips(home: Home, places: Iterable[int]) -> tuple[int, int]:
    """Flip the bytes one at a time; return how many flips were found, and how many said the same."""
    whole = bytearray(home.ledger.read_bytes())
    told, reasons = says(home), without_meaning(bytes(whole))
    found = same = 0
    for place in places:
        bit = 1 << (place % 8)
        whole[place] ^= bit
        home.ledger.write_bytes(whole)
        try:
            check(home)
        except LedgerError:
            found += 1
        else:
            assert says(home) == told, f"byte {place} changed what the ledger says, and nobody noticed"
            assert place in reasons, f"byte {place} was flipped unnoticed, and nothing tells why it has no meaning"
            same += 1
        whole[place] ^= bit
    home.ledger.write_bytes(whole)
    check(home)
    return found, same


def test_the_specification_says_which_bytes_have_no_meaning() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "ledger-format.md").read_text(encoding="utf-8").split())
    for reason in (FREE, COUNTERS, CACHE, ENCODING, LIBRARY, RESERVED, NUMBER, SCHEMA, WRITERS):
        assert reason in text


def test_a_flipped_byte_is_found_or_says_the_same(small: Home) -> None:
    found, same = check_flips(small, range(0, small.ledger.stat().st_size, 17))
    assert found > 100
    assert same > 100  # free space is most of a small file


def test_a_flipped_byte_of_the_header_is_found_or_says_the_same(small: Home) -> None:
    found, _ = check_flips(small, range(100))
    assert found > 30


def test_a_flipped_byte_of_what_is_stored_of_a_block_is_found_or_says_the_same(block: Home) -> None:
    places = bytes_of(block, "subtree", "place")
    assert len(places) > 10 * PAGE
    found, same = check_flips(block, places[::131])
    assert found > 20
    assert same > 2


@pytest.mark.soak
def test_every_flipped_byte_of_what_is_stored_of_a_block_is_found_or_says_the_same(block: Home) -> None:
    places = bytes_of(block, "subtree", "place")
    print(len(places), *check_flips(block, places))


@pytest.mark.soak
def test_every_flipped_byte_is_found_or_says_the_same(small: Home) -> None:
    print(small.ledger.stat().st_size, *check_flips(small, range(small.ledger.stat().st_size)))
