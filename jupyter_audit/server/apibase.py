"""
What every handler of the web faces shares: who may ask, strict input, answers, problem details.

Decides nothing: the Authorizer, the rules of access and `Sight` do.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from jupyter_audit.errors import AuditError, TooManyError
from jupyter_audit.model import Principal
from jupyter_audit.server import problems
from jupyter_audit.server.inputs import Field, Query, parse_body
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.services import Services, find_services
from jupyter_audit.server.web import Web, find_web

Method = Callable[..., Awaitable[None]]
T = TypeVar("T")

MOST_ROWS = 500
"""Of one page of a listing."""


def authorized_to(action: str, resource: str = "audit") -> Callable[[Method], Method]:
    """
    Return a decorator: the method is for authenticated users whom the Authorizer lets do `action` to `resource`.

    Made anew for each method, with action and resource named: Jupyter's own decorator, given neither, keeps
    those of whoever called it first (jupyter_server 2.21, auth/decorator.py).
    """

    def decorate(method: Method) -> Method:
        asked = cast(Method, authorized(action=action, resource=resource)(method))
        return cast(Method, web.authenticated(cast(Any, asked)))

    return decorate


class AuditApiHandler(APIHandler):
    """Base of the API's handlers. Each method of a subclass says `@authorized_to(…)` itself."""

    auth_resource = "audit"

    @property
    def shared(self) -> Web:
        """What the web faces share; 503 where the extension did not load."""
        found = find_web(self.settings)
        if found is None:
            raise web.HTTPError(503, "Jupyter Audit did not load on this server.")
        return found

    @property
    def services(self) -> Services:
        """The extension's services."""
        return self.shared.services

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return principal_of(self)

    def body(self, **fields: Field) -> dict[str, Any]:
        """Return the fields of the JSON body. Raises `UsageError` in words."""
        return parse_body(self.request.body, fields)

    def query(self, *known: str) -> Query:
        """Return the query, in which only these names may stand."""
        return Query(self.request.query_arguments, known=known)

    async def act(self, do: Callable[[], T], *, urgent: bool = False) -> T:
        """
        Do an act that waits until the ledger holds it, as `Web.act` does.

        Raises `TooManyError` if the caller does too many in a minute, but never for an `urgent` one.
        """
        if not urgent:
            self.shared.pace.take(self.principal.name)
        return await self.shared.act(do)

    def answer(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def set_default_headers(self) -> None:
        """Keep answers out of every cache: they are about people, and age within seconds."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with problem details (RFC 9457)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        known_user = getattr(self, "_jupyter_current_user", None) is not None
        problem = problems.problem_of(error, status_code, known_user=known_user)
        services = find_services(self.settings)
        if services is not None:
            problem |= {"detail": services.hinting(problem["detail"]), "advice": services.hinting(problem["advice"])}
        self.set_status(problem["status"])
        if isinstance(error, TooManyError):
            self.set_header("Retry-After", str(error.retry_after))
        if problem["status"] == 405:
            # RFC 9110, 15.5.6.
            self.set_header("Allow", ", ".join(method for method in ("GET", "POST") if method.lower() in vars(type(self))))
        self.finish(json.dumps(problem, ensure_ascii=False), set_content_type=problems.MEDIA_TYPE)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Keep what people are told anyway out of the server's error log."""
        if not isinstance(value, AuditError) or value.http_status >= 500:
            super().log_exception(typ, value, tb)
