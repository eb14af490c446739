"""Verifying with several processes gives the verdict of one walk: on whole ledgers, on every attack, and when processes die."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ledger_story import EVE, Story, check
from test_tampering import ATTACKS, Attack

from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import LedgerError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import crew as crew_module
from jupyter_audit.ledger import open_ledger, verify_ledger
from jupyter_audit.ledger import pieces as pieces_module
from jupyter_audit.ledger import verify as verify_module
from jupyter_audit.ledger.auditors import parse_auditor_secret
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.crew import Task
from jupyter_audit.ledger.glance import Glance
from jupyter_audit.ledger.kept import Kept
from jupyter_audit.ledger.keys import Signer, load_signer
from jupyter_audit.ledger.note import parse_verifier_key
from jupyter_audit.ledger.pieces import Walked, cut, keys_named, walk_piece
from jupyter_audit.ledger.purge import Purges
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.ledger.report import LedgerReport
from jupyter_audit.ledger.store import connect
from jupyter_audit.ledger.walk import Counts, Terms

FOLLOW = Glance.follow
ALONE = Path(__file__).with_name("verify_alone.py")


@dataclass
class Looked:
    """What the pieces of a verification came to."""

    walked: int = 0
    good: int = 0
    doubted: int = 0


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_ENTRIES", 1)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch, small_pieces: None) -> Looked:
    """Counts what is walked in this process."""
    seen = Looked()

    def walk(*of: Any) -> Walked | None:
        walked = walk_piece(*of)
        seen.walked += 1
        seen.good += walked is not None
        return walked

    def follow(*of: Any) -> bool:
        sure = FOLLOW(*of)
        seen.doubted += not sure
        return sure

    monkeypatch.setattr(verify_module, "walk_piece", walk)
    monkeypatch.setattr(Glance, "follow", follow)
    return seen


def by(workers: int, home: Home, since: str | None = None) -> LedgerReport:
    return verify_ledger(home.ledger, verifier_keys=[home.verifier_key.read_text()], since=since, workers=workers)


def verdict(workers: int, home: Home) -> tuple[object, ...]:
    try:
        return ("whole", by(workers, home))
    except LedgerError as error:
        return (getattr(error, "damage", None), getattr(error, "seq", None), str(error), error.advice)


def in_turn(home: Home, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """The verdict of one walk, entry by entry."""
    with monkeypatch.context() as alone:
        alone.setattr(verify_module, "cut", lambda connection: ())
        return verdict(1, home)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_pieces_find_the_same_damage_at_the_same_place_in_the_same_words(
    small_pieces: None, story: Story, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack.act(story)
    assert verdict(1, story.home) == in_turn(story.home, monkeypatch)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_one_large_piece_finds_the_same_too(story: Story, attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    attack.act(story)
    assert verdict(1, story.home) == in_turn(story.home, monkeypatch)


def test_every_commit_of_a_whole_ledger_can_be_walked_apart_and_nearly_all_are_beyond_doubt(
    looked: Looked, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = by(1, story.home)
    assert ("whole", report) == in_turn(story.home, monkeypatch)
    assert looked.walked == looked.good == report.checkpoints
    # Those that begin the ledger, purge, change the key, or have a clock set back.
    assert looked.doubted == 4


def test_real_processes_give_the_same_report_and_are_gone_afterwards(story: Story, small_pieces: None) -> None:
    told: list[tuple[int, int]] = []
    key = story.home.verifier_key.read_text()
    before = set(psutil.Process().children())

    report = verify_ledger(story.home.ledger, verifier_keys=[key], workers=2, progress=lambda *at: told.append(at))

    assert report == check(story.home)
    assert told == sorted(told)
    assert told[-1] == (story.size, story.size)
    assert set(psutil.Process().children()) <= before


def test_forks_are_made_only_where_nothing_else_goes_on_and_end_with_the_process_that_verifies() -> None:
    folder = Path(__file__).parents[1] / "vectors" / "sealed-v1"
    on_linux = sys.platform == "linux"
    command = [sys.executable, ALONE, folder / "ledger.db", (folder / "ledger.vkey").read_text()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        crew = [psutil.Process(pid) for pid in said.pop("crew")]
        assert [one.cmdline() == list(map(str, command)) for one in crew] == [on_linux] * 2
        process.kill()
    assert psutil.wait_procs(crew, 60)[1] == []
    assert said == {
        "alone": on_linux,
        "entries": said["entries"],
        "alone again": on_linux,
        "with the ledger open": False,
        "with another thread": False,
    }
    assert said["entries"] > 1


def test_processes_that_are_killed_cost_time_and_nothing_else(
    story: Story, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire = crew_module.Crew._hire

    def hire_the_dying(self: Any) -> None:
        hire(self)
        os.kill(self._processes[-1].pid, signal.SIGKILL)

    monkeypatch.setattr(crew_module.Crew, "_hire", hire_the_dying)
    assert verdict(2, story.home) == in_turn(story.home, monkeypatch)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fork_is_found_wherever_it_is_and_whoever_walks_there(story: Story, small_pieces: None, workers: int) -> None:
    signer = load_signer(story.home.signing_key)
    for size in (1, 7, 12, 100, 275, 276, 281, 282) if workers == 1 else (12, 281):
        kept = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, size, bytes(32))))
        with pytest.raises(VerificationError) as found:
            by(workers, story.home, kept)
        assert found.value.damage == "fork", size


def test_a_fork_that_another_process_came_by_reaches_this_one(story: Story, small_pieces: None) -> None:
    fork = Checkpoint(load_signer(story.home.signing_key).verifier.name, 100, bytes(32))
    terms = Terms([parse_verifier_key(story.home.verifier_key.read_text())], [Kept(story.kept), Kept(a_note(fork))], Purges({}), [])
    with closing(connect(story.home.ledger, writable=False)) as ledger:
        piece = next(piece for piece in cut(ledger) if piece.start < fork.size <= piece.stop)
        walked = pickle.loads(pickle.dumps(walk_piece(Glance(terms), ledger, keys_named(ledger), piece)))
    assert walked.counts.forks == {fork}
    before = Counts()
    before.add(walked.counts)
    assert before.forks == {fork}


def a_note(checkpoint: Checkpoint) -> str:
    return Signer.generate(checkpoint.origin).sign(format_checkpoint(checkpoint))


def count_one_free_page(home: Home) -> None:
    with home.ledger.open("r+b") as file:
        file.seek(36)  # https://www.sqlite.org/fileformat2.html#the_database_header
        file.write((1).to_bytes(4, "big"))


def test_what_only_sqlite_finds_wrong_with_the_file_another_process_finds_too(story: Story, small_pieces: None) -> None:
    count_one_free_page(story.home)
    found = verdict(2, story.home)
    assert found[0] == "file"
    assert found == verdict(1, story.home)


def test_a_file_that_is_cut_off_while_others_read_it_is_found_damaged(
    story: Story, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = crew_module.Crew.walk

    def cut_off(self: Any, *of: Any) -> Any:
        assert self._connections[0].poll(60)  # the other process has opened the file
        os.truncate(story.home.ledger, story.home.ledger.stat().st_size // 2)
        return take(self, *of)

    monkeypatch.setattr(crew_module.Crew, "walk", cut_off)
    assert verdict(2, story.home)[0] == "file"
    assert verdict(1, story.home)[0] == "file"


def test_a_system_without_room_for_processes_verifies_in_one(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(crew_module.Crew, "_hire", refuse)
    assert verdict(2, story.home) == verdict(1, story.home)[:2] == ("whole", check(story.home))


def test_a_piece_that_does_not_begin_where_the_walk_stands_is_not_believed(
    looked: Looked, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is guessed from the file is a guess: somebody who can forge it must gain nothing."""
    monkeypatch.setattr(pieces_module, "_peaks", lambda connection, size: tuple(bytes(32) for _ in range(size.bit_count())))
    monkeypatch.setattr(verify_module, "keys_named", lambda connection: [])
    assert verdict(1, story.home) == in_turn(story.home, monkeypatch)
    assert looked.good < looked.walked


def test_a_commit_too_large_to_be_looked_at_as_a_whole_is_walked_in_turn(
    looked: Looked, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces_module, "COMMIT_BYTES", 3000)
    assert verdict(1, story.home) == ("whole", check(story.home))
    assert 0 < looked.good < looked.walked


def test_pieces_cover_the_ledger_without_gaps(story: Story, small_pieces: None) -> None:
    with closing(connect(story.home.ledger, writable=False)) as connection:
        pieces = list(pieces_module.cut(connection))
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
    assert pieces[-1].stop == story.size


def test_what_is_purged_and_appended_while_it_is_verified_is_not_in_the_report(
    story: Story, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other processes open the file later than this one, whose snapshot counts."""
    brief = crew_module.Crew.brief

    def brief_late(self: Any, task: Task) -> None:
        with open_ledger(story.home, clock=SystemClock()) as ledger:
            assert purge(ledger, Wanted(session="s-3"), actor=EVE, reason="asked for meanwhile").entry is not None
        brief(self, task)

    before = check(story.home)
    monkeypatch.setattr(crew_module.Crew, "brief", brief_late)
    assert by(2, story.home) == before
    monkeypatch.undo()
    assert check(story.home).contents_purged > before.contents_purged


@pytest.mark.parametrize("opened", [False, True], ids=["sealed", "opened"])
def test_sealed_contents_are_beyond_doubt_too(looked: Looked, opened: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[1] / "vectors" / "sealed-v1"
    secrets = [parse_auditor_secret((folder / "anna.auditor").read_text())] if opened else []

    def report() -> LedgerReport:
        key = (folder / "ledger.vkey").read_text()
        return verify_ledger(folder / "ledger.db", verifier_keys=[key], auditors=secrets, workers=1)

    at_a_glance = report()
    assert looked.doubted == 2  # those that begin the ledger, and purge
    with monkeypatch.context() as alone:
        alone.setattr(verify_module, "cut", lambda connection: ())
        assert report() == at_a_glance
    assert at_a_glance.contents_sealed > 0
    assert (at_a_glance.contents_opened > 0) == opened
