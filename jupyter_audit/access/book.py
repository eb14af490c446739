"""
The grant book: what the ledger says about requests and grants, kept at hand. A cache that decides nothing by
itself and can be dropped at any time (P4).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from jupyter_audit.access import holds
from jupyter_audit.access.approverkeys import ApproverKey, KeyRing
from jupyter_audit.access.cellsigning import CellStatement
from jupyter_audit.access.grants import (
    BEGINNING,
    AccessState,
    Anomaly,
    Grant,
    GrantState,
    Request,
    RequestState,
    answer_to,
    check_answer,
    fold,
)
from jupyter_audit.access.holds import Hold, Holds
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.signing import Decision, Signed, Statement
from jupyter_audit.errors import RollbackError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry

ACCESS = "access."
FOLLOWED = (ACCESS, *holds.TYPES)

FEW = 64
"""Up to so many new entries are read whole: cheaper than asking the index for each type of `access.*`."""

MOST_HEARD = 256
"""Entries that are kept until the next `refresh`."""

SLACK = timedelta(seconds=1)
"""How far a clock may fall behind the monotonic one before it counts as set back: time servers take such steps."""


class GrantBook:
    """
    Follows the entries of one ledger about access and held cells. `monotonic` returns seconds.

    Belongs to one thread, but for `hear`.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._state = AccessState()
        self._holds = Holds()
        self._next = 0
        self._heard: deque[Entry] = deque(maxlen=MOST_HEARD)
        self._monotonic = monotonic
        self._latest = BEGINNING
        # The furthest that a clock was ahead of the monotonic one.
        self._anchor = BEGINNING
        self._anchored_at = monotonic()

    def refresh(self, reader: LedgerReader) -> None:
        """
        Take in what was appended since the last time, by whatever process.

        Raises `RollbackError` if there is less than there was, `LedgerError` if it cannot be read.
        """
        while self._heard:
            self.take([self._heard.popleft()])
        size = reader.size()
        if size == self._next:
            return
        if size < self._next:
            raise RollbackError(
                f"The ledger was cut off while it was in use: it has {size} entries, and had {self._next}.",
                advice="Keep the file as it is, for evidence, and run `jupyter audit verify`.",
            )
        self._state.origin = reader.origin
        if size - self._next > FEW:
            for entry in reader.entries(start=self._next, stop=size - 1, types=FOLLOWED):
                self._take(entry)
            # The newest entry of whatever type comes last: its time counts too.
            self._next = size - 1
        for entry in reader.entries(start=self._next, stop=size):
            self._take(entry)

    def hear(self, entries: Sequence[Entry]) -> None:
        """
        Be told, in any thread, of entries that this process has just appended: they need not be read back.

        What is missed here (others append, too) is read from the ledger at the next `refresh`.
        """
        self._heard.extend(entries)

    def take(self, entries: Sequence[Entry]) -> None:
        """Take in entries that were just appended, if they follow directly on what was taken in before."""
        for entry in entries:
            if entry.seq == self._next:
                self._take(entry)

    def _take(self, entry: Entry) -> None:
        if entry.type.startswith(ACCESS):
            fold(self._state, entry)
        elif entry.type in holds.TYPES:
            self._holds.take(self._state, entry)
        self._see(entry.time)
        self._next = entry.seq + 1

    def now(self, clock_now: datetime) -> datetime:
        """
        Return the time to judge by: never earlier than any that was seen before, in entries or here.

        Nor earlier than the monotonic clock says that it must be by now: a clock that is set back lengthens no grant
        by more than `SLACK` (it shortens some, which is the safe side). Where the machine slept, the clock is ahead of
        the monotonic one, and counts.
        """
        elapsed = timedelta(seconds=self._monotonic() - self._anchored_at)
        at_least = self._anchor + elapsed if self._anchor > BEGINNING else BEGINNING
        self._see(clock_now if clock_now >= at_least - SLACK else at_least)
        return self._latest

    @property
    def latest(self) -> datetime:
        """The time to judge by, as `now` found it last."""
        return self._latest

    def _see(self, moment: datetime) -> None:
        monotonic = self._monotonic()
        if self._anchor == BEGINNING or moment > self._anchor + timedelta(seconds=monotonic - self._anchored_at):
            self._anchor, self._anchored_at = moment, monotonic
        self._latest = max(self._latest, moment)

    def live(self, principal: str, now: datetime) -> tuple[Grant, ...]:
        """Return the grants of `principal` in force, the one that lasts longest first."""
        open_ = (self._state.grants[grant_id] for grant_id in self._state.open_grants)
        mine = [grant for grant in open_ if grant.principal == principal and grant.is_live(now)]
        return tuple(sorted(mine, key=lambda grant: (grant.not_after, grant.seq), reverse=True))

    def grant(self, grant_id: str) -> Grant | None:
        """Return a grant, whatever became of it."""
        return self._state.grants.get(grant_id)

    def request(self, request_id: str) -> Request | None:
        """Return a request, whatever became of it."""
        return self._state.requests.get(request_id)

    def requests(self, now: datetime) -> list[Request]:
        """Return the requests that wait for an answer, oldest first."""
        open_ = (self._state.requests[request_id] for request_id in self._state.open_requests)
        pending = [request for request in open_ if request.state(now) is RequestState.PENDING]
        return sorted(pending, key=lambda request: request.seq)

    def all_requests(self) -> list[Request]:
        """Return every request there ever was, newest first."""
        return sorted(self._state.requests.values(), key=lambda request: request.seq, reverse=True)

    def grants(self) -> list[Grant]:
        """Return every grant there ever was, newest first."""
        return sorted(self._state.grants.values(), key=lambda grant: grant.seq, reverse=True)

    def hold(self, hold_id: str) -> Hold | None:
        """Return a held cell, whatever became of it; None for one that was answered long ago."""
        return self._holds.by_id.get(hold_id)

    def holds(self) -> list[Hold]:
        """Return the held cells, newest first: those that wait, and the latest of those that were answered."""
        return sorted(self._holds.by_id.values(), key=lambda hold: hold.seq, reverse=True)

    def cell_answer_to(self, hold: Hold, approver: str, decision: Decision, reason: str = "") -> CellStatement:
        """Return what an approver signs to answer a held cell so, but for what is up to the key."""
        return holds.cell_answer_to(self._state, hold, approver, decision, reason)

    def check_cell_answer(
        self, hold: Hold, approver: str, signed: Signed, decision: Decision, reason: str = ""
    ) -> tuple[CellStatement, ApproverKey]:
        """Return what an approver signed, if it is this answer to this cell, and with what. Raises `SigningError`."""
        return holds.check_cell_answer(self._state, hold, approver, signed, decision, reason)

    def acknowledged(self, person: str, profile: str, version: str) -> bool:
        """Say whether somebody acknowledged this version of a profile's rules."""
        return (person, profile, version) in self._state.acknowledged

    def unended(self, now: datetime) -> list[Grant]:
        """Return every grant that is in force or yet to begin, oldest first."""
        open_ = (self._state.grants[grant_id] for grant_id in self._state.open_grants)
        wanted = [grant for grant in open_ if grant.state(now) in (GrantState.ACTIVE, GrantState.APPROVED)]
        return sorted(wanted, key=lambda grant: grant.seq)

    def unreviewed(self, now: datetime) -> list[Grant]:
        """Return the broken glasses that have ended and wait for a review, oldest first."""
        return sorted((g for g in self._state.grants.values() if g.waits_for_review(now)), key=lambda grant: grant.seq)

    def used(self, principal: str, profile: str, since: datetime) -> timedelta:
        """Return how much time a principal was given under a profile since a moment, what is still to come included."""
        total = timedelta(0)
        for grant in self._state.grants.values():
            if grant.profile == profile and same_person(grant.principal, principal):
                end = grant.not_after if grant.ended is None else min(grant.ended, grant.not_after)
                total += max(end - max(grant.not_before, since), timedelta(0))
        return total

    @property
    def origin(self) -> str:
        """The origin of the ledger."""
        return self._state.origin

    @property
    def keys(self) -> KeyRing:
        """The keys of approvers."""
        return self._state.keys

    def answer_to(self, request: Request, approver: str, decision: Decision, reason: str = "") -> Statement:
        """Return what an approver signs to answer a request so, but for what is up to the key."""
        return answer_to(self._state, request, approver, decision, reason)

    def check_answer(
        self, request: Request, approver: str, signed: Signed, decision: Decision, reason: str = ""
    ) -> tuple[Statement, ApproverKey]:
        """Return what an approver signed, if it is this answer to this request, and with what. Raises `SigningError`."""
        return check_answer(self._state, request, approver, signed, decision, reason)

    def anomalies(self) -> list[Anomaly]:
        """Return the entries that did not follow from the ones before them, and had no effect."""
        return list(self._state.anomalies)

    def unnoticed_ends(self, now: datetime) -> list[Request | Grant]:
        """Return the lapsed requests and expired grants whose end is not an entry yet, oldest first."""
        state = self._state
        lapsed = [
            request
            for request_id in state.open_requests - state.noticed
            if (request := state.requests[request_id]).state(now) is RequestState.LAPSED
        ]
        expired = [
            grant
            for grant_id in state.open_grants - state.noticed
            if (grant := state.grants[grant_id]).state(now) is GrantState.EXPIRED
        ]
        ends: list[Request | Grant] = [*lapsed, *expired]
        return sorted(ends, key=lambda end: end.seq)
