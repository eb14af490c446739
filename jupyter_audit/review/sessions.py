"""
Sessions as an auditor lists them: who, why, under whose approval, from when to when, and what happened.

Pure functions over entries. They show what entries say and decide nothing: whether a grant was in force was
the gate's to judge. An entry that lacks what its kind should have is counted, never skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from jupyter_audit.errors import LedgerError
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds
from jupyter_audit.review.findings import worse_level

K = TypeVar("K", bound=kinds.Kind)

TYPES = ("access.", "session.", "cell.", "message.refused", "kernel.report", "finding.raised", "gap.recorded")
"""The entry types that `list_sessions` needs to see."""


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """What a session's grant was asked for, and who said yes. Empty texts where no entry says."""

    id: str
    principal: str = ""
    profile: str = ""
    reason: str = ""
    ticket: str = ""
    approver: str = ""
    self_approved: bool = False
    not_before: str = ""
    not_after: str = ""
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """
    One session in one line. `ended` is None while no entry says that it ended.

    `cells_run` counts admitted cells but not the server's own canary; `errors` those that finished with an
    error; `reports` what the kernel said of itself; `unreadable` entries that lack what their kind has.
    """

    id: str
    first: datetime
    last: datetime
    principal: str = ""
    vouched_by: str = ""
    kernel_name: str = ""
    isolation: str = ""
    notebook: str = ""
    grant: GrantFacts | None = None
    started: datetime | None = None
    ended: datetime | None = None
    cause: str = ""
    processes: int = 0
    clean: bool = True
    canary: bool | None = None
    cells_run: int = 0
    cells_refused: int = 0
    messages_refused: int = 0
    errors: int = 0
    late_outputs: int = 0
    reports: int = 0
    gaps: int = 0
    findings: int = 0
    worst: str = ""
    unreadable: int = 0


@dataclass(slots=True)
class _Fold:
    """What is known so far; entries come in order."""

    sessions: dict[str, SessionFacts] = field(default_factory=dict)
    requests: dict[str, kinds.AccessRequested] = field(default_factory=dict)
    grants: dict[str, GrantFacts] = field(default_factory=dict)
    bound: dict[str, str] = field(default_factory=dict)
    session_of: dict[int, str] = field(default_factory=dict)


def list_sessions(entries: Iterable[Entry]) -> list[SessionFacts]:
    """
    Return every session of which `entries` tell, in order of their first entry.

    `entries` must come in ledger order and hold the types in `TYPES`; others do no harm.
    """
    fold = _Fold()
    for entry in entries:
        if entry.type.startswith("access."):
            _take_access(fold, entry)
        elif entry.session is not None or entry.type == kinds.FindingRaised.TYPE:
            _take_session(fold, entry)
    return [
        replace(facts, grant=fold.grants.get(fold.bound[name], GrantFacts(fold.bound[name])))
        if name in fold.bound
        else facts
        for name, facts in fold.sessions.items()
    ]


def read_as(entry: Entry, kind: type[K]) -> K | None:
    """Return the entry's body as `kind`, or None where it lacks what that kind should have."""
    try:
        return kinds.read(entry, kind)
    except LedgerError:
        return None


def _take_access(fold: _Fold, entry: Entry) -> None:
    if entry.type == kinds.AccessRequested.TYPE:
        asked = read_as(entry, kinds.AccessRequested)
        if asked is not None:
            fold.requests[str(asked.request)] = asked
        return
    name = entry.grant
    if name is None:
        return
    known = fold.grants.get(name, GrantFacts(name))
    if entry.type == kinds.AccessApproved.TYPE:
        approved = read_as(entry, kinds.AccessApproved)
        if approved is None:
            return
        request = fold.requests.get(str(approved.request))
        known = replace(
            known,
            principal=str(approved.principal),
            profile=str(approved.profile),
            reason=str(request.reason) if request else "",
            ticket=str(request.ticket) if request else "",
            approver=entry.actor.name,
            self_approved=approved.self_approved is True,
            not_before=str(approved.not_before),
            not_after=str(approved.not_after),
        )
    elif entry.type == kinds.AccessRevoked.TYPE:
        known = replace(known, ended_by=f"revoked by {entry.actor.name}: {entry.body.get('reason', '')}")
    elif entry.type == kinds.AccessExpired.TYPE:
        known = replace(known, ended_by="expired")
    fold.grants[name] = known


def _take_session(fold: _Fold, entry: Entry) -> None:
    name = entry.session
    if name is None:
        name = _session_of_finding(fold, entry)
        if name is None:
            return
    facts = fold.sessions.get(name) or SessionFacts(name, entry.time, entry.time)
    facts = replace(facts, last=max(facts.last, entry.time))
    kind = kinds.KINDS.get(entry.type)
    body = None
    if kind is not None:
        body = read_as(entry, kind)
        facts = replace(facts, unreadable=facts.unreadable + (body is None))
    if entry.grant is not None and entry.type in (kinds.SessionBound.TYPE, kinds.CellAdmitted.TYPE):
        fold.bound.setdefault(name, entry.grant)
    if entry.type in (kinds.CellAdmitted.TYPE, kinds.CellRefused.TYPE):
        fold.session_of[entry.seq] = name
    fold.sessions[name] = _count(facts, entry, body)


def _count(facts: SessionFacts, entry: Entry, body: kinds.Kind | None) -> SessionFacts:
    """Return `facts` with what this one entry adds."""
    match body:
        case kinds.SessionStarted():
            return replace(
                facts,
                principal=entry.actor.name,
                vouched_by=entry.actor.vouched_by,
                kernel_name=str(body.kernel_name),
                isolation=str(body.isolation),
                notebook=str(body.notebook),
                started=entry.time,
            )
        case kinds.SessionEnded():
            killed = entry.body.get("processes")
            return replace(
                facts,
                ended=entry.time,
                cause=str(body.cause),
                processes=killed if isinstance(killed, int) else 0,
                clean=body.clean is True,
            )
        case kinds.CanaryRead():
            return replace(facts, canary=body.passed is True)
        case kinds.CellAdmitted():
            return facts if body.canary is True else replace(facts, cells_run=facts.cells_run + 1)
        case kinds.CellRefused():
            return replace(facts, cells_refused=facts.cells_refused + 1)
        case kinds.MessageRefused():
            return replace(facts, messages_refused=facts.messages_refused + 1)
        case kinds.CellFinished():
            return replace(facts, errors=facts.errors + (body.status == "error"))
        case kinds.CellLateOutput():
            return replace(facts, late_outputs=facts.late_outputs + 1)
        case kinds.KernelReport():
            return replace(facts, reports=facts.reports + 1)
        case kinds.GapRecorded():
            return replace(facts, gaps=facts.gaps + 1)
        case kinds.FindingRaised():
            worst = worse_level(facts.worst, str(body.level))
            return replace(facts, findings=facts.findings + 1, worst=worst)
    return facts


def _session_of_finding(fold: _Fold, entry: Entry) -> str | None:
    """A finding that names no session belongs to the session of the first cell that it names."""
    named = entry.body.get("entries")
    for seq in named if isinstance(named, list) else ():
        if isinstance(seq, int) and seq in fold.session_of:
            return fold.session_of[seq]
    return None
