"""
The REST API under `<base>/audit/api/v1/` (docs/rest-api.md, openapi.yaml): the CLI's acts, over HTTP.

Thin: each handler reads its input strictly, has the rules of access or a view decide, and answers in JSON.
Must never decide anything itself, wait for the disk on the event loop, or show what `Sight` does not allow.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from jupyter_audit_kernel.version import __version__
from tornado import web

from jupyter_audit.access.inwords import version
from jupyter_audit.access.views import grant_view
from jupyter_audit.clock import format_time
from jupyter_audit.errors import NotFoundError
from jupyter_audit.model import Actor
from jupyter_audit.record import kinds
from jupyter_audit.server import api_access, api_alerts, api_cells, api_words, views
from jupyter_audit.server.api_access import GRANT_ID
from jupyter_audit.server.apibase import MOST_ROWS, AuditApiHandler, authorized_to
from jupyter_audit.server.endings import Endings
from jupyter_audit.server.inputs import LARGEST_NUMBER, Field
from jupyter_audit.server.kernels import ENDINGS_KEY
from jupyter_audit.server.sight import sees_all

OPENAPI = Path(__file__).parent / "openapi.yaml"

SESSION_ID = r"s-[0-9a-f]{12}"
ENTRY_TYPE = r"[a-z_]{1,40}(\.[a-z_]{1,40})?\.?"

TEXT = Field(str)


class StatusHandler(AuditApiHandler):
    """This server, and the caller's own standing."""

    @authorized_to("read")
    async def get(self) -> None:
        """Answer with what is in force."""
        self.query()
        services, principal, now = self.services, self.principal, self.shared.now()
        live = services.book.live(principal.name, now)
        self.answer(
            {
                "server": services.server_id,
                "version": __version__,
                "mode": "solo" if services.policy.solo else "shared",
                "me": {
                    "name": principal.name,
                    "vouched_by": principal.vouched_by,
                    "roles": sorted(principal.roles),
                },
                "grant": grant_view(live[0], now) if live else None,
                "isolation": services.isolation.rung.value,
                "isolation_why": services.isolation.why,
                "assured": list(services.assessment.assured),
                "unassured": list(services.assessment.unassured),
                "recording": services.recorder.failing_for() == 0.0,
                "backlog": asdict(services.recorder.backlog()),
                "entries": services.reader.size(),
                "time": format_time(now),
            }
        )


class SessionsHandler(AuditApiHandler):
    """The sessions that live on this server."""

    @authorized_to("read")
    async def get(self) -> None:
        """List sessions."""
        self.query()
        principal = self.principal
        everything = sees_all(principal)
        wanted = [s for s in self.services.sessions.all() if everything or s.owner.name == principal.name]
        if any(session.owner.name != principal.name for session in wanted):
            self.shared.note_read(principal, "sessions")
        self.answer({"sessions": [views.session_view(session) for session in wanted]})


class EndSessionHandler(AuditApiHandler):
    """The end of a live session by somebody who watches over it, or by its owner."""

    @authorized_to("write")
    async def post(self, session_id: str) -> None:
        """Put down who ends it and why, then end it."""
        reason = self.body(reason=TEXT)["reason"]
        principal, services = self.principal, self.services
        session = next((one for one in services.sessions.all() if one.id == session_id), None)
        own = session is not None and session.owner.name == principal.name
        if session is None or not (own or sees_all(principal)):
            raise NotFoundError(f"There is no live session {session_id} that you may see.")
        kind = kinds.SessionEndOrdered(owner=session.owner.name, reason=reason[:1000])
        draft = kinds.draft(kind, actor=Actor.of(principal), grant=session.grant, session=session.id)
        await self.act(lambda: services.recorder.record(draft).result(), urgent=sees_all(principal))
        endings: Endings = self.settings[ENDINGS_KEY]
        said = "".join(letter for letter in reason[:1000] if letter.isprintable())
        sentence = f"{principal.name} ended this session: {said} (Your notebook is untouched.)"
        await endings.end(session, "observer", sentence)
        self.answer(views.session_view(session))


class ProfilesHandler(AuditApiHandler):
    """What may be asked for."""

    @authorized_to("read")
    async def get(self) -> None:
        """List the profiles."""
        self.query()
        self.shared.now()
        book, profiles = self.services.book, self.services.policy.profiles.values()
        person = self.principal.on_behalf_of or self.principal.name
        self.answer(
            {
                "profiles": [
                    views.rules_view(profile, acknowledged=book.acknowledged(person, profile.name, version(profile)))
                    for profile in profiles
                ]
            }
        )


class EntriesHandler(AuditApiHandler):
    """The ledger's entries."""

    @authorized_to("read")
    async def get(self) -> None:
        """List entries, a page at a time."""
        query = self.query("type", "session", "grant", "after", "limit", "newest_first")
        types = query.texts("type", ENTRY_TYPE, most=32) or None
        session, grant = query.text("session", SESSION_ID), query.text("grant", GRANT_ID)
        after = query.whole("after", None, least=0, most=LARGEST_NUMBER)
        limit = cast(int, query.whole("limit", 100, least=1, most=MOST_ROWS))
        newest_first = query.flag("newest_first")
        principal = self.principal
        sight = self.shared.sight_of(principal)
        page = await self.shared.read(
            lambda reader: views.entry_page(
                reader,
                sight,
                types=types,
                session=session,
                grant=grant,
                after=after,
                limit=limit,
                newest_first=newest_first,
            )
        )
        if page.anothers:
            self.shared.note_read(principal, "entries", session=session, grant=grant)
        self.answer({"entries": page.rows, "next": page.following})


class CellsHandler(AuditApiHandler):
    """The newest cells."""

    @authorized_to("read")
    async def get(self) -> None:
        """List cells, with what became of them."""
        limit = cast(int, self.query("limit").whole("limit", 50, least=1, most=MOST_ROWS))
        principal = self.principal
        sight, live = self.shared.sight_of(principal), self.shared.live_sessions()
        page = await self.shared.read(lambda reader: views.cell_page(reader, sight, live, limit))
        if page.anothers:
            self.shared.note_read(principal, "cells")
        self.answer({"cells": page.rows})


class CellHandler(AuditApiHandler):
    """One cell."""

    @authorized_to("read")
    async def get(self, seq: str) -> None:
        """Answer with a cell's whole code and what is kept of its outputs."""
        self.query()
        principal = self.principal
        sight, live = self.shared.sight_of(principal), self.shared.live_sessions()
        detail, anothers = await self.shared.read(
            lambda reader: views.cell_detail(reader, sight, live, int(seq))
        )
        if anothers:
            self.shared.note_read(principal, "cell", entry=int(seq))
        self.answer(detail)


class RefusalsHandler(AuditApiHandler):
    """What was refused."""

    @authorized_to("read")
    async def get(self) -> None:
        """List the newest refusals."""
        limit = cast(int, self.query("limit").whole("limit", 50, least=1, most=MOST_ROWS))
        principal = self.principal
        sight = self.shared.sight_of(principal)
        page = await self.shared.read(lambda reader: views.refusal_page(reader, sight, limit))
        if page.anothers:
            self.shared.note_read(principal, "refusals")
        self.answer({"refusals": page.rows})


class FindingsHandler(AuditApiHandler):
    """What detections raised."""

    @authorized_to("read")
    async def get(self) -> None:
        """List the newest findings."""
        limit = cast(int, self.query("limit").whole("limit", 50, least=1, most=MOST_ROWS))
        principal, shared = self.principal, self.shared
        sight = shared.sight_of(principal)
        page = await shared.read(lambda reader: views.finding_page(reader, sight, shared.owner_of, limit))
        if page.anothers:
            shared.note_read(principal, "findings")
        self.answer({"findings": page.rows})


class CheckpointHandler(AuditApiHandler):
    """The ledger's head."""

    @authorized_to("read")
    async def get(self) -> None:
        """Answer with the newest checkpoint: the signed note that an auditor keeps."""
        self.query()
        self.finish(self.services.reader.checkpoint_note(), set_content_type="text/plain; charset=utf-8")


class OpenApiHandler(AuditApiHandler):
    """The description of this API."""

    @authorized_to("read")
    async def get(self) -> None:
        """Answer with the OpenAPI document."""
        self.query()
        self.finish(OPENAPI.read_text(encoding="utf-8"), set_content_type="application/yaml; charset=utf-8")


class NothingHereHandler(AuditApiHandler):
    """Every other address below the API."""

    async def prepare(self, **kwargs: Any) -> None:
        """Answer that there is nothing, to whomever: the addresses are no secret."""
        await super().prepare(**kwargs)
        raise web.HTTPError(404)


ROUTES: tuple[tuple[str, type[AuditApiHandler]], ...] = (
    ("status", StatusHandler),
    *api_access.ROUTES,
    *api_cells.ROUTES,
    ("sessions", SessionsHandler),
    (f"sessions/({SESSION_ID})/end", EndSessionHandler),
    ("profiles", ProfilesHandler),
    *api_words.ROUTES,
    *api_alerts.ROUTES,
    ("entries", EntriesHandler),
    ("cells", CellsHandler),
    ("cells/([0-9]{1,16})", CellHandler),
    ("refusals", RefusalsHandler),
    ("findings", FindingsHandler),
    ("checkpoint", CheckpointHandler),
    (r"openapi\.yaml", OpenApiHandler),
    (".*", NothingHereHandler),
)
"""Path below `audit/api/v1/` → handler. The last one takes what is left."""
