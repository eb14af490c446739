"""
The grant book: what the ledger says about requests and grants, kept at hand. A cache that decides nothing by
itself and can be dropped at any time (P4).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from jupyter_audit.access.grants import AccessState, Anomaly, Grant, Request, RequestState, fold
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry

ACCESS = ("access.",)


class GrantBook:
    """Follows the `access.*` entries of one ledger. Belongs to one thread."""

    def __init__(self) -> None:
        self._state = AccessState()
        self._next = 0
        self._latest = datetime.min.replace(tzinfo=UTC)

    def refresh(self, reader: LedgerReader) -> None:
        """Take in what was appended since the last time, by whatever process."""
        size = reader.size()
        if size == self._next:
            return
        for entry in reader.entries(start=self._next, stop=size, types=ACCESS):
            fold(self._state, entry)
            self._latest = max(self._latest, entry.time)
        self._next = size

    def take(self, entries: Sequence[Entry]) -> None:
        """Take in entries that were just appended, if they follow directly on what was taken in before."""
        for entry in entries:
            if entry.seq == self._next:
                fold(self._state, entry)
                self._latest = max(self._latest, entry.time)
                self._next += 1

    def now(self, clock_now: datetime) -> datetime:
        """
        Return the time to judge by: never earlier than any that was seen before.

        So a clock that is set back lengthens no grant (it shortens some, which is the safe side).
        """
        self._latest = max(self._latest, clock_now)
        return self._latest

    def live(self, principal: str, now: datetime) -> tuple[Grant, ...]:
        """Return the grants of `principal` in force, the one that lasts longest first."""
        mine = [g for g in self._state.grants.values() if g.principal == principal and g.is_live(now)]
        return tuple(sorted(mine, key=lambda grant: grant.not_after, reverse=True))

    def grant(self, grant_id: str) -> Grant | None:
        """Return a grant, whatever became of it."""
        return self._state.grants.get(grant_id)

    def request(self, request_id: str) -> Request | None:
        """Return a request, whatever became of it."""
        return self._state.requests.get(request_id)

    def requests(self, now: datetime) -> list[Request]:
        """Return the requests that wait for an answer, oldest first."""
        return [r for r in self._state.requests.values() if r.state(now) is RequestState.PENDING]

    def all_requests(self) -> list[Request]:
        """Return every request there ever was, newest first."""
        return sorted(self._state.requests.values(), key=lambda request: request.seq, reverse=True)

    def grants(self) -> list[Grant]:
        """Return every grant there ever was, newest first."""
        return sorted(self._state.grants.values(), key=lambda grant: grant.seq, reverse=True)

    def anomalies(self) -> list[Anomaly]:
        """Return the entries that did not follow from the ones before them, and had no effect."""
        return list(self._state.anomalies)

    def unnoticed_ends(self, now: datetime) -> tuple[list[Request], list[Grant]]:
        """Return the lapsed requests and expired grants whose end is not an entry yet."""
        state = self._state
        lapsed = [
            request
            for request in state.requests.values()
            if request.state(now) is RequestState.LAPSED and request.id not in state.put_down
        ]
        expired = [
            grant
            for grant in state.grants.values()
            if grant.ended is None and grant.not_after <= now and grant.id not in state.put_down
        ]
        return lapsed, expired
