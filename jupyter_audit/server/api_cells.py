"""
The REST API's part about held cells: what waits for an approval, and the answers.

Thin, as `api_access`: the rules of access decide. The code that is shown is that of the very message which runs then.
"""

from __future__ import annotations

import base64
from typing import Any

from jupyter_audit.access.holds import Hold, HoldState
from jupyter_audit.access.views import hold_view
from jupyter_audit.errors import NotFoundError, SealedError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.server.api_access import TEXT, page_of
from jupyter_audit.server.apibase import AuditApiHandler, authorized_to
from jupyter_audit.server.passkeys import CellChallengeHandler
from jupyter_audit.server.services import Services
from jupyter_audit.server.sight import sees_all
from jupyter_audit.server.signing import SIGNED, signed_of

HOLD_ID = r"h-[0-9a-f]{12}"


def message_of(services: Services, reader: LedgerReader, hold: Hold) -> bytes | None:
    """Return the message of a held cell: that which waits here, or what the ledger shows of it; None if it shows nothing."""
    held = services.gate.held.get(hold.id)
    if held is not None:
        return held.text
    try:
        return reader.content(hold.seq, "message")
    except SealedError:
        return None


class HeldCellsHandler(AuditApiHandler):
    """Cells that wait for somebody's approval."""

    @authorized_to("read")
    async def get(self) -> None:
        """List held cells, newest first: those that wait, or in any state."""
        query = self.query("state", "limit", "after")
        state = query.text("state", "waiting|all") or "waiting"
        now, principal, services = self.shared.now(), self.principal, self.services
        everything = sees_all(principal)
        wanted = (
            hold
            for hold in services.book.holds()
            if (everything or hold.is_of(principal.name)) and (state == "all" or hold.state(now) is HoldState.WAITING)
        )
        page, following = page_of(wanted, query)
        if any(hold.principal != principal.name for hold in page):
            self.shared.note_read(principal, "held cells")

        def look(reader: LedgerReader) -> list[dict[str, Any]]:
            return [hold_view(hold, now, message_of(services, reader, hold)) for hold in page]

        self.answer({"held": await self.shared.read(look), "next": following})


class HeldAnswerHandler(AuditApiHandler):
    """What the two answers share."""

    async def answered(self, hold: Hold) -> None:
        """Have whoever waits look at once, and answer with the cell."""
        services, now = self.services, self.shared.now()
        services.gate.held.nudge()
        view = await self.shared.read(lambda reader: hold_view(hold, now, message_of(services, reader, hold)))
        self.answer(view)


class ApproveCellHandler(HeldAnswerHandler):
    """The yes to a held cell."""

    @authorized_to("write")
    async def post(self, hold_id: str) -> None:
        """Say yes: it runs now, once."""
        signed = signed_of(self.body(**SIGNED))
        access, principal = self.services.access, self.principal
        await self.answered(await self.act(lambda: access.approve_cell(principal, hold_id, signed)))


class DenyCellHandler(HeldAnswerHandler):
    """The no to a held cell."""

    @authorized_to("write")
    async def post(self, hold_id: str) -> None:
        """Say no, and why: it does not run."""
        given = self.body(reason=TEXT, **SIGNED)
        reason, signed = given["reason"], signed_of(given)
        access, principal = self.services.access, self.principal
        hold = await self.act(lambda: access.deny_cell(principal, hold_id, reason, signed), urgent=sees_all(principal))
        await self.answered(hold)


class CellToSignHandler(AuditApiHandler):
    """What is signed about a held cell."""

    @authorized_to("read")
    async def get(self, hold_id: str) -> None:
        """
        Answer with the ledger's origin, the text of the cell's entry, and what its commitment to the message is made of.

        Where contents are sealed there is no `salt`: then nobody but an auditor can compare message and entry.
        """
        self.query()
        self.shared.now()
        services, principal = self.services, self.principal
        hold = services.book.hold(hold_id)
        if hold is None or not (sees_all(principal) or hold.is_of(principal.name)):
            raise NotFoundError(f"There is no held cell {hold_id} that you may see.")

        def look(reader: LedgerReader) -> tuple[str, bytes, bytes | None]:
            raw = reader.entry(hold.seq).raw
            try:
                salted = reader.salted(hold.seq, "message")
            except SealedError:
                return raw, b"", message_of(services, reader, hold)
            return raw, *(salted if salted is not None else (b"", None))

        raw, salt, message = await self.shared.read(look)
        if hold.principal != principal.name:
            self.shared.note_read(principal, "held cell", entry=hold.seq)
        self.answer(
            {
                "origin": services.book.origin,
                "me": principal.name,
                "entry": raw,
                "salt": base64.b64encode(salt).decode(),
                "message": None if message is None else base64.b64encode(message).decode(),
            }
        )


ROUTES: tuple[tuple[str, type[AuditApiHandler]], ...] = (
    ("held-cells", HeldCellsHandler),
    (f"held-cells/({HOLD_ID})/approve", ApproveCellHandler),
    (f"held-cells/({HOLD_ID})/deny", DenyCellHandler),
    (f"held-cells/({HOLD_ID})/challenge", CellChallengeHandler),
    (f"held-cells/({HOLD_ID})/entry", CellToSignHandler),
)
"""Path below `audit/api/v1/` → handler."""
