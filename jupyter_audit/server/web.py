"""
What the web faces share on one server: threads to wait and read in, who sees what, what reading was noted.

Nothing here may keep the event loop waiting: acts wait for the disk and long reads walk the ledger, so both
happen in threads. Keeps P9 for the web.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from jupyter_audit.errors import RecordError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Principal
from jupyter_audit.record import kinds
from jupyter_audit.server.pace import Pace
from jupyter_audit.server.services import Services, find_services
from jupyter_audit.server.sight import ReadNotes, SessionOwners, Sight

T = TypeVar("T")

WEB_KEY = "jupyter_audit_web"


class Web:
    """Belongs to the event loop's thread, but for what `act` and `read` run."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._owners = SessionOwners()
        self.pace = Pace(services.settings.requests_per_minute)
        self._notes = ReadNotes(time.monotonic)
        # Two pools: reading must go on while an act waits for a disk that hangs. Acts may wait for a tracker of tickets
        # too, and a slow one must not keep a revocation waiting.
        self._acts = ThreadPoolExecutor(16, "jupyter-audit-act")
        self._reads = ThreadPoolExecutor(2, "jupyter-audit-read")

    def now(self) -> datetime:
        """Return the time to judge by, with the grant book brought up to date."""
        services = self.services
        services.book.refresh(services.reader)
        return services.book.now(services.clock.now())

    def sight_of(self, principal: Principal) -> Sight:
        """Return what the principal may see at this moment."""
        self.services.book.refresh(self.services.reader)
        self._owners.refresh(self.services.reader)
        return self._owners.sight_of(principal, self.services.book)

    def owner_of(self, session: str | None, grant: str | None = None) -> str | None:
        """Return who owned a session, or else held a grant, as of the last `sight_of`."""
        held = self.services.book.grant(grant) if grant else None
        return self._owners.owner_of(session) or (held.principal if held else None)

    def live_sessions(self) -> frozenset[str]:
        """Return the ids of the sessions that live on this server."""
        return frozenset(session.id for session in self.services.sessions.all())

    async def act(self, do: Callable[[], T]) -> T:
        """
        Do what waits until the ledger holds it.

        Raises `RecordError` when that takes longer than `record_timeout_seconds`: a disk that hangs must not
        leave a person without an answer.
        """
        seconds = self.services.settings.record_timeout_seconds
        doing = asyncio.get_running_loop().run_in_executor(self._acts, do)
        try:
            return await asyncio.wait_for(asyncio.shield(doing), seconds)
        except TimeoutError as error:
            # It may be done yet; nobody is left to hear of it if it fails.
            doing.add_done_callback(lambda done: done.exception())
            raise RecordError(
                f"The ledger did not take this within {seconds:g} seconds.",
                advice="Look in a moment whether it was done after all. An admin finds the reason with `jupyter audit doctor`.",
            ) from error

    async def read(self, look: Callable[[LedgerReader], T]) -> T:
        """Look through the ledger with a reader of the thread's own."""

        def with_reader() -> T:
            with LedgerReader.open(self.services.home.ledger) as reader:
                return look(reader)

        return await asyncio.get_running_loop().run_in_executor(self._reads, with_reader)

    def note_read(self, principal: Principal, view: str, **detail: str | int | None) -> None:
        """
        Put down that the principal read other people's entries, unless that was put down just now (P9).

        Where recording fails the note is owed: that is when people must be able to look.
        """
        given = {name: value for name, value in detail.items() if value is not None}
        exactly = [f"{name}={value}" for name, value in sorted(given.items())]
        if self._notes.is_due(principal.name, view, *exactly):
            self.services.put_down(kinds.LedgerRead(view=view, detail=given), principal=principal)


def find_web(settings: MutableMapping[str, Any]) -> Web | None:
    """Return what the web faces of this application share; None where the extension did not load."""
    services = find_services(settings)
    if services is None:
        return None
    found = settings.get(WEB_KEY)
    if not isinstance(found, Web) or found.services is not services:
        found = settings[WEB_KEY] = Web(services)
    return found
