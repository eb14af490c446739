"""
The authorizer: one table of what an authenticated user may do over HTTP, and denial of everything else.

It is asked once for each request and when a websocket opens; each message on a websocket is the gate's
business. It also notes who the request acts for, because the kernel managers are not told.
"""

from __future__ import annotations

from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import User
from tornado import web

from jupyter_audit.model import Principal, Role
from jupyter_audit.server.acting import acting_principal
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.services import Services, find_services

EVERYBODY = frozenset(Role) | {None}

ALLOWED: dict[tuple[str, str], frozenset[Role | None]] = {
    ("api", "read"): EVERYBODY,
    ("config", "read"): EVERYBODY,
    ("contents", "read"): EVERYBODY,
    ("contents", "write"): EVERYBODY,
    ("csp", "write"): EVERYBODY,
    ("events", "execute"): EVERYBODY,  # subscribing; `write` would let anybody forge an event
    ("kernels", "execute"): EVERYBODY,  # opening the websocket; the gate judges each message
    ("kernels", "read"): EVERYBODY,
    ("kernels", "write"): EVERYBODY,
    ("kernelspecs", "read"): EVERYBODY,
    ("nbconvert", "read"): EVERYBODY,  # exports what is there; executing is pinned off
    ("sessions", "read"): EVERYBODY,
    ("sessions", "write"): EVERYBODY,
    ("audit", "read"): EVERYBODY,  # the handlers show each role what is theirs
    ("audit", "write"): EVERYBODY,  # the rules of access decide
    ("server", "write"): frozenset({Role.ADMIN}),
}
"""(resource, action) → who may. None stands for somebody without any role. What is not here is denied."""

MAY_END_OTHERS = frozenset({Role.APPROVER, Role.ADMIN})


class AuditAuthorizer(Authorizer):  # type: ignore[misc]
    """Denies by default, and denies kernels wherever the extension's services are missing."""

    async def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """Say whether `user` may do `action` to `resource`."""
        services = find_services(handler.settings)
        allowed = ALLOWED.get((resource, action))
        if services is None or allowed is None:
            return False
        principal = principal_of(handler)
        if None not in allowed and not allowed & principal.roles:
            return False
        if resource in ("kernels", "sessions") and not await self._may_touch(handler, principal, services):
            return False
        acting_principal.set(principal)
        return True

    async def _may_touch(self, handler: Any, principal: Principal, services: Services) -> bool:
        """Say whether the kernel that this request names is the principal's own (or theirs to end)."""
        if handler.request.method == "GET" and handler.request.headers.get("Upgrade", "").lower() != "websocket":
            return True
        kernel_id = handler.path_kwargs.get("kernel_id")
        session_id = handler.path_kwargs.get("session_id")
        if kernel_id is None and session_id is not None:
            try:
                model = await ensure_async(handler.session_manager.get_session(session_id=session_id))
            except web.HTTPError:
                # There is no such session; the handler itself answers that best.
                return True
            kernel_id = model["kernel"]["id"]
        session = services.sessions.of_kernel(kernel_id) if kernel_id else None
        if session is None or session.owner.name == principal.name:
            return True
        return handler.request.method == "DELETE" and bool(MAY_END_OTHERS & principal.roles)
