"""
Capture: what became of each message that was sent to one kernel, told from its iopub messages.

Pure but for a lock: it is fed by the watcher's thread and by the connections, and hands back drafts. What
it puts down is the kernel's word (a kernel can forge or withhold iopub), and is marked so; what it proves is
only that the server looked, from the first message to the last, browser or no browser.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_audit.model import Draft, Json
from jupyter_audit.record import kinds
from jupyter_audit.record.bounds import bounded
from jupyter_audit.record.outputs import OutputSummary

REPLY_WAIT = 0.25
"""Seconds to wait for a cell's reply once the kernel says it is idle; the reply tells an aborted cell."""

LATE_FLUSH = 1.0
"""Seconds over which late output of one cell is gathered into one entry."""

NOT_BEGUN = "a cell that was sent, and that its kernel does not begin"
"""`what` of the gap entry that the watch puts down for a cell."""

NOT_BEGUN_S = 30.0
"""Seconds that a kernel which is at nothing else has to begin a cell, unless it is set otherwise."""

MOST_DETAILS = 20
"""Members kept of a kernel's report on itself."""

MOST_REPORTS = 100
"""Reports of one session that become an entry each: code in a kernel can make as many as it likes."""

MORE_REPORTS = "reports of a kernel on itself, beyond those that were put down"
"""`what` of the gap entry at the first of them, and of the one that counts them at the session's end."""

UNKNOWN = ""
"""The cell of late output that names none that was sent. Gathered together: a kernel can invent any number of them."""

REMEMBERED = 20_000
"""How many finished messages are remembered, to know whose late output it is."""

OUTPUT_TYPES = frozenset(
    {"stream", "display_data", "update_display_data", "execute_result", "error", "comm_open", "comm_msg"}
)
PERMIT_CAUSES = frozenset({"missing", "malformed", "foreign", "forged", "late", "replayed"})
"""What the kernel may say of a permit that it refuses (jupyter_audit_kernel.formats)."""

RUN_TYPES = frozenset({"execute_input", "execute_result"})


@dataclass(slots=True)
class Sent:
    """
    One message on its way through the kernel.

    `begun_at` is when the kernel first showed something of it, `missed` says that it was put down as not begun.
    """

    msg_id: str
    msg_type: str
    admitted: int
    grant: str | None
    header: Mapping[str, Any]
    since: float
    outputs: OutputSummary
    canary: bool = False
    begun_at: float | None = None
    missed: bool = False
    idle_at: float | None = None
    reply: str = ""
    reply_error: str = ""


@dataclass(slots=True)
class _Late:
    admitted: int
    grant: str | None
    outputs: OutputSummary
    since: float


@dataclass(frozen=True, slots=True)
class Observed:
    """
    What one look at the kernel gave: entries to put down, cells that ended, and what came another way.

    `foreign` is the parent of a run that was never sent; `unpermitted` why the kernel refused a message's permit;
    `not_begun` are cells that wait for a kernel which does nothing else.
    """

    drafts: tuple[Draft, ...] = ()
    finished: tuple[Sent, ...] = ()
    foreign: str = ""
    unpermitted: str = ""
    not_begun: tuple[Sent, ...] = ()


NOTHING = Observed()
"""What most looks give."""


@dataclass(slots=True)
class Capture:
    """
    Follows one session. `keep` is how many bytes of each output's text are kept; times are monotonic seconds.

    `begin_within`: after so many seconds a cell that a kernel does not begin, though it is at nothing else, is put down.
    """

    session: str
    kernel_id: str
    keep: int
    report_type: str
    begin_within: float = NOT_BEGUN_S
    _free_since: float = 0.0
    _reports: int = 0
    _refusal_reported: bool = False
    _open: dict[str, Sent] = field(default_factory=dict)
    _done: OrderedDict[str, tuple[int, str | None]] = field(default_factory=OrderedDict)
    _late: dict[str, _Late] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def knows(self, msg_id: str) -> bool:
        """Say whether a message of this id was sent before."""
        with self._lock:
            return msg_id in self._open or msg_id in self._done

    def sent(self, message: Sent) -> None:
        """Register a message; call it before the message goes on."""
        with self._lock:
            self._open[message.msg_id] = message

    def withdraw(self, msg_id: str) -> Sent | None:
        """Take back, and return, a message that did not go on after all; its id stays used."""
        with self._lock:
            message = self._open.pop(msg_id, None)
            if message is not None:
                self._done[msg_id] = (message.admitted, message.grant)
            return message

    def running(self) -> list[Sent]:
        """Return the cells that were sent and have not finished."""
        with self._lock:
            return [message for message in self._open.values() if message.msg_type == "execute_request"]

    def replied(self, msg_id: str, status: str, error: str, now: float) -> Observed:
        """Take in an execute_reply that passed by on its way to a client."""
        with self._lock:
            message = self._open.get(msg_id)
            if message is None:
                return NOTHING
            message.reply, message.reply_error = status, bounded(error, 200)
            return self._finish(message, now) if message.idle_at is not None else NOTHING

    def observe(
        self, msg_type: str, parent: Mapping[str, Any], content: Mapping[str, Any], now: float
    ) -> Observed:
        """Take in one iopub message."""
        parent_id = str(parent.get("msg_id", ""))
        with self._lock:
            message = self._open.get(parent_id)
            if message is not None and message.begun_at is None:
                message.begun_at = now
            if msg_type == self.report_type:
                return self._reported(content)
            if message is None and parent_id not in self._done and self._shows_a_run(msg_type, parent, content):
                return Observed(foreign=parent_id or "none")
            if msg_type in OUTPUT_TYPES:
                if message is not None and message.idle_at is None:
                    message.outputs.add(msg_type, content)
                else:
                    self._late_output(parent_id, message, msg_type, content, now)
                return NOTHING
            if msg_type == "status" and content.get("execution_state") == "idle" and message is not None:
                message.idle_at = self._free_since = now
                if message.reply or message.msg_type != "execute_request":
                    return self._finish(message, now)
            return NOTHING

    def due(self, now: float) -> Observed:
        """Return what has waited long enough: idle cells without a reply, gathered late output, cells that do not begin."""
        with self._lock:
            drafts: list[Draft] = []
            finished: list[Sent] = []
            for message in list(self._open.values()):
                if message.idle_at is not None and now - message.idle_at >= REPLY_WAIT:
                    observed = self._finish(message, now)
                    drafts += observed.drafts
                    finished += observed.finished
            for key, late in list(self._late.items()):
                if now - late.since >= LATE_FLUSH:
                    drafts.append(self._late_draft(self._late.pop(key)))
            not_begun = self._not_begun(now)
            drafts += [self._gap(message, now) for message in not_begun]
            if not drafts and not finished:
                return NOTHING
            return Observed(tuple(drafts), tuple(finished), not_begun=not_begun)

    def close(self, now: float) -> Observed:
        """Return the ends of everything that the session's end cut off, and late output not yet put down."""
        with self._lock:
            drafts: list[Draft] = []
            finished: list[Sent] = []
            for message in list(self._open.values()):
                observed = self._finish(message, now, ended=message.idle_at is None)
                drafts += observed.drafts
                finished += observed.finished
            drafts += [self._late_draft(late) for late in self._late.values()]
            self._late.clear()
            if self._reports > MOST_REPORTS:
                drafts.append(self._more_reports(self._reports - MOST_REPORTS))
            return Observed(tuple(drafts), tuple(finished))

    # --- with the lock held -----------------------------------------------------------------------

    def _shows_a_run(self, msg_type: str, parent: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
        """Does this message say that the kernel runs a cell? For one never sent, code came another way."""
        if msg_type in RUN_TYPES:
            return True
        return (
            msg_type == "status"
            and content.get("execution_state") == "busy"
            and parent.get("msg_type") == "execute_request"
        )

    def _not_begun(self, now: float) -> tuple[Sent, ...]:
        """Return the cells that the kernel should long have begun; those behind another one wait for good reason."""
        if any(message.begun_at is not None and message.idle_at is None for message in self._open.values()):
            return ()
        found = [
            message
            for message in self._open.values()
            if message.msg_type == "execute_request" and message.begun_at is None and not message.missed
            and now - max(message.since, self._free_since) >= self.begin_within
        ]  # fmt: skip
        for message in found:
            message.missed = True
        return tuple(found)

    def _gap(self, message: Sent, now: float) -> Draft:
        detail: dict[str, Json] = {
            "kernel_id": self.kernel_id,
            "entries": [message.admitted],
            "seconds": round(now - message.since),
        }
        return kinds.draft(kinds.GapRecorded(what=NOT_BEGUN, detail=detail), grant=message.grant, session=self.session)

    def _finish(self, message: Sent, now: float, *, ended: bool = False) -> Observed:
        self._open.pop(message.msg_id, None)
        self._done[message.msg_id] = (message.admitted, message.grant)
        while len(self._done) > REMEMBERED:
            self._done.popitem(last=False)
        outputs = message.outputs
        if message.msg_type != "execute_request":
            if not outputs:
                return Observed(finished=(message,))
            late = _Late(message.admitted, message.grant, outputs, now)
            return Observed((self._late_draft(late),), (message,))
        error = message.reply_error or outputs.error
        if ended and message.begun_at is None:
            error = kinds.NEVER_BEGUN
        if ended:
            status = "ended"
        elif message.reply in ("error", "aborted"):
            status = message.reply
        else:
            status = "error" if outputs.error else "ok"
        over = message.idle_at or now
        begun = over if message.begun_at is None else message.begun_at
        kind = kinds.CellFinished(
            kernel_id=self.kernel_id,
            admitted=message.admitted,
            status=status,
            error=error,
            duration_ms=round(1000 * (over - message.since)),
            outputs=outputs.facts(),
            complete=message.idle_at is not None,
            reported_by="kernel",
            waited_ms=round(1000 * (begun - message.since)),
        )
        draft = kinds.draft(kind, grant=message.grant, session=self.session, contents=outputs.contents())
        return Observed((draft,), (message,))

    def _late_output(
        self, parent_id: str, message: Sent | None, msg_type: str, content: Mapping[str, Any], now: float
    ) -> None:
        if message is None and parent_id not in self._done:
            parent_id = UNKNOWN
        late = self._late.get(parent_id)
        if late is None:
            if message is not None:
                admitted, grant = message.admitted, message.grant
            else:
                admitted, grant = self._done.get(parent_id, (-1, None))
            late = self._late[parent_id] = _Late(admitted, grant, OutputSummary(self.keep), now)
        late.outputs.add(msg_type, content)

    def _late_draft(self, late: _Late) -> Draft:
        kind = kinds.CellLateOutput(
            kernel_id=self.kernel_id, admitted=late.admitted, outputs=late.outputs.facts(), reported_by="kernel"
        )
        return kinds.draft(kind, grant=late.grant, session=self.session, contents=late.outputs.contents())

    def _unpermitted(self, content: Mapping[str, Any]) -> str:
        """Return why the kernel says that it refused a permit, if it does and it was not the server's own message."""
        if content.get("report") != "permit_refused":
            return ""
        cause = content.get("cause")
        if cause == "late" and str(content.get("msg_id")) in self._open:
            # It was sent in time and waited behind another cell until the grant had ended.
            return ""
        return cause if isinstance(cause, str) and cause in PERMIT_CAUSES else "unknown"

    def _reported(self, content: Mapping[str, Any]) -> Observed:
        """Take in a report. A refusal counts however many there were before, and the first is always put down."""
        unpermitted = self._unpermitted(content)
        first_refusal = bool(unpermitted) and not self._refusal_reported
        self._refusal_reported = self._refusal_reported or bool(unpermitted)
        if first_refusal:
            return Observed((self._report(content),), unpermitted=unpermitted)
        self._reports += 1
        if self._reports <= MOST_REPORTS:
            return Observed((self._report(content),), unpermitted=unpermitted)
        drafts = (self._more_reports(1),) if self._reports == MOST_REPORTS + 1 else ()
        return Observed(drafts, unpermitted=unpermitted) if drafts or unpermitted else NOTHING

    def _more_reports(self, count: int) -> Draft:
        detail: dict[str, Json] = {"kernel_id": self.kernel_id, "reports": count}
        return kinds.draft(kinds.GapRecorded(what=MORE_REPORTS, detail=detail), session=self.session)

    def _report(self, content: Mapping[str, Any]) -> Draft:
        items = [(str(key), str(value)) for key, value in content.items() if key != "report"]
        detail: dict[str, Json] = {bounded(key, 100): bounded(value, 500) for key, value in items[:MOST_DETAILS]}
        if len(items) > MOST_DETAILS:
            detail["…"] = f"{len(items) - MOST_DETAILS} more"
        kind = kinds.KernelReport(
            kernel_id=self.kernel_id,
            report=bounded(str(content.get("report", "")), 100),
            detail=detail,
            reported_by="kernel",
        )
        return kinds.draft(kind, session=self.session)
