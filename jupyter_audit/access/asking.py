"""
Asking: may this be asked for, and which entry says so? For a grant, for more time, for access at once. Pure.

`service` calls these with the newest book, inside the ledger's write lock; what may not be asked for is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from jupyter_audit.access import rules
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.tickets import Seen
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError, NotPermittedError, UsageError
from jupyter_audit.model import Principal
from jupyter_audit.record import kinds


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for, as they said it. `id` is that of the request to be; `minutes` None: the profile's default."""

    id: str
    profile: str
    reason: str
    ticket: str
    minutes: int | None = None
    target: str = ""
    starts: datetime | None = None
    takes_over: str = ""


@dataclass(frozen=True, slots=True)
class MoreTime:
    """What somebody asks for under the grant that they have. `id` is that of the request to be."""

    id: str
    grant: str
    reason: str
    minutes: int | None = None


def for_grant(
    policy: Policy, book: GrantBook, principal: Principal, wish: Wish, seen: Seen | None, now: datetime
) -> kinds.AccessRequested:
    """
    Return the request for a grant; `seen` is what the tracker says of its ticket.

    Raises `UsageError` for a reason, ticket, target or duration that the profile does not take, `NotPermittedError` if
    `principal` may not ask for it, `AccessError` for what is not to be had now.
    """
    wanted = policy.profile(wish.profile)
    rules.may_ask(policy, principal, wanted)
    if wish.takes_over and wish.starts is not None:
        raise UsageError("A grant that is taken over goes on at once.", advice="Leave the beginning out.")
    rules.few_pending(book, policy, principal, now)
    begins = rules.begin(wanted, wish.starts, now)
    length = rules.duration(wanted, wish.minutes)
    if wish.takes_over:
        length = _left_to_take_over(book, principal, wanted, wish.takes_over, now)
    rules.within_budget(book, wanted, principal.name, length, now)
    if begins is not None:
        rules.end_of(wanted, begins, length)
    rules.must_know_the_rules(book, principal, wanted)
    told = rules.ticket(wish.ticket, wanted.ticket_pattern)
    rules.ticket_stands(wanted, told, seen)
    return kinds.AccessRequested(
        request=wish.id,
        profile=wanted.name,
        reason=rules.reason(wish.reason, wanted.shortest_reason),
        ticket=told,
        duration_s=int(length.total_seconds()),
        lapses=format_time(now + timedelta(minutes=wanted.request_waits_minutes)),
        target=rules.target(wish.target, wanted),
        starts="" if begins is None else format_time(begins),
        takes_over=wish.takes_over,
        approvals=1 if policy.solo else wanted.approvals,
        groups=sorted(principal.groups),
        on_behalf_of=principal.on_behalf_of,
        ticket_checked=wanted.checks_tickets,
        signed_approvals=wanted.signed_approvals,
    )


def for_more_time(
    policy: Policy, book: GrantBook, principal: Principal, wish: MoreTime, seen: Seen | None, now: datetime
) -> kinds.AccessRequested:
    """Return the request for more time under one's own grant. Raises as `for_grant` does, and `NotFoundError`."""
    grant = rules.live_grant(book, wish.grant, now)
    if grant.principal != principal.name:
        raise NotPermittedError(
            f"The grant {grant.id} is {grant.principal}'s; only they ask for more of it.",
            advice="Ask to take it over (`jupyter audit request --takes-over`).",
        )
    profile = policy.profile(grant.profile)
    rules.may_ask(policy, principal, profile)
    rules.few_pending(book, policy, principal, now)
    rules.may_extend(book, profile, grant, now)
    length = rules.duration(profile, wish.minutes)
    rules.within_budget(book, profile, principal.name, length, now)
    rules.ticket_stands(profile, grant.ticket, seen)
    return kinds.AccessRequested(
        request=wish.id,
        profile=profile.name,
        reason=rules.reason(wish.reason, profile.shortest_reason),
        ticket=grant.ticket,
        duration_s=int(length.total_seconds()),
        lapses=format_time(min(grant.not_after, now + timedelta(minutes=profile.request_waits_minutes))),
        target=grant.target,
        extends=grant.id,
        approvals=1 if policy.solo else profile.approvals,
        groups=sorted(principal.groups),
        on_behalf_of=principal.on_behalf_of,
        ticket_checked=profile.checks_tickets,
        signed_approvals=profile.signed_approvals,
    )


def at_once(policy: Policy, book: GrantBook, principal: Principal, wish: Wish, now: datetime) -> kinds.AccessBreakGlass:
    """Return the broken glass. Raises `UsageError`, `NotPermittedError` or `AccessError` where the profile does not allow it."""
    wanted = policy.profile(wish.profile)
    rules.may_hold(policy, principal.name, principal.groups, wanted, service=bool(principal.on_behalf_of))
    rules.may_break_glass(book, wanted, principal, now)
    most, minutes = wanted.break_glass_minutes, wish.minutes
    if minutes is not None and (type(minutes) is not int or not 1 <= minutes <= most):
        raise UsageError(
            f"A broken glass lasts {most} minutes at most under the profile {wanted.name}.",
            advice=f"Take 1 to {most} minutes; ask for more in the ordinary way meanwhile.",
        )
    return kinds.AccessBreakGlass(
        profile=wanted.name,
        reason=rules.reason(wish.reason, wanted.shortest_reason),
        ticket=rules.ticket(wish.ticket, wanted.ticket_pattern),
        target=rules.target(wish.target, wanted),
        not_before=format_time(now),
        not_after=format_time(now + timedelta(minutes=most if minutes is None else minutes)),
    )


def _left_to_take_over(book: GrantBook, principal: Principal, profile: Profile, grant_id: str, now: datetime) -> timedelta:
    grant = rules.live_grant(book, grant_id, now)
    if same_person(grant.principal, principal.name):
        raise AccessError(f"The grant {grant.id} is yours already.")
    if grant.profile != profile.name:
        raise UsageError(
            f"The grant {grant.id} is of the profile {grant.profile}.", advice=f"Ask with --profile {grant.profile}."
        )
    return timedelta(seconds=max(1, int((grant.not_after - now).total_seconds())))
