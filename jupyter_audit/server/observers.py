"""
Observers: approvers and auditors who watch another's live kernel, and can do nothing to it but end it (P2, P9).

An observer's connection has no socket to the kernel at all. What it shows comes from the server's own watch of the
kernel and from the gate: `audit_admitted` messages carry the code as it was put down, everything else is what the
kernel published. That somebody watches is put down before anything is shown.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from jupyter_audit.gate.admit import report_type
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.sessions import Session
from jupyter_audit.model import Actor, Principal
from jupyter_audit.record import kinds
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.server.watch import Watcher

MOST_WAITING = 1000
MOST_BYTES_WAITING = 8 * 1024 * 1024
"""What may wait for one observer; what comes on top is left out, and the observer is told how much."""

LARGEST_SHOWN = 1024 * 1024
"""Bytes of one published message that an observer is sent; a larger one is only named."""

Show = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]
"""Sends an observer's client one iopub message: type, content, parent header. Called on the event loop."""


class Observer:
    """One watching connection."""

    def __init__(self, session: Session, principal: Principal, through: str, show: Show, end: Callable[[], None]) -> None:
        self.session, self.principal, self.through = session, principal, through
        self.end = end
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[str, Mapping[str, Any], Mapping[str, Any], int]] = deque()
        self._bytes = 0
        self._left_out = 0
        self._scheduled = False
        self._lock = threading.Lock()

    def published(self, msg_type: str, parent: Mapping[str, Any], content: Mapping[str, Any], size: int) -> None:
        """Take in what the kernel published. Called in the watcher's thread."""
        if msg_type == report_type() or parent.get("msg_id") == self.session.canary_id:
            return
        if size > LARGEST_SHOWN:
            msg_type, content, size = "audit_left_out", {"msg_type": msg_type, "bytes": size}, 200
        self.tell(msg_type, content, parent, size)

    def tell(self, msg_type: str, content: Mapping[str, Any], parent: Mapping[str, Any], size: int = 200) -> None:
        """Have something shown, in the order of calls, from any thread."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES_WAITING:
                self._left_out += 1
                return
            self._waiting.append((msg_type, content, parent, size))
            self._bytes += size
            if self._scheduled or self._loop.is_closed():
                return
            self._scheduled = True
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._lock:
            waiting, self._waiting = list(self._waiting), deque()
            left_out, self._left_out = self._left_out, 0
            self._bytes, self._scheduled = 0, False
        for msg_type, content, parent, _ in waiting:
            self._show(msg_type, content, parent)
        if left_out:
            self._show("audit_left_out", {"msg_type": "", "messages": left_out}, {})


class Observers:
    """Everybody who watches, on this server. Belongs to the event loop."""

    def __init__(self, recorder: Recorder, watcher: Watcher) -> None:
        self._recorder, self._watcher = recorder, watcher
        self._watching: dict[str, list[Observer]] = {}

    async def begin(self, observer: Observer) -> None:
        """Put down that somebody watches, then let them. Raises `RecordError` if it cannot be put down."""
        await asyncio.wrap_future(self._recorder.record(self._draft(observer, watching=True)))
        session = observer.session
        self._watching.setdefault(session.id, []).append(observer)
        self._note(session)
        self._watcher.listen(session.id, observer.published)

    def end(self, observer: Observer) -> None:
        """Put down that they watch no more. Safe to call twice."""
        watching = self._watching.get(observer.session.id, [])
        if observer not in watching:
            return
        watching.remove(observer)
        self._watcher.unlisten(observer.session.id, observer.published)
        self._note(observer.session)
        self._recorder.owe(self._draft(observer, watching=False))

    def ended(self, session: Session) -> None:
        """Tell whoever watches that the session is over."""
        for observer in list(self._watching.pop(session.id, [])):
            self._watcher.unlisten(session.id, observer.published)
            observer.end()
        session.watched_by.clear()

    def admitted(self, session: Session, message: ClientMessage, entry: int, *, hidden: bool) -> None:
        """Show whoever watches what has just been let through; `hidden` is a password."""
        watching = self._watching.get(session.id)
        if not watching:
            return
        code = message.content.get("code", message.content.get("value"))
        shown = "(a password, not shown)" if hidden else code if isinstance(code, str) else ""
        content = {"entry": entry, "msg_type": message.msg_type, "code": shown[:LARGEST_SHOWN]}
        for observer in watching:
            observer.tell("audit_admitted", content, message.header, len(shown))

    def _note(self, session: Session) -> None:
        session.watched_by[:] = sorted({observer.principal.name for observer in self._watching.get(session.id, [])})

    @staticmethod
    def _draft(observer: Observer, *, watching: bool) -> Any:
        session = observer.session
        kind = kinds.SessionWatched(owner=session.owner.name, watching=watching, through=observer.through)
        return kinds.draft(kind, actor=Actor.of(observer.principal), grant=session.grant, session=session.id)
