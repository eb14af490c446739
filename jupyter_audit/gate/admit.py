"""
The way of a cell: judge, put down, then let through (P1, P2). The one screen that everything hangs on.

`Gate.admit` returns only when the entry is durable, so its caller may send the message on; or it returns
the refusal that the user reads. It never sends anything itself, and knows nothing of websockets.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jupyter_audit_kernel.formats import REPORT_TYPE, Permit, content_digest, sign_permit

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.terms import fulfils
from jupyter_audit.clock import Clock
from jupyter_audit.errors import LedgerError, RecordError
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.decide import Admit, Cause, Hold, Refuse, Situation, decide
from jupyter_audit.gate.drafts import MOST_CODE, admission_drafts, hold_drafts, is_too_large, refusal_draft
from jupyter_audit.gate.guardrails import UNBROKEN, JudgeCode, judged
from jupyter_audit.gate.holding import INTERRUPTED, NOT_RECORDED, Client, HeldCell, HeldCells
from jupyter_audit.gate.messages import waits
from jupyter_audit.gate.room import Room
from jupyter_audit.gate.sessions import Session
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry, Principal
from jupyter_audit.record import kinds
from jupyter_audit.record.capture import Sent
from jupyter_audit.record.outputs import OutputSummary
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.record.waiting import Outcome, Stored

UNBOUND_PERMIT = timedelta(minutes=2)
"""How long a permit lasts for a message that needs no grant."""


@dataclass(frozen=True, slots=True)
class Passed:
    """The message's entry is durable. `permit` goes into its metadata; `warning` is for the user, where it is not empty."""

    entry: int
    permit: Mapping[str, Any]
    warning: str = ""


@dataclass(slots=True)
class Gate:
    """Everything that a verdict needs. `reader` belongs to the thread that calls `admit` (the event loop's)."""

    recorder: Recorder
    book: GrantBook
    reader: LedgerReader
    policy: Policy
    clock: Clock
    panel: str
    keep: int
    room: Room
    timeout: float
    judge_code: JudgeCode | None = None
    held: HeldCells = field(init=False)
    each_cell: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.held = HeldCells(self.recorder, self.book)
        self.each_cell = frozenset(name for name, profile in self.policy.profiles.items() if profile.approves_cells)

    async def admit(self, message: ClientMessage, session: Session, principal: Principal, client: Client) -> Passed | Refuse:
        """
        Judge `message` of `client`, put the verdict down, and return it once it is durable.

        A cell that somebody must approve waits here for that. A refusal that cannot be recorded is a refusal all the
        same. An admission that cannot be recorded in time becomes one (P1).
        """
        if not waits(message.msg_type):
            return self.interrupt(message, session, principal)
        verdict, code, held = self._judge(message, session, principal), UNBROKEN, -1
        if not isinstance(verdict, Refuse) and verdict.grant is not None:
            profile = self.policy.profiles.get(verdict.grant.profile)
            if profile is not None and profile.guardrails:
                code = await judged(self.judge_code, profile, message, session, principal)
                # The grant may have ended while the code was read.
                verdict = self._judge(message, session, principal)
                if code.refused and not isinstance(verdict, Refuse):
                    verdict = Refuse(Cause.GUARDRAIL, code.sentence, code.refused)
        if isinstance(verdict, Hold):
            verdict, held = await self._hold(verdict, message, session, principal, client)
        if isinstance(verdict, Refuse):
            self.recorder.owe(refusal_draft(verdict, message, session.kernel_id, principal, session, held))
            return verdict
        stored = self.recorder.store(admission_drafts(verdict, message, session, principal, code, held))
        try:
            entries = await stored.within(self.timeout)
        except TimeoutError:
            self._put_down_when_late(stored, session)
            return Refuse(Cause.NOT_RECORDED, self._not_recorded(f"no answer in {self.timeout:g} seconds"))
        except RecordError as error:
            return Refuse(Cause.NOT_RECORDED, self._not_recorded(str(error)))
        if not session.open:
            # The session ended while the entry was being written. It was admitted and never ran: say both.
            self._put_down_when_late(stored, session)
            return Refuse(Cause.SESSION_ENDED, "This kernel's session ended before the cell could run.")
        if verdict.grant is not None:
            session.bound = True
            session.active = time.monotonic()
            self.limit(session, verdict.grant)
        entry = entries[-1]
        # What comes late is kept alike: a session has one grant.
        keep = session.capture.keep = self.policy.kept_of_outputs(verdict.grant.profile if verdict.grant else "", self.keep)
        session.capture.sent(self._sent(message, entry, keep))
        return Passed(entry.seq, self._permit(verdict, message, entry, session), code.sentence)

    def limit(self, session: Session, grant: Grant) -> None:
        """
        Have a session's supervisor end it soon after its grant, should the server be kept from it: it is told in seconds, once
        for each end that the grant has had.
        """
        if session.limit is not None and session.limited_to != grant.not_after:
            session.limited_to = grant.not_after
            session.limit((grant.not_after - self.book.now(self.clock.now())).total_seconds())

    def interrupt(self, message: ClientMessage, session: Session, principal: Principal) -> Passed | Refuse:
        """Judge an interrupt and return the verdict at once: it must not be stuck behind a disk, and is put down later."""
        verdict = self._judge(message, session, principal)
        if isinstance(verdict, Refuse):
            self.put_down_refusal(verdict, message, session.kernel_id, principal, session)
            return verdict
        assert isinstance(verdict, Admit)
        self.recorder.owe(admission_drafts(verdict, message, session, principal, UNBROKEN, -1)[-1])
        self.held.cancel(INTERRUPTED, session=session)
        return Passed(-1, own_permit(message.header, message.content, session, self.clock.now()))

    def refuse_without_session(self, message: ClientMessage, kernel_id: str, principal: Principal) -> Refuse:
        """Put down and return the refusal of a message to a kernel whose life nobody began, or whose life is over."""
        verdict = Refuse(Cause.SESSION_ENDED, "This kernel has no audit session, so nothing may run. Restart it.")
        self.put_down_refusal(verdict, message, kernel_id, principal, None)
        return verdict

    def put_down_refusal(
        self, verdict: Refuse, message: ClientMessage, kernel_id: str, principal: Principal, session: Session | None
    ) -> None:
        """Put down a refusal that somebody else decided."""
        self.recorder.owe(refusal_draft(verdict, message, kernel_id, principal, session))

    # --- holding ----------------------------------------------------------------------------------

    async def _hold(
        self, verdict: Hold, message: ClientMessage, session: Session, principal: Principal, client: Client
    ) -> tuple[Admit | Refuse, int]:
        """Put down that a cell waits for approval, wait, and return what is to happen and the number of that entry."""
        if (refusal := self.held.why_not(session, message, client)) is not None:
            return refusal, -1
        hold_id = f"h-{secrets.token_hex(6)}"
        profile = self.policy.profiles[verdict.grant.profile]
        lapses = self.book.latest + timedelta(minutes=profile.cell_approval_minutes)
        stored = self.recorder.store(hold_drafts(hold_id, lapses, profile, verdict, message, session, principal))
        try:
            entry = (await stored.within(self.timeout))[-1]
        except TimeoutError:
            # Should it be stored after all, this is behind it, and says that it will not run.
            ended = kinds.CellHoldEnded(hold_id, NOT_RECORDED)
            self.recorder.owe(kinds.draft(ended, grant=verdict.grant.id, session=session.id))
            return Refuse(Cause.NOT_RECORDED, self._not_recorded(f"no answer in {self.timeout:g} seconds")), -1
        except RecordError as error:
            return Refuse(Cause.NOT_RECORDED, self._not_recorded(str(error))), -1
        session.bound = True
        held = HeldCell(hold_id, entry.seq, session, message, message.text, profile.name, client)
        return await self.held.outcome(held, lambda: self._judge(message, session, principal)), entry.seq

    # --- judging ----------------------------------------------------------------------------------

    def _judge(self, message: ClientMessage, session: Session, principal: Principal) -> Admit | Hold | Refuse:
        try:
            situation = self._situation(session, principal)
        except LedgerError as error:  # nobody can say what is in force now
            return Refuse(Cause.NOT_RECORDED, self._not_recorded(str(error)))
        verdict = decide(message.msg_type, message.channel, situation, message.command)
        if isinstance(verdict, Refuse):
            return verdict
        if session.capture.knows(message.msg_id):
            return Refuse(
                Cause.MESSAGE_ID_REUSED,
                "A message with this id was sent before. Reload the page, or give each message an id of its own.",
            )
        if is_too_large(message):
            what = "cell" if message.msg_type == "execute_request" else "message"
            return Refuse(
                Cause.TOO_LARGE,
                f"The {what} is larger than {MOST_CODE // 1024 // 1024} MiB, more than the ledger keeps whole. "
                "Load the data from a file instead.",
            )
        if verdict.grant is not None:
            # Bound before the entry is durable: nothing that arrives meanwhile may pick another grant.
            session.grant = verdict.grant.id
        return verdict

    def _situation(self, session: Session, principal: Principal) -> Situation:
        self.book.refresh(self.reader)
        now = self.book.now(self.clock.now())
        profiles = self.policy.profiles
        bound = self.book.grant(session.grant) if session.grant else None
        situation = Situation(
            principal=principal.name,
            owner=session.owner.name,
            kernel_name=session.kernel_name,
            session_open=session.open,
            bound=bound,
            outside=session.outside,
            notebook=session.notebook,
            each_cell=self.each_cell,
            exempt=[name for name, profile in profiles.items() if profile.recovery] if self.room.short else (),
            short_of_room=str(self.room) if self.room.short else "",
            panel=self.panel,
            now=now,
        )
        if bound is not None:
            return situation  # the session lives and dies with it: no other grant is asked for
        return dataclasses.replace(
            situation,
            live=self.book.live(principal.name, now),
            covered_kernels={name: profile.kernels for name, profile in profiles.items()},
            fulfilled=[
                name
                for name, profile in profiles.items()
                if fulfils(session.isolation, session.network, profile.isolation, profile.network)
            ],
        )

    @staticmethod
    def _not_recorded(why: str) -> str:
        return (
            f"Not run: the ledger could not record it ({why}). Nothing runs that cannot be recorded. Your notebook "
            "is untouched: save it, and ask an admin to run `jupyter audit doctor`."
        )

    # --- putting down -----------------------------------------------------------------------------

    def _put_down_when_late(self, stored: Stored, session: Session) -> None:
        """If the entry of a message that was not sent is stored after all, say that it never ran."""

        def not_sent(outcome: Outcome) -> None:
            if not isinstance(outcome, Exception):
                self._put_down_not_sent(outcome[-1].seq, outcome[-1].grant, session)

        stored.then(not_sent)

    def not_sent(self, message: ClientMessage, passed: Passed, session: Session) -> None:
        """Put down of a message that was let through that it did not go on after all: there was no socket for it any more."""
        withdrawn = session.capture.withdraw(message.msg_id)
        if withdrawn is not None:
            self._put_down_not_sent(passed.entry, withdrawn.grant, session)

    def _put_down_not_sent(self, entry: int, grant: str | None, session: Session) -> None:
        kind = kinds.CellFinished(
            kernel_id=session.kernel_id,
            admitted=entry,
            status="ended",
            error=kinds.NEVER_SENT,
            duration_ms=0,
            outputs=[],
            complete=True,
            reported_by="server",
        )
        self.recorder.owe(kinds.draft(kind, grant=grant, session=session.id))

    # --- letting through --------------------------------------------------------------------------

    @staticmethod
    def _sent(message: ClientMessage, entry: Entry, keep: int) -> Sent:
        return Sent(
            msg_id=message.msg_id,
            msg_type=message.msg_type,
            admitted=entry.seq,
            grant=entry.grant,
            header=message.header,
            since=asyncio.get_running_loop().time(),
            outputs=OutputSummary(keep),
        )

    def _permit(self, verdict: Admit, message: ClientMessage, entry: Entry, session: Session) -> Mapping[str, Any]:
        end = verdict.grant.not_after if verdict.grant else self.clock.now() + UNBOUND_PERMIT
        return write_permit(message, entry.seq, math.ceil(end.timestamp()), session)


def write_permit(message: ClientMessage, entry: int, not_after: int, session: Session) -> Mapping[str, Any]:
    """Return the server's signed word to this session's kernel that `message` is entry number `entry`."""
    permit = Permit(
        entry=entry,
        session=session.id,
        msg_id=message.msg_id,
        msg_type=message.msg_type,
        content_digest=hashlib.sha256(message.text).hexdigest(),
        not_after=not_after,
    )
    return sign_permit(permit, session.signing_key)


def own_permit(header: Mapping[str, Any], content: Mapping[str, Any], session: Session, now: datetime) -> Mapping[str, Any]:
    """Return the server's signed word that a message without an entry of its own, or with one that comes later, is from it."""
    permit = Permit(
        entry=next(session.own_permits),
        session=session.id,
        msg_id=str(header["msg_id"]),
        msg_type=str(header["msg_type"]),
        content_digest=content_digest(content),
        not_after=math.ceil((now + UNBOUND_PERMIT).timestamp()),
    )
    return sign_permit(permit, session.signing_key)


def report_type() -> str:
    """Return the iopub message type of the kernel's own reports, which browsers never see."""
    return REPORT_TYPE
