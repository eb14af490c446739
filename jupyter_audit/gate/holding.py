"""
Held cells, in memory: the very messages that wait for an approval, and who waits for what becomes of them (P1, P2).

Whether one was approved the ledger alone says; here is only what runs then, once, and its end where nobody answers.
Everything here runs on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.holds import Hold as HeldByLedger
from jupyter_audit.access.holds import HoldState
from jupyter_audit.gate.decide import Admit, Cause, Hold, Refuse
from jupyter_audit.gate.sessions import Session
from jupyter_audit.record import kinds
from jupyter_audit.record.recorder import Recorder

if TYPE_CHECKING:
    from jupyter_audit.gate.clientmessage import ClientMessage

POLL_S = 0.25
"""How often the ledger is asked; who answers through this server is heard at once."""

MOST_OF_A_SESSION = 16
MOST_HELD = 200
"""Cells that may wait at a time. Of one connection it is one for each channel: what comes later waits behind it."""

HELD_KEY = "jupyter_audit_held"
"""In the metadata of what a client is shown while its cell waits: the held cell's id; empty when it waits no more."""

INTERRUPTED, CLIENT_LEFT, LAPSED, REFUSED, NOT_RECORDED = "interrupted", "client_left", "lapsed", "refused", "not_recorded"
"""Causes of cell.hold_ended. Where a session ends, it is why that did."""


class Client(Protocol):
    """Who sent a cell, and is told that it waits."""

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more to see what becomes of it."""

    def tell_held(self, held: HeldCell) -> None:
        """Tell that the cell waits, and for whom."""

    def tell_over(self, held: HeldCell, *, approved: bool) -> None:
        """Tell that it waits no more, and whether it runs."""


@dataclass(slots=True, eq=False)
class HeldCell:
    """
    One cell that waits. `entry` is the number of its cell.held, `text` the message's content as that holds it, `cancelled`
    why it will not run, once that is so.
    """

    id: str
    entry: int
    session: Session
    message: ClientMessage
    text: bytes
    profile: str
    client: Client
    cancelled: str = ""
    nudged: asyncio.Event = field(default_factory=asyncio.Event)


class HeldCells:
    """All cells that wait on this server."""

    def __init__(self, recorder: Recorder, book: GrantBook) -> None:
        self._recorder, self._book = recorder, book
        self._held: dict[str, HeldCell] = {}

    def get(self, hold_id: str) -> HeldCell | None:
        """Return a cell that waits here."""
        return self._held.get(hold_id)

    def why_not(self, session: Session, message: ClientMessage, client: Client) -> Refuse | None:
        """Return why a cell of this session cannot wait, if it cannot."""
        if client.gone:
            return _CANCELLED[CLIENT_LEFT]
        own = [held for held in self._held.values() if held.session is session]
        if any(held.message.msg_id == message.msg_id for held in own):
            return Refuse(Cause.MESSAGE_ID_REUSED, "A message with this id waits for approval already.")
        if len(own) >= MOST_OF_A_SESSION or len(self._held) >= MOST_HELD:
            return Refuse(
                Cause.TOO_MANY_HELD,
                f"Not run: {len(own)} cells of this kernel, and {len(self._held)} of the server, wait for an approval, as many "
                "as may. Wait for the answers.",
            )
        return None

    async def outcome(self, held: HeldCell, judge: Callable[[], Admit | Hold | Refuse]) -> Admit | Refuse:
        """Wait, and return what is to happen. `judge` says whether the cell may be held still; the book is up to date then."""
        self._held[held.id] = held
        held.client.tell_held(held)
        approved = False
        try:
            while not held.cancelled:
                verdict = judge()
                hold = self._book.hold(held.id)
                if hold is None or hold.answered in (HoldState.DENIED, HoldState.ENDED):
                    return _denied(hold)
                if isinstance(verdict, Refuse):
                    self._end(held, REFUSED)
                    return verdict
                if hold.answered is HoldState.APPROVED:
                    approved = True
                    return Admit(verdict.rule, verdict.grant)
                if hold.state(self._book.latest) is HoldState.LAPSED:
                    self._end(held, LAPSED)
                    return Refuse(
                        Cause.CELL_LAPSED,
                        "Not run: nobody approved this cell in time. Run it again when somebody who may is there.",
                    )
                held.session.active = time.monotonic()
                held.nudged.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(held.nudged.wait(), POLL_S)
            return _CANCELLED.get(held.cancelled, _SESSION_ENDED)
        finally:
            del self._held[held.id]
            held.client.tell_over(held, approved=approved)

    def cancel(self, cause: str, *, session: Session | None = None, client: Client | None = None) -> None:
        """Have the cells of a session, or of a client, never run, and put that down."""
        for held in self._held.values():
            if not held.cancelled and (held.session is session or held.client is client):
                held.cancelled = cause
                self._end(held, cause)
                held.nudged.set()

    def nudge(self) -> None:
        """Have everybody who waits look at the ledger now."""
        for held in self._held.values():
            held.nudged.set()

    def _end(self, held: HeldCell, cause: str) -> None:
        kind = kinds.CellHoldEnded(held.id, cause)
        self._recorder.owe(kinds.draft(kind, grant=held.session.grant, session=held.session.id))


_CANCELLED = {
    INTERRUPTED: Refuse(Cause.INTERRUPTED, "Interrupted while it waited for approval; it was not run."),
    CLIENT_LEFT: Refuse(Cause.CLIENT_LEFT, "Not run: the connection was closed while the cell waited for approval."),
}
_SESSION_ENDED = Refuse(Cause.SESSION_ENDED, "This kernel's session ended while the cell waited for approval; it was not run.")


def _denied(hold: HeldByLedger | None) -> Refuse:
    if hold is None or hold.answered is not HoldState.DENIED:
        return Refuse(Cause.NOT_RECORDED, "Not run: the ledger does not hold that this cell waits. Run it again.")
    return Refuse(Cause.CELL_DENIED, f"Not run: {hold.answered_by} did not approve this cell: {hold.answer}")
