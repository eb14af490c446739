"""
The routes of terminals: Jupyter's own addresses and answers, for the owner; and read-only for who may watch.

Served only where a profile allows terminals; Jupyter's own handlers stay denied by the guard. Nothing that comes
over the websocket reaches the terminal but through `AuditTerminalManager.type`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyter_server_terminals.api_handlers import TerminalHandler, TerminalRootHandler
from jupyter_server_terminals.handlers import TermSocket
from tornado import web
from tornado.websocket import WebSocketClosedError

from jupyter_audit.errors import AuditError, GateError, RecordError
from jupyter_audit.gate.decide import Cause
from jupyter_audit.model import Actor, Principal, Role
from jupyter_audit.record import kinds
from jupyter_audit.server.apibase import authorized_to
from jupyter_audit.server.authorizer import MAY_END_OTHERS, WATCHERS
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.refusals import put_down_refused
from jupyter_audit.server.services import Services, find_services
from jupyter_audit.server.terminals import TERMINALS_KEY, AuditTerminal, AuditTerminalManager

ENDERS = WATCHERS | MAY_END_OTHERS
"""Who may end another's."""


class _OfTerminals:
    """What the three handlers share."""

    settings: dict[str, Any]

    @property
    def terminal_manager(self) -> AuditTerminalManager:
        """The audited manager, wherever another extension put one of its own."""
        found = self.settings.get(TERMINALS_KEY)
        if not isinstance(found, AuditTerminalManager):
            raise web.HTTPError(404, "There are no terminals on this server.")
        return found

    @property
    def services(self) -> Services:
        """The extension's services."""
        found = find_services(self.settings)
        if found is None or not found.serving:
            raise web.HTTPError(403, "This server does not serve terminals (yet): Jupyter Audit has not started.")
        return found


def terminal_for(handler: _OfTerminals, name: str, principal: Principal, others: frozenset[Role | None]) -> AuditTerminal:
    """Return a terminal that is the principal's own, or that holders of one of the roles `others` may reach (else 404)."""
    found = handler.terminal_manager.terminals.get(name)
    if found is not None and (found.session.owner.name == principal.name or others & principal.roles):
        return found
    if found is not None:
        put_down_refused(handler, door="terminals", target=name, cause=Cause.NOT_OWNER.value)
    # Whether others have a terminal of this name is their business.
    raise web.HTTPError(404, f"There is no terminal {name} of yours.")


class AuditTerminalRootHandler(_OfTerminals, TerminalRootHandler):
    """All terminals of the caller."""

    @authorized_to("read", "terminals")
    async def get(self) -> None:
        """List the caller's terminals."""
        name = principal_of(self).name
        mine = [key for key, term in self.terminal_manager.terminals.items() if term.session.owner.name == name]
        self.finish(json.dumps([self.terminal_manager.get_terminal_model(key) for key in mine]))

    @authorized_to("write", "terminals")
    async def post(self) -> None:
        """Open a terminal. Of what Jupyter's own takes, only name and folder are heeded."""
        asked: Any = self.get_json_body() or {}
        _ = self.services
        try:
            model = await self.terminal_manager.open(principal_of(self), _text(asked, "name"), _text(asked, "cwd"))
        except AuditError as error:
            raise web.HTTPError(error.http_status, error.explain()) from error
        self.finish(json.dumps(model))


class AuditTerminalHandler(_OfTerminals, TerminalHandler):
    """One terminal."""

    @authorized_to("read", "terminals")
    async def get(self, name: str) -> None:
        """Say that it is there."""
        terminal_for(self, name, principal_of(self), frozenset())
        self.finish(json.dumps(self.terminal_manager.get_terminal_model(name)))

    @authorized_to("write", "terminals")
    async def delete(self, name: str) -> None:
        """End it."""
        principal = principal_of(self)
        terminal = terminal_for(self, name, principal, ENDERS)
        session = terminal.session
        if session.owner.name == principal.name:
            await self.terminal_manager.end(terminal, "shutdown")
        else:
            ordered = kinds.SessionEndOrdered(owner=session.owner.name, reason="")
            self.services.put_down(ordered, principal=principal, session=session)
            await self.terminal_manager.end(terminal, "observer", f"{principal.name} ended this terminal.")
        self.set_status(204)
        self.finish()


class AuditTermSocket(_OfTerminals, TermSocket):
    """A terminal's websocket, for its owner or for somebody who watches."""

    watches = True
    terminal: Any

    def initialize(self, name: str, **kwargs: Any) -> None:  # type: ignore[override]
        """Take the extension's name; the manager is the server's one."""
        super().initialize(name, self.terminal_manager, **kwargs)

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the websocket for who may type or watch."""
        if self.current_user is None:
            raise web.HTTPError(403)
        _ = self.services
        self._who = principal_of(self)
        found = terminal_for(self, str(args[0]), self._who, WATCHERS)
        self.watches = found.session.owner.name != self._who.name
        await super().get(*args, **kwargs)

    async def open(self, url_component: Any = None) -> None:  # type: ignore[override]  # Tornado awaits what it gets
        """Attach the client. That somebody watches is put down before they are shown anything."""
        if self.watches and not await self._begin_watching(str(url_component)):
            return
        try:
            super().open(url_component)
        except GateError:
            self.close(1000, "The session is over.")

    async def _begin_watching(self, name: str) -> bool:
        services, found = self.services, self.terminal_manager.terminals.get(name)
        if found is None:
            self.close(1000, "The session is over.")
            return False
        session = found.session
        kind = kinds.SessionWatched(owner=session.owner.name, watching=True, through="terminal")
        draft = kinds.draft(kind, actor=Actor.of(self._who), grant=session.grant, session=session.id)
        try:
            async with asyncio.timeout(services.settings.record_timeout_seconds):
                await asyncio.wrap_future(services.recorder.record(draft))
        except (RecordError, TimeoutError):
            self.close(1011, "Not shown: the ledger could not record that you watch.")
            return False
        session.watched_by.append(self._who.name)
        return True

    async def on_message(self, message: Any) -> None:  # type: ignore[override]
        """Take a message, strictly: what is typed, or a size."""
        terminal: AuditTerminal | None = self.terminal
        try:
            command = json.loads(message)
            kind, given = command[0], command[1:]
        except (ValueError, TypeError, LookupError):
            return
        if terminal is None:
            return
        if kind == "stdin" and len(given) == 1 and isinstance(given[0], str):
            refusal = await self.terminal_manager.type(terminal, self._who, given[0])
            if refusal is not None:
                self.on_pty_read(f"\r\n\x1b[31m{refusal.sentence}\x1b[0m\r\n")
        elif kind == "set_size" and not self.watches and _is_size(given[:2]):
            self.size = (given[0], given[1])
            terminal.resize_to_smallest()

    def unsent(self) -> int:
        """Return how many bytes wait for this client; nobody waits for one who only watches: it is let go."""
        stream = self.ws_connection.stream if self.ws_connection is not None else None
        waiting = len(stream._write_buffer) if stream is not None else 0
        if self.watches and waiting > 1024 * 1024:
            self.close()
            return 0
        return waiting

    def write_message(self, message: Any, binary: bool = False) -> None:  # type: ignore[override]
        """Send, unless the client has just gone."""
        try:
            super().write_message(message, binary)
        except WebSocketClosedError:
            return

    def on_close(self) -> None:
        """Detach the client."""
        services = find_services(self.settings)
        if self.watches and self.terminal is not None and services is not None:
            session = self.terminal.session
            if self._who.name in session.watched_by:
                session.watched_by.remove(self._who.name)
            kind = kinds.SessionWatched(owner=session.owner.name, watching=False, through="terminal")
            services.put_down(kind, principal=self._who, session=session)
        super().on_close()


def _text(asked: Any, name: str) -> str | None:
    value = asked.get(name) if isinstance(asked, dict) else 0
    if value is None or isinstance(value, str):
        return value
    raise web.HTTPError(400, f"The body must be a JSON object, and {name} in it a text.")


def _is_size(given: list[Any]) -> bool:
    return len(given) == 2 and all(type(value) is int and 1 <= value <= 1000 for value in given)


ROUTES: tuple[tuple[str, Any], ...] = (
    (r"/terminals/websocket/(\w+)", AuditTermSocket),
    (r"/api/terminals", AuditTerminalRootHandler),
    (r"/api/terminals/(\w+)", AuditTerminalHandler),
)
"""Jupyter's own addresses."""
