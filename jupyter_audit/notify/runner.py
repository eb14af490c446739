"""
Sees to it that what is owed is told: follows the ledger in a thread of its own, and sends in threads beside it (P4).

Never in anybody's way: it looks after entries are durable, sends from another process, and waits for nobody. One server
of a ledger tells; the others stand by for the case that it ends. A message is sent at least once: where a server is killed
between a message and its entry, the next one sends it again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.clock import Clock
from jupyter_audit.errors import AuditError, ConfigError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Draft, Entry
from jupyter_audit.notify.events import EVENTS, Notice, recording_failing
from jupyter_audit.notify.outbox import ALERTS, MOST_AGE, TELLING, Outbox, Owed, Pair, compose
from jupyter_audit.notify.post import Message, Post
from jupyter_audit.notify.routes import Routes
from jupyter_audit.record import kinds

_log = logging.getLogger(__name__)

LOOK_S = 2.0
"""How often it is looked for what time brings, and for entries of other processes."""

SETTLE_S = 0.1
STORE_S = 30.0
LAST_SEND_S = 3.0
"""Seconds that a stop waits for messages that are under way; what is not told then the next server tells."""

RECORDING_S = 5.0
"""Seconds of failing after which people are told that the ledger cannot be written."""

MOST_ROUNDS = 6
STATES = frozenset({"recording_failing"})
"""Events that no entry can tell: each server says them for itself."""

URGENT = frozenset({"break_glass", "revoked_everyone"})
"""Events of which each new one is tried at once, also at a target that failed a moment ago."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: to the first retry of a target that fails, each further one twice as long up to the longest."""

    first_s: float = 5.0
    longest_s: float = 120.0

    def after(self, attempts: int) -> float:
        """Return how long to wait after so many attempts in a row have failed."""
        return float(min(self.longest_s, self.first_s * 2.0 ** min(attempts - 1, 20)))


class Appender(Protocol):
    """What the runner needs of the recorder."""

    def record(self, draft: Draft) -> Future[Entry]:
        """Append one entry."""
        ...

    def owe(self, draft: Draft) -> None:
        """Append what has happened already, as soon as that can be done."""
        ...

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> None:
        """Have `callback` called after each commit."""
        ...

    def failing_for(self) -> float:
        """Return for how many seconds nothing could be stored."""
        ...


class AlertRunner:
    """
    Tells what the ledger of `home` owes by these routes, and puts down through `recorder` what it told.

    `link` returns the panel's address for messages; `server` is this server's id.
    """

    def __init__(
        self,
        routes: Routes,
        home: Home,
        recorder: Appender,
        policy: Policy,
        clock: Clock,
        *,
        link: Callable[[], str],
        server: str,
        post: Post | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._routes = routes
        self._home, self._recorder, self._clock = home, recorder, clock
        self._link, self._server, self._solo = link, server, policy.solo
        self._post, self._pace = post or Post(), pace or Pace()
        self._outbox = Outbox(self._routes, policy)
        self._book = GrantBook()
        self._next = 0
        self._lead = _Lead(home.run / "alerts.lock")
        self._under_way: Counter[str] = Counter()
        self._outcomes: queue.SimpleQueue[tuple[Owed, str]] = queue.SimpleQueue()
        self._attempts: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._gaps: dict[Pair, float] = {}
        self._tried: dict[Pair, int] = {}
        self._failing_since: datetime | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jupyter-audit-alerts", daemon=True)

    def start(self) -> None:
        """Begin."""
        types = frozenset((*TELLING, kinds.AccessExtended.TYPE, kinds.AccessApproved.TYPE))
        self._recorder.subscribe(lambda entries: self._wake.set() if any(e.type in types for e in entries) else None)
        self._thread.start()

    def close(self) -> None:
        """Put down what was told, and stop. Call it while the recorder still records."""
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(LAST_SEND_S + 2)
        self._post.close()

    # --- the runner's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        said = ""
        reader: LedgerReader | None = None
        while not self._closing.is_set():
            try:
                if reader is None:
                    reader = LedgerReader.open(self._home.ledger)
                    self._begin(reader)
                self._catch_up(reader)
                said = ""
            except AuditError as error:
                # What cannot be read is read at the next look; that it cannot is a state that may have to be told.
                if str(error) != said:
                    said = str(error)
                    _log.warning("Alerts wait: %s", error)
            except Exception:  # alerts must outlive what nobody thought of, and say that it happened
                _log.exception("Alerts failed; they go on.")
            try:
                self._tell()
            except Exception:  # as above
                _log.exception("An alert could not be told; it is tried again.")
            self._wake.wait(LOOK_S)
            self._wake.clear()
            self._closing.wait(SETTLE_S)
        until = time.monotonic() + LAST_SEND_S
        while self._under_way and (left := until - time.monotonic()) > 0:
            try:
                self._settle(*self._outcomes.get(timeout=left))
            except queue.Empty:
                break
        if reader is not None:
            reader.close()
        self._lead.release()

    def _begin(self, reader: LedgerReader) -> None:
        """Take in what came before: where each target begins, and what is young enough to be told yet."""
        size = reader.size()
        for entry in reader.entries(types=[kinds.AlertRouted.TYPE], stop=size):
            self._outbox.take(entry)
        horizon = self._clock.now() - MOST_AGE - timedelta(days=1)
        recent: list[Entry] = []
        wanted = [kind for kind in (*TELLING, *ALERTS) if kind != kinds.AlertRouted.TYPE]
        for entry in reader.entries(types=wanted, stop=size, newest_first=True):
            if entry.time < horizon:
                break
            recent.append(entry)
        for entry in reversed(recent):
            self._outbox.take(entry)
        self._next = size

    def _catch_up(self, reader: LedgerReader) -> None:
        if self._lead.take():
            self._put_down_routes(reader)
        size = reader.size()
        if size > self._next:
            for entry in reader.entries(start=self._next, stop=size, types=(*TELLING, *ALERTS)):
                self._outbox.take(entry)
            self._next = size
            self._outbox.forget_told()
        self._book.refresh(reader)

    def _put_down_routes(self, reader: LedgerReader) -> None:
        """Say which targets there are from here on, where that is another word than the last."""
        routed = self._routes.to_json()
        newest = next(reader.entries(types=[kinds.AlertRouted.TYPE], newest_first=True, limit=1), None)
        if (newest is None and not self._routes.targets) or (newest is not None and dict(newest.body) == routed):
            return
        self._recorder.record(kinds.draft(kinds.AlertRouted(**routed))).result(STORE_S)  # type: ignore[arg-type]

    # --- telling --------------------------------------------------------------------------------------

    def _tell(self) -> None:
        while not self._outcomes.empty():
            self._settle(*self._outcomes.get())
        if not self._routes.targets:
            return
        now, moment = self._book.now(self._clock.now()), time.monotonic()
        due = [
            owed
            for owed in self._outbox.owed(self._book, now, self._states())
            if (self._lead.held or owed.event in STATES) and self._is_due(owed, moment)
        ]
        healthy = [owed for owed in due if owed.target not in self._outbox.failing]
        ill = sorted({owed.target for owed in due if owed.target in self._outbox.failing})
        # One that fails may hang: it is sent to by itself, and holds up no other.
        for some in (healthy, *([owed for owed in due if owed.target == target] for target in ill)):
            if some and len(self._under_way) < MOST_ROUNDS:
                self._send(some)

    def _is_due(self, owed: Owed, moment: float) -> bool:
        pair = (owed.event, owed.target)
        if owed.target in self._under_way or self._gaps.get(pair, 0) > moment:
            return False
        is_new = owed.event in URGENT and owed.through > self._tried.get(pair, -1)
        return is_new or self._not_before.get(owed.target, 0) <= moment

    def _send(self, some: Sequence[Owed]) -> None:
        by_id = {str(number): owed for number, owed in enumerate(some)}
        link = self._link()
        # In solo mode whoever is told owns the audit home, and needs no token.
        server = "" if self._solo else link.removesuffix("/audit/panel")
        messages: list[Message] = []
        for number, owed in by_id.items():
            self._under_way[owed.target] += 1
            self._tried[(owed.event, owed.target)] = owed.through
            try:
                messages.append(Message(number, self._routes.targets[owed.target].url(), *compose(owed, link, server=server)))
            except ConfigError as error:
                self._outcomes.put((owed, str(error)))
                self._wake.set()

        def outcome(number: str, error: str) -> None:
            self._outcomes.put((by_id[number], error))
            self._wake.set()

        if messages:
            sending = threading.Thread(
                target=self._post.send, args=(messages, outcome), name="jupyter-audit-alert-round", daemon=True
            )
            sending.start()

    def _settle(self, owed: Owed, error: str) -> None:
        """Put down what became of a message."""
        target, moment = owed.target, time.monotonic()
        self._under_way[target] -= 1
        if not self._under_way[target]:
            del self._under_way[target]
        self._attempts[target] += 1
        if not error:
            self._outbox.told(owed.event, target, owed.through, owed.about)
            sent = kinds.AlertSent(owed.event, target, owed.count, owed.through, owed.about, self._attempts.pop(target))
            self._recorder.owe(kinds.draft(sent))
            if target in self._outbox.failing:
                self._outbox.failing.discard(target)
                _log.warning("The alert target %s takes messages again.", target)
            self._gaps[(owed.event, target)] = moment + EVENTS[owed.event].gap_s
            self._not_before.pop(target, None)
            return
        self._not_before[target] = moment + self._pace.after(self._attempts[target])
        if target not in self._outbox.failing:
            self._outbox.failing.add(target)
            _log.warning("The alert target %s fails: %s", target, error)
            self._put_failed(owed, error, given_up=False)
        if (old := self._outbox.too_old(owed, self._clock.now())) is not None:
            self._outbox.told(old.event, target, old.through, old.about)
            self._put_failed(old, error, given_up=True)

    def _put_failed(self, owed: Owed, error: str, *, given_up: bool) -> None:
        failed = kinds.AlertFailed(owed.event, owed.target, owed.count, owed.through, owed.about, error[:300], given_up)
        self._recorder.owe(kinds.draft(failed))

    # --- what no entry can tell ----------------------------------------------------------------------

    def _states(self) -> list[Notice]:
        seconds = self._recorder.failing_for()
        if not seconds:
            self._failing_since = None
        if seconds <= RECORDING_S:
            return []
        self._failing_since = self._failing_since or self._clock.now() - timedelta(seconds=seconds)
        return [recording_failing(self._server, self._failing_since, seconds)]


class _Lead:
    """Held by the one server that tells what the ledger owes; the system lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Take it if nobody has it; return whether that has just happened."""
        if self._descriptor is not None:
            return False
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
