"""
One session as a story: cell by cell, with what came out, what was refused, and whose word each thing is.

Pure functions over entries and a getter for their contents. Content may have been purged (P6) and may be any
bytes at all: then the step says so and the rest is told all the same. Nothing here is fit for a screen before
`inert` or `show` has had it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from jupyter_audit.clock import parse_time
from jupyter_audit.errors import SealedError
from jupyter_audit.ledger.reader import LedgerReader
from jupyter_audit.model import Entry, Json
from jupyter_audit.record import kinds
from jupyter_audit.review.findings import Finding, read_finding
from jupyter_audit.review.sessions import SessionFacts, read_as

ContentOf = Callable[[int, str], bytes | None]
"""
Returns a content of an entry by the entry's number and the content's name; None if it was purged. Raises `SealedError`
where only others can read it.
"""


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """
    One output of a cell. `preview` and `digest` are None where the content was purged, is sealed or cannot be read;
    `purged` and `sealed` (for whom) say which.
    """

    output: str
    mime: str
    size: int
    lines: int
    rows: int | None
    cut: bool
    preview: str | None = None
    digest: str | None = None
    purged: bool = False
    sealed: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What the server saw come out of a cell, in the kernel's words (`reported_by`).

    `duration_ms` is from when the cell was sent on; for `waited_ms` of that the kernel had not begun it.
    """

    seq: int
    time: datetime
    status: str
    error: str
    duration_ms: int | None
    outputs: tuple[OutputFacts, ...]
    complete: bool
    reported_by: str
    waited_ms: int = 0


@dataclass(frozen=True, slots=True)
class CellStep:
    """
    One cell that was admitted or refused.

    `code` is None where the content was purged, is sealed or cannot be read; `purged` and `sealed` (for whom) say
    which. `refused` is the cause
    of a refusal, or empty. `outcome` is None for a refused cell, and for one whose end no entry tells of.
    """

    seq: int
    time: datetime
    principal: str
    code: str | None
    purged: bool
    lines: int
    refused: str
    canary: bool
    silent: bool
    sealed: str = ""
    outcome: Outcome | None = None
    late: tuple[Outcome, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class EventStep:
    """Anything else: the session's beginning and end, messages, the kernel's reports, findings on no cell."""

    seq: int
    time: datetime
    principal: str
    type: str
    what: str
    grave: bool
    reported_by: str = "server"


Step = CellStep | EventStep


@dataclass(frozen=True, slots=True)
class Timeline:
    """A session and its steps, in ledger order."""

    session: SessionFacts
    steps: tuple[Step, ...]

    @property
    def cells(self) -> tuple[CellStep, ...]:
        """The cells among the steps, without the server's canary."""
        return tuple(step for step in self.steps if isinstance(step, CellStep) and not step.canary)


def build_timeline(session: SessionFacts, entries: Iterable[Entry], content_of: ContentOf) -> Timeline:
    """
    Return the story of `session`.

    `entries` come in ledger order: those of the session and, where they are to be shown, those of its grant
    and findings that name its cells. `session` is what `list_sessions` said of it.
    """
    steps: dict[int, Step] = {}
    for entry in entries:
        match entry.type:
            case "cell.admitted" | "cell.refused":
                steps[entry.seq] = _cell(entry, content_of)
            case "cell.finished" | "cell.late_output":
                _take_outcome(steps, entry, content_of)
            case "finding.raised":
                _take_finding(steps, entry)
            case "note.made" | "feedback.given":
                steps[entry.seq] = _words(entry, content_of)
            case _:
                steps[entry.seq] = _event(entry)
    return Timeline(session, tuple(steps[seq] for seq in sorted(steps)))


def read_timeline(reader: LedgerReader, session: SessionFacts) -> Timeline:
    """Return the story of `session` with the ends of its grant and every finding on its cells."""
    entries = {entry.seq: entry for entry in reader.entries(session=session.id)}
    if session.grant is not None:
        entries |= {e.seq: e for e in _way_of(reader, session.grant.id)}
    for entry in reader.entries(types=(kinds.FindingRaised.TYPE,)):
        if entry.session is None and not entries.keys().isdisjoint(read_finding(entry).entries):
            entries[entry.seq] = entry
    return build_timeline(session, (entries[seq] for seq in sorted(entries)), reader.content)


def _way_of(reader: LedgerReader, grant: str) -> Iterator[Entry]:
    """Yield the entries about a grant: its own, the requests and yeses that led to them, and its being taken over."""
    own = list(reader.entries(grant=grant, types=("access.",)))
    yield from own
    asked = {entry.body["request"] for entry in own if isinstance(entry.body.get("request"), str)}
    for entry in reader.entries(types=(kinds.AccessRequested.TYPE, kinds.AccessEndorsed.TYPE, kinds.AccessApproved.TYPE)):
        if entry.body.get("takes_over") == grant or (entry.grant is None and entry.body.get("request") in asked):
            yield entry


def find_session(sessions: Iterable[SessionFacts], name: str = "") -> SessionFacts | None:
    """
    Return the session called `name`; without a name the one that most asks to be looked at.

    That is: most findings, then most refusals, then most cells, then the newest. None if there is none.
    """
    if name:
        return next((session for session in sessions if session.id == name), None)
    ranked = sorted(
        sessions, key=lambda s: (s.findings, s.cells_refused + s.messages_refused, s.cells_run, s.first)
    )
    return ranked[-1] if ranked else None


# --- cells ----------------------------------------------------------------------------------------


def _cell(entry: Entry, content_of: ContentOf) -> CellStep:
    body = entry.body
    message, purged, sealed = _json(entry, "message", content_of)
    code = message.get("code")
    return CellStep(
        seq=entry.seq,
        time=entry.time,
        principal=entry.actor.name,
        code=code if isinstance(code, str) else None,
        purged=purged,
        sealed=sealed,
        lines=_number(body.get("lines")) or 0,
        refused=(str(body.get("cause", "")) or "refused") if entry.type == "cell.refused" else "",
        canary=body.get("canary") is True,
        silent=body.get("silent") is True,
    )


def _take_outcome(steps: dict[int, Step], entry: Entry, content_of: ContentOf) -> None:
    """Put an outcome with its cell; one that belongs to no cell of this session stands for itself."""
    body = entry.body
    late = entry.type == kinds.CellLateOutput.TYPE
    outcome = Outcome(
        seq=entry.seq,
        time=entry.time,
        status="late" if late else str(body.get("status", "unknown")),
        error=str(body.get("error", "")),
        duration_ms=_number(body.get("duration_ms")),
        outputs=_outputs(entry, content_of),
        complete=late or body.get("complete") is True,
        reported_by=str(body.get("reported_by", "")),
        waited_ms=_number(body.get("waited_ms")) or 0,
    )
    admitted = _number(body.get("admitted"))
    cell = steps.get(admitted) if admitted is not None else None
    if isinstance(cell, CellStep) and late:
        steps[cell.seq] = replace(cell, late=(*cell.late, outcome))
        return
    if isinstance(cell, CellStep) and cell.outcome is None:
        steps[cell.seq] = replace(cell, outcome=outcome)
        return
    told = ", ".join(f"{output.output} of {output.size} bytes" for output in outcome.outputs) or "no output"
    if isinstance(cell, EventStep) and cell.type == kinds.MessageAdmitted.TYPE:
        steps[cell.seq] = replace(cell, what=f"{cell.what}, and put out {told}")
        return
    steps[entry.seq] = EventStep(
        seq=entry.seq,
        time=entry.time,
        principal=entry.actor.name,
        type=entry.type,
        what=f"{outcome.status}: {told}, of no cell that this session admitted ({admitted})",
        grave=True,
        reported_by=outcome.reported_by,
    )


def _outputs(entry: Entry, content_of: ContentOf) -> tuple[OutputFacts, ...]:
    """Return the outputs as the body counts them, with the content's previews where it is still there."""
    facts = entry.body.get("outputs")
    counted = [item for item in facts if isinstance(item, Mapping)] if isinstance(facts, list) else []
    held, purged, sealed = _json(entry, "outputs", content_of)
    listed = held.get("outputs")
    details = listed if isinstance(listed, list) else []
    outputs = []
    for index, fact in enumerate(counted):
        detail = details[index] if index < len(details) and isinstance(details[index], Mapping) else {}
        preview, digest = detail.get("preview"), detail.get("digest")
        count = _number(fact.get("count"))
        outputs.append(
            OutputFacts(
                output=f"{count} more outputs" if count else str(fact.get("output", "")),
                mime=str(fact.get("mime", "")),
                size=_number(fact.get("bytes")) or 0,
                lines=_number(fact.get("lines")) or 0,
                rows=_number(fact.get("rows")),
                cut=fact.get("cut") is True,
                preview=preview if isinstance(preview, str) else None,
                digest=digest if isinstance(digest, str) else None,
                purged=purged,
                sealed=sealed,
            )
        )
    return tuple(outputs)


def _take_finding(steps: dict[int, Step], entry: Entry) -> None:
    """Put a finding with the cells that it names, or on its own."""
    finding = read_finding(entry)
    placed = False
    for seq in finding.entries:
        cell = steps.get(seq)
        if isinstance(cell, CellStep):
            steps[seq] = replace(cell, findings=(*cell.findings, finding))
            placed = True
    if not placed:
        steps[entry.seq] = _event(entry)


# --- everything else ------------------------------------------------------------------------------


def _event(entry: Entry) -> EventStep:
    what, grave = _tell(entry)
    said = entry.body.get("reported_by")
    return EventStep(
        seq=entry.seq,
        time=entry.time,
        principal=entry.actor.name,
        type=entry.type,
        what=what,
        grave=grave,
        reported_by=said if isinstance(said, str) else "server",
    )


def _words(entry: Entry, content_of: ContentOf) -> EventStep:
    """Return a step with what somebody wrote beside what they did, where it can still be read."""
    name = entry.type.partition(".")[0]
    try:
        held = content_of(entry.seq, name) if name in entry.contents else None
        text = "(purged)" if held is None else held.decode("utf-8", "replace")
    except SealedError as error:
        text = f"(sealed for {', '.join(error.recipients)})"
    return replace(_event(entry), what=f"{'noted' if name == 'note' else 'said what got in their way'}: {text}")


def _tell(entry: Entry) -> tuple[str, bool]:
    """Return what an entry says, as a sentence, and whether an auditor should stop at it."""
    kind = kinds.KINDS.get(entry.type)
    body = read_as(entry, kind) if kind is not None else None
    match body:
        case kinds.AccessApproved():
            own = ", approving their own request" if body.self_approved is True else ""
            over = f", who took over the grant {body.takes_over}" if body.takes_over else ""
            return f"granted {body.profile} to {body.principal}{over} until {_moment(body.not_after)}{own}", False
        case kinds.AccessRequested():
            what = f"more time for the grant {body.extends}" if body.extends else f"access to {body.profile}"
            over = f", to take over the grant {body.takes_over}" if body.takes_over else ""
            return f"asked for {what}{over}: {body.reason} ({body.ticket})", False
        case kinds.AccessEndorsed():
            return f"said yes to the request {body.request}; more people had to", False
        case kinds.AccessExtended():
            own = ", approving their own request" if body.self_approved is True else ""
            return f"gave the grant more time, until {_moment(body.not_after)}{own}", False
        case kinds.AccessBreakGlass():
            where = f" for {body.target}" if body.target else ""
            until = _moment(body.not_after)
            told = f"broke the glass of {body.profile}{where} until {until}, approved by nobody: {body.reason} ({body.ticket})"
            return told, True
        case kinds.AccessReviewed():
            judged = "justified" if body.justified is True else "not justified"
            return f"reviewed the broken glass: {judged}. {body.comment}", body.justified is not True
        case kinds.AccessRevoked():
            return f"revoked the grant: {body.reason}", True
        case kinds.AccessExpired():
            return "the grant expired", False
        case kinds.CellAnswered():
            return f"asked the server with %audit {body.verb}".rstrip(), False
        case kinds.SessionStarted():
            where = f" for {body.notebook}" if body.notebook else ""
            folder = f" in {body.folder}" if body.folder else ""
            what = f"kernel {body.kernel_name} started{where}{folder}, isolation: {body.isolation}"
            return what, body.isolation == "none"
        case kinds.SessionMoved():
            what = f"moved from {body.previous} to" if body.previous else "is used as well for"
            return f"kernel {what} {body.notebook or 'nothing that has a path'}", False
        case kinds.SessionBound():
            return f"bound to the grant {entry.grant}, which ends at {_moment(body.not_after)}", False
        case kinds.SessionEnded():
            left = f"; {body.processes} processes were still alive and were killed" if body.processes else ""
            unclean = "" if body.clean is True else "; not everything could be shown to be gone"
            return f"session ended ({body.cause}){left}{unclean}", body.clean is not True
        case kinds.CanaryRead():
            if body.passed is True:
                return "canary cell was recorded, ran, and was read back", False
            return f"canary cell failed: {body.failure}", True
        case kinds.CellHeld():
            behalf = f", on behalf of {body.on_behalf_of}" if body.on_behalf_of else ""
            return f"a cell waits for approval{behalf} ({body.hold})", False
        case kinds.CellApproved():
            return f"approved the cell {body.hold}", False
        case kinds.CellDenied():
            return f"denied the cell {body.hold}: {body.reason}", True
        case kinds.CellHoldEnded():
            return f"the cell {body.hold} waits no more, and did not run: {body.cause}", True
        case kinds.MessageAdmitted():
            return f"{body.msg_type} went to the kernel on {body.channel}", False
        case kinds.MessageRefused():
            return f"{body.msg_type} on {body.channel} was refused: {body.cause}", True
        case kinds.KernelReport():
            return f"the kernel says {body.report}: {_pairs(body.detail)}", True
        case kinds.FindingRaised():
            return f"{body.level}: {body.title}. {body.explanation}", True
        case kinds.GapRecorded():
            return f"gap in the record: {body.what} ({_pairs(body.detail)})", True
    return _pairs(entry.body) or entry.type, kind is not None


# --- reading what may be anything -----------------------------------------------------------------


def _json(entry: Entry, name: str, content_of: ContentOf) -> tuple[Mapping[str, Any], bool, str]:
    """Return a content as a JSON object, empty where it is none; whether it was purged; and for whom it is sealed."""
    if name not in entry.contents:
        return {}, False, ""
    try:
        held = content_of(entry.seq, name)
    except SealedError as error:
        return {}, False, ", ".join(error.recipients)
    if held is None:
        return {}, True, ""
    try:
        value = json.loads(held)
    except (ValueError, RecursionError):
        return {}, False, ""
    return value if isinstance(value, dict) else {}, False, ""


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(text: str) -> str:
    """Return a time that stands in a body as people write it; as it stands where it is none."""
    try:
        return f"{parse_time(text):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, TypeError):
        return str(text)


def _pairs(value: object) -> str:
    return ", ".join(f"{key}: {item}" for key, item in value.items()) if isinstance(value, Mapping) else ""
