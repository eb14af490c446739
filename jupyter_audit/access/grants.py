"""
The way of a grant: a pure state machine over `access.*` entries, with the clock as an argument (P2, P4).

`fold` takes entries in ledger order and yields what they mean. An entry that does not follow from the ones
before it (a second approval, an approval of a request that had lapsed, a grant longer than any may be) makes
no grant: it is kept as an anomaly, for people to look at.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from jupyter_audit.access.policy import ABSOLUTE_LONGEST_MINUTES
from jupyter_audit.clock import parse_time
from jupyter_audit.errors import LedgerError
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds

LONGEST = timedelta(minutes=ABSOLUTE_LONGEST_MINUTES)


class RequestState(StrEnum):
    """Where a request is."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"


class GrantState(StrEnum):
    """Where a grant is."""

    APPROVED = "approved"
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody's asking. `answered` is the answer that the ledger holds, if any."""

    id: str
    principal: str
    vouched_by: str
    profile: str
    reason: str
    ticket: str
    duration: timedelta
    asked: datetime
    lapses: datetime
    seq: int
    answered: RequestState | None = None
    answered_by: str | None = None
    answer: str = ""

    def state(self, now: datetime) -> RequestState:
        """Return where the request is at `now`."""
        if self.answered is not None:
            return self.answered
        return RequestState.PENDING if now < self.lapses else RequestState.LAPSED


@dataclass(frozen=True, slots=True)
class Grant:
    """
    A principal's access for a while: from `not_before` until just before `not_after`.

    `ended` is when it was revoked, if it was; `ended_by` who did that.
    """

    id: str
    request: str
    principal: str
    vouched_by: str
    profile: str
    reason: str
    ticket: str
    not_before: datetime
    not_after: datetime
    approver: str
    self_approved: bool
    seq: int
    ended: datetime | None = None
    ended_by: str | None = None
    ended_why: str = ""

    def state(self, now: datetime) -> GrantState:
        """Return where the grant is at `now`."""
        if self.ended is not None:
            return GrantState.REVOKED
        if now < self.not_before:
            return GrantState.APPROVED
        return GrantState.ACTIVE if now < self.not_after else GrantState.EXPIRED

    def is_live(self, now: datetime) -> bool:
        """Say whether anything may run under this grant at `now`."""
        return self.state(now) is GrantState.ACTIVE


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An entry that does not follow from the ones before it. It had no effect."""

    seq: int
    what: str


@dataclass(slots=True)
class AccessState:
    """What the entries so far mean. `put_down` are the requests and grants whose end is an entry already."""

    requests: dict[str, Request] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    put_down: set[str] = field(default_factory=set)
    anomalies: list[Anomaly] = field(default_factory=list)


def fold(state: AccessState, entry: Entry) -> None:
    """Take one more entry into `state`. Entries must come in ledger order; other types are ignored."""
    try:
        match entry.type:
            case kinds.AccessRequested.TYPE:
                _requested(state, entry)
            case kinds.AccessApproved.TYPE:
                _approved(state, entry)
            case kinds.AccessDenied.TYPE:
                denied = kinds.read(entry, kinds.AccessDenied)
                _answer(state, entry, denied.request, RequestState.DENIED, denied.reason)
            case kinds.AccessWithdrawn.TYPE:
                withdrawn = kinds.read(entry, kinds.AccessWithdrawn)
                _answer(state, entry, withdrawn.request, RequestState.WITHDRAWN, "")
            case kinds.AccessLapsed.TYPE:
                state.put_down.add(kinds.read(entry, kinds.AccessLapsed).request)
            case kinds.AccessRevoked.TYPE:
                _revoked(state, entry)
            case kinds.AccessExpired.TYPE:
                state.put_down.add(entry.grant or "")
    except (LedgerError, ValueError, TypeError, OverflowError) as error:
        state.anomalies.append(Anomaly(entry.seq, f"{entry.type} cannot be read: {error}"))


def _requested(state: AccessState, entry: Entry) -> None:
    said = kinds.read(entry, kinds.AccessRequested)
    if said.request in state.requests:
        state.anomalies.append(Anomaly(entry.seq, f"request {said.request} was made before"))
        return
    state.requests[said.request] = Request(
        id=said.request,
        principal=entry.actor.name,
        vouched_by=entry.actor.vouched_by,
        profile=said.profile,
        reason=said.reason,
        ticket=said.ticket,
        duration=timedelta(seconds=said.duration_s),
        asked=entry.time,
        lapses=parse_time(said.lapses),
        seq=entry.seq,
    )


def _open_request(state: AccessState, entry: Entry, request_id: str) -> Request | None:
    request = state.requests.get(request_id)
    if request is None:
        state.anomalies.append(Anomaly(entry.seq, f"there is no request {request_id}"))
        return None
    now = request.state(entry.time)
    if now is not RequestState.PENDING:
        state.anomalies.append(Anomaly(entry.seq, f"request {request_id} was {now} already"))
        return None
    return request


def _approved(state: AccessState, entry: Entry) -> None:
    said = kinds.read(entry, kinds.AccessApproved)
    request = _open_request(state, entry, said.request)
    if request is None:
        return
    not_before, not_after = parse_time(said.not_before), parse_time(said.not_after)
    wrong = ""
    if entry.grant is None or entry.grant in state.grants:
        wrong = "its grant is not a new one"
    elif (said.principal, said.vouched_by, said.profile) != (request.principal, request.vouched_by, request.profile):
        wrong = "it grants something else than was asked for"
    elif not timedelta(0) < not_after - not_before <= min(LONGEST, request.duration):
        wrong = "it grants more time than was asked for"
    elif not_before < entry.time - timedelta(seconds=1):
        wrong = "it begins before it was given"
    elif said.self_approved != (entry.actor.name == request.principal):
        wrong = "it does not say truly whether requester and approver are one person"
    if wrong:
        state.anomalies.append(Anomaly(entry.seq, f"approval of {said.request}: {wrong}"))
        return
    assert entry.grant is not None
    state.requests[request.id] = replace(request, answered=RequestState.APPROVED, answered_by=entry.actor.name)
    state.grants[entry.grant] = Grant(
        id=entry.grant,
        request=request.id,
        principal=request.principal,
        vouched_by=request.vouched_by,
        profile=request.profile,
        reason=request.reason,
        ticket=request.ticket,
        not_before=not_before,
        not_after=not_after,
        approver=entry.actor.name,
        self_approved=said.self_approved,
        seq=entry.seq,
    )


def _answer(state: AccessState, entry: Entry, request_id: str, answer: RequestState, why: str) -> None:
    request = _open_request(state, entry, request_id)
    if request is not None:
        state.requests[request_id] = replace(request, answered=answer, answered_by=entry.actor.name, answer=why)


def _revoked(state: AccessState, entry: Entry) -> None:
    said = kinds.read(entry, kinds.AccessRevoked)
    grant = state.grants.get(entry.grant or "")
    if grant is None or grant.ended is not None:
        state.anomalies.append(Anomaly(entry.seq, f"there is no grant {entry.grant} to revoke"))
        return
    state.grants[grant.id] = replace(grant, ended=entry.time, ended_by=entry.actor.name, ended_why=said.reason)
