"""
Terminals, where a profile allows them: opened under a grant, recorded, and ended with it (P1, P2).

Jupyter's own terminal manager with three things changed: a terminal is a session, whose process is isolated and
supervised as a kernel's is; what is typed goes on only when its entry is durable; what comes out is put down.
Everything here runs on the event loop.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any

from jupyter_server._tz import utcnow
from jupyter_server_terminals.terminalmanager import TerminalManager
from nacl.signing import SigningKey
from terminado.management import PtyWithClients
from tornado.ioloop import IOLoop

from jupyter_audit.clock import format_time
from jupyter_audit.errors import GateError, NotStartedError, RecordError, UsageError
from jupyter_audit.gate.admit import report_type
from jupyter_audit.gate.decide import Cause, Refuse
from jupyter_audit.gate.fences import fences_of
from jupyter_audit.gate.launch import LaunchTerms, make_session_folder, remove_session_folder, session_environment
from jupyter_audit.gate.pty import SupervisedPty, terminal_environment
from jupyter_audit.gate.sessions import Session, SessionState, new_session_id
from jupyter_audit.gate.terminals import covering_grant, may_type
from jupyter_audit.model import Actor, Content, Draft, Principal
from jupyter_audit.record import kinds
from jupyter_audit.record.capture import Capture
from jupyter_audit.record.terminal import TERMINAL, OutputTape, TypedText, input_draft_parts
from jupyter_audit.server.kernels import launch_terms
from jupyter_audit.server.lives import Lives
from jupyter_audit.server.services import Services

TERMINALS_KEY = "jupyter_audit_terminals"

MOST_TYPED = 1024 * 1024
"""Characters of one message; more than anybody pastes."""

MOST_TERMINALS = 20
FLUSH_S = 0.5
COUNTING_FLUSH_S = 10.0
"""How often output is put down; the second where it is only counted any more."""

MOST_UNSENT = 4 * 1024 * 1024
"""Bytes that may wait for a slow browser before the terminal's program has to wait, too."""

BEHIND_PAUSE_S = 0.05
SCROLLBACK = 1024 * 1024
HANGUP_SHARE = 0.3
"""The part of the grace that programs have to end by themselves once they were told to."""

POLL_S = 0.02


class Scrollback(deque[str]):
    """What a client that connects later is shown: the last of the output, bounded in characters, not in pieces."""

    _held = 0

    def append(self, text: str) -> None:
        """Add output and let go of the oldest."""
        super().append(text)
        self._held += len(text)
        while self._held > SCROLLBACK and len(self) > 1:
            self._held -= len(self.popleft())


class AuditTerminal(PtyWithClients):
    """One terminal and its session."""

    ptyproc: SupervisedPty

    def __init__(self, session: Session, terms: LaunchTerms, ptyproc: SupervisedPty) -> None:
        # Not the base's: it would start a process of its own.
        self.clients: list[Any] = []
        self.read_buffer = Scrollback()
        self.ptyproc = ptyproc
        self.session = session
        self.terms = terms
        self.tape = OutputTape(session.kernel_id)
        self.typed = TypedText()
        self.lock = asyncio.Lock()
        self.started = time.monotonic()
        self.flush_due: asyncio.TimerHandle | None = None
        self.ending: asyncio.Task[None] | None = None
        self.term_name: str | None = None
        self.last_activity = utcnow()

    def at_ms(self) -> int:
        """Return milliseconds since the start."""
        return round(1000 * (time.monotonic() - self.started))

    def show(self, text: str) -> None:
        """Show every client something that does not come from the terminal's program."""
        for client in list(self.clients):
            client.on_pty_read(text)

    def resize_to_smallest(self) -> None:
        """Set the size to that of the owner's smallest client; who only watches has no say."""
        sizes = [client.size for client in self.clients if not client.watches and None not in client.size]
        if not sizes or self.ptyproc.closed:
            return
        wanted = min(rows for rows, _ in sizes), min(columns for _, columns in sizes)
        if wanted != self.ptyproc.getwinsize():
            self.ptyproc.setwinsize(*wanted)
            self.tape.resized(self.at_ms(), *wanted)


class AuditTerminalManager(TerminalManager):
    """All terminals of the server."""

    services: Services
    lives: Lives
    root_dir: Path
    terminals: dict[str, AuditTerminal]  # type: ignore[assignment]
    ptys_by_fd: dict[int, AuditTerminal]  # type: ignore[assignment]

    @classmethod
    def make(cls, services: Services, lives: Lives, root_dir: Path) -> AuditTerminalManager:
        """Return a manager of no terminals yet."""
        made = cls(shell_command=list(services.settings.terminal_command), max_terminals=MOST_TERMINALS)
        made.services, made.lives, made.root_dir = services, lives, root_dir
        return made

    # --- opening ----------------------------------------------------------------------------------

    def create(self, **kwargs: Any) -> Any:
        """Refuse: a terminal needs somebody to open it for (`open`)."""
        raise GateError("No terminal opens: nobody was seen to ask for it.")

    new_terminal = new_named_terminal = create

    def get_terminal(self, url_component: Any = None) -> AuditTerminal:
        """Return a terminal that is there; Jupyter's own would make one."""
        found = self.terminals.get(str(url_component))
        if found is None:
            raise GateError(f"There is no terminal {url_component}.")
        return found

    async def open(self, owner: Principal, name: str | None, folder: str | None) -> dict[str, Any]:
        """
        Open a terminal for `owner`, and return what the API says of it.

        Raises `GateError` where none may open, `UsageError` for a name or folder that cannot be, `RecordError`.
        """
        with self.lives.beginning():
            return await self._open(owner, name, folder)

    async def _open(self, owner: Principal, name: str | None, folder: str | None) -> dict[str, Any]:
        where = self._folder(folder)
        if name is not None and (not re.fullmatch(r"\w{1,64}", name) or name in self.terminals):
            raise UsageError(f"{name} cannot be a new terminal's name.", advice="Leave the name out.")
        session = await self._begin(owner, str(where))
        terms = launch_terms(self.services, session, self.root_dir)
        try:
            make_session_folder(terms)
            environment = terminal_environment(session_environment(terms, os.environ))
            if terms.packages is None:
                environment["PYTHONPATH"] = str(terms.installs_into)  # for what is started there; a shell minds it not
            ptyproc = SupervisedPty.start(terms, self.shell_command, environment=environment, folder=str(where))
        except OSError as error:
            await self._not_started(session, terms)
            raise NotStartedError(f"The terminal could not be started: {error}.") from error
        try:
            await ptyproc.supervised.begun()
        except NotStartedError as error:
            await ptyproc.supervised.end()
            ptyproc.close()
            await self._not_started(session, terms)
            error.advice = "Tell an admin: c.JupyterAudit.terminal_command names the program."
            raise
        session.limit = ptyproc.supervised.limit
        if (grant := self.services.book.grant(session.grant or "")) is not None:
            self.services.gate.limit(session, grant)
        terminal = AuditTerminal(session, terms, ptyproc)
        given = name if name is not None and name not in self.terminals else self._next_available_name()
        terminal.term_name = str(given)
        self.terminals[terminal.term_name] = terminal
        self.start_reading(terminal)
        model: dict[str, Any] = self.get_terminal_model(terminal.term_name)
        return model

    async def _not_started(self, session: Session, terms: LaunchTerms) -> None:
        await self.lives.end(session, "not_started", 0, clean=True)
        remove_session_folder(terms)

    async def _begin(self, owner: Principal, folder: str) -> Session:
        services = self.services
        services.book.refresh(services.reader)
        now = services.book.now(services.clock.now())
        allowing = {name for name, profile in services.policy.profiles.items() if profile.terminals}
        grant = covering_grant(services.book.live(owner.name, now), allowing, services.panel)
        if isinstance(grant, Refuse):
            services.put_down(kinds.SessionRefused(kernel_name=TERMINAL, cause=grant.cause.value), principal=owner)
            raise GateError(grant.sentence)
        try:
            self.lives.check_serves(owner)
            network, network_by = self.lives.keep_to(fences_of(services.policy.profiles[grant.profile]))
            if len(self.terminals) >= MOST_TERMINALS:
                raise GateError(f"{MOST_TERMINALS} terminals are open on this server.", advice="Close one.")
        except GateError as error:
            services.put_down(kinds.SessionRefused(kernel_name=TERMINAL, cause=error.code), principal=owner)
            raise
        session_id, terminal_id = new_session_id(), f"t-{secrets.token_hex(6)}"
        session = Session(
            id=session_id,
            kernel_id=terminal_id,
            kernel_name=TERMINAL,
            owner=owner,
            started=services.clock.now(),
            isolation=services.isolation.rung,
            network=network,
            account=services.isolation.account,
            notebook=folder,
            signing_key=SigningKey.generate(),
            capture=Capture(session_id, terminal_id, 0, report_type()),
            ready=asyncio.Event(),
            grant=grant.id,
            bound=True,
            state=SessionState.LIVE,
        )
        session.ready.set()
        started = kinds.SessionStarted(
            server=services.server_id,
            kernel_id=terminal_id,
            kernel_name=TERMINAL,
            isolation=session.isolation.value,
            notebook=folder[:1000],
            network=str(network),
            network_by=network_by,
            account=session.account,
            folder=folder[:1000],
        )
        bound = kinds.SessionBound(kernel_id=terminal_id, not_after=format_time(grant.not_after))
        drafts = [
            kinds.draft(kind, actor=Actor.of(owner), grant=grant.id, session=session_id) for kind in (started, bound)
        ]
        await asyncio.wrap_future(services.recorder.record_all(drafts))
        services.sessions.add(session)
        return session

    def _folder(self, asked: str | None) -> Path:
        """Return the folder that a terminal opens in: below the notebook folder, or that itself."""
        root = self.root_dir.resolve()
        found = (root / (asked or "").lstrip("/")).resolve()
        if asked and not found.is_dir():
            found = Path(asked).resolve()
        return found if found.is_dir() and found.is_relative_to(root) else root

    # --- typing -----------------------------------------------------------------------------------

    async def type(self, terminal: AuditTerminal, principal: Principal, text: str) -> Refuse | None:
        """Judge what was typed, put it down, and only then hand it over; return why it was not (P1)."""
        async with terminal.lock:
            refusal = self._judge(terminal, principal, text)
            masked, kept = terminal.typed.split(text, hidden=terminal.ptyproc.reads_hidden() and refusal is None)
            kind, contents = input_draft_parts(terminal.session.kernel_id, terminal.at_ms(), text, masked, kept)
            if refusal is None:
                refusal = await self._put_down(self._draft(terminal, principal, kind, contents), terminal)
            if refusal is None:
                terminal.tape.typed()
                terminal.session.active = time.monotonic()
                if await terminal.ptyproc.write(text) or not terminal.session.open:
                    return None
                refusal = Refuse(Cause.NOT_READ, "What runs here does not read what you type; the rest of it was dropped.")
            self._put_down_refusal(terminal, principal, text, refusal, contents)
            return refusal

    def _judge(self, terminal: AuditTerminal, principal: Principal, text: str) -> Refuse | None:
        services, session = self.services, terminal.session
        services.book.refresh(services.reader)
        if len(text) > MOST_TYPED:
            return Refuse(Cause.TOO_LARGE, f"More than {MOST_TYPED // 1024} KiB at once. Put it into a file instead.")
        return may_type(
            principal.name,
            session.owner.name,
            session_open=session.open,
            bound=services.book.grant(session.grant) if session.grant else None,
            now=services.book.now(services.clock.now()),
            panel=services.panel,
        )

    async def _put_down(self, draft: Draft, terminal: AuditTerminal) -> Refuse | None:
        services = self.services
        stored = asyncio.wrap_future(services.recorder.record(draft))
        try:
            await asyncio.wait_for(asyncio.shield(stored), services.settings.record_timeout_seconds)
        except (TimeoutError, RecordError) as error:
            stored.add_done_callback(lambda done: done.cancelled() or done.exception())
            why = str(error) or "it did not answer in time"
            return Refuse(Cause.NOT_RECORDED, f"Not typed: the ledger could not record it ({why}).")
        if not terminal.session.open:
            return Refuse(Cause.SESSION_ENDED, "This terminal's session ended before what you typed reached it.")
        return None

    def _put_down_refusal(
        self, terminal: AuditTerminal, principal: Principal, text: str, refusal: Refuse, contents: dict[str, Content]
    ) -> None:
        kind = kinds.TerminalRefused(
            kernel_id=terminal.session.kernel_id,
            at_ms=terminal.at_ms(),
            bytes=len(text.encode("utf-8", "replace")),
            cause=refusal.cause.value,
        )
        held = {} if refusal.cause is Cause.TOO_LARGE else contents
        self.services.recorder.owe(self._draft(terminal, principal, kind, held))

    def _draft(
        self, terminal: AuditTerminal, principal: Principal, kind: kinds.Kind, contents: dict[str, Content]
    ) -> Draft:
        session = terminal.session
        return kinds.draft(
            kind, actor=Actor.of(principal), grant=session.grant, session=session.id, contents=contents
        )

    # --- what comes out ---------------------------------------------------------------------------

    def pty_read(self, fd: int, events: Any = None) -> None:
        """Take what came out, put it down, and pass it on; a program that is faster than its reader waits."""
        terminal = self.ptys_by_fd[fd]
        if any(client.unsent() > MOST_UNSENT for client in terminal.clients):
            loop = IOLoop.current()
            loop.remove_handler(fd)
            loop.call_later(BEHIND_PAUSE_S, self._read_again, fd, terminal)
            return
        try:
            text = terminal.ptyproc.read(65536)
        except BlockingIOError:
            return
        except EOFError:
            self._stop_reading(terminal)
            self._end_later(terminal)
            return
        self._heard(terminal, text)

    def _read_again(self, fd: int, terminal: AuditTerminal) -> None:
        if self.ptys_by_fd.get(fd) is terminal:
            loop = IOLoop.current()
            loop.add_handler(fd, self.pty_read, loop.READ)

    def _heard(self, terminal: AuditTerminal, text: str) -> None:
        terminal.last_activity = utcnow()
        terminal.session.active = time.monotonic()
        terminal.tape.heard(terminal.at_ms(), text)
        terminal.read_buffer.append(text)
        terminal.show(text)
        if terminal.tape.full:
            self._flush(terminal)
        elif terminal.flush_due is None:
            seconds = COUNTING_FLUSH_S if terminal.tape.exhausted else FLUSH_S
            terminal.flush_due = asyncio.get_running_loop().call_later(seconds, self._flush, terminal)

    def _flush(self, terminal: AuditTerminal) -> None:
        if terminal.flush_due is not None:
            terminal.flush_due.cancel()
            terminal.flush_due = None
        if terminal.tape.waiting:
            session = terminal.session
            self.services.recorder.owe(terminal.tape.take(grant=session.grant, session=session.id))

    # --- ending -----------------------------------------------------------------------------------

    def of_session(self, session: Session) -> AuditTerminal | None:
        """Return the terminal of a session, if it has one."""
        return next((terminal for terminal in self.terminals.values() if terminal.session is session), None)

    async def terminate(self, name: str, force: bool = False) -> None:
        """End a terminal, as the API is asked to."""
        self._check_terminal(name)
        await self.end(self.terminals[name], "shutdown")

    async def end(self, terminal: AuditTerminal, cause: str, sentence: str = "") -> None:
        """End a terminal with everything that was started in it, and say why. Safe to call twice."""
        if terminal.ending is None:
            terminal.ending = asyncio.get_running_loop().create_task(self._end(terminal, cause, sentence))
        await asyncio.shield(terminal.ending)

    def _end_later(self, terminal: AuditTerminal) -> None:
        if terminal.ending is None:
            terminal.ending = asyncio.get_running_loop().create_task(self._end(terminal, "exited", ""))

    async def _end(self, terminal: AuditTerminal, cause: str, sentence: str) -> None:
        session, supervised = terminal.session, terminal.ptyproc.supervised
        session.state = SessionState.ENDING
        if sentence:
            terminal.show(f"\r\n\x1b[31m{sentence}\x1b[0m\r\n")
        if cause != "exited":
            # Editors save what they hold when they are hung up on.
            supervised.send_signal(signal.SIGHUP)
            until = time.monotonic() + HANGUP_SHARE * terminal.terms.grace_seconds
            while terminal.ptyproc.isalive() and time.monotonic() < until:  # noqa: ASYNC110 (its end sets no event)
                await asyncio.sleep(POLL_S)
        await supervised.end()
        self._stop_reading(terminal)
        self._read_the_rest(terminal)
        terminal.ptyproc.close()
        self.terminals.pop(str(terminal.term_name), None)
        for client in list(terminal.clients):
            client.on_pty_died()
        self._flush(terminal)
        outcome = supervised.outcome
        processes, clean = (outcome.processes, outcome.clean) if outcome is not None else (0, False)
        await self.lives.end(session, cause, processes, clean)
        remove_session_folder(terminal.terms)

    def _stop_reading(self, terminal: AuditTerminal) -> None:
        if self.ptys_by_fd.pop(terminal.ptyproc.fd, None) is not None:
            IOLoop.current().remove_handler(terminal.ptyproc.fd)

    def _read_the_rest(self, terminal: AuditTerminal) -> None:
        for _ in range(1000):
            try:
                self._heard(terminal, terminal.ptyproc.read(65536))
            except (EOFError, OSError):
                return
