"""Verifying with several processes gives the verdict of one walk: on whole ledgers, on every attack, and when processes die."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest
from ledger_story import Story, check
from test_tampering import ATTACKS, Attack

from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger import crew as crew_module
from jupyter_audit.ledger import pieces as pieces_module
from jupyter_audit.ledger import verify as verify_module
from jupyter_audit.ledger import verify_ledger
from jupyter_audit.ledger.pieces import Piece, Walked, walk_piece
from jupyter_audit.ledger.report import LedgerReport
from jupyter_audit.ledger.store import connect
from jupyter_audit.ledger.walk import Terms


class OneProcess:
    """A crew that walks pieces here, so that a test can try many ledgers."""

    walked: int = 0
    good: int = 0

    def __init__(self, count: int, terms: Terms) -> None:
        self._terms = terms

    def __enter__(self) -> OneProcess:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def walk(self, pieces: Iterable[Piece]) -> Iterator[Walked | None]:
        for piece in pieces:
            walked = walk_piece(self._terms, piece)
            OneProcess.walked += 1
            OneProcess.good += walked is not None
            yield walked


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_ENTRIES", 1)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, small_pieces: None) -> type[OneProcess]:
    monkeypatch.setattr(verify_module, "Crew", OneProcess)
    monkeypatch.setattr(OneProcess, "walked", 0)
    monkeypatch.setattr(OneProcess, "good", 0)
    return OneProcess


def by(workers: int, home: Home, since: str | None = None) -> LedgerReport:
    return verify_ledger(home.ledger, verifier_keys=[home.verifier_key.read_text()], since=since, workers=workers)


def verdict(workers: int, home: Home) -> tuple[object, ...]:
    try:
        return ("whole", by(workers, home))
    except LedgerError as error:
        return (getattr(error, "damage", None), getattr(error, "seq", None), str(error), error.advice)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_pieces_find_the_same_damage_at_the_same_place_in_the_same_words(
    here: type[OneProcess], story: Story, attack: Attack
) -> None:
    attack.act(story)
    assert verdict(2, story.home) == verdict(1, story.home)


def test_every_commit_of_a_whole_ledger_can_be_walked_apart(here: type[OneProcess], story: Story) -> None:
    assert by(2, story.home, story.kept) == by(1, story.home, story.kept)
    assert here.walked == here.good == check(story.home).checkpoints


def test_real_processes_give_the_same_report_and_are_gone_afterwards(story: Story, small_pieces: None) -> None:
    told: list[tuple[int, int]] = []
    key = story.home.verifier_key.read_text()
    before = set(psutil.Process().children())

    report = verify_ledger(story.home.ledger, verifier_keys=[key], workers=2, progress=lambda *at: told.append(at))

    assert report == check(story.home)
    assert told == sorted(told)
    assert told[-1] == (story.size, story.size)
    assert set(psutil.Process().children()) <= before


def test_processes_that_are_killed_cost_time_and_nothing_else(
    story: Story, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire = crew_module.Crew._hire

    def hire_the_dying(self: Any, terms: Terms) -> None:
        hire(self, terms)
        os.kill(self._processes[-1].pid, signal.SIGKILL)

    monkeypatch.setattr(crew_module.Crew, "_hire", hire_the_dying)
    assert verdict(2, story.home) == verdict(1, story.home)


def test_a_system_without_room_for_processes_verifies_in_one(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(verify_module, "Crew", refuse)
    assert verdict(2, story.home) == verdict(1, story.home)


def test_a_piece_that_does_not_begin_where_the_walk_stands_is_not_believed(
    here: type[OneProcess], story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is guessed from the file is a guess: somebody who can forge it must gain nothing."""
    monkeypatch.setattr(pieces_module, "_peaks", lambda connection, size: tuple(bytes(32) for _ in range(size.bit_count())))
    monkeypatch.setattr(pieces_module, "_keys", lambda connection: [])
    assert verdict(2, story.home) == verdict(1, story.home)


def test_pieces_are_bounded_by_bytes_too(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_BYTES", 600)
    with closing(connect(story.home.ledger, writable=False)) as connection:
        pieces = list(pieces_module.cut(connection))
    assert len(pieces) > 3
    assert [piece.start for piece in pieces[1:]] == [piece.start + len(piece.entries) for piece in pieces[:-1]]
