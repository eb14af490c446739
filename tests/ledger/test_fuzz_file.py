"""
A whole ledger file with damaged pages: always a verdict, the same from both verifiers, and never another exception.

Also for whoever does not verify first: opening, reading, proving and appending fail in words or not at all.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_story import EVE, SetClock, a_draft
from mutations import changed_bytes, changed_database
from test_two_verifiers import ours, second, verdict  # noqa: F401 (a fixture)

from jupyter_audit.errors import LedgerError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger
from jupyter_audit.ledger.proving import prove_entry, prove_growth
from jupyter_audit.ledger.purging import Wanted, purge

PAGE = 512
"""Small pages: trees of several levels in few bytes."""


@pytest.fixture
def whole(tmp_path: Path, clock: SetClock) -> Home:
    """A ledger with a bit of everything, in small pages and without a journal."""
    home = Home(tmp_path / "whole")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1), a_draft(2)])
        ledger.append([a_draft(3, code="x = 1\n" * 400)])
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
        ledger.rotate_key(actor=EVE, reason="yearly")
        ledger.append([a_draft(number) for number in range(4, 263)])
    small_pages(home)
    return home


def small_pages(home: Home) -> None:
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("VACUUM")


def put(home: Home, data: bytes) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        home.ledger.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    home.ledger.write_bytes(data)


def fuzz(inputs: st.SearchStrategy[bytes], judge: Callable[[bytes], None], examples: int) -> None:
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def run(data: bytes) -> None:
        judge(data)

    run()


def our_word(home: Home) -> str:
    """Our verdict: the class of damage, or that the file cannot be read, which is said in words too."""
    try:
        return ours(home)[0]
    except VerificationError:
        raise
    except LedgerError:
        return "file"


def places_of_values(home: Home) -> dict[str, list[int]]:
    """Where in the file values of each table begin."""
    data, starts = home.ledger.read_bytes(), {}
    with closing(sqlite3.connect(home.ledger)) as connection:
        for column, table in (("raw", "entry"), ("leaf", "entry"), ("data", "content"), ("hash", "subtree"), ("offsets", "place")):
            values = [value for (value,) in connection.execute(f"SELECT {column} FROM {table} LIMIT 9")]
            starts[column] = [data.index(value if isinstance(value, bytes) else value.encode()[:12]) for value in values]
    return starts


def flipped(data: bytes, start: int, bit: int) -> bytes:
    """The file with one bit flipped where a value of a table begins: SQLite reads it all the same."""
    return data[:start] + bytes([data[start] ^ 1 << bit]) + data[start + 1 :]


def check_damaged_pages(home: Home, second: ModuleType, examples: int) -> None:  # noqa: F811
    data = home.ledger.read_bytes()
    assert verdict(second, home) == ours(home) == ("whole", None)
    seen: set[str] = set()

    def judge(changed: bytes) -> None:
        put(home, changed)
        said = our_word(home)
        assert (verdict(second, home)[0] == "whole") == (said == "whole")
        seen.add(said)

    starts = places_of_values(home)
    for of_column in starts.values():
        judge(flipped(data, of_column[0], 0))
    assert seen == {"entry_form", "leaf", "content_changed", "subtree", "place"}
    values = st.builds(flipped, st.just(data), st.sampled_from(list(chain.from_iterable(starts.values()))), st.integers(0, 7))
    fuzz(changed_database(data, PAGE) | values, judge, examples)
    put(home, data)
    assert {"whole", "file"} <= seen


def test_damaged_pages_are_found_by_both_verifiers_or_by_neither(whole: Home, second: ModuleType) -> None:  # noqa: F811
    check_damaged_pages(whole, second, 150)


@pytest.mark.soak
def test_thousands_of_damaged_files_are_found_by_both_verifiers_or_by_neither(whole: Home, second: ModuleType) -> None:  # noqa: F811
    check_damaged_pages(whole, second, 2000)


def use(home: Home, clock: SetClock) -> None:
    """Do everything with a ledger that does not begin with verifying it."""
    with LedgerReader.open(home.ledger) as reader:
        kept = reader.checkpoint_note()
        reader.root(reader.size())
        prove_growth(reader, kept)
        for entry in reader.entries(types=["cell."], limit=20):
            assert reader.entry(entry.seq) == entry
        for entry in reader.entries(limit=40):
            prove_entry(reader, entry.seq, with_contents=True)
            for name in entry.contents:
                reader.content(entry.seq, name)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])


def check_use_of_damaged(home: Home, clock: SetClock, examples: int) -> None:
    data, remembered = home.ledger.read_bytes(), home.remembered_checkpoint.read_text()
    refused = 0

    def judge(changed: bytes) -> None:
        nonlocal refused
        put(home, changed)
        home.remembered_checkpoint.write_text(remembered)
        try:
            use(home, clock)
        except LedgerError:
            refused += 1

    fuzz(changed_database(data, PAGE), judge, examples)
    put(home, data)
    assert refused > examples // 4


def test_a_damaged_file_is_used_or_refused_in_words(whole: Home, clock: SetClock) -> None:
    check_use_of_damaged(whole, clock, 70)


@pytest.mark.soak
def test_thousands_of_damaged_files_are_used_or_refused_in_words(whole: Home, clock: SetClock) -> None:
    check_use_of_damaged(whole, clock, 1500)


# --- the write-ahead log --------------------------------------------------------------------------------


def check_damaged_logs(tmp_path: Path, clock: SetClock, second: ModuleType, examples: int) -> None:  # noqa: F811
    """The newest entries are in the -wal alone, as after a crash; the -wal comes back damaged."""
    home, crashed = Home(tmp_path / "log"), Home(tmp_path / "crashed")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ledger.connection.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(2, 6):
            ledger.append([a_draft(number)])
        ledger.remember()
        shutil.copytree(home.path, crashed.path)
    wal, remembered = crashed.ledger.with_name("ledger.db-wal"), crashed.remembered_checkpoint.read_text()
    data, log = crashed.ledger.read_bytes(), wal.read_bytes()
    outcomes: set[object] = set()

    def judge(changed: bytes) -> None:
        put(crashed, data)
        wal.write_bytes(changed)
        said = our_word(crashed)
        assert (verdict(second, crashed)[0] == "whole") == (said == "whole")
        put(crashed, data)
        wal.write_bytes(changed)
        crashed.remembered_checkpoint.write_text(remembered)
        try:
            with open_ledger(crashed, clock=clock) as ledger:
                outcomes.add(ledger.size())
                assert ledger.size() == 6, "the loss of what was acknowledged was not noticed"
        except LedgerError as error:
            outcomes.add(type(error).__name__)

    frames = len(log) // 4120  # section 4 of the file format: a header of 32 bytes, then frames of 24 + 4096
    places = st.integers(0, frames).map(lambda number: 32 + number * 4120)
    torn = st.builds(lambda at, more: log[: at + more], places, st.sampled_from([0, 1, 24, 2000]))
    swapped = st.builds(lambda a, b: log[:a] + log[b : b + 4120] + log[a + 4120 :], places, places)
    fuzz(changed_bytes([log]) | torn | swapped, judge, examples)
    assert {6, "RollbackError"} <= outcomes, outcomes


def test_a_damaged_log_is_whole_after_all_or_its_loss_is_said(tmp_path: Path, clock: SetClock, second: ModuleType) -> None:  # noqa: F811
    check_damaged_logs(tmp_path, clock, second, 50)


@pytest.mark.soak
def test_thousands_of_damaged_logs_are_whole_after_all_or_their_loss_is_said(
    tmp_path: Path, clock: SetClock, second: ModuleType  # noqa: F811
) -> None:
    check_damaged_logs(tmp_path, clock, second, 1000)


# --- pages that lead in circles -------------------------------------------------------------------------


def without_end(home: Home, name: str) -> None:
    """
    Put ten levels of inner pages, each naming the next one dozens of times, above the tree of a table or index.

    Whoever follows them all reads 30^10 pages. Sections 1.6 and 2.3 of SQLite's file format.
    """
    with closing(sqlite3.connect(home.ledger)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    data = bytearray(home.ledger.read_bytes())
    pages = len(data) // PAGE
    start = (root - 1) * PAGE
    kind, child = data[start], pages + 1
    data += data[start : start + PAGE]  # the old root, below it all
    table = kind in (5, 13)
    if table:
        cell = struct.pack(">I", 0) + b"\x01"
    else:  # an inner page of an index holds entries of its own: its smallest one will do
        at = struct.unpack(">H", data[start + (12 if kind == 2 else 8) :][:2])[0]
        cell = struct.pack(">I", 0) + bytes(data[start + at + (4 if kind == 2 else 0) :][: 40 if kind == 10 else 60])
    for level in range(10):
        cells = [struct.pack(">I", child) + cell[4:]] * ((PAGE - 12) // (len(cell) + 2))
        body, pointers, at = b"", b"", PAGE
        for one in cells:
            at -= len(one)
            body, pointers = one + body, pointers + struct.pack(">H", at)
        page = struct.pack(">BHHHBI", 5 if table else 2, 0, len(cells), at, 0, child) + pointers
        page += bytes(at - len(page)) + body
        if level == 9:
            data[start : start + PAGE] = page
        else:
            data += page
            child = len(data) // PAGE
    struct.pack_into(">I", data, 28, len(data) // PAGE)
    put(home, bytes(data))


@pytest.mark.parametrize("name", ["entry", "content", "subtree", "place"])
def test_rows_without_end_do_not_hold_a_verifier_up(whole: Home, second: ModuleType, name: str) -> None:  # noqa: F811
    without_end(whole, name)
    assert verdict(second, whole)[0] != "whole"
    assert our_word(whole) != "whole"
