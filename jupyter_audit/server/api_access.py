"""
The REST API's part about access: requests, the answers to them, grants and their ends, broken glasses.

Thin, as `api` is: the rules of access decide. What stops others (a denial, a revocation) is never held up by the
limit on acts a minute when whoever watches over them does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar, cast

from jupyter_audit.access import rules
from jupyter_audit.access.grants import Grant, Request, RequestState
from jupyter_audit.access.holds import Hold
from jupyter_audit.access.views import grant_view, request_view
from jupyter_audit.server.apibase import MOST_ROWS, AuditApiHandler, authorized_to
from jupyter_audit.server.inputs import LARGEST_NUMBER, Field, Query
from jupyter_audit.server.passkeys import ChallengeHandler, PasskeyCreationHandler, PasskeyOffersHandler, PasskeysHandler
from jupyter_audit.server.sight import sees_all
from jupyter_audit.server.signing import SIGNED, ApproverKeysHandler, EntryToSignHandler, WithdrawKeyHandler, signed_of

REQUEST_ID = r"r-[0-9a-f]{12}"
GRANT_ID = r"g-[0-9a-f]{12}"

TEXT = Field(str)
TEXT_OR_NOTHING = Field(str, required=False)
WHOLE_OR_NOTHING = Field(int, required=False)

Row = TypeVar("Row", Request, Grant, Hold)


def page_of(rows: Iterable[Row], query: Query) -> tuple[list[Row], int | None]:
    """Return the page of a listing, newest first, that `limit` and `after` name, and what the next one goes on after."""
    limit = cast(int, query.whole("limit", 100, least=1, most=MOST_ROWS))
    after = query.whole("after", None, least=0, most=LARGEST_NUMBER)
    left = (row for row in rows if after is None or row.seq < after)
    found = list(islice(left, limit + 1))
    return found[:limit], found[limit - 1].seq if len(found) > limit else None


class RequestsHandler(AuditApiHandler):
    """Requests for access."""

    @authorized_to("read")
    async def get(self) -> None:
        """List requests, newest first: those that wait, or in any state."""
        query = self.query("state", "limit", "after")
        state = query.text("state", "pending|all") or "pending"
        now, principal = self.shared.now(), self.principal
        everything = sees_all(principal)
        wanted = (
            request
            for request in self.services.book.all_requests()
            if (everything or request.principal == principal.name)
            and (state == "all" or request.state(now) is RequestState.PENDING)
        )
        page, following = page_of(wanted, query)
        if any(request.principal != principal.name for request in page):
            self.shared.note_read(principal, "requests")
        self.answer({"requests": [request_view(request, now) for request in page], "next": following})

    @authorized_to("write")
    async def post(self) -> None:
        """Ask for access."""
        given = self.body(
            profile=TEXT,
            reason=TEXT,
            ticket=TEXT,
            minutes=WHOLE_OR_NOTHING,
            target=TEXT_OR_NOTHING,
            starts=TEXT_OR_NOTHING,
            takes_over=TEXT_OR_NOTHING,
        )
        given["starts"] = rules.moment(given["starts"]) if given["starts"] else None
        given = {**given, "target": given["target"] or "", "takes_over": given["takes_over"] or ""}
        access, principal = self.services.access, self.principal
        made = await self.act(lambda: access.request(principal, **given))
        self.answer(request_view(made, self.shared.now()), 201)


class ApproveHandler(AuditApiHandler):
    """The yes to a request."""

    @authorized_to("write")
    async def post(self, request_id: str) -> None:
        """Say yes; the grant begins now, unless more people must say so, or it is to begin later."""
        signed = signed_of(self.body(**SIGNED))
        access, principal = self.services.access, self.principal
        made = await self.act(lambda: access.approve(principal, request_id, signed))
        now = self.shared.now()
        # More people may have to say yes: then the request waits on.
        self.answer(grant_view(made, now) if isinstance(made, Grant) else request_view(made, now))


class DenyHandler(AuditApiHandler):
    """The no to a request."""

    @authorized_to("write")
    async def post(self, request_id: str) -> None:
        """Say no, and why."""
        given = self.body(reason=TEXT, **SIGNED)
        reason, signed = given["reason"], signed_of(given)
        access, principal = self.services.access, self.principal
        request = await self.act(lambda: access.deny(principal, request_id, reason, signed), urgent=sees_all(principal))
        self.answer(request_view(request, self.shared.now()))


class WithdrawHandler(AuditApiHandler):
    """The taking back of a request."""

    @authorized_to("write")
    async def post(self, request_id: str) -> None:
        """Take one's own unanswered request back."""
        self.body()
        access, principal = self.services.access, self.principal
        request = await self.act(lambda: access.withdraw(principal, request_id))
        self.answer(request_view(request, self.shared.now()))


class GrantsHandler(AuditApiHandler):
    """Grants."""

    @authorized_to("read")
    async def get(self) -> None:
        """List grants, newest first: all, those in force, or the broken glasses that wait for a review."""
        query = self.query("live", "unreviewed", "limit", "after")
        only_live, only_unreviewed = query.flag("live"), query.flag("unreviewed")
        now, principal = self.shared.now(), self.principal
        everything = sees_all(principal)
        wanted = (
            grant
            for grant in self.services.book.grants()
            if (everything or grant.principal == principal.name)
            and (not only_live or grant.is_live(now))
            and (not only_unreviewed or grant.waits_for_review(now))
        )
        page, following = page_of(wanted, query)
        if any(grant.principal != principal.name for grant in page):
            self.shared.note_read(principal, "grants")
        self.answer({"grants": [grant_view(grant, now) for grant in page], "next": following})


class ExtendHandler(AuditApiHandler):
    """More time under a grant."""

    @authorized_to("write")
    async def post(self, grant_id: str) -> None:
        """Ask for more time; it waits for an answer as a request does."""
        given = self.body(reason=TEXT, minutes=WHOLE_OR_NOTHING)
        access, principal = self.services.access, self.principal
        made = await self.act(lambda: access.extend(principal, grant_id, **given))
        self.answer(request_view(made, self.shared.now()), 201)


class RevokeHandler(AuditApiHandler):
    """The end of a grant before its time."""

    @authorized_to("write")
    async def post(self, grant_id: str) -> None:
        """End a grant, with everything that runs under it."""
        reason = self.body(reason=TEXT)["reason"]
        access, principal = self.services.access, self.principal
        grant = await self.act(lambda: access.revoke(principal, grant_id, reason), urgent=sees_all(principal))
        self.answer(grant_view(grant, self.shared.now()))


class RevokeEveryoneHandler(AuditApiHandler):
    """The end of all grants."""

    @authorized_to("write")
    async def post(self) -> None:
        """End everybody's grants, for an incident."""
        reason = self.body(reason=TEXT)["reason"]
        access, principal = self.services.access, self.principal
        ended = await self.act(lambda: access.revoke_everyone(principal, reason), urgent=sees_all(principal))
        now = self.shared.now()
        self.answer({"grants": [grant_view(grant, now) for grant in ended]})


class BreakGlassHandler(AuditApiHandler):
    """Access without asking, for an emergency."""

    @authorized_to("write")
    async def post(self) -> None:
        """Take access at once. Everybody is told, and somebody else reviews it."""
        given = self.body(
            profile=TEXT, reason=TEXT, ticket=TEXT, target=TEXT_OR_NOTHING, minutes=WHOLE_OR_NOTHING
        )
        given["target"] = given["target"] or ""
        access, principal = self.services.access, self.principal
        grant = await self.act(lambda: access.break_glass(principal, **given))
        self.answer(grant_view(grant, self.shared.now()), 201)


class ReviewHandler(AuditApiHandler):
    """The judgement of what was done under a broken glass."""

    @authorized_to("write")
    async def post(self, grant_id: str) -> None:
        """Say whether it was justified, and why."""
        given = self.body(justified=Field(bool), comment=TEXT)
        access, principal = self.services.access, self.principal
        grant = await self.act(lambda: access.review(principal, grant_id, **given))
        self.answer(grant_view(grant, self.shared.now()))


ROUTES: tuple[tuple[str, type[AuditApiHandler]], ...] = (
    ("requests", RequestsHandler),
    (f"requests/({REQUEST_ID})/approve", ApproveHandler),
    (f"requests/({REQUEST_ID})/challenge", ChallengeHandler),
    (f"requests/({REQUEST_ID})/deny", DenyHandler),
    (f"requests/({REQUEST_ID})/entry", EntryToSignHandler),
    (f"requests/({REQUEST_ID})/withdraw", WithdrawHandler),
    ("approver-keys", ApproverKeysHandler),
    ("approver-keys/withdraw", WithdrawKeyHandler),
    ("passkeys", PasskeysHandler),
    ("passkeys/creation", PasskeyCreationHandler),
    ("passkeys/offers", PasskeyOffersHandler),
    ("grants", GrantsHandler),
    (f"grants/({GRANT_ID})/extend", ExtendHandler),
    (f"grants/({GRANT_ID})/revoke", RevokeHandler),
    (f"grants/({GRANT_ID})/review", ReviewHandler),
    ("revoke-everyone", RevokeEveryoneHandler),
    ("break-glass", BreakGlassHandler),
)
"""Path below `audit/api/v1/` → handler."""
