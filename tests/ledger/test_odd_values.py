"""
What no writer stores: numbers, texts, bytes and nothing at all in columns of another kind, and numbers beyond all entries.

Tables are STRICT, and that is a promise of the program that writes. In the pages of a file any value can stand in any column; whoever
reads must find the damage, and not stumble over it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from ledger_story import SetClock, Story
from test_fuzz_file import use
from test_two_verifiers import ours, second, verdict  # noqa: F401 (a fixture)

from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger.schema import OBJECTS

COLUMNS = {
    "entry": ("seq", "leaf", "note", "raw"),
    "content": ("id", "name", "salt", "encoding", "data"),
    "subtree": ("level", "position", "hash"),
    "place": ("name", "value", "block", "offsets"),
}
FEW = (None, 2**63 - 1, b"\xff")
MANY = (*FEW, 2**60, 1.5, "x", 0, -1, -(2**63), 1e300, float("inf"), "", "\x00", "[0]", "1", b"", b"1" * 32)
OF_THE_STORY = {"entry": ("seq", 5), "content": ("id", 5 * 256), "subtree": ("level", 8), "place": ("value", "ledger.created")}
"""A row of each table, by one of its columns."""


@pytest.fixture
def plain(story: Story) -> Home:
    """The story's ledger in one file, without its triggers."""
    with closing(sqlite3.connect(story.home.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        for kind, name in OBJECTS:
            if kind == "trigger":
                connection.execute(f"DROP TRIGGER {name}")
    return story.home


def loosely(table: str) -> str:
    """The table's text without all that its columns promise."""
    sql = OBJECTS["table", table].replace("STRICT, ", "").replace(" STRICT", "").replace(" NOT NULL", "")
    return sql.replace(" TEXT,", ",").replace(" TEXT\n", "\n").replace(" BLOB,", ",").replace(" INTEGER,", ",")


def with_odd_values(home: Home, table: str, column: str, values: Sequence[object]) -> Iterator[object]:
    """Put each of the values into that column of one row, as far as a page can hold it there; then bring the file back."""
    whole = home.ledger.read_bytes()
    key, row = OF_THE_STORY[table]
    for value in values:
        reword(home, table, loosely(table))
        try:
            with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, row))
        except sqlite3.Error:
            home.ledger.write_bytes(whole)  # a primary key that is none
            continue
        reword(home, table, OBJECTS["table", table])
        with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
            for (kind, _), sql in OBJECTS.items():
                if kind == "trigger":
                    connection.execute(sql)
        yield value
        home.ledger.write_bytes(whole)


def reword(home: Home, table: str, sql: str) -> None:
    """Change a table's text and nothing of what it holds."""
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", (sql, table))
        connection.execute(f"PRAGMA schema_version = {version + 1}")


def judge(home: Home, second: ModuleType, table: str, column: str, values: Sequence[object]) -> int:  # noqa: F811
    """Have both verifiers look at each value; return how many they found."""
    found = 0
    for value in with_odd_values(home, table, column, values):
        said, other = ours(home), verdict(second, home)
        assert (said[0] == "whole") == (other[0] == "whole"), value
        found += said[0] != "whole"
    return found


@pytest.mark.parametrize("table", COLUMNS)
def test_a_value_of_another_kind_is_damage_to_both_verifiers(plain: Home, second: ModuleType, table: str) -> None:  # noqa: F811
    for column in COLUMNS[table]:
        assert judge(plain, second, table, column, FEW), column


@pytest.mark.soak
@pytest.mark.parametrize(("table", "column"), [(table, column) for table, columns in COLUMNS.items() for column in columns])
def test_whatever_stands_in_a_column_is_found_and_refused_in_words(
    plain: Home, second: ModuleType, tmp_path: Path, table: str, column: str  # noqa: F811
) -> None:
    assert judge(plain, second, table, column, MANY) >= 2
    for _ in with_odd_values(plain, table, column, MANY):
        copy = Home(tmp_path / "copy")
        shutil.copytree(plain.path, copy.path)
        with contextlib.suppress(LedgerError):
            use(copy, SetClock())
        shutil.rmtree(copy.path)


@pytest.mark.parametrize("block", [2**60, 2**55, -1, -(2**60), 2])
@pytest.mark.parametrize("kind", ["ledger.created", "content.purged"])
def test_places_in_blocks_that_there_are_not_are_found(story: Story, second: ModuleType, block: int, kind: str) -> None:  # noqa: F811
    """Any editor of the file can put them in; `verify` said nothing of the ledger then, but ended in a traceback."""
    with closing(sqlite3.connect(story.home.ledger)) as connection, connection:
        connection.execute("INSERT INTO place VALUES ('type', ?, ?, '[0]')", (kind, block))
    assert ours(story.home) == verdict(second, story.home) == ("place", None)
