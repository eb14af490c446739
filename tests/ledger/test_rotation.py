"""A ledger gets a new key without losing an entry, whatever is killed meanwhile; and the old secret is gone."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, a_draft, check

from jupyter_audit.errors import KeyFileError, LedgerError, UsageError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, open_ledger
from jupyter_audit.ledger.keys import load_signer
from jupyter_audit.ledger.rotation import prepare_successor


def test_after_a_rotation_new_entries_are_under_the_new_key_and_the_first_key_proves_all(home: Home, clock: SetClock) -> None:
    first = load_signer(home.signing_key)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        for number in range(3):
            entry = ledger.rotate_key(actor=EVE, reason="test")
            assert entry.body["epoch"] == number + 1
            ledger.append([a_draft(number)])
    report = check(home)
    assert len(report.keys) == 4
    assert load_signer(home.signing_key).verifier != first.verifier
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(9)])


def test_the_old_secret_is_nowhere_in_the_folder_of_keys(home: Home, clock: SetClock) -> None:
    old = home.signing_key.read_text()
    with home.signing_key.open("rb") as same_file, open_ledger(home, clock=clock) as ledger:
        ledger.rotate_key(actor=EVE, reason="test")
        assert not any(same_file.read())  # also for whoever had it open: the bytes were written over
    assert old not in [path.read_text() for path in home.signing_key.parent.iterdir()]
    assert sorted(path.name for path in home.signing_key.parent.iterdir()) == ["ledger.key", "ledger.vkey"]


def test_a_rotation_needs_a_reason(ledger: Ledger) -> None:
    with pytest.raises(UsageError):
        ledger.rotate_key(actor=EVE, reason="")


def test_another_process_that_has_it_open_goes_on_with_the_new_key(home: Home, clock: SetClock) -> None:
    with open_ledger(home, clock=clock) as one, open_ledger(home, clock=clock) as two:
        two.append([a_draft(1)])
        one.rotate_key(actor=EVE, reason="test")
        two.append([a_draft(2)])
        two.rotate_key(actor=EVE, reason="test")
        [newest] = one.append([a_draft(3)])
    report = check(home)
    assert (report.entries, len(report.keys)) == (newest.seq + 1, 3)


def test_many_writers_go_on_through_many_rotations_and_nothing_is_lost_or_doubled(home: Home, clock: SetClock) -> None:
    appender = [sys.executable, str(Path(__file__).with_name("appender.py")), str(home.path)]
    writers = [subprocess.Popen([*appender, name, "60"], stdout=subprocess.PIPE, text=True) for name in ("a", "b")]
    rotations = 0
    with open_ledger(home, clock=clock) as ledger:
        while any(writer.poll() is None for writer in writers):
            ledger.rotate_key(actor=EVE, reason="again and again")
            size = ledger.size()
            # SQLite's lock is not fair: the others must get their turn.
            while ledger.size() < size + 5 and any(writer.poll() is None for writer in writers):
                time.sleep(0.001)
            rotations += 1
    acknowledged = [json.loads(line) for writer in writers for line in writer.communicate()[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0]
    with LedgerReader.open(home.ledger) as reader:
        stored = [(e.seq, e.body["writer"], e.body["number"]) for e in reader.entries(types=["cell."])]
    assert sorted(map(tuple, acknowledged)) == stored
    assert len(check(home).keys) == rotations + 1


ROTATE_AND_DIE = """
import os, sys, pathlib
from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Actor
ledger = open_ledger(Home(pathlib.Path(sys.argv[1])), clock=SystemClock())
left = int(sys.argv[2])
def step(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove", "sqlite3.statement"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(step)
ledger.connection.set_trace_callback(lambda sql: step("sqlite3.statement", ()))
sync = os.fsync
os.fsync = lambda descriptor: (sync(descriptor), step("sqlite3.statement", ()))[0]
ledger.rotate_key(actor=Actor("eve", "x"), reason="test")
"""


def test_a_rotation_that_is_killed_at_any_step_leaves_a_ledger_that_goes_on(home: Home, clock: SetClock) -> None:
    outcomes = set()
    for step in range(1, 160):
        with LedgerReader.open(home.ledger) as reader:
            before = len(list(reader.entries(types=["ledger.key_rotated"])))
        died = subprocess.run([sys.executable, "-c", ROTATE_AND_DIE, str(home.path), str(step)], check=False)
        with open_ledger(home, clock=clock) as ledger:
            ledger.append([a_draft(step)])
            after = len(list(ledger.entries(types=["ledger.key_rotated"])))
        assert sorted(path.name for path in home.signing_key.parent.iterdir()) == ["ledger.key", "ledger.vkey"]
        outcomes.add((died.returncode, after - before))
        if died.returncode == 0:
            break
    check(home)
    assert outcomes == {(-signal.SIGKILL, 0), (-signal.SIGKILL, 1), (0, 1)}


def test_a_next_key_that_was_never_signed_in_signs_nothing_and_is_removed(home: Home, clock: SetClock) -> None:
    prepare_successor(home, load_signer(home.signing_key).verifier.name)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
    assert not home.next_signing_key.exists()


def test_a_thief_of_the_new_key_cannot_sign_the_past_anew(home: Home, clock: SetClock, tmp_path: Path) -> None:
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        early = tmp_path / "early"
        shutil.copytree(home.path, early)
        ledger.rotate_key(actor=EVE, reason="test")
    # The thief has an early copy of everything but its key, and the new key: nothing can be appended to it.
    shutil.copy(home.signing_key, early / "keys" / "ledger.key")
    with pytest.raises(LedgerError):
        open_ledger(Home(early), clock=clock)


def test_a_thief_of_the_old_key_is_found_by_whoever_kept_a_checkpoint(home: Home, clock: SetClock, tmp_path: Path) -> None:
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        early = Home(tmp_path / "early")
        shutil.copytree(home.path, early.path)
        ledger.rotate_key(actor=EVE, reason="test")
        kept = ledger.checkpoint_note()
        ledger.append([a_draft(3)])
        later = ledger.checkpoint_note()
    with open_ledger(early, clock=clock) as forged:
        forged.append([a_draft(7), a_draft(8)])
    with pytest.raises(VerificationError) as found:
        check(early, since=kept)
    assert found.value.damage == "fork"
    with pytest.raises(VerificationError) as found:
        check(early, since=later)  # under a key that the forged copy does not name
    assert found.value.damage == "remembered"
    assert str(found.value).startswith("Either an old copy was put back, from before a key change")


def test_a_key_of_neither_file_is_refused_in_words(home: Home, clock: SetClock) -> None:
    secret = home.signing_key.read_text()
    other = prepare_successor(home, load_signer(home.signing_key).verifier.name)
    home.signing_key.write_text(other.secret_text())
    with pytest.raises(KeyFileError, match="not the one"):
        open_ledger(home, clock=clock)
    home.signing_key.write_text(secret)
