"""
Sessions as an auditor lists them: who, why, under whose approval, from when to when, and what happened.

Pure functions over entries. They show what entries say and decide nothing: whether a grant was in force was
the gate's to judge. An entry that lacks what its kind should have is counted, never skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from jupyter_audit.access.grants import AccessState
from jupyter_audit.access.grants import fold as fold_access
from jupyter_audit.errors import LedgerError
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds
from jupyter_audit.review.findings import worse_level

K = TypeVar("K", bound=kinds.Kind)

TYPES = ("access.", "session.", "cell.", "message.refused", "kernel.report", "finding.raised", "gap.recorded")
"""The entry types that `list_sessions` needs to see."""


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """
    What a session's grant was asked for, and who said yes. Empty texts where no entry says.

    `endorsers` said yes before the approver did. `not_after` is the end as the last extension left it, `extensions` say
    who gave how much more and why. A `break_glass` grant has no approver; `review` is what somebody else said of it
    afterwards. `anomalies` name the entries about it that did not follow from the ones before, and had no effect.
    """

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
    target: str = ""
    endorsers: tuple[str, ...] = ()
    takes_over: str = ""
    extensions: tuple[str, ...] = ()
    break_glass: bool = False
    review: str = ""
    anomalies: tuple[str, ...] = ()


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
    folder: str = ""
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
    last: dict[str, datetime] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    requests: dict[str, kinds.AccessRequested] = field(default_factory=dict)
    endorsers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    access: AccessState = field(default_factory=AccessState)
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
    return [_conclude(fold, facts) for facts in fold.sessions.values()]


def _conclude(fold: _Fold, facts: SessionFacts) -> SessionFacts:
    grant = fold.bound.get(facts.id)
    counts: dict[str, Any] = dict(fold.counts[facts.id])
    return replace(
        facts,
        last=fold.last[facts.id],
        grant=None if grant is None else fold.grants.get(grant, GrantFacts(grant)),
        **counts,
    )


def read_as(entry: Entry, kind: type[K]) -> K | None:
    """Return the entry's body as `kind`, or None where it lacks what that kind should have."""
    try:
        return kinds.read(entry, kind)
    except LedgerError:
        return None


def _take_access(fold: _Fold, entry: Entry) -> None:
    before = len(fold.access.anomalies)
    fold_access(fold.access, entry)
    odd = fold.access.anomalies[before:]
    kind = kinds.KINDS.get(entry.type)
    body = None if kind is None else read_as(entry, kind)
    if isinstance(body, kinds.AccessRequested):
        fold.requests[str(body.request)] = body
    elif isinstance(body, kinds.AccessEndorsed):
        said = fold.endorsers.get(str(body.request), ())
        fold.endorsers[str(body.request)] = (*said, entry.actor.name)
    name = entry.grant
    if name is None:
        return
    known = fold.grants.get(name, GrantFacts(name))
    if odd:
        # It is told, and changes nothing of what is known, but where nothing is known yet.
        known = replace(known, anomalies=(*known.anomalies, *(f"entry {each.seq}: {each.what}" for each in odd)))
    if body is not None and (not odd or not known.not_after):
        known = _told_of_grant(fold, known, entry, body)
    fold.grants[name] = known


def _told_of_grant(fold: _Fold, known: GrantFacts, entry: Entry, body: kinds.Kind) -> GrantFacts:
    """Return what is known of a grant with what one more entry says."""
    match body:
        case kinds.AccessApproved():
            request = fold.requests.get(str(body.request))
            if body.takes_over:
                old = fold.grants.get(str(body.takes_over), GrantFacts(str(body.takes_over)))
                ended = f"taken over by {body.principal}, which {entry.actor.name} approved"
                fold.grants[old.id] = replace(old, ended_by=ended)
            return replace(
                known,
                principal=str(body.principal),
                profile=str(body.profile),
                reason=str(request.reason) if request else "",
                ticket=str(request.ticket) if request else "",
                target=str(request.target) if request else "",
                approver=entry.actor.name,
                endorsers=fold.endorsers.get(str(body.request), ()),
                self_approved=body.self_approved is True,
                not_before=str(body.not_before),
                not_after=str(body.not_after),
                takes_over=str(body.takes_over),
            )
        case kinds.AccessBreakGlass():
            return replace(
                known,
                principal=entry.actor.name,
                profile=str(body.profile),
                reason=str(body.reason),
                ticket=str(body.ticket),
                target=str(body.target),
                not_before=str(body.not_before),
                not_after=str(body.not_after),
                break_glass=True,
            )
        case kinds.AccessExtended():
            request = fold.requests.get(str(body.request))
            why = f", because {request.reason}" if request else ""
            by = ", ".join((*fold.endorsers.get(str(body.request), ()), entry.actor.name))
            more = f"until {body.not_after}, approved by {by}{why}"
            return replace(known, not_after=str(body.not_after), extensions=(*known.extensions, more))
        case kinds.AccessReviewed():
            judged = "justified" if body.justified is True else "not justified"
            return replace(known, review=f"{judged}, says {entry.actor.name}: {body.comment}")
        case kinds.AccessRevoked():
            return replace(known, ended_by=f"revoked by {entry.actor.name}: {body.reason}")
        case kinds.AccessExpired():
            return replace(known, ended_by="expired")
    return known


def _take_session(fold: _Fold, entry: Entry) -> None:
    name = entry.session
    if name is None:
        name = _session_of_finding(fold, entry)
        if name is None:
            return
    if name not in fold.sessions:
        fold.sessions[name] = SessionFacts(name, entry.time, entry.time)
        fold.counts[name] = Counter()
    fold.last[name] = max(fold.last.get(name, entry.time), entry.time)
    kind = kinds.KINDS.get(entry.type)
    body = None
    if kind is not None:
        body = read_as(entry, kind)
        if body is None:
            fold.counts[name]["unreadable"] += 1
    if entry.grant is not None and entry.type in (kinds.SessionBound.TYPE, kinds.CellAdmitted.TYPE):
        fold.bound.setdefault(name, entry.grant)
    if entry.type in (kinds.CellAdmitted.TYPE, kinds.CellRefused.TYPE):
        fold.session_of[entry.seq] = name
    counted = _counted(body)
    if counted:
        fold.counts[name][counted] += 1
    else:
        fold.sessions[name] = _told(fold.sessions[name], entry, body)
    if isinstance(body, kinds.FindingRaised):
        facts = fold.sessions[name]
        fold.sessions[name] = replace(facts, worst=worse_level(facts.worst, str(body.level)))


def _counted(body: kinds.Kind | None) -> str:
    """Return which of a session's counts this entry adds to."""
    match body:
        case kinds.CellAdmitted():
            return "" if body.canary is True else "cells_run"
        case kinds.CellRefused():
            return "cells_refused"
        case kinds.MessageRefused():
            return "messages_refused"
        case kinds.CellFinished():
            return "errors" if body.status == "error" else ""
        case kinds.CellLateOutput():
            return "late_outputs"
        case kinds.KernelReport():
            return "reports"
        case kinds.GapRecorded():
            return "gaps"
        case kinds.FindingRaised():
            return "findings"
    return ""


def _told(facts: SessionFacts, entry: Entry, body: kinds.Kind | None) -> SessionFacts:
    """Return `facts` with what this one entry says of the session itself."""
    match body:
        case kinds.SessionStarted():
            return replace(
                facts,
                principal=entry.actor.name,
                vouched_by=entry.actor.vouched_by,
                kernel_name=str(body.kernel_name),
                isolation=str(body.isolation),
                notebook=str(body.notebook),
                folder=str(body.folder),
                started=entry.time,
            )
        case kinds.SessionMoved():
            return replace(facts, notebook=str(body.notebook))
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
    return facts


def _session_of_finding(fold: _Fold, entry: Entry) -> str | None:
    """A finding that names no session belongs to the session of the first cell that it names."""
    named = entry.body.get("entries")
    for seq in named if isinstance(named, list) else ():
        if isinstance(seq, int) and seq in fold.session_of:
            return fold.session_of[seq]
    return None
