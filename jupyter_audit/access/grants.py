"""
The way of a grant: a pure state machine over `access.*` entries, with the clock as an argument (P2, P4).

`fold` takes entries in ledger order and yields what they mean. An entry that does not follow from the ones
before it (a second approval, an approval of a request that had lapsed, a grant longer than any may be) makes
no grant: it is kept as an anomaly, for people to look at. What an entry cannot show, such as whether the
approver held the role, was judged before it was written, by `service`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from jupyter_audit.access.approverkeys import ApproverKey, KeyRing
from jupyter_audit.access.bodies import AnomalyError, read_body
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import ABSOLUTE_LONGEST_MINUTES, LONGEST_BREAK_GLASS_MINUTES, MOST_APPROVALS
from jupyter_audit.access.signing import Decision, Signed, SigningError, Statement
from jupyter_audit.access.states import Grant as Grant
from jupyter_audit.access.states import GrantState as GrantState
from jupyter_audit.access.states import Request as Request
from jupyter_audit.access.states import RequestState as RequestState
from jupyter_audit.clock import parse_time
from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds

LONGEST = timedelta(minutes=ABSOLUTE_LONGEST_MINUTES)

LONGEST_BREAK_GLASS = timedelta(minutes=LONGEST_BREAK_GLASS_MINUTES)

BEGINNING = datetime.min.replace(tzinfo=UTC)

TOLERANCE = timedelta(seconds=1)
"""How much older than its entry the moment may be that an approval was judged by: the time of one commit."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An entry that does not follow from the ones before it. It had no effect."""

    seq: int
    what: str


@dataclass(slots=True)
class AccessState:
    """
    What the entries so far mean.

    `open_requests` and `open_grants` are those that may still be pending or live, so that what is asked all
    the time need not look at everything there ever was. `noticed` are those among them whose end was put
    down already, though by the times in the entries it has not come (a clock went back). `latest` is the
    latest time of any entry, `origin` the ledger's, which signed answers name, `keys` are those of approvers.
    `acknowledged` holds who read which version of which profile's rules.
    """

    requests: dict[str, Request] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    open_requests: set[str] = field(default_factory=set)
    open_grants: set[str] = field(default_factory=set)
    noticed: set[str] = field(default_factory=set)
    latest: datetime = BEGINNING
    origin: str = ""
    keys: KeyRing = field(default_factory=KeyRing)
    acknowledged: set[tuple[str, str, str]] = field(default_factory=set)
    anomalies: list[Anomaly] = field(default_factory=list)


def fold(state: AccessState, entry: Entry) -> None:
    """Take one more entry into `state`. Entries must come in ledger order; other types are ignored."""
    # A clock that was set back between two entries must not bring a lapsed request back to life.
    state.latest = max(state.latest, entry.time)
    try:
        match entry.type:
            case kinds.AccessRequested.TYPE:
                _requested(state, entry)
            case kinds.AccessEndorsed.TYPE:
                _endorsed(state, entry)
            case kinds.AccessApproved.TYPE:
                _approved(state, entry)
            case kinds.AccessExtended.TYPE:
                _extended(state, entry)
            case kinds.AccessBreakGlass.TYPE:
                _broke_glass(state, entry)
            case kinds.AccessReviewed.TYPE:
                _reviewed(state, entry)
            case kinds.AccessAcknowledged.TYPE:
                seen = read_body(entry, kinds.AccessAcknowledged)
                state.acknowledged.add((entry.actor.name, str(seen.profile), str(seen.version)))
            case kinds.AccessDenied.TYPE:
                _denied(state, entry)
            case kinds.AccessWithdrawn.TYPE:
                _withdrawn(state, entry)
            case kinds.AccessClosed.TYPE:
                said = read_body(entry, kinds.AccessClosed)
                _answer(state, entry, said.request, RequestState.CLOSED, said.reason)
            case kinds.AccessLapsed.TYPE:
                _lapsed(state, entry)
            case kinds.AccessRevoked.TYPE:
                _revoked(state, entry)
            case kinds.AccessExpired.TYPE:
                _expired(state, entry)
            case kinds.AccessKeyRegistered.TYPE:
                state.keys.register(state.origin, entry, read_body(entry, kinds.AccessKeyRegistered))
            case kinds.AccessPasskeyRegistered.TYPE:
                state.keys.register_passkey(state.origin, entry, read_body(entry, kinds.AccessPasskeyRegistered))
            case kinds.AccessKeyWithdrawn.TYPE:
                state.keys.withdraw(state.origin, entry, read_body(entry, kinds.AccessKeyWithdrawn))
    except (AnomalyError, SigningError) as error:
        state.anomalies.append(Anomaly(entry.seq, str(error)))
    except (LedgerError, ValueError, OverflowError) as error:
        state.anomalies.append(Anomaly(entry.seq, f"{entry.type} cannot be read: {error}"))


# --- requests and their answers -----------------------------------------------------------------


def _requested(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessRequested)
    if said.request in state.requests:
        raise AnomalyError(f"request {said.request} was made before")
    if not 0 < said.duration_s <= LONGEST.total_seconds():
        raise AnomalyError(f"request {said.request} is for {said.duration_s} seconds")
    if not 1 <= said.approvals <= MOST_APPROVALS:
        raise AnomalyError(f"request {said.request} needs {said.approvals} approvals")
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
        target=said.target,
        starts=parse_time(said.starts) if said.starts else None,
        extends=said.extends,
        takes_over=said.takes_over,
        approvals=said.approvals,
        groups=tuple(said.groups),
        on_behalf_of=said.on_behalf_of,
        signed_approvals=said.signed_approvals,
        leaf=leaf_hash(entry.raw.encode()).hex(),
    )
    state.open_requests.add(said.request)


def _pending(state: AccessState, request_id: str) -> Request:
    request = state.requests.get(request_id)
    if request is None:
        raise AnomalyError(f"there is no request {request_id}")
    now = request.state(state.latest)
    if now is not RequestState.PENDING:
        raise AnomalyError(f"request {request_id} was {now} already")
    return request


def _answer(state: AccessState, entry: Entry, request_id: str, answer: RequestState, why: str) -> None:
    request = _pending(state, request_id)
    state.requests[request_id] = replace(request, answered=answer, answered_by=entry.actor.name, answer=why)
    state.open_requests.discard(request_id)


def _denied(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessDenied)
    _check_signature(state, entry, said.request, Signed(said.statement, said.signature), Decision.DENY, said.reason)
    _answer(state, entry, said.request, RequestState.DENIED, said.reason)


def check_answer(
    state: AccessState, request: Request, approver: str, signed: Signed, decision: Decision, reason: str = ""
) -> tuple[Statement, ApproverKey]:
    """
    Return what `approver` signed, if it is this answer to this request, and the key that they signed it with.

    Raises `SigningError`.
    """
    return state.keys.check(approver, signed, answer_to(state, request, approver, decision, reason))


def answer_to(state: AccessState, request: Request, approver: str, decision: Decision, reason: str = "") -> Statement:
    """Return what an approver signs to answer a request so, but for what is up to the key: `key`, `time` and `nonce`."""
    return Statement(
        origin=state.origin,
        request=request.id,
        entry=request.leaf,
        requester=request.principal,
        profile=request.profile,
        ticket=request.ticket,
        duration_s=int(request.duration.total_seconds()),
        decision=decision.value,
        reason=reason,
        approver=approver,
        key="",
        time="",
    )


def _check_signature(
    state: AccessState, entry: Entry, request_id: str, signed: Signed, decision: Decision, reason: str = ""
) -> None:
    """Raise `SigningError` for a signature that does not hold. One that does counts, whatever comes of the answer."""
    request = state.requests.get(request_id)
    if signed and request is not None:
        _, key = check_answer(state, request, entry.actor.name, signed, decision, reason)
        state.keys.used(key)


def _check_signed_yes(state: AccessState, entry: Entry, request_id: str, statement: str, signature: str) -> None:
    signed, request = Signed(statement, signature), state.requests.get(request_id)
    _check_signature(state, entry, request_id, signed, Decision.APPROVE)
    if request is not None and request.signed_approvals and not signed:
        raise AnomalyError(f"a yes to {request.id} is not signed, and had to be")


def _endorsed(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessEndorsed)
    _check_signed_yes(state, entry, said.request, said.statement, said.signature)
    request = _pending(state, said.request)
    if request.is_of(entry.actor.name) or any(same_person(entry.actor.name, name) for name in request.endorsers):
        raise AnomalyError(f"request {request.id} was endorsed by its requester, or twice by one person")
    state.requests[request.id] = replace(request, endorsers=(*request.endorsers, entry.actor.name))


def _check_yes(request: Request, entry: Entry, self_approved: bool) -> str:
    """Return what is wrong with the last yes to a request, or nothing."""
    if self_approved != request.is_of(entry.actor.name):
        return "it does not say truly whether requester and approver are one person"
    if any(same_person(entry.actor.name, name) for name in request.endorsers):
        return "its approver had said yes before"
    if len(request.endorsers) + 1 < request.approvals:
        return f"it is the {len(request.endorsers) + 1}. yes, and {request.approvals} are needed"
    return ""


def _withdrawn(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessWithdrawn)
    if _pending(state, said.request).principal != entry.actor.name:
        raise AnomalyError(f"request {said.request} was withdrawn by somebody else")
    _answer(state, entry, said.request, RequestState.WITHDRAWN, "")


def _lapsed(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessLapsed)
    if said.request not in state.requests:
        raise AnomalyError(f"there is no request {said.request}")
    if state.requests[said.request].state(state.latest) is RequestState.LAPSED:
        state.open_requests.discard(said.request)
    else:
        state.noticed.add(said.request)


# --- grants and their ends ----------------------------------------------------------------------


def _approved(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessApproved)
    _check_signed_yes(state, entry, said.request, said.statement, said.signature)
    request = _pending(state, said.request)
    not_before, not_after = parse_time(said.not_before), parse_time(said.not_after)
    wrong = _check_yes(request, entry, said.self_approved)
    if entry.grant is None or entry.grant in state.grants:
        wrong = "its grant is not a new one"
    elif (said.principal, said.vouched_by) != (request.principal, request.vouched_by):
        wrong = "it grants somebody else what was asked for"
    elif said.profile != request.profile:
        wrong = "it grants something else than was asked for"
    elif not timedelta(0) < not_after - not_before <= request.duration:
        wrong = "it grants more time than was asked for, or none"
    elif not_before < (request.starts or entry.time) - TOLERANCE or not_before < entry.time - TOLERANCE:
        wrong = "it begins before it was given, or before it was asked to"
    elif request.extends:
        wrong = "more time was asked for, not a new grant"
    elif said.takes_over != request.takes_over:
        wrong = "it takes over another grant than was asked for"
    if wrong:
        raise AnomalyError(f"approval of {said.request}: {wrong}")
    assert entry.grant is not None
    if request.takes_over:
        _hand_over(state, request, entry, not_after)
    _answer(state, entry, request.id, RequestState.APPROVED, "")
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
        target=request.target,
    )
    state.open_grants.add(entry.grant)


def _unended(state: AccessState, grant_id: str) -> Grant:
    """Return a grant that lasts. Whether it has begun is not asked: the time it was judged by may be ahead of its entry's."""
    grant = state.grants.get(grant_id)
    if grant is None or grant.state(state.latest) not in (GrantState.APPROVED, GrantState.ACTIVE):
        raise AnomalyError(f"there is no live grant {grant_id}")
    return grant


def _hand_over(state: AccessState, request: Request, entry: Entry, not_after: datetime) -> None:
    old = _unended(state, request.takes_over)
    if old.profile != request.profile or not_after > old.not_after:
        raise AnomalyError(f"approval of {request.id}: it takes over more than the grant {old.id} gave")
    state.grants[old.id] = replace(
        old, ended=entry.time, ended_by=entry.actor.name, ended_why=f"taken over by {request.principal}",
        successor=entry.grant or "",
    )  # fmt: skip
    state.open_grants.discard(old.id)


def _extended(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessExtended)
    _check_signed_yes(state, entry, said.request, said.statement, said.signature)
    request = _pending(state, said.request)
    grant, not_after = _unended(state, entry.grant or ""), parse_time(said.not_after)
    wrong = _check_yes(request, entry, said.self_approved)
    if request.extends != grant.id or grant.principal != request.principal:
        wrong = "it extends another grant than was asked for"
    elif not timedelta(0) < not_after - grant.not_after <= request.duration:
        wrong = "it gives more time than was asked for, or none"
    elif not_after - grant.not_before > LONGEST:
        wrong = "the grant would last longer than any may"
    if wrong:
        raise AnomalyError(f"extension by {said.request}: {wrong}")
    _answer(state, entry, request.id, RequestState.APPROVED, "")
    state.grants[grant.id] = replace(grant, not_after=not_after, extensions=(*grant.extensions, entry.time))
    state.noticed.discard(grant.id)


def _broke_glass(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessBreakGlass)
    not_before, not_after = parse_time(said.not_before), parse_time(said.not_after)
    if entry.grant is None or entry.grant in state.grants:
        raise AnomalyError("a broken glass without a new grant")
    if not timedelta(0) < not_after - not_before <= LONGEST_BREAK_GLASS or not_before < entry.time - TOLERANCE:
        raise AnomalyError(f"the broken glass {entry.grant} is for longer than any may be, or from before")
    state.grants[entry.grant] = Grant(
        id=entry.grant,
        request="",
        principal=entry.actor.name,
        vouched_by=entry.actor.vouched_by,
        profile=said.profile,
        reason=said.reason,
        ticket=said.ticket,
        not_before=not_before,
        not_after=not_after,
        approver="",
        self_approved=False,
        seq=entry.seq,
        target=said.target,
        break_glass=True,
    )
    state.open_grants.add(entry.grant)


def _reviewed(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessReviewed)
    grant = state.grants.get(entry.grant or "")
    if grant is None or not grant.break_glass or grant.reviewed_by:
        raise AnomalyError(f"there is no broken glass {entry.grant} that waits for a review")
    if grant.is_live(state.latest):
        raise AnomalyError(f"the broken glass {entry.grant} was reviewed before it ended")
    state.grants[grant.id] = replace(
        grant, reviewed_by=entry.actor.name, justified=said.justified, review=said.comment
    )


def _revoked(state: AccessState, entry: Entry) -> None:
    said = read_body(entry, kinds.AccessRevoked)
    grant = state.grants.get(entry.grant or "")
    if grant is None or grant.ended is not None:
        raise AnomalyError(f"there is no grant {entry.grant} to revoke")
    state.grants[grant.id] = replace(
        grant, ended=entry.time, ended_by=entry.actor.name, ended_why=said.reason
    )
    state.open_grants.discard(grant.id)


def _expired(state: AccessState, entry: Entry) -> None:
    read_body(entry, kinds.AccessExpired)
    grant = state.grants.get(entry.grant or "")
    if grant is None:
        raise AnomalyError(f"there is no grant {entry.grant} to expire")
    if state.latest >= grant.not_after:
        state.open_grants.discard(grant.id)
    else:
        state.noticed.add(grant.id)
