"""What waits to be judged keeps its order, and is bounded."""

from __future__ import annotations

import asyncio

import pytest

from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.server import lanes as lanes_module
from jupyter_audit.server.lanes import Lanes, Received


def message(msg_id: str, msg_type: str = "execute_request") -> ClientMessage:
    return ClientMessage("shell", {"msg_id": msg_id, "msg_type": msg_type}, {}, {}, {}, ())


class Judge:
    """Takes one message at a time of each lane, once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.served: list[Received] = []

    async def __call__(self, received: Received) -> None:
        await self.may.wait()
        self.served.append(received)


async def all_served(lanes: Lanes, judge: Judge) -> list[Received]:
    judge.may.set()
    tasks = lanes.tasks
    lanes.close()
    await asyncio.wait(tasks)
    return judge.served


def test_more_messages_than_may_wait_are_refused_and_those_that_wait_are_served_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "MOST_WAITING", 3)

    async def go() -> None:
        judge = Judge()
        lanes = Lanes(judge)
        sent = [message(str(number)) for number in range(5)]
        taken = [lanes.put("shell", one, 1) for one in sent]
        assert taken == [True, True, True, False, False]
        assert lanes.put("control", message("other"), 1)  # another lane has room of its own
        served = await all_served(lanes, judge)
        assert [one for one in served if one in sent] == sent[:3]

    asyncio.run(go())


def test_bytes_are_counted_on_all_lanes_while_a_cell_is_held_and_forgotten_when_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "MOST_BEHIND", 100)

    async def go() -> None:
        judge = Judge()
        lanes = Lanes(judge)
        assert lanes.put("shell", message("before"), 1000)
        lanes.hold()
        lanes.hold()
        assert lanes.put("shell", message("a"), 60)
        assert not lanes.put("control", message("b"), 60)
        lanes.go_on()
        assert not lanes.put("shell", message("c"), 1)
        lanes.go_on()
        assert lanes.put("shell", message("d"), 1000)
        assert len(await all_served(lanes, judge)) == 3

    asyncio.run(go())


def test_bytes_that_wait_are_bounded_on_all_lanes_together_until_they_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "MOST_BYTES", 100)

    async def go() -> None:
        judge = Judge()
        lanes = Lanes(judge)
        first, then, cell, last = (message(name) for name in ("first", "then", "cell", "last"))
        assert lanes.put("shell", first, 1000)  # one alone may be larger than all that may wait
        assert not lanes.put("control", then, 1)
        judge.may.set()
        for _ in range(10):  # turns of the loop, of which serving one message takes a few
            await asyncio.sleep(0)
        assert lanes.put("control", then, 60)
        judge.may.clear()
        assert not lanes.put("shell", cell, 41)
        assert lanes.put("shell", cell, 40)
        assert not lanes.put("shell", last, 1)
        assert lanes.take_cells("shell") == [cell]
        assert lanes.put("shell", last, 40)
        assert {one.msg_id for one in await all_served(lanes, judge) if not isinstance(one, Exception)} == {"first", "then", "last"}

    asyncio.run(go())


def test_cells_are_taken_off_a_lane_and_what_else_waits_stays_in_order() -> None:
    async def go() -> None:
        judge = Judge()
        lanes = Lanes(judge)
        info, comm = message("info", "kernel_info_request"), message("comm", "comm_msg")
        first, second = message("first"), message("second")
        for one in (info, first, comm, second):
            lanes.put("shell", one, 1)
        assert lanes.take_cells("shell") == [first, second]
        assert await all_served(lanes, judge) == [info, comm]

    asyncio.run(go())
