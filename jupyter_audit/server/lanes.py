"""
Lanes: what a client has sent waits here, for each channel in its order, until it is judged.

A slow disk on one lane does not hold up another. What waits is bounded in number and in bytes, behind a held cell in fewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.server.wire import MalformedMessageError

MOST_WAITING = 2000
"""Messages that may wait on one lane; a client that sends faster than the disk takes is told so."""

MOST_BYTES = 32 * 1024 * 1024
"""
Bytes that may wait on all lanes: while a kernel starts, or the disk is slow, a client could fill the server's memory. What
was parsed can take twenty times as much.
"""

MOST_BEHIND = 16 * 1024 * 1024
"""Bytes that a client may send while a cell of its waits for approval, which can take long."""

Received = ClientMessage | MalformedMessageError
"""What came from a client; what did not parse has its place in the order, too."""

Lane = asyncio.Queue[tuple[Received, int] | None]
"""What waits on one channel, with the bytes that it came in; None is the lane's end."""


class Lanes:
    """The lanes of one connection. `serve` is given one message of a lane at a time. Belongs to the event loop."""

    def __init__(self, serve: Callable[[Received], Awaitable[None]]) -> None:
        self._serve = serve
        self._lanes: dict[str, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._held = 0
        self._behind = 0

    def put(self, channel: str, received: Received, size: int) -> bool:
        """Have a message of `size` bytes wait on its lane; return False where too much waits, and it does not."""
        lane = self._lanes.get(channel)
        if lane is None:
            lane = self._lanes[channel] = asyncio.Queue()
            task = asyncio.get_running_loop().create_task(self._run(lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._held:
            self._behind += size
        if lane.qsize() >= MOST_WAITING or self._behind > MOST_BEHIND:
            return False
        if self._waiting and self._waiting + size > MOST_BYTES:
            return False
        self._waiting += size
        lane.put_nowait((received, size))
        return True

    def hold(self) -> None:
        """Count the bytes of what comes from now on: a cell waits for approval."""
        self._held += 1

    def go_on(self) -> None:
        """Count them no longer, once no cell waits for approval any more."""
        self._held -= 1
        if not self._held:
            self._behind = 0

    def take_cells(self, channel: str) -> list[ClientMessage]:
        """Take the cells that wait on a lane off it, and leave everything else in its order."""
        lane, cells = self._lanes[channel], []
        for waiting in [lane.get_nowait() for _ in range(lane.qsize())]:
            if waiting is not None and isinstance(waiting[0], ClientMessage) and waiting[0].msg_type == "execute_request":
                cells.append(waiting[0])
                self._waiting -= waiting[1]
            else:
                lane.put_nowait(waiting)
        return cells

    def close(self) -> None:
        """Let each lane end after what waits on it now."""
        for lane in self._lanes.values():
            lane.put_nowait(None)

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The tasks of lanes that have not ended."""
        return tuple(self._tasks)

    async def _run(self, lane: Lane) -> None:
        while (waiting := await lane.get()) is not None:
            received, size = waiting
            await self._serve(received)
            self._waiting -= size
