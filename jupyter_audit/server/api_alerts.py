"""The REST API for alerts: how targets stand, and a test message. No address of a service is told."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from jupyter_audit.errors import NotPermittedError
from jupyter_audit.gate import orphans
from jupyter_audit.model import Role
from jupyter_audit.notify.post import Post
from jupyter_audit.notify.standing import glasses_unheard, standings
from jupyter_audit.notify.trial import try_targets
from jupyter_audit.server.apibase import AuditApiHandler, authorized_to
from jupyter_audit.server.inputs import Field


class AlertsHandler(AuditApiHandler):
    """The targets of alerts, and what goes where."""

    @authorized_to("read")
    async def get(self) -> None:
        """Answer with how each target stands, for admins and auditors."""
        self.query()
        principal, routes = self.principal, self.services.alert_routes
        if not {Role.ADMIN, Role.AUDITOR} & principal.roles:
            raise NotPermittedError(f"{principal.name} may not see how alerts stand.", advice="Admins and auditors may.")
        targets = await self.shared.read(lambda reader: standings(reader, routes))
        self.answer(
            {
                "targets": [asdict(one) for one in targets],
                "routes": {event: list(named) for event, named in routes.routes.items()},
                "unheard": glasses_unheard(routes, self.services.policy),
            }
        )


class TestAlertsHandler(AuditApiHandler):
    """A test message."""

    @authorized_to("write")
    async def post(self) -> None:
        """Send one to each target, or to those named (parted by spaces), for admins."""
        given = self.body(targets=Field(str, required=False))
        principal, services = self.principal, self.services
        if Role.ADMIN not in principal.roles:
            raise NotPermittedError(f"{principal.name} may not send test alerts.", advice="Admins may.")
        self.shared.pace.take(principal.name)
        names = (given["targets"] or "").split()
        post = Post(started=orphans.register, ended=orphans.forget)
        outcomes = await asyncio.to_thread(try_targets, services.alert_routes, names, principal, post)
        for outcome in outcomes:
            services.put_down(outcome.kind(), principal=principal)
        self.answer({"outcomes": [asdict(outcome) for outcome in outcomes]})


ROUTES: tuple[tuple[str, type[AuditApiHandler]], ...] = (
    ("alerts", AlertsHandler),
    ("alerts/test", TestAlertsHandler),
)
