"""
The life of a session, from the entry that begins it to the entry that ends it, and its canary in between.

`begin` puts session.started down before any process is launched; `prove` runs the canary and reads it back
from the ledger before anything else may be sent; `end` puts down what was cut off, and the end itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jupyter_audit_kernel.formats import PERMIT_KEY
from nacl.signing import SigningKey

from jupyter_audit.access import notebooks
from jupyter_audit.access.grants import Grant
from jupyter_audit.access.notebooks import LONGEST_PATH
from jupyter_audit.access.terms import NetworkPolicy
from jupyter_audit.errors import AuditError, GateError, SealedError
from jupyter_audit.gate import seccomp
from jupyter_audit.gate.admit import report_type, write_permit
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.drafts import cell_admitted, contents_of
from jupyter_audit.gate.fences import Fences, fences_for
from jupyter_audit.gate.network import IsolationError, enforcement
from jupyter_audit.gate.notebooks import check_may_open
from jupyter_audit.gate.sessions import Session, SessionState, new_session_id
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Actor, Entry, Principal
from jupyter_audit.record import kinds
from jupyter_audit.record.bounds import bounded
from jupyter_audit.record.capture import Capture, Observed, Sent
from jupyter_audit.record.outputs import OutputSummary
from jupyter_audit.server.services import Services

CANARY_TIMEOUT = 60.0
"""Seconds that a new kernel has to run its canary; slow disks and cold imports count."""

FOREIGN_CODE = "foreign-code"

SEALED_AS_EXPECTED = b"\xff sealed"
"""Stands for a content that nobody here can read; never one, for contents are UTF-8."""


@dataclass(slots=True)
class _Canary:
    """What the canary of one session waits for, set from the watcher's thread."""

    heard: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    cell: int = -1
    """The number of its entry."""
    entry: Future[Entry] | None = None
    """Of its end."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a kernel is used for: the path that a client named last, and all `names` of all that it is used for."""

    notebook: str = ""
    names: tuple[str, ...] = ()


class Lives:
    """Begins, proves and ends sessions. Everything but `observed` is called on the event loop."""

    def __init__(self, services: Services, log: logging.Logger) -> None:
        self._services = services
        self._log = log
        self._loop = asyncio.get_event_loop()
        self._canaries: dict[str, _Canary] = {}
        self._past_gate: set[str] = set()
        self._beginning = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self.on_foreign_code: Callable[[Session], None] = lambda session: None
        self.on_not_begun: Callable[[Session, Sequence[Sent]], None] = lambda session, cells: None

    # --- beginning --------------------------------------------------------------------------------

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Hold `settled` up: what is begun inside is known to whoever ends sessions only when this is left."""
        self._beginning += 1
        self._settled.clear()
        try:
            yield
        finally:
            self._beginning -= 1
            if not self._beginning:
                self._settled.set()

    async def settled(self) -> None:
        """Return when no session is in the middle of beginning."""
        await self._settled.wait()

    async def begin(self, kernel_id: str, kernel_name: str, owner: Principal, use: Use, folder: str) -> Session:
        """
        Put down that a kernel's life begins, in `folder`, and return its session.

        Raises `GateError` where no session may start, `RecordError` where that cannot be put down.
        """
        services = self._services
        profiles = services.policy.profiles
        outside = notebooks.outside(profiles, use.names)
        try:
            self.check_may_start(kernel_name, owner)
            live = self._live(owner)
            check_may_open(kernel_name, use.notebook, live, profiles, outside)
            fitting = {name: profile for name, profile in profiles.items() if name not in outside}
            network, network_by = self.keep_to(fences_for(kernel_name, live, fitting))
        except GateError as error:
            refused = kinds.SessionRefused(kernel_name=bounded(kernel_name, 200), cause=error.code)
            services.put_down(refused, principal=owner)
            raise
        session_id = new_session_id()
        settings = services.settings
        session = Session(
            id=session_id,
            kernel_id=kernel_id,
            kernel_name=kernel_name,
            owner=owner,
            started=services.clock.now(),
            isolation=services.isolation.rung,
            network=network,
            account=services.isolation.account,
            notebook=use.notebook,
            outside=outside,
            signing_key=SigningKey.generate(),
            capture=Capture(session_id, kernel_id, settings.preview_bytes, report_type(), settings.begin_seconds),
            ready=asyncio.Event(),
        )
        started = kinds.SessionStarted(
            server=services.server_id,
            kernel_id=kernel_id,
            kernel_name=kernel_name,
            isolation=session.isolation.value,
            notebook=bounded(use.notebook, LONGEST_PATH),
            network=str(network),
            network_by=network_by,
            account=session.account,
            folder=bounded(folder, LONGEST_PATH),
        )
        draft = kinds.draft(started, actor=Actor.of(owner), session=session.id)
        await asyncio.wrap_future(services.recorder.record(draft))
        services.sessions.add(session)
        self._canaries[session.id] = _Canary()
        return session

    def moved(self, session: Session, use: Use, previous: str, principal: Principal) -> None:
        """Put down that a session's kernel is used for another path from now on; the gate judges by that."""
        session.notebook, session.outside = use.notebook, notebooks.outside(self._services.policy.profiles, use.names)
        told = [bounded(path, LONGEST_PATH) for path in (use.notebook, previous)]
        kind = kinds.SessionMoved(kernel_id=session.kernel_id, notebook=told[0], previous=told[1])
        self._services.put_down(kind, principal=principal, session=session)

    def check_may_start(self, kernel_name: str, owner: Principal) -> None:
        """Raise `GateError` with the reason if no session of this kernel may start now."""
        services = self._services
        self.check_serves(owner)
        if kernel_name not in services.settings.allowed_kernels:
            raise GateError(
                f"The kernel {kernel_name!r} may not start on this server.",
                advice=f"Choose one of: {', '.join(services.settings.allowed_kernels)} "
                "(c.JupyterAudit.allowed_kernels).",
            )

    def check_serves(self, owner: Principal) -> None:
        """Raise `GateError` with the reason if no session of any kind may start now."""
        services = self._services
        if not services.serving:
            raise GateError(
                "No kernel may start: this server has not finished its own checks.",
                advice="Wait a moment and try again; if it stays so, the server's log says why.",
            )
        services.room.look()
        if services.room.short and not self._may_recover(owner):
            raise GateError(
                f"No new session starts: {services.room}.",
                advice="Make room. An admin who needs a kernel for that asks for a grant of the profile `recovery`.",
            )

    def keep_to(self, wanted: Fences) -> tuple[NetworkPolicy, str]:
        """
        Return the network that a new session is to have, and what keeps it to that.

        Raises `IsolationError` if its profile demands what the isolation in force cannot give.
        """
        rung = self._services.isolation.rung
        if rung.height < wanted.least.height:
            raise IsolationError(
                f"The profile demands the isolation rung {wanted.least.value}, and kernels here are on {rung.value}.",
                advice="`jupyter audit doctor` says what the higher rungs need. Or ask for another profile.",
            )
        return wanted.network, enforcement(wanted.network, rung, can_filter=seccomp.available())

    def _live(self, owner: Principal) -> Sequence[Grant]:
        services = self._services
        services.book.refresh(services.reader)
        return services.book.live(owner.name, services.book.now(services.clock.now()))

    def _may_recover(self, owner: Principal) -> bool:
        services = self._services
        for grant in self._live(owner):
            profile = services.policy.profiles.get(grant.profile)
            if profile is not None and profile.recovery:
                return True
        return False

    # --- watching ---------------------------------------------------------------------------------

    def heard(self, session: Session) -> Callable[[], None]:
        """Return what the watcher is to call when the session's kernel is first heard."""
        canary = self._canaries[session.id]
        return lambda: self._call(canary.heard.set)

    def observed(self, session: Session, observed: Observed) -> None:
        """Put down what the watcher saw. Called in the watcher's thread and on the event loop."""
        recorder = self._services.recorder
        for message in observed.finished:
            if message.canary and session.id in self._canaries:
                canary = self._canaries[session.id]
                canary.entry = recorder.record(observed.drafts[0])
                self._call(canary.finished.set)
                return
        for draft in observed.drafts:
            recorder.owe(draft)
        if observed.not_begun:
            self._call(lambda: self.on_not_begun(session, observed.not_begun))
        if observed.unpermitted and session.open:
            what = f"refused a message whose permit was {observed.unpermitted}"
            self._call(lambda: self._foreign(session, f"{what}. Somebody used its ports directly, or code in it did."))
        if observed.foreign and session.open:
            what = "says that it runs a cell which this server never sent"
            self._call(lambda: self._foreign(
                session, f"{what}. Somebody used its ports directly, or code in it forged the message."
            ))

    def replied(self, session: Session, msg_id: str, status: str, error: str) -> None:
        """Take in an execute_reply that passed by."""
        self.observed(session, session.capture.replied(msg_id, status, error, self._loop.time()))

    def _foreign(self, session: Session, what: str) -> None:
        if not session.open or session.id in self._past_gate:
            return
        self._past_gate.add(session.id)
        finding = kinds.FindingRaised(
            rule=FOREIGN_CODE,
            title="Code reached a kernel past the gate",
            level="critical",
            explanation=(
                f"The kernel of session {session.id} ({session.owner.name}) {what} The session was ended."
            ),
            entries=[],
        )
        draft = kinds.draft(finding, actor=Actor.of(session.owner), grant=session.grant, session=session.id)
        self._services.recorder.owe(draft)
        self.on_foreign_code(session)

    def _call(self, act: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(act)

    # --- the canary -------------------------------------------------------------------------------

    async def prove(self, session: Session, manager: Any) -> None:
        """
        Run the canary and read it back from the ledger; only then is the session open for its owner.

        No upgrade of a dependency can silently break the recording: a kernel whose canary is not found in the
        ledger as it ran is ended. Raises `GateError` with the reason then.
        """
        canary = self._canaries[session.id]
        try:
            failure = await asyncio.wait_for(self._canary(session, manager, canary), CANARY_TIMEOUT)
        except TimeoutError:
            failure = f"no answer within {CANARY_TIMEOUT:g} seconds"
        except AuditError as error:
            failure = str(error)
        finally:
            self._canaries.pop(session.id, None)
        if failure:
            # A restart, or an end, that is under way may have cut it off; then there is nothing to judge.
            await manager.audit_at_rest()
        if not session.open:
            return
        kind = kinds.CanaryRead(kernel_id=session.kernel_id, cell=canary.cell, passed=not failure, failure=failure)
        self._services.recorder.owe(kinds.draft(kind, session=session.id))
        if failure:
            raise GateError(f"The canary cell of kernel {session.kernel_id} failed: {failure}.")
        session.state = SessionState.LIVE
        session.ready.set()

    async def _canary(self, session: Session, manager: Any, canary: _Canary) -> str:
        """Return what is wrong, or nothing."""
        shell = manager.connect_shell()
        wire = manager.session

        def on_reply(frames: list[Any]) -> None:
            _, parts = wire.feed_identities(frames)
            header, parent = json.loads(bytes(parts[1])), json.loads(bytes(parts[2]))
            if header.get("msg_type") == "kernel_info_reply":
                session.kernel_info = json.loads(bytes(parts[4]))
            if header.get("msg_type") == "execute_reply":
                status = str(json.loads(bytes(parts[4])).get("status", ""))
                self.replied(session, str(parent.get("msg_id", "")), status, "")

        shell.on_recv(on_reply)
        try:
            # The subscription is proven first: a status that nobody hears would be a cell without an end.
            while not canary.heard.is_set():
                wire.send(shell, "kernel_info_request")
                try:
                    await asyncio.wait_for(canary.heard.wait(), 0.2)
                except TimeoutError:
                    if not session.open:
                        return "the session ended first"
            if manager.kernel_spec.language.lower() != "python":
                return ""
            return await self._run_canary(session, canary, shell, wire)
        finally:
            shell.close()

    async def _run_canary(self, session: Session, canary: _Canary, shell: Any, wire: Any) -> str:
        services = self._services
        word = f"jupyter-audit canary {secrets.token_hex(8)}"
        content: dict[str, Any] = {
            "code": f"print({word!r})",
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        whole = wire.msg("execute_request", content=content)
        header = {**whole["header"], "date": whole["header"]["date"].isoformat()}
        message = ClientMessage("shell", header, {}, {}, content)
        session.canary_id = message.msg_id
        draft = kinds.draft(
            cell_admitted(message, session, canary=True), session=session.id, contents=contents_of(message)
        )
        entry = await asyncio.wrap_future(services.recorder.record(draft))
        canary.cell = entry.seq
        session.capture.sent(
            Sent(
                msg_id=message.msg_id,
                msg_type="execute_request",
                admitted=entry.seq,
                grant=None,
                header=header,
                since=self._loop.time(),
                outputs=OutputSummary(services.settings.preview_bytes),
                canary=True,
            )
        )
        end = datetime.now(UTC) + timedelta(seconds=CANARY_TIMEOUT)
        whole["metadata"] = {PERMIT_KEY: write_permit(message, entry.seq, int(end.timestamp()), session)}
        wire.send(shell, whole)
        await canary.finished.wait()
        if canary.entry is None:
            return "its end was not put down"
        finished = await asyncio.wrap_future(canary.entry)
        sealed_for = tuple(key.label for key in services.policy.sealed_to)
        return read_back(services.reader, entry.seq, finished.seq, message, word, sealed_for)

    # --- ending -----------------------------------------------------------------------------------

    async def end(self, session: Session, cause: str, processes: int, clean: bool) -> None:
        """Put down what the end cut off and the end itself. Does nothing the second time."""
        if session.state is SessionState.ENDED:
            return
        session.state = SessionState.ENDED
        session.ready.set()
        services = self._services
        services.gate.held.cancel(session.cause or cause, session=session)
        services.observers.ended(session)
        # The watcher reads what is left before it lets go, which can take a moment: not on the event loop.
        await asyncio.to_thread(services.watcher.unwatch, session)
        kind = kinds.SessionEnded(
            kernel_id=session.kernel_id, cause=session.cause or cause, processes=processes, clean=clean
        )
        draft = kinds.draft(kind, actor=Actor.of(session.owner), grant=session.grant, session=session.id)
        services.recorder.owe(draft)
        services.sessions.remove(session)
        self._past_gate.discard(session.id)


def read_back(
    reader: LedgerReader, admitted: int, finished: int, sent: ClientMessage, word: str, sealed_for: tuple[str, ...] = ()
) -> str:
    """
    Compare what the ledger holds of a canary with what was run; return what is wrong, or nothing.

    Reads through a connection of its own kind, not from memory: what is on disk counts. What is sealed it cannot read:
    then it looks that the bytes are those that the entry commits to, of the right size, and sealed for the right auditors.
    """
    expected = contents_of(sent)["message"].data
    message = _read_or_sealed(reader, admitted, "message", len(expected), sealed_for)
    if message not in (expected, SEALED_AS_EXPECTED):
        return "the ledger does not hold the code that ran"
    end = kinds.read(reader.entry(finished), kinds.CellFinished)
    if end.admitted != admitted or end.status != "ok":
        return f"the ledger says that it ended with {end.status!r}"
    size = reader.entry(finished).contents["outputs"].size if "outputs" in reader.entry(finished).contents else -1
    outputs = _read_or_sealed(reader, finished, "outputs", size, sealed_for)
    if outputs == SEALED_AS_EXPECTED:
        printed = [(output.get("output"), output.get("bytes")) for output in end.outputs]
        return "" if printed == [("stream:stdout", len(word) + 1)] else "the ledger does not hold what it printed"
    previews = [output["preview"] for output in json.loads(outputs)["outputs"]] if outputs else []
    if previews != [word + "\n"]:
        return "the ledger does not hold what it printed"
    return ""


def _read_or_sealed(reader: LedgerReader, seq: int, name: str, size: int, sealed_for: tuple[str, ...]) -> bytes | None:
    """Return a content; where it must be sealed `SEALED_AS_EXPECTED`, or None if it is not, or not for these auditors."""
    commitment = reader.entry(seq).contents.get(name)
    if commitment is None:
        return None
    try:
        data = reader.content(seq, name)
    except SealedError as error:
        # The reader has compared the bytes with the entry before it says this.
        right = error.recipients == sealed_for and commitment.size == size
        return SEALED_AS_EXPECTED if right else None
    return None if sealed_for else data


