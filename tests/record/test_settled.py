"""What a cell waits for: its entry's future, which is told of in time, and is left alone when nobody waits any more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from jupyter_audit.errors import RecordError
from jupyter_audit.model import Entry
from jupyter_audit.record.recorder import settled


def test_it_waits_for_a_result_of_another_thread() -> None:
    stored: Future[list[Entry]] = Future()
    threading.Timer(0.02, stored.set_result, [[]]).start()
    assert asyncio.run(settled(stored, 60))
    assert stored.result() == []


def test_what_is_settled_already_is_not_waited_for() -> None:
    stored: Future[list[Entry]] = Future()
    stored.set_exception(RecordError("no"))
    assert asyncio.run(settled(stored, 60))
    with pytest.raises(RecordError):
        stored.result()


def test_what_takes_too_long_is_told_so_and_may_still_be_stored() -> None:
    stored: Future[list[Entry]] = Future()
    assert not asyncio.run(settled(stored, 0.01))
    stored.set_result([])  # by a recorder that knows nothing of who waited, and whose loop is gone by now
    assert stored.result() == []


def test_who_is_cancelled_while_waiting_cancels_no_entry() -> None:
    stored: Future[list[Entry]] = Future()

    async def give_up() -> None:
        waiting = asyncio.ensure_future(settled(stored, 60))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(give_up())
    assert not stored.cancelled()
    stored.set_result([])
