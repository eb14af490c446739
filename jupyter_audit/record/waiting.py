"""
What waits to be stored, and how whoever waits for it is told.

A thread waits on a future of `concurrent.futures`. Callers on an event loop are many at a time, so theirs cost less: they
await futures of their loop, and all that one commit settles are settled by one call into the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Draft, Entry

_log = logging.getLogger(__name__)

Decide = Callable[[LedgerReader], Sequence[Draft]]
Outcome = list[Entry] | Exception


class Append:
    """Drafts to be stored next to each other; `tell` is called with what became of them, in the recorder's thread."""

    __slots__ = ("drafts", "entries", "lazy", "size", "tell")

    def __init__(self, drafts: Sequence[Draft], tell: Callable[[Outcome], None] | None, *, lazy: bool = False) -> None:
        self.drafts = drafts
        self.tell = tell
        self.lazy = lazy
        """Whether it may wait for company, because nobody waits for it."""
        self.entries = len(drafts)
        size = 0
        for draft in drafts:
            for content in draft.contents.values():
                size += len(content.data)
        self.size = size
        """Bytes of contents."""

    def types(self) -> list[str]:
        """Return the types of its entries."""
        return [draft.type for draft in self.drafts]


class Stored(Append):
    """An append whose `future` belongs to the event loop on which it was made: awaiting it gives the entries, or raises."""

    __slots__ = ("_callbacks", "_outcome", "future", "loop")

    def __init__(self, drafts: Sequence[Draft]) -> None:
        super().__init__(drafts, None)
        self.loop = loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Entry]] = loop.create_future()
        self._outcome: Outcome | None = None
        self._callbacks: list[Callable[[Outcome], None]] = []

    async def within(self, seconds: float) -> list[Entry]:
        """
        Return the entries; raises what their storing raised, or `TimeoutError` if that takes longer.

        The entries may be stored all the same then, also when whoever waits is cancelled. Every cell waits here: no task,
        and one turn of the loop.
        """
        timer = self.loop.call_later(seconds, self._give_up)
        try:
            return await self.future
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        if not self.future.done():
            self.future.set_exception(TimeoutError())

    def then(self, callback: Callable[[Outcome], None]) -> None:
        """Have `callback` called with what became of it, once: at once if that is known, else in the recorder's thread."""
        self._callbacks.append(callback)
        if self._outcome is not None:
            self._call(self._outcome)

    def settle(self, outcome: Outcome) -> None:
        """Keep what became of it, and call back; in the recorder's thread. `settle_all` tells who awaits it."""
        self._outcome = outcome
        if self._callbacks:
            self._call(outcome)

    def tell_loop(self) -> None:
        """Tell who awaits it; in the loop's thread."""
        future, outcome = self.future, self._outcome
        if future.done():  # whoever waited was cancelled
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif outcome is not None:
            future.set_result(outcome)

    def _call(self, outcome: Outcome) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:  # another thread was quicker
                return
            callback(outcome)


class Transact:
    """A decision to be made with the ledger's write lock held."""

    __slots__ = ("decide", "entries", "future", "lazy", "size")

    def __init__(self, decide: Decide) -> None:
        self.decide = decide
        self.future: Future[list[Entry]] = Future()
        self.lazy = False
        self.entries = 1  # what it will append is not known yet
        self.size = 0

    def types(self) -> list[str]:
        """Return what stands for the types of entries that nobody decided."""
        return ["undecided"]


def settle_all(settled: Sequence[tuple[Append, Outcome]]) -> None:
    """Tell everybody what became of what they wait for, in this order on each loop."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[Stored]] = defaultdict(list)
    for item, outcome in settled:
        if isinstance(item, Stored):
            item.settle(outcome)
            by_loop[item.loop].append(item)
        elif item.tell is not None:
            item.tell(outcome)
    for loop, items in by_loop.items():
        try:
            loop.call_soon_threadsafe(_tell_loop, items)
        except RuntimeError:  # the loop was closed: nobody waits any more
            _log.debug("%d callers were gone before their entries were stored.", len(items))


def _tell_loop(items: Sequence[Stored]) -> None:
    for item in items:
        item.tell_loop()


def to_future(future: Future[list[Entry]]) -> Callable[[Outcome], None]:
    """Return what tells a future that a thread waits on."""

    def tell(outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    return tell


def to_future_of_one(future: Future[Entry]) -> Callable[[Outcome], None]:
    """Return what tells a future of the only entry."""

    def tell(outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome[0])

    return tell
