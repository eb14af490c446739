"""docs/reading-a-ledger.md: every query gives what its heading promises, in SQLite alone and in its shell."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from review_day import ALICE, BOB, START, SetClock, write_day

from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.model import Content, Draft
from jupyter_audit.record import kinds

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reading-a-ledger.md").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"^### ([^\n]+)\n\n```sql\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

Row = dict[str, Any]
Rows = list[Row]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, made as the page says, of a day's ledger with all that the queries ask for."""
    folder = tmp_path_factory.mktemp("reading")
    home = Home(folder / "home")
    write_day(home)
    clock = SetClock(START)  # which went back
    with open_ledger(home, clock=clock) as ledger:
        code = Content(json.dumps({"code": "run('UPDATE orders SET shipped = 1')  " + "# long\n" * 400}).encode(), "application/json")
        where: dict[str, Any] = {"kernel_id": "k-1", "msg_id": "m", "channel": "shell", "cell": "c"}
        cell = kinds.CellAdmitted(**where, silent=False, store_history=True, lines=1, canary=False)
        read = kinds.LedgerRead("log", {"through": "command line"})
        ledger.append([kinds.draft(cell, actor=ALICE, session="s-alice0000001", contents={"message": code})])
        ledger.append([kinds.draft(read, actor=BOB)])
        ledger.rotate_key(actor=BOB, reason="yearly")
    with open_ledger(home, clock=clock, sealed_to=[AuditorSecret.generate("anna").public]) as ledger:
        sealed = Content(json.dumps({"code": "'for an auditor'"}).encode(), "application/json")
        ledger.append([kinds.draft(cell, actor=ALICE, session="s-alice0000001", contents={"message": sealed})])
    to = folder / "copy.db"
    with closing(sqlite3.connect(f"{home.ledger.as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute(f"VACUUM INTO '{to}'")
    to.chmod(0o400)
    return to


@pytest.fixture(scope="module")
def connection(copy: Path) -> Iterator[sqlite3.Connection]:
    """SQLite with nothing but the function that the page gives."""
    made: dict[str, Any] = {}
    exec(compile(PYTHON[0], "reading-a-ledger.md", "exec"), made)
    with closing(sqlite3.connect(f"{copy.as_uri()}?immutable=1", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        connection.create_function("sqlar_uncompress", 2, made["sqlar_uncompress"], deterministic=True)
        yield connection


def _find(rows: Rows, **like: object) -> Row:
    (row,) = [row for row in rows if all(row[name] == value for name, value in like.items())]
    return row


def _what(rows: Rows) -> bool:
    return len(rows) == 1 and rows[0]["origin"].startswith("jupyter-audit/") and rows[0]["entries"] == 52


def _who_ran(rows: Rows) -> bool:
    by = [row["actor"] for row in rows]
    codes = [row["code"] for row in rows]
    return (
        by.count("alice") == 7
        and len(rows) == 10
        and "query('SELECT * FROM customers')" in codes
        and codes.count("(purged)") == codes.count("(sealed)") == 1
        and "x = 1\n" * 50_000 in codes  # packed
        and "'canary'" not in codes
    )


def _ends(rows: Rows) -> bool:
    error = _find(rows, status="error")
    return error["error"] == "ZeroDivisionError" and max(row["rows_out"] or 0 for row in rows) == 21132 and len(rows) == 10


def _refused(rows: Rows) -> bool:
    return [row["cause"] for row in rows] == [
        *("no_grant", "unknown_type", "grant_ended", "grant_ended", "grant_ended", "free space", "not an approver"),
    ]


def _grants(rows: Rows) -> bool:
    mine, theirs = rows
    return (
        (mine["person"], mine["approver"], mine["ticket"], mine["by_themselves"]) == ("alice", "bob", "SHOP-1042", 0)
        and theirs["person"] == theirs["approver"]
        and theirs["by_themselves"] == 1
        and theirs["not_after"] > theirs["not_before"]
    )


def _sessions(rows: Rows) -> bool:
    return [(row["cause"], row["clean"], row["cells"]) for row in rows] == [("shutdown", 1, 8), ("revoked", 0, 4)]


def _week(rows: Rows) -> bool:
    cells = {row["actor"] for row in rows if row["type"] == "cell.finished"}
    answers = [(row["actor"], row["grant"]) for row in rows if row["type"] == "access.approved"]
    others = {row["actor"] for row in rows} - {"alice", "jupyter-audit"}
    sessions = {row["session"] for row in rows}
    return (
        cells == {"jupyter-audit"}
        and answers == [("bob", "g-alice0000001")]
        and others == {"bob"}
        and sessions == {"s-alice0000001", None}
        and {"access.requested", "session.ended", "session.refused", "access.refused"} < {row["type"] for row in rows}
        and _find(rows, type="access.requested")["what"]
    )


def _one_session(rows: Rows) -> bool:
    return rows[0]["type"] == "session.started" and {"cell.admitted", "session.ended"} < {row["type"] for row in rows}


def _writing(rows: Rows) -> bool:
    return len(rows) == 1 and rows[0]["actor"] == "alice" and "UPDATE orders SET shipped" in rows[0]["code"]


def _findings(rows: Rows) -> bool:
    return [row["level"] for row in rows] == ["medium", "gap", "high"]


def _purges(rows: Rows) -> bool:
    said = [(row["actor"], row["reason"], row["first"], row["names"]) for row in rows]
    return said == [("bob", "asked for by the person", 20, '["message"]'), ("bob", "asked for by the person", 21, '["outputs"]')]


def _gone(rows: Rows) -> bool:
    return [(row["seq"], row["name"]) for row in rows] == [(20, "message"), (21, "outputs")] and rows[0]["bytes"] > 0


def _keys(rows: Rows) -> bool:
    return [(row["epoch"], row["reason"]) for row in rows] == [(0, None), (1, "yearly")]


def _clock(rows: Rows) -> bool:
    return len(rows) == 1 and rows[0]["time"] < rows[0]["before"]


def _readers(rows: Rows) -> bool:
    return [(row["actor"], row["view"]) for row in rows] == [("bob", "log")]


def _signed(rows: Rows) -> bool:
    return len(rows) == 52 and all(row["entries_of_the_commit"] == 1 for row in rows)


EXPECTED: dict[str, Callable[[Rows], bool]] = {
    "What is this, and from when to when?": _what,
    "Who ran what, and when?": _who_ran,
    "How did cells end, and what came out?": _ends,
    "What was refused, and why?": _refused,
    "Who was granted access, by whom, for what, until when?": _grants,
    "Whose session was it, and how did it end?": _sessions,
    "What did one person do in a week?": _week,
    "Everything of one session, in order": _one_session,
    "What of a session looks like writing?": _writing,
    "What did the detections find, and what is missing in the record?": _findings,
    "What was purged, by whom, why?": _purges,
    "Which contents are gone?": _gone,
    "Which keys has the ledger had?": _keys,
    "When did the clock go back?": _clock,
    "Who has read other people's entries?": _readers,
    "What was signed when?": _signed,
}


def test_every_query_of_the_page_is_tried() -> None:
    assert QUERIES.keys() == EXPECTED.keys()
    assert [block for block in BLOCKS if block not in QUERIES.values()] == BLOCKS[:1]  # which needs a longer ledger


def test_places_find_the_entries_of_a_session_up_to_the_last_whole_block(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    create_ledger(home, clock=SetClock(START), actor=BOB)
    with open_ledger(home, clock=SetClock(START)) as ledger:
        sessions = ("s-alice0000001", "s-bob000000001", None)
        ledger.append([Draft("test.entry", {}, actor=ALICE, session=sessions[number % 3]) for number in range(600)])
        expected = list(ledger.numbers(0, 512, session="s-alice0000001"))
    with closing(sqlite3.connect(home.ledger)) as connection:
        assert [row[0] for row in connection.execute(BLOCKS[0])] == expected
    assert len(expected) > 100


@pytest.mark.parametrize("heading", EXPECTED)
def test_a_query_gives_what_its_heading_promises(connection: sqlite3.Connection, heading: str) -> None:
    rows = [dict(row) for row in connection.execute(QUERIES[heading])]
    assert EXPECTED[heading](rows), rows


def _shell_is_fit() -> bool:
    """Return whether there is a shell that reads STRICT tables and unpacks contents."""
    if shutil.which("sqlite3") is None:
        return False
    asked = "CREATE TABLE t (a TEXT) STRICT; SELECT sqlar_uncompress('a', 1)"
    return subprocess.run(["sqlite3", ":memory:", asked], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _shell_is_fit(), reason="no sqlite3 shell of SQLite 3.37 or newer with zlib")
def test_every_query_gives_the_same_in_the_sqlite3_shell(connection: sqlite3.Connection, copy: Path) -> None:
    for heading, sql in QUERIES.items():
        done = subprocess.run(["sqlite3", "-readonly", "-json", copy, sql], capture_output=True, check=True)
        shown = json.loads(done.stdout.decode("utf-8", "replace"))
        here = [dict(row) for row in connection.execute(sql)]
        assert len(shown) == len(here) > 0, heading
        assert shown[0].keys() == here[0].keys(), heading


def test_the_queries_run_on_the_ledger_of_the_test_vectors(connection: sqlite3.Connection, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "vectors" / "ledger-v1" / "ledger.db", tmp_path / "copy.db")
    connection.execute("ATTACH ? AS vectors", (str(tmp_path / "copy.db"),))
    counts = {}
    for heading, sql in QUERIES.items():
        of_vectors = re.sub(r"\b(FROM|JOIN) (entry|content|place)\b", r"\1 vectors.\2", sql)
        counts[heading] = len(connection.execute(of_vectors).fetchall())
    assert counts["Which keys has the ledger had?"] == 2
    assert counts["When did the clock go back?"] >= 1
    assert counts["What was signed when?"] > 1


def test_the_table_names_every_table_and_column(connection: sqlite3.Connection) -> None:
    for table in ("entry", "content", "subtree", "place"):
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{table}` |")]
        for row in connection.execute(f"PRAGMA table_xinfo({table})"):
            assert f"`{row['name']}`" in line
