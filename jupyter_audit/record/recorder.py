"""
The recorder: the one thread that owns the ledger's writer, and what everybody hands their entries to.

An entry is durable when its future resolves. When it cannot be made durable the future raises
`RecordError`, and whatever the entry was for must not happen (P1). Callers that arrive together share
one commit and one signature. Nothing here runs on the event loop.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from jupyter_audit.errors import LedgerError, RecordError
from jupyter_audit.ledger import Ledger
from jupyter_audit.model import Draft, Entry, Json
from jupyter_audit.record import inbox, kinds
from jupyter_audit.record.bounds import cap
from jupyter_audit.record.fresh import FreshContents
from jupyter_audit.record.inbox import Inbox, Item
from jupyter_audit.record.masking import mask
from jupyter_audit.record.waiting import Append, Decide, Outcome, Stored, Transact, settle_all, to_future, to_future_of_one

_log = logging.getLogger(__name__)

Subscriber = Callable[[Sequence[Entry]], None]

DROPPED = "entries dropped while recording failed"
REFUSED = "entries refused, with what they were for, while too many waited to be recorded"
"""`what` of the gap entries."""

MOST_PER_COMMIT = 256
MOST_OWED = 2_000

LINGER_S = 0.05
"""How long what has already happened waits for company, so that it shares the commit of what is about to happen."""

ADVICE = (
    "Nothing runs that cannot be recorded. Your notebook is untouched: save it, and ask an admin to run "
    "`jupyter audit doctor` on the server."
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be stored now, and what was turned away since the recorder began because too much waited."""

    entries: int
    bytes: int
    refused: int


class Recorder:
    """
    Appends drafts in the order in which they were handed over.

    Safe to call from any thread. `open_ledger` is called in the recorder's own thread, and its errors
    come out of the constructor. With `fresh` contents are sealed by the ledger: bodies are masked, and what the
    detections are to read is put there.
    """

    def __init__(self, open_ledger: Callable[[], Ledger], *, fresh: FreshContents | None = None) -> None:
        self._fresh = fresh
        self._inbox = Inbox()
        self._owed: deque[Draft] = deque()
        self._owed_lost: Counter[str] = Counter()
        self._refused = 0
        self._refused_unsaid: Counter[str] = Counter()
        self._subscribers: list[Subscriber] = []
        self._failing_since: float | None = None
        self._lock = threading.Lock()
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(open_ledger, opened), name="jupyter-audit-recorder", daemon=True
        )
        self._thread.start()
        opened.result()

    def record(self, draft: Draft) -> Future[Entry]:
        """Return a future of the one entry that `draft` becomes."""
        single: Future[Entry] = Future()
        self._submit(Append((draft,), to_future_of_one(single)))
        return single

    def record_all(self, drafts: Sequence[Draft]) -> Future[list[Entry]]:
        """Return a future of the entries that `drafts` become, next to each other and in one commit."""
        future: Future[list[Entry]] = Future()
        self._submit(Append(tuple(drafts), to_future(future)))
        return future

    def store(self, drafts: Sequence[Draft]) -> Stored:
        """
        Hand over drafts as `record_all` does, from an event loop; await the `future` of what is returned.

        The future belongs to the running loop. It may be cancelled: the entries are stored all the same.
        """
        item = Stored(tuple(drafts))
        self._submit(item)
        return item

    def transact(self, decide: Decide) -> Future[list[Entry]]:
        """
        Return a future of the entries that `decide` asks for, judged with the ledger's write lock held.

        What `decide` raises comes out of the future as it is; nothing is stored then.
        """
        item = Transact(decide)
        self._submit(item)
        return item.future

    def owe(self, draft: Draft) -> None:
        """
        Put down what has already happened (a cell's end, late output). Never raises.

        It is stored with the next entry that somebody waits for, or `LINGER_S` later if none comes.

        While recording fails such drafts wait in memory, and the sessions are ended by their owner (see
        `failing_for`); what has to be dropped is counted and put down as a gap.
        """

        def keep(outcome: Outcome) -> None:
            if not isinstance(outcome, Exception):
                return
            storable = outcome.__cause__ is None or not _is_of_the_drafts(outcome.__cause__)
            with self._lock:
                if len(self._owed) >= MOST_OWED or not storable:
                    self._owed_lost[draft.type] += 1
                else:
                    self._owed.append(draft)

        self._submit(Append((draft,), keep, lazy=True))

    def subscribe(self, callback: Subscriber) -> None:
        """Have `callback` called in the recorder's thread after each commit. It must be quick and not raise."""
        self._subscribers.append(callback)

    def failing_for(self) -> float:
        """Return for how many seconds no entry could be stored; 0.0 while recording works."""
        since = self._failing_since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """Store what was handed over so far, then close the ledger."""
        if self._inbox.close():
            self._thread.join()

    def backlog(self) -> Backlog:
        """Return how much waits, and how much was refused."""
        with self._lock:
            return Backlog(self._inbox.entries, self._inbox.bytes, self._refused)

    def _submit(self, item: Append | Transact) -> None:
        if self._inbox.put(item):
            return
        if self._inbox.closed:
            self._refuse(item, RecordError("The recorder is closed.", advice=ADVICE))
            return
        if not item.lazy:  # what is owed is kept, and its loss counted, by `owe`
            with self._lock:
                first = not self._refused_unsaid
                self._refused += item.entries
                self._refused_unsaid.update(item.types())
            if first:
                _log.warning("The recorder is overrun: %d entries wait. What comes now is refused.", self._inbox.entries)
        waiting = f"{inbox.MOST_WAITING} entries, or {inbox.MOST_WAITING_BYTES >> 20} MiB, are waiting"
        self._refuse(item, RecordError(f"The recorder is overrun: {waiting}.", advice=ADVICE))

    @staticmethod
    def _refuse(item: Append | Transact, error: Exception) -> None:
        if isinstance(item, Transact):
            item.future.set_exception(error)
        else:
            settle_all([(item, error)])

    # --- the recorder's thread --------------------------------------------------------------------

    def _run(self, open_ledger: Callable[[], Ledger], opened: Future[None]) -> None:
        try:
            ledger = open_ledger()
        except BaseException as error:  # whatever it is, it must come out where the recorder was made
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            with contextlib.suppress(LedgerError):  # appends say what is wrong
                ledger.make_room()
            while self._serve(ledger):
                pass
        finally:
            ledger.close()

    def _serve(self, ledger: Ledger) -> bool:
        """Take what waits and store it; return False when the recorder is closing."""
        taken = self._inbox.take(MOST_PER_COMMIT)
        while all(map(_may_linger, taken)) and len(taken) < MOST_PER_COMMIT:
            company = self._inbox.take(MOST_PER_COMMIT, LINGER_S)
            if not company:
                break
            taken += company
        last = taken[-1]
        self._store(ledger, [item for item in taken if isinstance(item, Append)])
        if last is None:
            self._settle(ledger)
        elif isinstance(last, Transact):
            self._decide(ledger, last)
        return last is not None

    def _store(self, ledger: Ledger, batch: Sequence[Append]) -> None:
        if not batch:
            return
        try:
            self._pay(ledger)
            entries = self._append(ledger, [draft for item in batch for draft in item.drafts])
        except Exception as error:  # whatever it is, the thread must live on to say that nothing was stored
            if _is_of_the_drafts(error):
                self._fail_apart(ledger, batch, error)
            else:
                self._failing_since = self._failing_since or time.monotonic()
                settle_all([(item, self._failure(error)) for item in batch])
            return
        self._failing_since = None
        settled: list[tuple[Append, Outcome]] = []
        start = 0
        for item in batch:
            stop = start + item.entries
            settled.append((item, entries[start:stop]))
            start = stop
        settle_all(settled)
        self._tell(entries)

    def _settle(self, ledger: Ledger) -> None:
        """Store what is still owed; the next server finds that this one did not say its end where that fails."""
        try:
            self._pay(ledger)
        except Exception:  # whatever it is, the ledger must be closed in order
            _log.exception("%d entries could not be recorded before the server ended.", len(self._owed))

    def _append(self, ledger: Ledger, drafts: Sequence[Draft]) -> list[Entry]:
        if self._fresh is None:
            return ledger.append(self._formed(drafts))
        with self._fresh.recording():
            entries = ledger.append(self._formed(drafts))
            self._fresh.keep(entries, drafts)
        return entries

    def _formed(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        return [cap(draft if self._fresh is None else mask(draft)) for draft in drafts]

    def _fail_apart(self, ledger: Ledger, batch: Sequence[Append], error: Exception) -> None:
        """One draft that no ledger can hold must not take its neighbours in the commit with it."""
        if len(batch) == 1:
            settle_all([(batch[0], self._failure(error))])
            return
        for item in batch:
            self._store(ledger, [item])

    def _decide(self, ledger: Ledger, item: Transact) -> None:
        try:
            entries = ledger.transact(lambda reader: self._formed(item.decide(reader)))
        except LedgerError as error:
            self._failing_since = self._failing_since or time.monotonic()
            item.future.set_exception(self._failure(error))
        except Exception as error:  # the decision's own error belongs to whoever asked for it
            item.future.set_exception(error)
        else:
            self._failing_since = None
            item.future.set_result(entries)
            self._tell(entries)

    def _pay(self, ledger: Ledger) -> None:
        """Store what is owed before anything newer."""
        if not self._owed and not self._owed_lost and not self._refused_unsaid:
            return
        with self._lock:
            owed, lost, refused = list(self._owed), Counter(self._owed_lost), Counter(self._refused_unsaid)
        gaps = []
        for what, counts in ((DROPPED, lost), (REFUSED, refused)):
            if counts:
                detail: dict[str, Json] = {"count": counts.total(), "types": dict(sorted(counts.items()))}
                gaps.append(kinds.draft(kinds.GapRecorded(what=what, detail=detail)))
        entries = self._append(ledger, [*owed, *gaps])
        with self._lock:
            for _ in owed:
                self._owed.popleft()
            self._owed_lost -= lost  # a Counter keeps what is above zero
            self._refused_unsaid -= refused
        self._tell(entries)

    @staticmethod
    def _failure(error: Exception) -> RecordError:
        wrapped = RecordError(f"The entry could not be recorded: {error}", advice=ADVICE)
        wrapped.__cause__ = error
        return wrapped

    def _tell(self, entries: Sequence[Entry]) -> None:
        if entries:
            for subscriber in self._subscribers:
                subscriber(entries)


def _may_linger(item: Item) -> bool:
    return item is not None and item.lazy


def _is_of_the_drafts(error: BaseException) -> bool:
    """Say whether an append failed for what was to be recorded, not for the place where it was to be kept."""
    return not isinstance(error, LedgerError) or isinstance(error.__cause__, ValueError)
