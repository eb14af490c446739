"""
The authorizer: one table of who may do what over HTTP, and denial of everything else (P2).

It is asked once for each request and when a websocket opens; each message on a websocket is the gate's
business. It also notes who the request acts for, because the kernel managers are not told. Where the
extension's services are missing it must deny everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import User
from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION
from jupyter_server.services.api.handlers import PathResolverHandler
from jupyter_server.services.kernels.handlers import _kernel_id_regex
from tornado import web

from jupyter_audit.model import Principal, Role
from jupyter_audit.record import kinds
from jupyter_audit.server.acting import acting_principal
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.reach import check_reach, paths_changed, paths_started_in
from jupyter_audit.server.refusals import READING, RefusedError, put_down_refused
from jupyter_audit.server.services import Services, find_services

ANYBODY: frozenset[Role | None] = frozenset({*Role, None})
SOMEBODY: frozenset[Role | None] = frozenset(Role)
ENGINEER: frozenset[Role | None] = frozenset({Role.ENGINEER})
WATCHERS: frozenset[Role | None] = frozenset({Role.APPROVER, Role.AUDITOR})
MAY_END_OTHERS: frozenset[Role | None] = frozenset({Role.APPROVER, Role.ADMIN})

ALLOWED: Mapping[tuple[str, str], frozenset[Role | None]] = {
    ("api", "read"): ANYBODY,
    ("audit", "read"): ANYBODY,  # the handlers show each role what is theirs
    ("audit", "write"): ANYBODY,  # the rules of access decide
    ("config", "read"): ANYBODY,
    ("contents", "read"): SOMEBODY,
    ("contents", "write"): ENGINEER | {Role.ADMIN},
    ("csp", "write"): ANYBODY,
    ("events", "execute"): SOMEBODY,  # subscribing; `write` would let anybody forge an event
    ("kernels", "execute"): ENGINEER | WATCHERS,  # opening the websocket; the gate judges each message
    ("kernels", "read"): SOMEBODY,
    ("kernels", "write"): ENGINEER | MAY_END_OTHERS,
    ("kernelspecs", "read"): ANYBODY,
    ("nbconvert", "read"): SOMEBODY,
    ("server", "write"): frozenset({Role.ADMIN}),
    ("sessions", "read"): SOMEBODY,
    ("sessions", "write"): ENGINEER | MAY_END_OTHERS,
    ("terminals", "execute"): ENGINEER | WATCHERS,  # opening the websocket; each thing typed is judged
    ("terminals", "read"): SOMEBODY,
    ("terminals", "write"): SOMEBODY,  # the handler opens them under a grant alone, and says who may end another's
}
"""(resource, action) → who may; None stands for somebody without any role. What is not here is denied."""

KERNEL_ID = re.compile(_kernel_id_regex, re.ASCII)
LONGEST_KERNEL_ID = 100

EXPORTS = frozenset({"html", "markdown", "notebook", "python", "slides"})
"""
The formats that a notebook may be exported to: templates only. The others start programs as the server
(LaTeX, which reads any file that a cell names; a browser, which runs the notebook's scripts; pandoc), or
`script`, which imports whatever module the notebook's own metadata names.
"""


def decide_roles(resources: frozenset[str], actions: frozenset[str], roles: frozenset[Role]) -> bool:
    """
    Say whether somebody with `roles` may do all of `actions` to all of `resources`.

    Jupyter's `@authorized` keeps what it was asked first in a closure, so one function that serves two
    methods reports the first one's action for both. The caller therefore passes what was reported and what is
    so.
    """
    for resource in resources:
        for action in actions:
            allowed = ALLOWED.get((resource, action), frozenset())
            if None not in allowed and not allowed & roles:
                return False
    return bool(resources) and bool(actions)


class AuditAuthorizer(Authorizer):
    """Denies by default, and denies everything wherever the extension's services are missing."""

    async def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        """
        Say whether `user` may do `action` to `resource`.

        Raises `tornado.web.HTTPError` 403 with a sentence where there is more to say than no.
        """
        services = find_services(handler.settings)
        if services is None or handler.current_user is None:
            return False
        try:
            allowed = await self._judge(handler, action, resource, services)
        except web.HTTPError as error:
            put_down_refused(handler, door="authorizer", target=resource, cause=getattr(error, "cause", "malformed"))
            raise
        if not allowed:
            put_down_refused(handler, door="authorizer", target=resource, cause="role")
        return allowed

    async def _judge(self, handler: Any, action: str, resource: str, services: Services) -> bool:
        principal = principal_of(handler)
        reported = frozenset({resource, getattr(handler, "auth_resource", None) or resource})
        if isinstance(handler, PathResolverHandler):
            # It tells what files there are in the notebook folder, and which a kernel sees.
            reported |= {"contents"}
        # A websocket opens with a GET, which would be reading; whoever asks for more is judged by that.
        method_action = HTTP_METHOD_TO_AUTH_ACTION.get(handler.request.method, "")
        actions = frozenset({action} if action == "execute" else {action, method_action})
        if not decide_roles(reported, actions, principal.roles):
            return False
        if isinstance(handler, PathResolverHandler):
            self._check_resolving(handler, principal, services)
        if resource == "nbconvert":
            _check_export(handler)
        if resource == "contents" and handler.request.method not in READING:
            _check_contents(handler)
        if resource in ("kernels", "sessions") and (
            action == "execute" or handler.request.method not in READING
        ):
            await self._check_kernels(handler, principal, services, action)
        acting_principal.set(principal)
        return True

    async def _check_kernels(
        self, handler: Any, principal: Principal, services: Services, action: str
    ) -> None:
        """Raise unless the kernels that a request names are the principal's own, or theirs to end."""
        if not services.serving:
            raise RefusedError(
                "not_serving", "This server does not serve kernels (yet): Jupyter Audit has not started."
            )
        body = handler.get_json_body() if handler.request.method in ("POST", "PATCH", "PUT") else None
        for_session = handler.auth_resource == "sessions"
        for path in paths_started_in(body):
            check_reach(path, handler.kernel_manager.root_dir, hidden=True)
        named: list[Any] = [handler.path_kwargs.get("kernel_id"), await _kernel_of_session(handler, body)]
        asked = body.get("kernel") if for_session and isinstance(body, dict) else body
        if isinstance(asked, dict):
            # What a session's body names is used in the place of what the address names.
            named += [asked.get("id"), asked.get("kernel_id")]
            _check_kernel_name(asked.get("name"), services)
        elif asked is not None:
            raise web.HTTPError(400, "The kernel must be a JSON object.")
        if not all(kernel_id is None or isinstance(kernel_id, str) for kernel_id in named):
            raise web.HTTPError(400, "A kernel's id must be a string.")
        if isinstance(asked, dict) and not _can_be_addressed(asked.get("kernel_id")):
            # Jupyter starts it all the same, and then no address leads to it, not even to end it.
            raise web.HTTPError(400, "A kernel's id must be five words with hyphens in between, as of a UUID.")
        others = [one for one in named if one and self._owner(handler, services, one) != principal.name]
        if handler.request.method == "DELETE":
            if others and not MAY_END_OTHERS & principal.roles:
                raise RefusedError(
                    "not_owner",
                    "This kernel belongs to somebody else. Its owner, an approver or an admin can end it.",
                )
            for one in set(others):
                _put_down_end(services, principal, str(one))
        elif action == "execute" and others and WATCHERS & principal.roles:
            # The websocket of somebody who only watches: the connection class sees to that.
            return
        elif others:
            raise RefusedError("not_owner", "This kernel belongs to somebody else: only its owner may use it.")
        elif Role.ENGINEER not in principal.roles:
            raise RefusedError("role", "Only an engineer may start or use a kernel (c.JupyterAudit.roles).")

    def _check_resolving(self, handler: Any, principal: Principal, services: Services) -> None:
        """Raise unless the kernel whose files are asked after is the principal's own."""
        asked = handler.get_query_argument("kernel", "")
        if asked and self._owner(handler, services, asked) != principal.name:
            raise RefusedError("not_owner", "This kernel belongs to somebody else: only its owner may see what it sees.")

    def _owner(self, handler: Any, services: Services, kernel_id: str) -> str | None:
        """Return who a kernel belongs to: its session's owner, or who started it when that is over."""
        session = services.sessions.of_kernel(str(kernel_id))
        if session is not None:
            return session.owner.name
        if kernel_id not in handler.kernel_manager:
            # There is no such kernel; the handler says so, or starts one under that id for whoever asks.
            return str(principal_of(handler).name)
        owner: Principal | None = getattr(handler.kernel_manager.get_kernel(kernel_id), "_audit_owner", None)
        return owner.name if owner is not None else None


async def _kernel_of_session(handler: Any, body: Any) -> str | None:
    """Return the kernel of the Jupyter session that a request names or, by a path, would get."""
    session_id = handler.path_kwargs.get("session_id")
    path = body.get("path") if session_id is None and handler.auth_resource == "sessions" and body else None
    manager = handler.session_manager
    try:
        if session_id is not None:
            model = await ensure_async(manager.get_session(session_id=session_id))
        elif isinstance(path, str) and await ensure_async(manager.session_exists(path=path)):
            model = await ensure_async(manager.get_session(path=path))
        else:
            return None
    except (web.HTTPError, KeyError):
        # There is no such session, or its kernel is gone; the handler itself answers that best.
        return None
    return str(model["kernel"]["id"])


def _can_be_addressed(kernel_id: str | None) -> bool:
    """Return whether the id that a client chose for a kernel, if it did, is one that Jupyter's addresses have room for."""
    return kernel_id is None or (len(kernel_id) <= LONGEST_KERNEL_ID and KERNEL_ID.fullmatch(kernel_id) is not None)


def _put_down_end(services: Services, principal: Principal, kernel_id: str) -> None:
    """Put down that somebody has another's kernel ended by Jupyter's own API."""
    session = services.sessions.of_kernel(kernel_id)
    if session is not None:
        kind = kinds.SessionEndOrdered(owner=session.owner.name, reason="")
        services.put_down(kind, principal=principal, session=session)


def _check_kernel_name(name: object, services: Services) -> None:
    allowed = services.settings.allowed_kernels
    if name and name not in allowed:
        raise RefusedError(
            "kernel_not_allowed",
            f"The kernel {name!r} may not start on this server. Choose one of: {', '.join(allowed)} "
            "(c.JupyterAudit.allowed_kernels).",
        )


def _check_contents(handler: Any) -> None:
    """Raise unless all that a request would change lies in the notebook folder, and in sight."""
    manager = handler.contents_manager
    body = handler.get_json_body() if handler.request.method in ("POST", "PATCH", "PUT") else None
    for path in paths_changed(handler.path_kwargs.get("path"), body):
        check_reach(path, manager.root_dir, hidden=manager.allow_hidden)


def _check_export(handler: Any) -> None:
    """Raise unless a notebook is converted to a format that starts no program and runs no code."""
    wanted = handler.path_kwargs.get("format")
    if wanted is not None and wanted not in EXPORTS:
        raise RefusedError(
            "export",
            f"Exporting to {wanted} starts programs in the server, so it is off on an audited server. "
            f"Choose one of: {', '.join(sorted(EXPORTS))}.",
        )
