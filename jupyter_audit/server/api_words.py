"""The REST API for rules that are read, feedback, and the numbers that admins see."""

from __future__ import annotations

from jupyter_audit.access import stats
from jupyter_audit.errors import NotPermittedError
from jupyter_audit.model import Role
from jupyter_audit.server.apibase import AuditApiHandler, authorized_to
from jupyter_audit.server.inputs import Field

TEXT = Field(str)


class AcknowledgementsHandler(AuditApiHandler):
    """The acknowledgement of a profile's rules."""

    @authorized_to("write")
    async def post(self) -> None:
        """Put down that the caller read the rules."""
        given = self.body(profile=TEXT, version=TEXT)
        access, principal = self.services.access, self.principal
        version = await self.shared.act(lambda: access.acknowledge(principal, given["profile"], given["version"]))
        self.answer({"profile": given["profile"], "version": version})


class FeedbackHandler(AuditApiHandler):
    """What got in somebody's way."""

    @authorized_to("write")
    async def post(self) -> None:
        """Put it down, with what it is about."""
        given = self.body(text=TEXT, about=Field(int, required=False))
        access, principal = self.services.access, self.principal
        about = await self.shared.act(lambda: access.say(principal, given["text"], given["about"]))
        self.answer({"about": None if about < 0 else about}, 201)


class StatsHandler(AuditApiHandler):
    """How access goes."""

    @authorized_to("read")
    async def get(self) -> None:
        """Answer with numbers, for admins and auditors."""
        self.query()
        principal = self.principal
        if not {Role.ADMIN, Role.AUDITOR} & principal.roles:
            raise NotPermittedError(f"{principal.name} may not see everybody's numbers.", advice="Admins and auditors may.")
        found = await self.shared.read(lambda reader: stats.count(reader.entries(types=stats.TYPES)))
        self.shared.note_read(principal, "stats")
        self.answer(found.to_json())


ROUTES: tuple[tuple[str, type[AuditApiHandler]], ...] = (
    ("acknowledgements", AcknowledgementsHandler),
    ("feedback", FeedbackHandler),
    ("stats", StatsHandler),
)
