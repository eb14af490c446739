"""Callers who come together share a commit: none is lost, doubled or told before its entry is durable, in whatever process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import RecordError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger, verify_ledger
from jupyter_audit.model import Actor, Draft, Entry
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.record.waiting import Outcome

EVE = Actor("eve", "os-account")
CALLERS = Path(__file__).with_name("callers.py")


def a_draft(number: int) -> Draft:
    return Draft("cell.admitted", {"number": number}, actor=EVE)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    place = Home(tmp_path / "audit")
    create_ledger(place, clock=SystemClock(), actor=EVE)
    yield place
    verify_ledger(place.ledger, verifier_keys=[place.verifier_key.read_text()])


@pytest.fixture
def recorder(home: Home) -> Iterator[Recorder]:
    made = Recorder(lambda: open_ledger(home, clock=SystemClock()))
    yield made
    made.close()


class Gate:
    """Keeps the recorder's thread busy until it is let go."""

    def __init__(self, recorder: Recorder) -> None:
        self.go = threading.Event()
        self.busy = threading.Event()
        recorder.transact(self.wait)
        assert self.busy.wait(60)

    def wait(self, reader: LedgerReader) -> Sequence[Draft]:
        self.busy.set()
        assert self.go.wait(60)
        return ()


def test_callers_of_several_processes_lose_nothing_double_nothing_and_are_told_in_their_order(home: Home) -> None:
    processes, callers, each = "abc", 16, 12
    running = [
        subprocess.Popen([sys.executable, CALLERS, home.path, name, str(callers), str(each)], stdout=subprocess.PIPE, text=True)
        for name in processes
    ]
    told = [[json.loads(line) for line in process.communicate()[0].splitlines()] for process in running]
    assert [process.returncode for process in running] == [0] * len(processes)

    with LedgerReader.open(home.ledger) as reader:
        stored = [[e.seq, e.body["process"], e.body["caller"], e.body["number"]] for e in reader.entries(start=1)]
    assert sorted(one for of_process in told for one in of_process) == stored
    assert len(stored) == len(processes) * callers * each
    for of_process in told:
        assert of_process == sorted(of_process)  # by their numbers in the ledger
        of_callers: dict[int, list[int]] = defaultdict(list)
        for _, _, caller, number in of_process:
            of_callers[caller].append(number)
        assert list(of_callers.values()) == [list(range(each))] * callers
    # They took turns, and they shared commits and signatures.
    assert {name for _, name, _, _ in stored[: len(stored) // 2]} > {stored[0][1]}
    report = verify_ledger(home.ledger, verifier_keys=[home.verifier_key.read_text()])
    assert report.checkpoints < report.entries / 2


def test_a_caller_who_is_told_can_read_the_entry_from_the_file(home: Home, recorder: Recorder) -> None:
    async def call(number: int) -> None:
        [entry] = await recorder.store([a_draft(number)]).future
        with LedgerReader.open(home.ledger) as reader:
            assert reader.entry(entry.seq).raw == entry.raw

    async def call_all() -> None:
        await asyncio.gather(*(call(number) for number in range(8)))

    asyncio.run(call_all())


def test_a_draft_that_no_ledger_can_hold_fails_alone(recorder: Recorder) -> None:
    gate = Gate(recorder)

    async def call_all() -> list[list[Entry] | BaseException]:
        bad = Draft("no type", {})
        waiting = [recorder.store([draft]).future for draft in (a_draft(1), bad, a_draft(2))]
        gate.go.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, failed, last = asyncio.run(call_all())
    assert isinstance(failed, RecordError)
    assert isinstance(first, list)
    assert isinstance(last, list)
    assert [entry.body["number"] for entry in (*first, *last)] == [1, 2]


def test_who_no_longer_waits_learns_nothing_and_the_entry_is_stored(home: Home, recorder: Recorder) -> None:
    gate = Gate(recorder)
    late: list[Outcome] = []
    known = threading.Event()

    async def give_up() -> None:
        stored = recorder.store([a_draft(7)])
        with pytest.raises(TimeoutError):
            await stored.within(0.01)
        stored.then(lambda outcome: (late.append(outcome), known.set())[0])

    asyncio.run(give_up())  # the loop is closed, too, when the entry is stored
    gate.go.set()
    assert known.wait(60)
    [[entry]] = late
    assert recorder.record(a_draft(8)).result(60).seq == entry.seq + 1
    with LedgerReader.open(home.ledger) as reader:
        assert reader.entry(entry.seq).body == {"number": 7}


def test_who_is_cancelled_while_waiting_cancels_no_entry(home: Home, recorder: Recorder) -> None:
    gate = Gate(recorder)

    async def give_up() -> None:
        waiting = asyncio.ensure_future(recorder.store([a_draft(7)]).within(60))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.go.set()
        [entry] = await recorder.store([a_draft(8)]).within(60)
        with LedgerReader.open(home.ledger) as reader:
            assert reader.entry(entry.seq - 1).body == {"number": 7}

    asyncio.run(give_up())


def test_what_is_asked_for_after_it_is_known_is_told_at_once(recorder: Recorder) -> None:
    told: list[Outcome] = []

    async def ask() -> None:
        stored = recorder.store([a_draft(1)])
        entries = await stored.future
        stored.then(told.append)
        assert told == [entries]

    asyncio.run(ask())


def test_a_closed_recorder_refuses_those_who_await(home: Home, recorder: Recorder) -> None:
    recorder.close()

    async def ask() -> None:
        with pytest.raises(RecordError, match="closed"):
            await recorder.store([a_draft(1)]).future

    asyncio.run(ask())
