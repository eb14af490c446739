"""
Grants that end with their ticket: asks the trackers every so often, and revokes what lost its ticket (P2).

Trackers are asked in a thread, so that a slow one delays no sweep. One that does not answer ends no grant at once, but
once it has not for `ticket_grace_minutes`; a server that starts anew counts anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.service import AccessService
from jupyter_audit.access.tickets import Seen, Standing, Tickets


def why_it_ends(seen: Seen, ticket: str, unanswered_s: float, grace_minutes: int) -> str:
    """Return why a grant ends whose ticket was looked at, or nothing. `unanswered_s`: seconds without an answer. Pure."""
    if seen.standing is Standing.CLOSED:
        return f"The ticket {ticket} was closed."
    if seen.standing is Standing.ANOTHERS:
        return f"The ticket {ticket} is no longer theirs."
    if seen.standing is Standing.UNANSWERED and unanswered_s >= grace_minutes * 60:
        return f"Nobody could say for {grace_minutes} minutes whether the ticket {ticket} is open: {seen.why}."
    return ""


class TicketWatch:
    """Looks after the grants of profiles with `ends_with_ticket`. `look` is called on the event loop, by the sweep."""

    def __init__(
        self,
        policy: Policy,
        access: AccessService,
        log: logging.Logger,
        tickets: Tickets | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._log = log
        self._tickets = tickets or Tickets()
        self._monotonic = monotonic
        self._profiles = {name: profile for name, profile in policy.profiles.items() if profile.ends_with_ticket}
        self._due: dict[str, float] = {}
        self._unanswered: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def look(self, book: GrantBook, now: datetime) -> None:
        """Have the ticket of each grant looked at whose turn it is. Returns at once."""
        if not self._profiles:
            return
        open_ = {grant.id: grant for grant in book.unended(now) if grant.profile in self._profiles}
        for known in (self._due, self._unanswered):
            for grant_id in known.keys() - open_.keys():
                del known[grant_id]
        for grant in open_.values():
            profile = self._profiles[grant.profile]
            # A new grant's ticket was looked at when it was approved.
            due = self._due.setdefault(grant.id, self._monotonic() + profile.ticket_seconds)
            if self._monotonic() >= due and grant.id not in self._asking:
                self._asking[grant.id] = asyncio.get_running_loop().create_task(self._ask(grant, profile))

    async def _ask(self, grant: Grant, profile: Profile) -> None:
        try:
            seen = await asyncio.to_thread(self._tickets.ask, profile, grant.ticket, grant.principal)
            now = self._monotonic()
            self._due[grant.id] = now + profile.ticket_seconds
            if seen.standing is not Standing.UNANSWERED:
                self._unanswered.pop(grant.id, None)
            since = self._unanswered.setdefault(grant.id, now) if seen.standing is Standing.UNANSWERED else now
            why = why_it_ends(seen, grant.ticket, now - since, profile.ticket_grace_minutes)
            if why:
                await asyncio.to_thread(self._access.end_with_ticket, grant.id, why)
        except Exception:
            # Whatever it was, the sweep looks again; a grant still ends with its time.
            self._log.exception("jupyter-audit: the ticket of grant %s could not be looked at", grant.id)
        finally:
            self._asking.pop(grant.id, None)
