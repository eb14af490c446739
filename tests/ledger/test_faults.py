"""Disks that fill up, locks that stay, files that go, processes that are killed: P1 holds through each."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from ledger_story import SetClock, a_draft, check

from jupyter_audit.errors import LedgerError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, open_ledger

APPENDER = Path(__file__).with_name("appender.py")


def test_a_full_disk_refuses_in_words_and_the_ledger_goes_on_when_there_is_room(ledger: Ledger) -> None:
    (pages,) = ledger.connection.execute("PRAGMA page_count").fetchone()
    ledger.connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(LedgerError, match="the disk is full") as refused:
        ledger.append([a_draft(number) for number in range(100)])

    assert "Make room" in refused.value.advice
    size = ledger.size()
    ledger.connection.execute("PRAGMA max_page_count = 100000")
    assert ledger.append([a_draft(1)])[0].seq == size


def test_a_limit_on_the_file_refuses_in_words_and_the_ledger_goes_on_when_it_is_lifted(home: Home) -> None:
    program = """
import resource, sys, pathlib
sys.path.insert(0, sys.argv[2])
from ledger_story import SetClock, a_draft
from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
ledger = open_ledger(Home(pathlib.Path(sys.argv[1])), clock=SetClock())
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, most))
stored, refused = 0, ""
while not refused:
    try:
        ledger.append([a_draft(stored)])
        stored += 1
    except LedgerError as error:
        refused = str(error)
assert ledger.size() == stored + 1, (ledger.size(), stored)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
ledger.append([a_draft(stored)])
ledger.close()
print(stored + 2, refused)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(home.path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )

    size, _, words = done.stdout.partition(" ")
    assert words.startswith("Could not append to the ledger"), done.stderr
    assert check(home).entries == int(size)


def test_a_locked_ledger_refuses_in_words_and_goes_on_when_it_is_free(ledger: Ledger, home: Home) -> None:
    ledger.connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="it is locked"):
            ledger.append([a_draft(1)])
        other.execute("ROLLBACK")

    assert ledger.append([a_draft(1)])[0].seq == 1


def test_a_read_only_ledger_refuses_in_words(ledger: Ledger) -> None:
    ledger.connection.execute("PRAGMA query_only = ON")

    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.append([a_draft(1)])

    ledger.connection.execute("PRAGMA query_only = OFF")
    assert ledger.append([a_draft(1)])[0].seq == 1


class _Disk:
    """A commit that fails as a disk does: before it stored anything, or after it did."""

    def __init__(self, ledger: Ledger, *, stored: bool) -> None:
        self.ledger, self.stored = ledger, stored
        self.commit = ledger._commit
        ledger._commit = self.fail  # type: ignore[method-assign]

    def fail(self) -> None:
        self.ledger._commit = self.commit  # type: ignore[method-assign]
        if self.stored:
            self.commit()
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        error.sqlite_errorname = "SQLITE_IOERR"
        raise error


def test_a_commit_that_failed_stores_nothing_and_the_next_one_goes_on(ledger: Ledger) -> None:
    _Disk(ledger, stored=False)

    with pytest.raises(LedgerError, match="SQLITE_IOERR"):
        ledger.append([a_draft(1)])

    assert ledger.size() == 1
    assert ledger.append([a_draft(2)])[0].seq == 1


def test_a_commit_that_failed_but_was_stored_is_taken_as_stored_and_not_doubled(ledger: Ledger) -> None:
    _Disk(ledger, stored=True)

    [entry] = ledger.append([a_draft(1)])
    [following] = ledger.append([a_draft(2)])

    assert (entry.seq, following.seq) == (1, 2)
    assert [e.body.get("number") for e in ledger.entries()] == [None, 1, 2]


def test_a_commit_that_is_stored_but_cannot_be_made_durable_counts_as_not_recorded(
    ledger: Ledger, home: Home
) -> None:
    _Disk(ledger, stored=True)
    ledger.connection.execute("PRAGMA busy_timeout = 0")
    look = ledger._is_stored_after_all

    def look_while_the_log_is_held(note: str) -> bool:
        # Another process that holds the write lock keeps the log from being written out for certain.
        with closing(sqlite3.connect(home.ledger, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            return look(note)

    ledger._is_stored_after_all = look_while_the_log_is_held  # type: ignore[method-assign]
    with pytest.raises(LedgerError, match="must be reopened"):
        ledger.append([a_draft(1)])


def test_an_interrupt_between_storing_and_noting_does_not_double_or_lose(ledger: Ledger) -> None:
    commit = ledger._commit

    def interrupted() -> None:
        commit()
        ledger._commit = commit  # type: ignore[method-assign]
        raise KeyboardInterrupt

    ledger._commit = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        ledger.append([a_draft(1)])

    assert ledger.append([a_draft(2)])[0].seq == 2


@pytest.mark.parametrize("what", ["the file removed", "its log removed", "another file in its place"])
def test_a_file_that_goes_away_while_it_is_open_refuses_instead_of_writing_into_nothing(
    home: Home, clock: SetClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    ledger = open_ledger(home, clock=clock)
    ledger.append([a_draft(1)])
    kept = tmp_path / "kept"
    wal = home.ledger.with_name("ledger.db-wal")
    moved = wal if what == "its log removed" else home.ledger
    moved.rename(kept)
    if what == "another file in its place":
        home.ledger.write_bytes(kept.read_bytes())

    with pytest.raises(LedgerError, match="replaced or removed while it was open"):
        ledger.append([a_draft(2)])

    kept.replace(moved)
    ledger.close()


@pytest.mark.parametrize(
    "content", [b"", b"SQLite format 3\x00" + bytes(84), os.urandom(5000)], ids=["empty", "cut", "noise"]
)
def test_what_is_no_ledger_is_refused_in_words(home: Home, clock: SetClock, content: bytes) -> None:
    whole = home.ledger.read_bytes()
    home.ledger.write_bytes(content)

    with pytest.raises(LedgerError):
        open_ledger(home, clock=clock)
    with pytest.raises(VerificationError) as found:
        check(home)
    assert found.value.damage in ("file", "schema")
    with pytest.raises(LedgerError):
        LedgerReader.open(home.ledger)

    for suffix in ("-wal", "-shm"):
        home.ledger.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    home.ledger.write_bytes(whole)


def test_no_byte_of_the_file_makes_the_verifier_stumble(ledger: Ledger, home: Home, tmp_path: Path) -> None:
    """Noise over any part of the file is a verdict or a ledger that is whole (free space), never a crash."""
    ledger.append([a_draft(number) for number in range(40)])
    ledger.close()
    whole = home.ledger.read_bytes()
    copy = Home(tmp_path / "copy")
    (copy.path / "keys").mkdir(parents=True)
    copy.verifier_key.write_text(home.verifier_key.read_text())
    noise = random.Random(5)

    for _ in range(150):
        at, length = noise.randrange(len(whole)), noise.choice([1, 1, 1, 8, 200])
        copy.ledger.write_bytes(whole[:at] + noise.randbytes(length) + whole[at + length :])
        with contextlib.suppress(LedgerError):
            assert check(copy).entries == 41


# --- several processes --------------------------------------------------------------------------------


def start(home: Home, name: str, commits: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(APPENDER), str(home.path), name, str(commits)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_several_processes_append_and_nothing_is_lost_or_doubled(home: Home, clock: SetClock) -> None:
    writers = [start(home, f"writer{number}", 60) for number in range(4)]
    acknowledged = [json.loads(line) for writer in writers for line in writer.communicate()[0].splitlines()]

    with open_ledger(home, clock=clock) as ledger:
        stored = [[e.seq, e.body["writer"], e.body["number"]] for e in ledger.entries(start=1)]

    assert [writer.returncode for writer in writers] == [0] * 4
    assert sorted(acknowledged) == stored
    assert len(stored) == len({(name, number) for _, name, number in stored})
    for writer in {name for _, name, _ in stored}:  # each in the order in which it was told
        numbers = [number for _, name, number in stored if name == writer]
        assert numbers == list(range(len(numbers)))
    # They took turns: it was not one after the other.
    assert len({name for _, name, _ in stored[: len(stored) // 2]}) > 1


def test_what_was_acknowledged_survives_kill_minus_nine(home: Home, clock: SetClock) -> None:
    check_what_survives_kills(home, clock, rounds=18, writing="ab", seed=9)


@pytest.mark.soak
@pytest.mark.parametrize("piece", range(6))
def test_what_was_acknowledged_survives_hundreds_of_kills(home: Home, clock: SetClock, piece: int) -> None:
    check_what_survives_kills(home, clock, rounds=50, writing="abcd", seed=piece)


def check_what_survives_kills(home: Home, clock: SetClock, *, rounds: int, writing: str, seed: int) -> None:
    luck = random.Random(seed)
    acknowledged: list[list[object]] = []
    for number in range(rounds):
        writers = [start(home, f"round{number}{letter}", 10_000) for letter in writing[: 1 + number % len(writing)]]
        assert writers[0].stdout is not None
        for line in itertools.islice(writers[0].stdout, luck.randrange(1, 30)):  # it has begun, and more
            acknowledged.append(json.loads(line))  # noqa: PERF401 (it ends with the process)
        time.sleep(luck.random() * 0.003)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            rest = writer.communicate()[0].splitlines(keepends=True)
            acknowledged += [json.loads(line) for line in rest if line.endswith("\n")]
        # Not all of them: SQLite's lock is not fair, and who waits too long for it gives up.
        assert -signal.SIGKILL in {writer.returncode for writer in writers}, "all had ended by themselves"

        with open_ledger(home, clock=clock) as ledger:
            ledger.append([a_draft(number)])
        if number % 6 == 5:
            check(home)

    with LedgerReader.open(home.ledger) as reader:
        stored = [(e.seq, e.body.get("writer"), e.body["number"]) for e in reader.entries(start=1)]
    assert {str(writer)[:-1] for _, writer, _ in acknowledged} == {f"round{number}" for number in range(rounds)}
    assert {tuple(entry) for entry in acknowledged} <= set(stored)
    written = [(writer, number) for _, writer, number in stored if writer is not None]
    assert len(written) == len(set(written)), "an entry is there twice"
