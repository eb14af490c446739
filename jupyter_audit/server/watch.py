"""
The watcher: reads each kernel's iopub from start to end, in a thread of its own, browser or no browser.

It detects; it cannot protect: a kernel can forge and withhold what it publishes. Its sockets have no
high-water mark, because a subscriber that drops messages would miss a cell's end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import zmq
from jupyter_client.session import Session as WireSession

from jupyter_audit.gate.sessions import Session
from jupyter_audit.model import Draft, Json
from jupyter_audit.record import kinds
from jupyter_audit.record.capture import NOTHING, Observed
from jupyter_audit.server.wire import read_parts

MOST_AT_ONCE = 2000
"""Messages read from one kernel before the others get their turn."""

POLL_MS = 100
"""How often, in milliseconds, what waits for time to pass is looked at."""

NOT_SEEN = "iopub messages of a session that were not taken in"
"""`what` of the gap entry at the session's end: some could not be read, or were still waiting then."""

RECONNECT_MS = 10
"""
Milliseconds until a kernel's socket is tried again that is not there yet.

With ZMQ's 100 one start in three took a sixth of a second longer: what the kernel published first was not heard.
"""

GATHER_S = 0.003
"""
Seconds for which what a kernel publishes gathers before it is read.

The event loop reads the same messages at the same moment, to pass them on, and a cell's client waits for it: each would wait for
the other to give up the interpreter. In one go after it they cost less, too.
"""

LAST_READ_S = 2.0
"""Seconds spent at most on reading what a session that has ended left behind."""


Listener = Callable[[str, Mapping[str, Any], Mapping[str, Any], int], None]
"""Takes a published message: type, parent header, content, bytes."""


@dataclass(frozen=True, slots=True)
class IopubAddress:
    """Where a kernel publishes, and the key that its messages are signed with."""

    url: str
    key: bytes
    signature_scheme: str


@dataclass(slots=True)
class _Watched:
    session: Session
    socket: zmq.Socket[bytes]
    wire: WireSession
    heard: Callable[[], None]
    was_heard: bool = False
    unreadable: int = 0

LAST_JOIN_S = 5.0
"""How long a stop waits for the thread at most, in seconds."""


class Watcher:
    """
    Watches any number of sessions from one thread.

    `observed` is called in that thread with what each look gave; it must be quick.
    """

    def __init__(self, observed: Callable[[Session, Observed], None]) -> None:
        self._observed = observed
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._watched: dict[zmq.Socket[bytes], _Watched] = {}
        self._listeners: dict[str, tuple[Listener, ...]] = {}
        self._poller = zmq.Poller()
        self._wake_url = f"inproc://jupyter-audit-watch-{id(self)}"
        self._wake_in = self._context.socket(zmq.PAIR)
        self._wake_in.bind(self._wake_url)
        self._wake_lock = threading.Lock()
        self._wake_out = self._context.socket(zmq.PAIR)
        self._wake_out.connect(self._wake_url)
        self._poller.register(self._wake_in, zmq.POLLIN)
        self._thread = threading.Thread(target=self._run, name="jupyter-audit-watcher", daemon=True)
        self._thread.start()

    def watch(self, session: Session, address: IopubAddress, heard: Callable[[], None]) -> None:
        """Begin to watch; `heard` is called once, in the watcher's thread, at the first message."""

        def begin() -> None:
            socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB)
            socket.set(zmq.RCVHWM, 0)
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
            socket.subscribe(b"")
            socket.connect(address.url)
            wire = WireSession(key=address.key, signature_scheme=address.signature_scheme)
            self._watched[socket] = _Watched(session, socket, wire, heard)
            self._poller.register(socket, zmq.POLLIN)

        self._order(begin)

    def unwatch(self, session: Session) -> None:
        """Read what has arrived, put down what was cut off, and stop watching. Returns when that is done."""
        done = threading.Event()

        def end() -> None:
            for watched in [w for w in self._watched.values() if w.session is session]:
                end_by = time.monotonic() + LAST_READ_S
                while watched.socket.poll(0) and time.monotonic() < end_by:
                    self._drain(watched)
                missed = {"unread_at_the_end": watched.socket.poll(0) != 0, "unreadable": watched.unreadable}
                if missed["unread_at_the_end"] or watched.unreadable > 1:
                    self._observed(session, Observed(drafts=(_not_seen(session, missed),)))
                self._poller.unregister(watched.socket)
                watched.socket.close()
                del self._watched[watched.socket]
            self._observed(session, session.capture.close(time.monotonic()))
            done.set()

        if self._order(end):
            done.wait(timeout=10)

    def listen(self, session: str, listener: Listener) -> None:
        """Have `listener` called, in the watcher's thread, with what a session's kernel publishes. It must be quick."""
        self._listeners[session] = (*self._listeners.get(session, ()), listener)

    def unlisten(self, session: str, listener: Listener) -> None:
        """Stop that."""
        left = tuple(one for one in self._listeners.get(session, ()) if one != listener)
        if left:
            self._listeners[session] = left
        else:
            self._listeners.pop(session, None)

    def close(self) -> None:
        """Stop the thread."""
        self._order(None)
        self._thread.join(LAST_JOIN_S)
        # Not `term`, which waits for ever where a socket is still open.
        self._context.destroy(linger=0)

    def _order(self, order: Callable[[], None] | None) -> bool:
        """Have the thread do something; return False if it has stopped for good."""
        with self._wake_lock:
            if self._wake_out.closed:
                return False
            self._orders.put(order)
            self._wake_out.send(b"")
            return True

    # --- the watcher's thread ---------------------------------------------------------------------

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            ordered = False
            for socket, _ in self._gathered():
                if socket is self._wake_in:
                    self._wake_in.recv()
                    ordered = True
                else:
                    self._drain(self._watched[socket])
            if ordered and not self._obey():
                return
            now = time.monotonic()
            if now - looked >= POLL_MS / 1000:
                looked = now
                for watched in self._watched.values():
                    self._tell(watched, watched.session.capture.due(now))

    def _gathered(self) -> list[tuple[Any, int]]:
        """Return the sockets that can be read, once what comes with the first message has come, too."""
        ready = self._poller.poll(POLL_MS)
        if all(socket is self._wake_in for socket, _ in ready):
            return ready
        time.sleep(GATHER_S)
        return self._poller.poll(0)

    def _obey(self) -> bool:
        """Do what was ordered; return False if that is to end."""
        while True:
            try:
                order = self._orders.get_nowait()
            except Empty:
                return True
            if order is None:
                self._wake_in.close()
                for watched in self._watched.values():
                    watched.socket.close()
                return False
            order()

    def _tell(self, watched: _Watched, observed: Observed) -> None:
        if observed is not NOTHING:
            self._observed(watched.session, observed)

    def _drain(self, watched: _Watched) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                frames = watched.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if not watched.was_heard:
                watched.was_heard = True
                watched.heard()
            self._look(watched, frames)

    def _look(self, watched: _Watched, frames: list[bytes]) -> None:
        try:
            parts: list[Any] = watched.wire.feed_identities(frames)[1]
            header, parent, content = read_parts(parts, watched.wire)
            observed = watched.session.capture.observe(
                str(header["msg_type"]), parent or {}, content or {}, time.monotonic()
            )
        except Exception as error:
            # Anything at all can be published by code in the kernel; none of it may end the watch over the others.
            watched.unreadable += 1
            if watched.unreadable == 1:
                self._observed(watched.session, Observed(drafts=(_unreadable(watched.session, error),)))
            return
        self._tell(watched, observed)
        for listener in self._listeners.get(watched.session.id, ()):
            listener(str(header["msg_type"]), parent or {}, content or {}, sum(map(len, parts)))


def _not_seen(session: Session, missed: Mapping[str, Json]) -> Draft:
    detail: dict[str, Json] = {"kernel_id": session.kernel_id, **missed}
    return kinds.draft(kinds.GapRecorded(what=NOT_SEEN, detail=detail), grant=session.grant, session=session.id)


def _unreadable(session: Session, error: Exception) -> Draft:
    kind = kinds.GapRecorded(
        what="iopub messages that cannot be read",
        # Not the error's text: it can repeat what could not be read.
        detail={"kernel_id": session.kernel_id, "first": type(error).__name__},
    )
    return kinds.draft(kind, grant=session.grant, session=session.id)
