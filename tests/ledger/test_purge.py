"""A purge takes the bytes, says that it did, and leaves every proof standing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, a_draft, check

from jupyter_audit.errors import UsageError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, open_ledger
from jupyter_audit.ledger.note import parse_verifier_key
from jupyter_audit.ledger.proof import check_proof
from jupyter_audit.ledger.proving import prove_entry
from jupyter_audit.ledger.purging import Wanted, measure, purge
from jupyter_audit.model import Actor

SECRET = "customer 4711 owes 12,000"


def files_of(home: Home) -> bytes:
    names = ("ledger.db", "ledger.db-wal")
    return b"".join(home.path.joinpath(name).read_bytes() for name in names if home.path.joinpath(name).exists())


def held(ledger: LedgerReader) -> set[int]:
    return {e.seq for e in ledger.entries() if "message" in e.contents and ledger.content(e.seq, "message") is not None}


def test_neither_content_nor_salt_is_anywhere_in_the_files_afterwards(home: Home, clock: SetClock) -> None:
    long = "\n".join(f"{SECRET} {number}" for number in range(3000))  # compressed, and over many pages
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1, code=SECRET), a_draft(2, code=long), a_draft(3)])
        rows = ledger.connection.execute("SELECT salt, data FROM content WHERE seq <= 2").fetchall()
        ledger.append([a_draft(4)])
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
        done = purge(ledger, Wanted(session="s-1"), actor=EVE, reason="asked for")
        assert done.overwritten
        # While the ledger is open its files are only read here by another process: closing would drop its locks.
        reader = "import sys, pathlib; sys.stdout.buffer.write(b''.join(p.read_bytes() for p in pathlib.Path(sys.argv[1]).glob('ledger.db*')))"
        bytes_now = subprocess.run([sys.executable, "-c", reader, str(home.path)], capture_output=True, check=True).stdout
    for salt, data in rows:
        assert salt not in bytes_now + files_of(home)
        for start in range(0, max(len(data) - 40, 1), 1000):
            assert data[start : start + 40] not in bytes_now + files_of(home)
    assert SECRET.encode() not in bytes_now + files_of(home)
    report = check(home)
    assert (report.contents_held, report.contents_purged) == (1, 3)


def test_what_a_server_wrote_in_an_actors_sessions_goes_with_them(home: Home, clock: SetClock) -> None:
    server = Actor("jupyter-audit", "server")
    with open_ledger(home, clock=clock) as ledger:
        mine = [a_draft(1), replace(a_draft(2), actor=server), replace(a_draft(3), actor=server)]
        ledger.append([replace(draft, session="s-eve") for draft in mine])
        ledger.append([replace(a_draft(4), actor=server, session="s-bob"), replace(a_draft(5), session="s-bob")])
        wanted = Wanted(actor="eve", sessions_of_actor=["s-eve", "s-empty"])
        expected = measure(ledger, wanted)
        done = purge(ledger, wanted, actor=EVE, reason="asked for")
        assert held(ledger) == {4}
        assert done.extent == expected
        assert done.entry is not None
        assert done.entry.body["contents"] == [
            {"first": 0, "last": 5, "actor": "eve"},
            {"first": 0, "last": 5, "session": "s-eve"},
        ]
        assert purge(ledger, wanted, actor=EVE, reason="asked for").entry is None
        in_one_session = replace(wanted, session="s-bob", actor="nobody")
        assert purge(ledger, in_one_session, actor=EVE, reason="asked for").entry is None
    assert check(home).contents_purged == 4


@pytest.mark.parametrize(
    ("wanted", "gone"),
    [
        (Wanted(session="s-1"), {2, 3}),
        (Wanted(actor="eve"), {1, 2, 3, 4, 5}),
        (Wanted(actor="bob"), set()),
        (Wanted(actor="eve", names=["message"]), {1, 2, 3, 4, 5}),
        (Wanted(actor="eve", names=["outputs"]), set()),
        (Wanted(session="s-2", actor="eve", names=["outputs", "message"]), {4, 5}),
    ],
)
def test_exactly_what_was_named_goes(home: Home, clock: SetClock, wanted: Wanted, gone: set[int]) -> None:
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(number) for number in range(1, 6)])
        expected = measure(ledger, wanted)
        done = purge(ledger, wanted, actor=EVE, reason="asked for")
        assert held(ledger) == {1, 2, 3, 4, 5} - gone
        assert done.extent == expected
        assert expected.contents == len(gone)
        assert (done.entry is None) == (not gone)


def test_by_age_only_what_is_older_goes_and_a_clock_set_back_takes_too_little(home: Home, clock: SetClock) -> None:
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        clock.moment += timedelta(days=40)
        ledger.append([a_draft(2)])
        clock.moment -= timedelta(days=40)
        ledger.append([a_draft(3)])
        clock.moment += timedelta(days=60)
        ledger.append([a_draft(4)])
        purge(ledger, Wanted(before=clock.moment - timedelta(days=30)), actor=EVE, reason="retention")
        assert held(ledger) == {2, 3, 4}


def test_the_entry_names_who_what_and_why_and_nothing_is_written_where_nothing_goes(ledger: Ledger) -> None:
    ledger.append([a_draft(1)])
    done = purge(ledger, Wanted(session="s-0"), actor=EVE, reason="DPO-17")
    again = purge(ledger, Wanted(session="s-0"), actor=EVE, reason="DPO-17")
    assert done.entry is not None
    assert done.entry.actor == EVE
    assert done.entry.body == {"contents": [{"first": 0, "last": 1, "session": "s-0"}], "reason": "DPO-17", "count": 1}
    assert again.entry is None
    with pytest.raises(UsageError, match="needs a reason"):
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason=" ")


def test_proofs_made_before_and_after_hold_and_a_proof_kept_with_its_content_still_shows_it(home: Home, clock: SetClock) -> None:
    key = parse_verifier_key(home.verifier_key.read_text())
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1, code=SECRET)])
        kept = ledger.checkpoint_note()
        before = prove_entry(ledger, 1, with_contents=True)
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
        after = prove_entry(ledger, 1, with_contents=True)
    assert check_proof(before, [key]).contents == {"message": SECRET.encode()}  # type: ignore[union-attr]
    assert check_proof(after, [key]).contents == {}  # type: ignore[union-attr]
    assert check(home, since=kept).contents_purged == 1


def test_what_is_taken_without_an_entry_is_found_also_after_a_purge_of_other_contents(home: Home, clock: SetClock, tmp_path: Path) -> None:
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(number) for number in range(1, 6)])
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
    # In a copy: the fixture verifies the home at the end.
    shutil.copytree(home.path, tmp_path / "copy")
    copy = Home(tmp_path / "copy")
    connection = sqlite3.connect(copy.ledger)
    connection.execute("DROP TRIGGER content_kept")
    connection.execute("DELETE FROM content WHERE seq = 3")
    connection.commit()
    connection.close()
    with pytest.raises(VerificationError) as found:
        check(copy)
    assert (found.value.damage, found.value.seq) == ("content_missing", 3)


def test_writers_of_other_processes_go_on_through_purges_and_nothing_is_lost(home: Home, clock: SetClock) -> None:
    appender = [sys.executable, str(Path(__file__).with_name("appender.py")), str(home.path)]
    writers = [subprocess.Popen([*appender, name, "60"], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    with open_ledger(home, clock=clock) as ledger:
        while any(writer.poll() is None for writer in writers):
            purge(ledger, Wanted(session="a"), actor=EVE, reason="again and again")
            size = ledger.size()
            # SQLite's lock is not fair: the others must get their turn.
            while ledger.size() < size + 5 and any(writer.poll() is None for writer in writers):
                time.sleep(0.001)
    acknowledged = [json.loads(line) for writer in writers for line in writer.communicate()[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0]
    with LedgerReader.open(home.ledger) as reader:
        stored = {(e.seq, e.body["writer"], e.body["number"]) for e in reader.entries(types=["cell."])}
    assert {tuple(entry) for entry in acknowledged} == stored


PURGE_AND_DIE = """
import os, sys, pathlib
from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.model import Actor
ledger = open_ledger(Home(pathlib.Path(sys.argv[1])), clock=SystemClock())
left = int(sys.argv[2])
def trace(sql):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)
ledger.connection.set_trace_callback(trace)
purge(ledger, Wanted(actor="eve"), actor=Actor("eve", "x"), reason="asked for")
"""


def test_a_purge_that_is_killed_at_any_statement_is_whole_or_was_not(home: Home, clock: SetClock) -> None:
    outcomes = set()
    for step in range(1, 40):
        with open_ledger(home, clock=clock) as ledger:
            ledger.append([a_draft(step, code=f"{SECRET} {step}")])
            before = len(held(ledger))
        died = subprocess.run([sys.executable, "-c", PURGE_AND_DIE, str(home.path), str(step)], check=False, env=dict(os.environ))
        with open_ledger(home, clock=clock) as ledger:
            after = len(held(ledger))
        assert after in (0, before)
        check(home)
        outcomes.add((died.returncode, after == 0))
        if died.returncode == 0:
            break
    assert (-signal.SIGKILL, False) in outcomes
    assert (0, True) in outcomes
