"""Backpressure: what waits to be recorded is bounded in number and size, and what is refused is said in the ledger."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import RecordError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger, verify_ledger
from jupyter_audit.model import Actor, Content, Draft
from jupyter_audit.record import inbox
from jupyter_audit.record.recorder import Backlog, Recorder

EVE = Actor("eve", "os-account")


def a_draft(number: int, *, size: int = 10) -> Draft:
    return Draft("cell.admitted", {"number": number}, actor=EVE, contents={"message": Content(b"x" * size)})


class Held:
    """A recorder whose thread stands still until it is let go."""

    def __init__(self, home: Home) -> None:
        self.gate = threading.Event()
        self.busy = threading.Event()
        self.recorder = Recorder(lambda: open_ledger(home, clock=SystemClock()))

        def wait(reader: LedgerReader) -> Sequence[Draft]:
            self.busy.set()
            assert self.gate.wait(60)
            return ()

        self.recorder.transact(wait)
        assert self.busy.wait(60)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    place = Home(tmp_path / "audit")
    create_ledger(place, clock=SystemClock(), actor=EVE)
    yield place
    verify_ledger(place.ledger, verifier_keys=[place.verifier_key.read_text()])


@pytest.fixture
def held(home: Home) -> Iterator[Held]:
    made = Held(home)
    yield made
    made.gate.set()
    made.recorder.close()


def gaps(home: Home) -> list[dict[str, object]]:
    with LedgerReader.open(home.ledger) as reader:
        return [dict(entry.body) for entry in reader.entries(types=["gap.recorded"])]


def test_more_entries_than_may_wait_are_refused_and_the_ledger_says_how_many(
    held: Held, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_WAITING", 5)
    futures = [held.recorder.record(a_draft(number)) for number in range(8)]

    assert held.recorder.backlog() == Backlog(5, 50, 3)
    for future in futures[5:]:
        with pytest.raises(RecordError, match="overrun: 5 entries"):
            future.result(60)

    held.gate.set()
    assert [future.result(60).body["number"] for future in futures[:5]] == [0, 1, 2, 3, 4]
    held.recorder.close()
    assert held.recorder.backlog() == Backlog(0, 0, 3)
    [gap] = gaps(home)
    assert gap["detail"] == {"count": 3, "types": {"cell.admitted": 3}}
    assert "refused" in str(gap["what"])


def test_large_contents_are_bounded_by_their_size_but_never_by_themselves(
    held: Held, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_WAITING_BYTES", 1000)
    alone = held.recorder.record(a_draft(0, size=5000))
    beside = held.recorder.record(a_draft(1, size=1))
    with pytest.raises(RecordError, match="overrun"):
        beside.result(60)

    held.gate.set()
    assert alone.result(60).contents["message"].size == 5000


def test_what_already_happened_is_kept_when_the_recorder_is_overrun(
    held: Held, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MOST_WAITING", 1)
    first = held.recorder.record(a_draft(0))
    for number in range(1, 4):
        held.recorder.owe(a_draft(number))
    held.gate.set()
    first.result(60)
    held.recorder.close()

    with LedgerReader.open(home.ledger) as reader:
        assert sorted(entry.body["number"] for entry in reader.entries(types=["cell.admitted"])) == [0, 1, 2, 3]  # type: ignore[type-var]
    assert gaps(home) == []
    assert held.recorder.backlog().refused == 0


def test_many_callers_lose_nothing_double_nothing_and_share_commits(home: Home) -> None:
    recorder = Recorder(lambda: open_ledger(home, clock=SystemClock()))
    callers, each = 16, 20
    with ThreadPoolExecutor(callers) as pool:
        asked = [pool.submit(lambda n=n: recorder.record(a_draft(n)).result(60)) for n in range(callers * each)]  # type: ignore[misc]
        entries = [future.result(60) for future in asked]
    recorder.close()

    assert [entry.body["number"] for entry in entries] == list(range(callers * each))
    assert sorted(entry.seq for entry in entries) == list(range(1, callers * each + 1))
    report = verify_ledger(home.ledger, verifier_keys=[home.verifier_key.read_text()])
    assert report.checkpoints < report.entries


def test_a_reader_that_stays_in_the_past_never_stops_the_writer_or_itself_sees_the_new(home: Home) -> None:
    with LedgerReader.open(home.ledger) as reader, open_ledger(home, clock=SystemClock()) as ledger:
        assert isinstance(ledger, Ledger)
        reader.connection.execute("BEGIN")
        (before,) = reader.connection.execute("SELECT count(*) FROM entry").fetchone()
        for number in range(300):
            ledger.append([a_draft(number, size=4000)])
        wal = home.ledger.with_name("ledger.db-wal")
        grown = wal.stat().st_size
        assert reader.connection.execute("SELECT count(*) FROM entry").fetchone() == (before,)
        assert ledger.size() == before + 300
        reader.connection.execute("COMMIT")

        # Once it has let go, the log is used from its beginning again, and grows no more.
        for number in range(300):
            ledger.append([a_draft(number, size=4000)])
        assert wal.stat().st_size <= grown + 4 * 1024 * 1024
