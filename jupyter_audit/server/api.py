"""
The REST API under `<base>/audit/api/v1/` (docs/rest-api.md, openapi.yaml): what the command line does, over HTTP.

Thin: each handler reads its input strictly, has the rules of access or a view decide, and answers in JSON; errors
are RFC 9457 problem details with the same sentences as everywhere. Acts wait for the disk off the event loop.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from http.client import responses
from typing import Any, ClassVar, TypeVar

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from jupyter_audit.clock import format_time
from jupyter_audit.errors import AuditError, UsageError
from jupyter_audit.model import Principal
from jupyter_audit.record import kinds
from jupyter_audit.server import views
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.services import Services, find_services

T = TypeVar("T")

MOST_ENTRIES = 500
LARGEST_BODY = 64 * 1024
READ_NOTED_EVERY_S = 600.0
"""Reading other people's entries is put down at most this often for each person and view (P9)."""


class AuditApiHandler(APIHandler):  # type: ignore[misc]
    """Base of the API's handlers: services, principal, strict input, problem details."""

    auth_resource = "audit"
    _noted: ClassVar[dict[tuple[str, str, str], float]] = {}

    @property
    def services(self) -> Services:
        """The extension's services; 503 without them."""
        found = find_services(self.settings)
        if found is None:
            raise web.HTTPError(503, "Jupyter Audit did not load on this server.")
        return found

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return principal_of(self)

    def now(self) -> Any:
        """Return the time to judge by, with the grant book brought up to date."""
        services = self.services
        services.book.refresh(services.reader)
        return services.book.now(services.clock.now())

    def body_of(self, **fields: type) -> dict[str, Any]:
        """Return the JSON body. A field whose name ends in `_` may be missing. Raises `UsageError` in words."""
        if len(self.request.body) > LARGEST_BODY:
            raise UsageError(f"The body is larger than {LARGEST_BODY // 1024} KiB.")
        try:
            given = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise UsageError(f"The body is not JSON: {error}.") from error
        if not isinstance(given, dict):
            raise UsageError("The body is not a JSON object.")
        known = {name.rstrip("_") for name in fields}
        unknown = sorted(set(given) - known)
        if unknown:
            raise UsageError(f"Unknown: {', '.join(unknown)[:200]}.", advice=f"Known: {', '.join(sorted(known)) or 'nothing'}.")
        for name, kind in fields.items():
            plain = name.rstrip("_")
            if given.get(plain) is None and name.endswith("_"):
                given[plain] = None
            elif type(given.get(plain)) is not kind:
                raise UsageError(f"{plain} must be given, as {kind.__name__}.")
        return given

    def number(self, name: str, default: int, most: int) -> int:
        """Return a whole number from the query."""
        text = self.get_query_argument(name, str(default))
        if not text.isascii() or not text.isdigit() or int(text[:12]) > most:
            raise UsageError(f"{name} must be a whole number from 0 to {most}, not {text[:40]!r}.")
        return int(text)

    async def act(self, do: Callable[[], T]) -> T:
        """Do what waits for the disk, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(None, do)

    def note_read(self, view: str, **detail: str) -> None:
        """Put down that the principal read other people's entries, if that was not put down just now."""
        principal = self.principal
        key = (self.services.server_id, principal.name, view)
        now = time.monotonic()
        if now - self._noted.get(key, -READ_NOTED_EVERY_S) < READ_NOTED_EVERY_S:
            return
        self._noted[key] = now
        self.services.put_down(kinds.LedgerRead(view=view, detail=dict(detail)), principal=principal)

    def answer(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(json.dumps(value, ensure_ascii=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with problem details (RFC 9457)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        detail, advice, code = responses.get(status_code, ""), "", "http"
        if isinstance(error, AuditError):
            status_code, detail, advice, code = error.http_status, str(error), error.advice, error.code
        elif isinstance(error, web.HTTPError) and error.log_message:
            detail = str(error.log_message)
        self.set_status(status_code)
        self.set_header("Content-Type", "application/problem+json")
        problem = {"type": "about:blank", "title": responses.get(status_code, "Error"), "status": status_code,
                   "detail": detail, "advice": advice, "code": code}
        self.finish(json.dumps(problem, ensure_ascii=False))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Keep expected refusals out of the server's error log."""
        if not isinstance(value, AuditError):
            super().log_exception(typ, value, tb)


class StatusHandler(AuditApiHandler):
    """GET status: this server, and the caller's own standing."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        services, principal, now = self.services, self.principal, self.now()
        live = services.book.live(principal.name, now)
        self.answer(
            {
                "server": services.server_id,
                "mode": "solo" if services.policy.solo else "shared",
                "me": {"name": principal.name, "vouched_by": principal.vouched_by, "roles": sorted(principal.roles)},
                "grant": views.grant_view(live[0], now) if live else None,
                "isolation": services.isolation.rung.value,
                "isolation_why": services.isolation.why,
                "unassured": list(services.assessment.unassured),
                "recording": services.recorder.failing_for() == 0.0,
                "entries": services.reader.size(),
                "time": format_time(now),
            }
        )


class RequestsHandler(AuditApiHandler):
    """GET requests that wait for an answer; POST a new one."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        now, principal = self.now(), self.principal
        wanted = [r for r in self.services.book.requests(now) if views.sees_all(principal) or r.principal == principal.name]
        self.answer({"requests": [views.request_view(request, now) for request in wanted]})

    @web.authenticated
    @authorized(action="write", resource="audit")
    async def post(self) -> None:
        given = self.body_of(profile=str, reason=str, ticket=str, minutes_=int)
        principal, services = self.principal, self.services
        made = await self.act(
            lambda: services.access.request(
                principal,
                profile=given["profile"],
                reason=given["reason"],
                ticket=given["ticket"],
                minutes=given["minutes"],
            )
        )
        self.answer(views.request_view(made, self.now()), 201)


class RequestActHandler(AuditApiHandler):
    """POST an answer to a request: approve, deny, withdraw."""

    @web.authenticated
    @authorized(action="write", resource="audit")
    async def post(self, request_id: str, act: str) -> None:
        access, principal = self.services.access, self.principal
        if act == "approve":
            self.body_of()
            grant = await self.act(lambda: access.approve(principal, request_id))
            self.answer(views.grant_view(grant, self.now()))
            return
        if act == "deny":
            reason = self.body_of(reason=str)["reason"]
            request = await self.act(lambda: access.deny(principal, request_id, reason))
        else:
            self.body_of()
            request = await self.act(lambda: access.withdraw(principal, request_id))
        self.answer(views.request_view(request, self.now()))


class GrantsHandler(AuditApiHandler):
    """GET grants, newest first."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        now, principal = self.now(), self.principal
        limit = self.number("limit", 100, MOST_ENTRIES)
        wanted = [g for g in self.services.book.grants() if views.sees_all(principal) or g.principal == principal.name]
        self.answer({"grants": [views.grant_view(grant, now) for grant in wanted[:limit]]})


class GrantRevokeHandler(AuditApiHandler):
    """POST the end of a grant."""

    @web.authenticated
    @authorized(action="write", resource="audit")
    async def post(self, grant_id: str) -> None:
        reason = self.body_of(reason=str)["reason"]
        access, principal = self.services.access, self.principal
        grant = await self.act(lambda: access.revoke(principal, grant_id, reason))
        self.answer(views.grant_view(grant, self.now()))


class SessionsHandler(AuditApiHandler):
    """GET the sessions that live."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        principal = self.principal
        wanted = [s for s in self.services.sessions.all() if views.sees_all(principal) or s.owner.name == principal.name]
        self.answer({"sessions": [views.session_view(session) for session in wanted]})


class ProfilesHandler(AuditApiHandler):
    """GET what may be asked for."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        profiles = self.services.policy.profiles.values()
        self.answer({"profiles": [views.profile_view(profile) for profile in profiles]})


class EntriesHandler(AuditApiHandler):
    """GET entries, oldest first from `after`, or newest first; others' only for those who may."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        services, principal = self.services, self.principal
        limit = self.number("limit", 100, MOST_ENTRIES)
        newest_first = self.get_query_argument("newest_first", "false") == "true"
        size = services.reader.size()
        filters: dict[str, Any] = {
            "types": self.get_query_arguments("type") or None,
            "session": self.get_query_argument("session", None),
            "grant": self.get_query_argument("grant", None),
        }
        after = self.number("after", 0, 2**53)
        window = {"stop": min(size, after or size)} if newest_first else {"start": after}
        everything = views.sees_all(principal)
        if everything:
            self.note_read("entries")
        found = []
        for entry in services.reader.entries(newest_first=newest_first, **window, **filters):
            if everything or entry.actor.name == principal.name:
                found.append(views.entry_view(entry))
            if len(found) >= limit:
                break
        following = None
        if len(found) >= limit and found:
            following = found[-1]["seq"] if newest_first else found[-1]["seq"] + 1
        self.answer({"entries": found, "next": following})


class CellsHandler(AuditApiHandler):
    """GET the newest cells, with what became of them."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        principal = self.principal
        if views.sees_all(principal):
            self.note_read("cells")
        limit = self.number("limit", 50, MOST_ENTRIES)
        self.answer({"cells": views.cell_views(self.services.reader, principal, limit)})


class FindingsHandler(AuditApiHandler):
    """GET the newest findings: for those who may see others' entries."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        principal = self.principal
        found = views.finding_views(self.services.reader, self.number("limit", 50, MOST_ENTRIES))
        if not views.sees_all(principal):
            found = [finding for finding in found if finding["principal"] == principal.name]
        self.answer({"findings": found})


class CheckpointHandler(AuditApiHandler):
    """GET the newest checkpoint, as the signed note that an auditor keeps."""

    @web.authenticated
    @authorized(action="read", resource="audit")
    async def get(self) -> None:
        note = self.services.reader.checkpoint_note()
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(note)


API_ROUTES: tuple[tuple[str, type[AuditApiHandler]], ...] = (
    (r"status", StatusHandler),
    (r"requests", RequestsHandler),
    (r"requests/(r-[0-9a-f]{12})/(approve|deny|withdraw)", RequestActHandler),
    (r"grants", GrantsHandler),
    (r"grants/(g-[0-9a-f]{12})/revoke", GrantRevokeHandler),
    (r"sessions", SessionsHandler),
    (r"profiles", ProfilesHandler),
    (r"entries", EntriesHandler),
    (r"cells", CellsHandler),
    (r"findings", FindingsHandler),
    (r"checkpoint", CheckpointHandler),
)
"""Path below `audit/api/v1/` → handler."""
