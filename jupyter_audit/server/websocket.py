"""
The gate's place in Jupyter Server: the connection class through which every front-end message passes (P1, P2).

Nothing reaches the kernel's sockets but what `Gate.admit` has let through, rebuilt from what was parsed. Without the
extension's services nothing passes at all: the class fails closed. It also says which sockets are whose: when a client
comes again, leaves, or only watches, and when the kernel is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jupyter_audit_kernel.formats import PERMIT_KEY
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado import web
from traitlets import default

from jupyter_audit.errors import RecordError
from jupyter_audit.gate.admit import Passed
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.decide import Cause, Refuse
from jupyter_audit.gate.drafts import clean
from jupyter_audit.gate.holding import CLIENT_LEFT, HeldCell
from jupyter_audit.gate.messages import waits
from jupyter_audit.gate.sessions import Session, SessionState
from jupyter_audit.model import Json, Principal
from jupyter_audit.record import kinds
from jupyter_audit.server import kernelwords
from jupyter_audit.server.auditcells import answer_cell, asked_in
from jupyter_audit.server.lanes import Lanes, Received
from jupyter_audit.server.observers import Observer
from jupyter_audit.server.ownmessages import OwnSession
from jupyter_audit.server.people import principal_of
from jupyter_audit.server.services import Services, find_services
from jupyter_audit.server.telling import Teller
from jupyter_audit.server.web import find_web
from jupyter_audit.server.wire import V1_PROTOCOL, MalformedMessageError, parse_message, read_outgoing

UNAPPROVED = frozenset({Cause.CELL_DENIED, Cause.CELL_LAPSED, Cause.INTERRUPTED})
"""Why a held cell did not run; what was sent behind it was meant for what it would have done."""

CROWDED_OUT = "messages of a client were refused: too many waited"

FAILED = "a client's message was refused: the gate failed at it"

LOOK_S = 0.05
"""Seconds between two looks whether a kernel that is being restarted has a session again."""

JOIN_S = 5.0
"""Seconds that a message waits at most until what a restarted kernel publishes is heard on the connection it came by."""


class AuditWebsocketConnection(ZMQChannelsWebsocketConnection):
    """A websocket between one client and one kernel, with the gate in between."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tell = Teller(self)
        """Says to the client what the server has to say in the kernel's place."""
        self._lanes = Lanes(self._serve)
        self._services: Services | None = find_services(self.websocket_handler.settings)
        self._principal: Principal | None = None
        if self._services is not None:
            self._principal = principal_of(self.websocket_handler)
        self._observer: Observer | None = None
        self._learning: asyncio.Task[None] | None = None
        self._counted = False
        """Whether Jupyter counts this as one of the kernel's connections."""
        self._connecting: asyncio.Future[None] | None = None
        self._left = False
        self._sockets: dict[str, Any] = {}
        self._closing: asyncio.Task[None] | None = None
        self._crowded_out = 0
        self._hears = asyncio.Event()
        self._hears.set()

    @default("session")
    def _default_session(self) -> OwnSession:
        session = OwnSession(config=self.config)
        session.terms = self._terms
        return session

    def _terms(self) -> tuple[Session, datetime] | None:
        session = self._live_session()
        return None if session is None or self._services is None else (session, self._services.clock.now())

    def _live_session(self) -> Session | None:
        return self._services.sessions.of_kernel(self.kernel_id) if self._services is not None else None

    async def _register_session(self) -> None:
        """Name the client that connects. Its connection of before makes room only when this one opens (`connect`)."""
        self.session_key = f"{self.kernel_id}:{self.session.session}"

    async def prepare(self) -> None:
        """
        Prepare as Jupyter does, for the owner; anybody else whom the Authorizer let through only watches.

        For an observer nothing of what Jupyter does may be done: it would close the owner's connection where session ids
        are the same, and drop the output that waits for an owner whose network is lost.
        """
        principal, session = self._principal, self._live_session()
        if principal is None or (session is not None and session.owner.name == principal.name):
            await self._prepare_for_owner()
            return
        if session is None and not await self._started():
            await self._prepare_for_owner()  # it says why the kernel did not start
            return
        session = self._live_session()
        if session is None:
            raise web.HTTPError(404, "This kernel has no live session to watch.")
        if session.owner.name == principal.name:
            await self._prepare_for_owner()
        else:
            self._observer = Observer(session, principal, "websocket", self._show, self._show_end)

    async def _prepare_for_owner(self) -> None:
        await super().prepare()  # type: ignore[no-untyped-call]
        if self._left:
            raise web.HTTPError(400, "The client left before it was connected.")
        if self.kernel_id not in self.multi_kernel_manager:
            raise web.HTTPError(404, f"Kernel does not exist: {self.kernel_id}")

    async def _started(self) -> bool:
        """Wait for a kernel that is still being started (Jupyter's `use_pending_kernels`); return whether it has started."""
        try:
            await self.kernel_manager.ready
        except Exception:
            return False
        return True

    def request_kernel_info(self) -> Any:
        """
        Return a future of what the kernel said of itself when it was proven.

        Jupyter asks the kernel, once for all of its clients. One that is restarted meanwhile is elsewhere and does not hear it,
        and no client could connect for a minute.
        """
        if self._services is None:
            return super().request_kernel_info()  # type: ignore[no-untyped-call]
        self._learning = asyncio.get_running_loop().create_task(self._learn())
        return self._kernel_info_future

    async def _learn(self) -> None:
        info: Mapping[str, Any] = {}
        while not self._kernel_info_future.done() and self.kernel_id in self.multi_kernel_manager:
            session = self._live_session()
            if session is not None:
                await session.ready.wait()
                if session.state is SessionState.LIVE:
                    info = session.kernel_info or {}
                    break
            await asyncio.sleep(LOOK_S)  # it is being restarted, or ends
        self._finish_kernel_info(info)  # type: ignore[no-untyped-call]

    def connect(self) -> Any:
        """Connect as Jupyter does, and have small messages go out at once: waiting for more costs 40 ms a cell."""
        self.websocket_handler.set_nodelay(True)
        if self._observer is not None:
            return self._watch(self._observer)
        self._succeed()
        self._counted = True
        self._connecting = super().connect()
        return self._connecting

    def _succeed(self) -> None:
        """
        Take the place of the same client's connection of before, which may not have noticed that its network is lost.

        At once, not when its websocket has closed: until then the kernel would have two connections of one client.
        """
        stale = self._open_sessions.get(self.session_key)
        if stale is not None:
            self.log.warning("jupyter-audit: replacing the connection %s", self.session_key)
            if isinstance(stale.connection, AuditWebsocketConnection):
                stale.connection.leave(keep=True)
            stale.close()
        if self.kernel_id in self.multi_kernel_manager:
            self._open_sessions[self.session_key] = self.websocket_handler

    def create_stream(self) -> None:
        """
        Make the sockets to the kernel, under a name of their own.

        Jupyter's go by the client's session id. But of two sockets under one name a kernel hears one: the other's cells would
        be put down and never run. All four share it, because a kernel asks for input where the cell came from.
        """
        name = uuid.uuid4().hex.encode()
        for channel in ("iopub", "shell", "control", "stdin"):
            stream = getattr(self.kernel_manager, f"connect_{channel}")(identity=name)
            stream.channel = channel
            self.channels[channel] = stream

    @classmethod
    def of_kernel(cls, kernel_id: str) -> list[AuditWebsocketConnection]:
        """Return the connections of a kernel's owner that are open."""
        return [one for one in cls._open_sockets if isinstance(one, cls) and one.kernel_id == kernel_id]

    def send_away(self) -> None:
        """End the connection: the kernel that it was to is no more, and another has its id."""
        self.leave(keep=False)
        self.websocket_handler.close(1000, "This kernel is gone.")

    def rejoin(self) -> None:
        """Connect to the kernel's sockets of now: it was restarted, and they are elsewhere."""
        _close(self.channels)
        self.channels = {}
        self._hears.clear()
        self.create_stream()
        # That waits for the earlier kernel to answer.
        self._stop_connecting()
        for stream in self.channels.values():
            stream.on_recv_stream(self.handle_outgoing_message)

    async def _join(self) -> None:
        """
        Wait until what the kernel publishes is heard here: ZMQ finds sockets that were not there yet some time after they are.

        The kernel may be heard elsewhere long before; a cell that is sent meanwhile would run, and its client see no end of it.
        """
        shell = self.kernel_manager.connect_shell()
        try:
            async with asyncio.timeout(JOIN_S):
                while not (self._hears.is_set() or self._left):
                    self.session.send(shell, "kernel_info_request")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._hears.wait(), 0.1)
        except TimeoutError:
            self.log.warning("jupyter-audit: nothing is heard of kernel %s", self.kernel_id)
        finally:
            shell.close()

    # --- for an observer --------------------------------------------------------------------------

    async def _watch(self, observer: Observer) -> None:
        assert self._services is not None
        try:
            async with asyncio.timeout(self._services.settings.record_timeout_seconds):
                await self._services.observers.begin(observer)
        except (RecordError, TimeoutError):
            self.websocket_handler.close(1011, "Not shown: the ledger could not record that you watch.")

    def _show(self, msg_type: str, content: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
        self.tell.write("iopub", msg_type, content, parent)

    def _show_end(self) -> None:
        self.tell.state("dead", {})
        self.websocket_handler.close(1000, "The session is over.")

    # --- from the client --------------------------------------------------------------------------

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Take a message off the websocket, parse it, and queue it on its lane."""
        if not self.channels and self._observer is None:
            return
        message: Received
        try:
            message = parse_message(incoming_msg, self.subprotocol)
            channel = message.channel
        except MalformedMessageError as error:
            message, channel = error, "shell"
        if not self._lanes.put(channel, message, len(incoming_msg)):
            if isinstance(message, ClientMessage):
                sentence = "Too much waits to be recorded, or behind a cell that waits. Wait for it, then run this again."
                self._refuse(message, Cause.NOT_RECORDED, sentence)
            self._crowded_out += 1
            if self._crowded_out == 1:
                self._put_down_crowded_out()

    def disconnect(self) -> None:  # type: ignore[override]  # as the class between has it
        """Take leave."""
        self.leave(keep=False)

    def leave(self, *, keep: bool) -> None:
        """
        Take leave once; what was received still passes the gate, and goes to the kernel if it may.

        With `keep`, or if nobody else is connected to the kernel, its sockets and what they bring are kept for the same client's
        next connection.
        """
        if self._left:
            return
        self._left = True
        if self._crowded_out > 1:
            self._put_down_crowded_out()
        if self._services is not None:
            self._services.gate.held.cancel(CLIENT_LEFT, client=self)
        self._lanes.close()
        if self._observer is not None:
            if self._services is not None:
                self._services.observers.end(self._observer)
            return
        if not self._counted:
            # Jupyter would count one connection less than there are.
            if not self._kernel_info_future.done():
                self._kernel_info_future.set_result({})
            return
        kernels = self.multi_kernel_manager
        sockets, self.channels = self.channels, {}
        connecting = self._stop_connecting()
        # Without sockets: it would close them under what is still on its way, or keep them in the middle of connecting.
        super().disconnect()  # type: ignore[no-untyped-call]
        there = self.kernel_id in kernels
        last = there and kernels._kernel_connections.get(self.kernel_id) == 0
        if last:
            kernels.stop_buffering(self.kernel_id)
        if sockets and there and not connecting and (keep or last):
            kernels.start_buffering(self.kernel_id, self.session_key, sockets)
            self._sockets = sockets
        elif lanes := self._lanes.tasks:
            self._sockets = sockets
            self._closing = asyncio.get_running_loop().create_task(self._close_after(lanes))
        else:
            _close(sockets)

    def _stop_connecting(self) -> bool:
        """End the waiting for the kernel's first answer, if this connection still waits for it; return whether it did."""
        if self._connecting is None or self._connecting.done():
            return False
        # Soon, not now: a task that has not begun could not clean up.
        asyncio.get_running_loop().call_soon(self._connecting.cancel)
        return True

    async def _close_after(self, lanes: tuple[asyncio.Task[None], ...]) -> None:
        await asyncio.wait(lanes)
        _close(self._sockets)

    async def _serve(self, received: Received) -> None:
        if isinstance(received, MalformedMessageError):
            self._put_down_malformed(received)
            return
        try:
            await self._pass_or_refuse(received)
        except Exception as error:
            # Whatever went wrong, this message did not go on, and the next one must still be judged.
            self.log.exception("jupyter-audit: a message was not passed on")
            self._put_down_failed(received, error)
            try:
                self._refuse(received, Cause.NOT_RECORDED, "Not run: the audit gate failed. The server's log says why.")
            except Exception:
                # Nor may an answer that cannot be given end the lane, and with it all that waits behind.
                self.log.exception("jupyter-audit: a refusal could not be told")

    async def _pass_or_refuse(self, message: ClientMessage) -> None:
        services, principal, session = self._services, self._principal, self._live_session()
        if services is None or principal is None:
            sentence = "Not run: Jupyter Audit did not load on this server. Tell an admin."
            self._refuse(message, Cause.NOT_RECORDED, sentence)
            return
        if self._observer is None and (asked := asked_in(message, session)) is not None:
            await self._answer(message, session, principal, asked)
            return
        if session is None:
            self.tell.refusal(message, services.gate.refuse_without_session(message, self.kernel_id, principal), None)
            return
        if self._observer is not None and message.msg_type == "kernel_info_request":
            # Answered here: an observer's messages reach no kernel.
            self.tell.state("busy", message.header)
            self.tell.write("shell", "kernel_info_reply", session.kernel_info or {"status": "ok"}, message.header)
            self.tell.state("idle", message.header)
            return
        await session.ready.wait()
        if waits(message.msg_type) and not self._hears.is_set():
            await self._join()
        verdict = await services.gate.admit(message, session, principal, self)
        if isinstance(verdict, Refuse):
            self.tell.refusal(message, verdict, self._live_session())
            if verdict.cause in UNAPPROVED and message.content.get("stop_on_error", True):
                self._abort_waiting(message.channel, session, principal)
        else:
            hidden = message.msg_type == "input_reply" and bool(session.passwords_asked)
            services.observers.admitted(session, message, verdict.entry, hidden=hidden)
            if verdict.warning and message.msg_type == "execute_request" and not message.content.get("silent"):
                self.tell.printed("stderr", f"{verdict.warning}\n", message.header)
            sent = False
            try:
                sent = self._send(message, verdict, session)
            finally:
                if not sent:
                    services.gate.not_sent(message, verdict, session)
            if not sent:
                self.log.warning("jupyter-audit: entry %s was admitted but its channel is closed", verdict.entry)
                sentence = "Not run: the connection to the kernel was closed meanwhile. Run it again."
                for connection in self.of_kernel(self.kernel_id):
                    if connection.session_key == self.session_key:
                        connection._refuse(message, Cause.NOT_SENT, sentence)

    def _refuse(self, message: ClientMessage, cause: Cause, sentence: str) -> None:
        self.tell.refusal(message, Refuse(cause, sentence), self._live_session())

    async def _answer(self, message: ClientMessage, session: Session | None, principal: Principal, asked: str) -> None:
        web = find_web(self.websocket_handler.settings)
        assert web is not None  # services are there, or the message was refused
        done = await answer_cell(self.tell, web, message, self.kernel_id, session, principal, asked)
        if not done and message.content.get("stop_on_error", True):
            self._abort_waiting(message.channel, session, principal)
        for running in session.capture.running()[:1] if session is not None else ():
            # The kernel is at work on another cell; what was said here about idleness is not about that.
            self.tell.state("busy", running.header)

    def _abort_waiting(self, channel: str, session: Session | None, principal: Principal) -> None:
        """Abort the cells that wait behind one that failed, as a kernel does where it was asked to stop on errors."""
        assert self._services is not None
        for waiting in self._lanes.take_cells(channel):
            verdict = Refuse(Cause.ABORTED, "Not run: the cell before it failed.")
            self._services.gate.put_down_refusal(verdict, waiting, self.kernel_id, principal, session)
            self.tell.aborted(waiting)

    def _send(self, message: ClientMessage, passed: Passed, session: Session) -> bool:
        """Send what passed; return False where no socket to the kernel is left."""
        stream = (self._sockets if self._left else self.channels).get(message.channel)
        if stream is None or stream.closed():
            return False
        metadata = {key: value for key, value in message.metadata.items() if key != PERMIT_KEY}
        if passed.permit:
            metadata[PERMIT_KEY] = passed.permit
        whole = {
            "header": dict(message.header),
            "parent_header": dict(message.parent_header),
            "metadata": metadata,
            "content": dict(message.content),
        }
        if message.msg_type == "input_reply":
            session.passwords_asked.clear()
        self.session.send(stream, whole, buffers=list(message.buffers))
        return True

    def _put_down_crowded_out(self) -> None:
        """Say in the ledger that messages found no room to wait: at the first one, and how many when the client leaves."""
        services, session = self._services, self._live_session()
        if services is None or self._principal is None:
            return
        detail: dict[str, Json] = {"kernel_id": self.kernel_id, "messages": self._crowded_out}
        services.put_down(kinds.GapRecorded(CROWDED_OUT, detail), principal=self._principal, session=session)

    def _put_down_failed(self, message: ClientMessage, error: Exception) -> None:
        """Say in the ledger which message the gate failed at; not what is in it, which may be what it failed at."""
        services, session = self._services, self._live_session()
        if services is None or self._principal is None:
            return
        detail: dict[str, Json] = {
            "kernel_id": self.kernel_id,
            "msg_id": clean(message.msg_id),
            "msg_type": clean(message.msg_type, 100),
            "error": type(error).__name__,
        }
        services.put_down(kinds.GapRecorded(FAILED, detail), principal=self._principal, session=session)

    def _put_down_malformed(self, error: MalformedMessageError) -> None:
        self.log.warning("jupyter-audit: a client's message was refused: %s", error)
        services, session = self._services, self._live_session()
        if services is None or self._principal is None:
            return
        services.put_down(
            kinds.MessageRefused(
                kernel_id=self.kernel_id, msg_id="", msg_type="", channel="", cause=Cause.MALFORMED.value
            ),
            principal=self._principal,
            session=session,
        )

    # --- to the client ----------------------------------------------------------------------------

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """
        Look at what the kernel sends, then pass it on as Jupyter does; the kernel's own reports are not passed on.

        Jupyter's own way reads the message again, and the dates in it: on a cell's way that costs as much as its permit.
        """
        frames = self.session.feed_identities(outgoing_msg)[1]
        if isinstance(stream, str):
            stream = self.channels[stream]
        channel = getattr(stream, "channel", "")
        if channel == "iopub":
            self._hears.set()
        message = read_outgoing(frames, self.session, self.subprotocol)
        services, session = self._services, self._live_session()
        if services and session and not kernelwords.note(channel, message, frames, session, services):
            return
        parts = frames[1:]
        self._on_error(channel, message, parts)  # type: ignore[no-untyped-call]
        if not self._limit_rate(channel, message, parts):  # type: ignore[no-untyped-call]
            self._on_zmq_reply(stream, parts if self.subprotocol == V1_PROTOCOL else message)  # type: ignore[no-untyped-call]

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._left

    def tell_held(self, held: HeldCell) -> None:
        """Show under a cell that it waits for somebody's approval, and whose."""
        assert self._services is not None
        self._lanes.hold()
        self.tell.held(held, self._services.policy)

    def tell_over(self, held: HeldCell, *, approved: bool) -> None:
        """Take that away again from a cell that runs."""
        self._lanes.go_on()
        if approved:
            self.tell.held_no_more(held)


def _close(sockets: Mapping[str, Any]) -> None:
    for stream in sockets.values():
        if not stream.closed():
            stream.on_recv(None)
            stream.close()
