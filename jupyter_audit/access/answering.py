"""
Answering: may this person say yes or no to this request, and which entry says so? Pure.

`service` calls these with the newest book, inside the ledger's write lock; what may not be answered is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from jupyter_audit.access import rules, signatures
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Request
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.signing import Decision, Signed
from jupyter_audit.access.tickets import Seen
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError, NotPermittedError
from jupyter_audit.model import Actor, Draft, Principal
from jupyter_audit.record import kinds


@dataclass(frozen=True, slots=True)
class Yes:
    """A yes as it was said: to which request, for which grant to be, with whose signature, of a ticket that was `seen` so."""

    request: str
    grant: str
    signed: Signed
    seen: Seen | None


def yes(policy: Policy, book: GrantBook, principal: Principal, said: Yes, now: datetime) -> Draft:
    """
    Return the entry of a yes: a grant, more time, or an endorsement where more people must say yes.

    Raises `NotFoundError`, `NotPermittedError` or `AccessError`.
    """
    request = rules.pending(book, said.request, now)
    profile = policy.profile(request.profile)
    rules.may_answer(policy, principal, request, profile)
    rules.ticket_stands(profile, request.ticket, said.seen)
    signatures.check_yes(book, principal, request, profile, said.signed, now)
    if len(request.endorsers) + 1 < rules.approvals_of(policy, request, profile):
        if request.is_of(principal.name):
            raise NotPermittedError(
                f"{principal.name} may say the last yes to their own request, not an earlier one.",
                advice="Another approver must say yes first.",
            )
        endorsed = kinds.AccessEndorsed(request.id, said.signed.statement, said.signed.signature)
        return kinds.draft(endorsed, actor=Actor.of(principal))
    if request.extends:
        return _extension(policy, book, principal, request, profile, said.signed, now)
    return _grant(policy, book, principal, request, profile, said, now)


def no(
    book: GrantBook, principal: Principal, request_id: str, reason: str, signed: Signed, now: datetime
) -> Draft:
    """Return the entry of a no, and why; `signed` holds the same reason. Raises as `yes` does."""
    request = rules.pending(book, request_id, now)
    rules.must_approve(principal)
    told = rules.reason(reason, 1)
    if signed:
        signatures.check_signature(book, principal, request, signed, Decision.DENY, now, told)
    denied = kinds.AccessDenied(request.id, told, signed.statement, signed.signature)
    return kinds.draft(denied, actor=Actor.of(principal))


def _grant(
    policy: Policy, book: GrantBook, principal: Principal, request: Request, profile: Profile, said: Yes, now: datetime
) -> Draft:
    """Return the approval of a request for a new grant."""
    # A policy that was tightened meanwhile holds for what was asked for before.
    wanted = min(request.duration, timedelta(minutes=profile.longest_minutes))
    not_before = max(now, request.starts or now)
    if request.takes_over:
        wanted = min(wanted, rules.live_grant(book, request.takes_over, now).not_after - now)
    rules.within_budget(book, profile, request.principal, wanted, now)
    kind = kinds.AccessApproved(
        request=request.id,
        principal=request.principal,
        vouched_by=request.vouched_by,
        profile=profile.name,
        not_before=format_time(not_before),
        not_after=format_time(rules.end_of(profile, not_before, wanted)),
        self_approved=request.is_of(principal.name),
        solo=policy.solo,
        takes_over=request.takes_over,
        statement=said.signed.statement,
        signature=said.signed.signature,
    )
    return kinds.draft(kind, actor=Actor.of(principal), grant=said.grant)


def _extension(
    policy: Policy, book: GrantBook, principal: Principal, request: Request, profile: Profile, signed: Signed, now: datetime
) -> Draft:
    """Return the approval of a request for more time: never more in all than the profile gives at once."""
    grant = rules.live_grant(book, request.extends, now)
    rules.may_extend(book, profile, grant, now)
    rules.within_budget(book, profile, request.principal, request.duration, now)
    most = grant.not_before + timedelta(minutes=profile.longest_minutes)
    not_after = min(grant.not_after + request.duration, most)
    if profile.hours is not None:
        not_after = min(not_after, rules.end_of(profile, now, not_after - now))
    if not_after <= grant.not_after:
        raise AccessError(
            f"The grant {grant.id} cannot last longer than until {format_time(grant.not_after)} "
            f"under the profile {profile.name}.",
            advice="Ask for a new one when it has ended.",
        )
    kind = kinds.AccessExtended(
        request=request.id,
        not_after=format_time(not_after),
        self_approved=request.is_of(principal.name),
        solo=policy.solo,
        statement=signed.statement,
        signature=signed.signature,
    )
    return kinds.draft(kind, actor=Actor.of(principal), grant=grant.id)
