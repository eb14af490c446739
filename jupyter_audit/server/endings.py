"""
How a session is ended before its time, and the sweep that notices when it must be (P2, DESIGN section 5).

The order is: close the gate, tell the user, interrupt, wait a little, kill everything that the session
started, and put it down. All within the configured grace.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tornado import web

from jupyter_audit.access.grants import Grant
from jupyter_audit.access.leavers import to_end
from jupyter_audit.gate.sessions import Session, SessionState
from jupyter_audit.model import SERVER
from jupyter_audit.record.capture import Sent
from jupyter_audit.record.terminal import TERMINAL
from jupyter_audit.server.homewatch import HomeWatch
from jupyter_audit.server.services import Services
from jupyter_audit.server.ticketwatch import TicketWatch
from jupyter_audit.server.websocket import AuditWebsocketConnection

if TYPE_CHECKING:
    from jupyter_audit.server.terminals import AuditTerminalManager

POLL_S = 0.02
SHARE_FOR_INTERRUPT = 0.3
"""The part of the grace that an interrupted cell has to come to its own end."""

NAMES = {
    "expired": "GrantExpired",
    "revoked": "GrantRevoked",
    "taken_over": "GrantTakenOver",
    "not_recorded": "NotRecorded",
}


class Endings:
    """Ends sessions. Everything here runs on the event loop."""

    def __init__(self, services: Services, kernel_manager: Any, log: logging.Logger) -> None:
        self._services = services
        self._kernels = kernel_manager
        self._log = log
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._waits: set[asyncio.Task[None]] = set()
        self._tickets = TicketWatch(services.policy, services.access, log)
        self._home = HomeWatch(services.home, services.runtime_folder, services.recorder.owe, services.sessions.all, log)
        self.terminals: AuditTerminalManager | None = None

    async def end(self, session: Session, cause: str, sentence: str) -> None:
        """End a session and everything it started; return when that is done. Safe to call twice."""
        task = self._under_way.get(session.id)
        if task is None:
            if session.state is SessionState.ENDED:
                return
            task = asyncio.get_running_loop().create_task(self._end(session, cause, sentence))
            self._under_way[session.id] = task
            task.add_done_callback(lambda _: self._under_way.pop(session.id, None))
        await asyncio.shield(task)

    async def _end(self, session: Session, cause: str, sentence: str) -> None:
        session.state = SessionState.ENDING
        session.cause = cause
        session.ready.set()
        self._services.gate.held.cancel(cause, session=session)
        name = NAMES.get(cause, "SessionEnded")
        running = [message.header for message in session.capture.running() if not message.canary]
        connections = self._connections(session)
        for connection in connections:
            for parent in running:
                connection.tell.error(name, sentence, parent)
        try:
            if running:
                await self._interrupt(session)
            for connection in connections:
                connection.tell.ended(name, sentence, [
                    message.header for message in session.capture.running() if not message.canary
                ])
            if self.terminals is not None and (terminal := self.terminals.of_session(session)) is not None:
                await self.terminals.end(terminal, cause, sentence)
            elif session.kernel_id in self._kernels:
                await self._kernels.shutdown_kernel(session.kernel_id, now=True)
            elif (manager := self._kernels.audit_managers.get(session.id)) is not None:
                # It is no kernel of the server's yet, or no more; for that it must not outlive its session.
                await manager.audit_close(now=True)
                await manager.shutdown_kernel(now=True)
        except (OSError, RuntimeError, web.HTTPError):
            # The kernel may be going down by itself at this very moment; the sweep looks again.
            self._log.exception("jupyter-audit: session %s could not be ended cleanly", session.id)

    async def _interrupt(self, session: Session) -> None:
        manager = self._kernels.get_kernel(session.kernel_id)
        await manager.interrupt_kernel()
        until = time.monotonic() + SHARE_FOR_INTERRUPT * self._services.settings.grace_seconds
        while session.capture.running() and time.monotonic() < until:  # noqa: ASYNC110 (told by another thread)
            await asyncio.sleep(POLL_S)

    def tell_not_begun(self, session: Session, cells: Sequence[Sent]) -> None:
        """Tell the owner of cells that the kernel does not begin, which otherwise look as if they ran for ever."""
        for cell in cells:
            sentence = (
                f"The kernel has not begun this cell (entry {cell.admitted}) for {session.capture.begin_within:g} s, though it "
                "is at nothing else that was sent to it. The ledger says so too. If it stays so, interrupt or restart the "
                "kernel, and run the cell again."
            )
            for connection in self._connections(session):
                connection.tell.error("NotBegun", sentence, cell.header)

    def _connections(self, session: Session) -> list[AuditWebsocketConnection]:
        return AuditWebsocketConnection.of_kernel(session.kernel_id)

    async def end_all(self, cause: str, sentence: str) -> None:
        """End every session of the server."""
        await asyncio.gather(*(self.end(session, cause, sentence) for session in self._services.sessions.all()))

    def close(self) -> None:
        """Look after the audit home no more. Call it while the recorder still records."""
        self._home.close()

    # --- the sweep --------------------------------------------------------------------------------

    async def sweep_for_ever(self) -> None:
        """Look for grants that have ended, again and again, until cancelled."""
        self._home.follow()
        while True:
            try:
                await self.sweep()
            except Exception:
                # Whatever it was, the next grant must still end in time.
                self._log.exception("jupyter-audit: the sweep failed; it goes on")
            await asyncio.sleep(self._pause())

    async def sweep(self) -> None:
        """End what must end now, and put down what has expired."""
        services = self._services
        self._home.look()
        if services.recorder.failing_for() > services.settings.record_timeout_seconds:
            await self.end_all("not_recorded", "The ledger cannot be written, so this session was ended.")
            return
        services.room.look()
        services.book.refresh(services.reader)
        now = services.book.now(services.clock.now())
        recovery = {name for name, profile in services.policy.profiles.items() if profile.recovery}
        for session in services.sessions.all():
            if session.id in self._under_way or session.grant is None:
                continue
            grant = services.book.grant(session.grant)
            # A session that is still "ending" with nobody at it is one whose end failed: again.
            if grant is None or not grant.is_live(now) or session.state is SessionState.ENDING:
                self._end_soon(session, *self._why(grant))
                continue
            services.gate.limit(session, grant)  # it may have been extended
            if self._is_idle(session, grant):
                self._end_soon(session, "idle", self._told_idle(session, grant))
            elif services.room.spent and grant.profile not in recovery:
                self._end_soon(session, "no_room", f"{services.room}, so this kernel was ended before the recording stops.")
        self._tickets.look(services.book, now)
        known = services.known_people()
        if to_end(services.policy, services.book, known, now):
            await asyncio.to_thread(services.access.end_leavers, known)
        if services.book.unnoticed_ends(now):
            await asyncio.to_thread(services.access.expire)

    def _is_idle(self, session: Session, grant: Grant) -> bool:
        profile = self._services.policy.profiles.get(grant.profile)
        if profile is None or not profile.idle_minutes:
            return False
        return session.idle_for(time.monotonic()) >= profile.idle_minutes * 60

    @staticmethod
    def _told_idle(session: Session, grant: Grant) -> str:
        if session.kernel_name == TERMINAL:
            return (
                "In this terminal nothing was typed or shown for as long as its profile allows, so it was ended. "
                f"The grant {grant.id} goes on: open another to go on working."
            )
        return (
            "This kernel was idle for as long as its profile allows, so it was ended. Your notebook is untouched, and "
            f"the grant {grant.id} goes on: restart the kernel to go on working."
        )

    def _end_soon(self, session: Session, cause: str, sentence: str) -> None:
        wait = asyncio.get_running_loop().create_task(self.end(session, cause, sentence))
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)

    def _why(self, grant: Grant | None) -> tuple[str, str]:
        panel = self._services.panel
        if grant is not None and grant.successor:
            return "taken_over", (
                f"The grant {grant.id} was {grant.ended_why}, so this kernel and everything it started was ended. "
                f"Your notebook is untouched. To go on yourself, ask for a new grant at {panel} and restart the kernel."
            )
        if grant is not None and grant.ended is not None:
            told = f" ({grant.ended_why.rstrip('.')})" if grant.ended_by == SERVER.name else ""
            return "revoked", (
                f"The grant {grant.id} was revoked{told}, so this kernel and everything it started was ended. "
                f"Your notebook is untouched. To go on, ask for a new grant at {panel} and restart the kernel."
            )
        name = grant.id if grant is not None else "behind this session"
        return "expired", (
            f"The grant {name} has expired, so this kernel and everything it started was ended. "
            f"Your notebook is untouched. To go on, ask for a new grant at {panel} and restart the kernel."
        )

    def _pause(self) -> float:
        """Seconds until the next look: the configured time, or less if a grant ends sooner."""
        services = self._services
        now = services.book.now(services.clock.now())
        pause = min(services.settings.sweep_seconds, 15.0)
        for session in services.sessions.all():
            grant = services.book.grant(session.grant) if session.grant else None
            if grant is not None and grant.is_live(now):
                pause = min(pause, max(0.01, (grant.not_after - now).total_seconds()))
        return pause
