"""
The rules of access: may this person ask for this, may that one say yes? Pure; what they forbid they raise (P2).

What a refusal says is what the person reads, so each ends in what to do. `service` asks them, with the newest
entries and the time as arguments.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant, Request, RequestState
from jupyter_audit.access.inwords import version
from jupyter_audit.access.policy import RESERVED, Policy, names_one
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.tickets import Seen, Standing
from jupyter_audit.errors import AccessError, NotFoundError, NotPermittedError, UsageError
from jupyter_audit.model import Principal, Role

WEEK = timedelta(days=7)

LONGEST_REASON_BYTES = 4096
SHORTEST_VERSION = 12
"""Characters by which a version of rules can be named."""

LONGEST_TICKET = 200
"""Characters."""

REVERSING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make what is read differ from what is there: no reason for one in a reason."""


# --- who may ------------------------------------------------------------------------------------


def may_ask(policy: Policy, principal: Principal, profile: Profile) -> None:
    """Raise `NotPermittedError` unless `principal` may hold `profile`, and somebody could approve it."""
    may_hold(policy, principal.name, principal.groups, profile, service=bool(principal.on_behalf_of))
    themselves = (principal.name, principal.on_behalf_of)
    own = policy.solo or profile.self_approval
    approvers = profile.approvers or policy.roles.get(Role.APPROVER, ())
    others = [name for name in approvers if own or not any(same_person(name, one) for one in themselves)]
    enough = len(others) >= profile.approvals or any(name.startswith(RESERVED) for name in others)
    if policy.solo or enough:
        return
    if profile.approvals > 1:
        told = f"{profile.approvals} people must approve the profile {profile.name}, and there are not so many approvers."
    else:
        told = f"Nobody could approve this: no approver is named{' but you' if approvers else ''}."
    raise NotPermittedError(
        told,
        advice="An admin names approvers in c.JupyterAudit.roles['approver'], or sets c.JupyterAudit.solo.",
    )


def must_know_the_rules(book: GrantBook, principal: Principal, profile: Profile) -> None:
    """Raise `AccessError` where the rules of `profile` must be acknowledged and were not, as they are now."""
    # A service cannot read: the person whom it acts for has to.
    person = principal.on_behalf_of or principal.name
    if profile.acknowledge and not book.acknowledged(person, profile.name, version(profile)):
        raise AccessError(
            f"{person} has not acknowledged the rules of the profile {profile.name} as they are now.",
            advice=f"Read them, then acknowledge them once: `jupyter audit rules {profile.name}`, or in the panel.",
        )


def may_acknowledge(policy: Policy, principal: Principal, profile: Profile, told: str) -> None:
    """Raise unless `principal` may hold `profile` and `told` names its rules as they are now (12 characters or more)."""
    if principal.on_behalf_of:
        raise NotPermittedError(
            f"{principal.name} is a service, and cannot acknowledge rules.",
            advice=f"{principal.on_behalf_of}, whom it acts for, does.",
        )
    may_hold(policy, principal.name, principal.groups, profile)
    if len(told) < SHORTEST_VERSION or not version(profile).startswith(told):
        raise AccessError(
            f"The rules of the profile {profile.name} are not those of version {printable(told)!r}.",
            advice=f"Read them as they are now: `jupyter audit rules {profile.name}`.",
        )


def may_hold(policy: Policy, name: str, groups: frozenset[str], profile: Profile, *, service: bool = False) -> None:
    """Raise `NotPermittedError` unless a person (or service) of this name may hold a grant of `profile`."""
    if service != profile.services:
        raise NotPermittedError(
            f"{name} may not hold the profile {profile.name}: it is for {'services' if profile.services else 'people'}.",
            advice="Services and people have profiles of their own; an admin marks those of services with 'services': True.",
        )
    needed = Role.ADMIN if profile.recovery else Role.ENGINEER
    if needed not in policy.roles_of(name, groups):
        raise NotPermittedError(
            f"{name} may not hold the profile {profile.name}: it is for the role {needed}.",
            advice="An admin gives roles in c.JupyterAudit.roles.",
        )
    if profile.requesters and not policy.solo and not names_one(profile.requesters, name, groups):
        raise NotPermittedError(
            f"{name} may not hold the profile {profile.name}: it is for {', '.join(profile.requesters)}.",
            advice=f"An admin says who may in c.JupyterAudit.profiles[{profile.name!r}]['requesters'].",
        )


def may_answer(policy: Policy, principal: Principal, request: Request, profile: Profile) -> None:
    """Raise `NotPermittedError` unless `principal` may say yes to `request`."""
    must_approve(principal)
    if profile.approvers and not policy.solo and not names_one(profile.approvers, principal.name, principal.groups):
        raise NotPermittedError(
            f"{principal.name} does not approve the profile {profile.name}: {', '.join(profile.approvers)} do.",
            advice=f"An admin says who does in c.JupyterAudit.profiles[{profile.name!r}]['approvers'].",
        )
    if request.is_of(principal.name) and not (policy.solo or profile.self_approval):
        raise NotPermittedError(
            f"{principal.name} may not approve their own request {request.id}.",
            advice="Another approver must. Self-approval is for solo mode and profiles that allow it.",
        )
    if any(same_person(principal.name, name) for name in request.endorsers):
        raise AccessError(
            f"{principal.name} has said yes to {request.id} already.",
            advice=f"{approvals_of(policy, request, profile)} different people must.",
        )
    # Roles may have been taken away since the request was made.
    try:
        may_hold(policy, request.principal, frozenset(request.groups), profile, service=bool(request.on_behalf_of))
    except NotPermittedError as error:
        raise NotPermittedError(str(error), advice=f"{error.advice} Deny the request.") from error


def must_approve(principal: Principal) -> None:
    """Raise `NotPermittedError` unless `principal` is an approver, and a person."""
    if principal.on_behalf_of:
        raise NotPermittedError(
            f"{principal.name} is a service, and no service answers a request.", advice="An approver, who is a person, must."
        )
    if Role.APPROVER not in principal.roles:
        raise NotPermittedError(
            f"{principal.name} is not an approver.",
            advice="An admin names approvers in c.JupyterAudit.roles['approver'].",
        )


def may_review(policy: Policy, principal: Principal, grant: Grant, now: datetime) -> None:
    """Raise unless `principal` may judge what was done under the broken glass `grant`."""
    if not grant.break_glass:
        raise AccessError(f"The grant {grant.id} was approved; only a broken glass is reviewed.")
    if not {Role.APPROVER, Role.AUDITOR, Role.ADMIN} & principal.roles:
        raise NotPermittedError(f"{principal.name} may not review {grant.id}.", advice="Approvers, auditors and admins may.")
    if same_person(principal.name, grant.principal) and not policy.solo:
        raise NotPermittedError(f"{principal.name} may not review what they did themselves.", advice="Somebody else must.")
    if grant.reviewed_by:
        raise AccessError(f"The grant {grant.id} was reviewed already, by {grant.reviewed_by}.")
    if grant.is_live(now):
        raise AccessError(f"The grant {grant.id} is still in force.", advice="Review it when it has ended, or revoke it.")


def approvals_of(policy: Policy, request: Request, profile: Profile) -> int:
    """Return how many must say yes: as many as when it was asked, or more if the policy was tightened since."""
    return 1 if policy.solo else max(request.approvals, profile.approvals)


# --- in which state -----------------------------------------------------------------------------


def pending(book: GrantBook, request_id: str, now: datetime) -> Request:
    """Return a request that waits for an answer. Raises `NotFoundError` or `AccessError`."""
    request = book.request(request_id)
    if request is None:
        raise NotFoundError(f"There is no request {request_id}.", advice="`jupyter audit requests` lists them.")
    state = request.state(now)
    if state is not RequestState.PENDING:
        raise AccessError(
            f"The request {request.id} cannot be answered: it is {state} already.",
            advice="If access is still needed, ask for it anew.",
        )
    return request


def known_grant(book: GrantBook, grant_id: str) -> Grant:
    """Return a grant, whatever became of it. Raises `NotFoundError`."""
    grant = book.grant(grant_id)
    if grant is None:
        raise NotFoundError(f"There is no grant {grant_id}.", advice="`jupyter audit grants` lists them.")
    return grant


def live_grant(book: GrantBook, grant_id: str, now: datetime) -> Grant:
    """Return a grant in force. Raises `NotFoundError` or `AccessError`."""
    grant = known_grant(book, grant_id)
    if not grant.is_live(now):
        raise AccessError(
            f"The grant {grant.id} is not in force ({grant.state(now)}).", advice="Ask for a new one."
        )
    return grant


# --- for how long -------------------------------------------------------------------------------


def duration(profile: Profile, minutes: int | None) -> timedelta:
    """Return how long a grant is asked for. Raises `UsageError` for what the profile does not give."""
    wanted = profile.default_minutes if minutes is None else minutes
    if type(wanted) is not int or not 1 <= wanted <= profile.longest_minutes:
        raise UsageError(
            f"{wanted!r} minutes cannot be asked for under the profile {profile.name}.",
            advice=f"Ask for 1 to {profile.longest_minutes} minutes.",
        )
    return timedelta(minutes=wanted)


def end_of(profile: Profile, not_before: datetime, wanted: timedelta) -> datetime:
    """Return when a grant ends that begins at `not_before`: with the profile's hours at the latest. Raises `AccessError`."""
    if profile.hours is None:
        return not_before + wanted
    last = profile.hours.until(not_before)
    if last is None:
        raise AccessError(
            f"The profile {profile.name} is for {profile.hours}, and that is not now.",
            advice="Ask for a grant that begins then (--starts), or break the glass where a profile allows it.",
        )
    return min(last.astimezone(not_before.tzinfo), not_before + wanted)


def begin(profile: Profile, starts: datetime | None, now: datetime) -> datetime | None:
    """Return when a grant is to begin that does not begin at its approval. Raises `UsageError`."""
    if starts is None:
        return None
    if not now <= starts <= now + timedelta(days=profile.advance_days):
        raise UsageError(
            f"A grant of the profile {profile.name} cannot begin at {starts.isoformat()}.",
            advice=f"Name a moment from now on, at most {profile.advance_days} days ahead.",
        )
    return starts


def moment(text: str) -> datetime:
    """Return a moment that a person wrote, as RFC 3339 with an offset (or `Z`). Raises `UsageError`."""
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is not None:
            return read.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f"{printable(text)!r} is no moment.", advice="Write it with its offset, such as 2026-11-24T22:00+01:00, or Z for UTC."
    )


def few_pending(book: GrantBook, policy: Policy, principal: Principal, now: datetime) -> None:
    """Raise `AccessError` if as many requests of `principal` wait as may."""
    waiting = sum(same_person(request.principal, principal.name) for request in book.requests(now))
    if waiting >= policy.pending_requests:
        raise AccessError(
            f"{waiting} requests of {principal.name} wait for an answer, as many as may.",
            advice="Withdraw what is not needed any more, or wait for the answers.",
        )


def within_budget(book: GrantBook, profile: Profile, principal: str, wanted: timedelta, now: datetime) -> None:
    """Raise `AccessError` if `principal` would have more of `profile` in a week than it gives."""
    if not profile.weekly_hours:
        return
    used = book.used(principal, profile.name, now - WEEK)
    if used + wanted > timedelta(hours=profile.weekly_hours):
        left = max(timedelta(hours=profile.weekly_hours) - used, timedelta(0))
        raise AccessError(
            f"{principal} has {int(left.total_seconds() // 60)} minutes left of the {profile.weekly_hours} hours a week "
            f"that the profile {profile.name} gives.",
            advice="Ask for less, or wait; an admin sets weekly_hours.",
        )


def may_extend(book: GrantBook, profile: Profile, grant: Grant, now: datetime) -> None:
    """Raise `AccessError` if `grant` was extended as often as it may be."""
    if len(grant.extensions) >= profile.extensions:
        raise AccessError(
            f"The grant {grant.id} was extended {len(grant.extensions)} times, as often as the profile "
            f"{profile.name} allows.",
            advice="Ask for a new one.",
        )
    count = sum(
        moment > now - WEEK
        for each in book.grants()
        if same_person(each.principal, grant.principal) and each.profile == profile.name
        for moment in each.extensions
    )
    if profile.weekly_extensions and count >= profile.weekly_extensions:
        raise AccessError(
            f"{grant.principal} had {count} extensions of the profile {profile.name} within a week, all that it gives.",
            advice="Ask for a new grant.",
        )


def may_break_glass(book: GrantBook, profile: Profile, principal: Principal, now: datetime) -> None:
    """Raise unless `principal` may take a grant of `profile` without asking."""
    if not profile.break_glass:
        raise NotPermittedError(
            f"The profile {profile.name} has no glass to break.",
            advice=f"An admin allows it in c.JupyterAudit.profiles[{profile.name!r}]['break_glass'].",
        )
    count = sum(
        each.break_glass and same_person(each.principal, principal.name) and each.not_before > now - WEEK
        for each in book.grants()
    )
    if count >= profile.weekly_break_glass:
        raise AccessError(
            f"{principal.name} broke the glass {count} times within a week, all that the profile {profile.name} gives.",
            advice="Ask for a grant in the ordinary way.",
        )


# --- in which words -----------------------------------------------------------------------------


def reason(text: str, shortest: int) -> str:
    """Return a reason as it is put down. Raises `UsageError`."""
    told = text.replace("\r\n", "\n").strip()
    if any(_hides(c) and c not in "\n\t" for c in told):
        raise UsageError("The reason holds control characters.", advice="Write it as plain text.")
    if len(told) < shortest:
        raise UsageError(
            f"The reason is too short: {len(told)} characters.",
            advice=f"Say in at least {shortest} characters why; others will read it.",
        )
    if len(told.encode()) > LONGEST_REASON_BYTES:
        raise UsageError(
            f"The reason is longer than {LONGEST_REASON_BYTES} bytes.", advice="Put the rest into the ticket."
        )
    return told


def ticket(text: str, pattern: str) -> str:
    """Return a ticket as it is put down. Raises `UsageError`."""
    told = text.strip()
    if any(map(_hides, told)) or len(told) > LONGEST_TICKET or not re.fullmatch(pattern, told):
        raise UsageError(
            f"{printable(told)!r} is not a ticket that this profile takes.",
            advice=f"It must match {pattern!r} as a whole, in at most {LONGEST_TICKET} characters.",
        )
    return told


def ticket_stands(profile: Profile, told: str, seen: Seen | None) -> None:
    """Raise `AccessError` unless the tracker said that the ticket is open and theirs, where the profile has one asked."""
    if not profile.checks_tickets or (seen is not None and seen.standing is Standing.OPEN):
        return
    if seen is None or seen.standing is Standing.UNANSWERED:
        why = "it was not asked in time" if seen is None else seen.why
        raise AccessError(
            f"Whether the ticket {told} is open is not known: the tracker gave no answer ({why}).",
            advice=f"Try again when it answers; an admin looks at the ticket check of c.JupyterAudit.profiles[{profile.name!r}].",
        )
    if seen.standing is Standing.ANOTHERS:
        raise AccessError(f"The ticket {told} is somebody else's.", advice="Have it assigned in the tracker, then try again.")
    raise AccessError(f"There is no open ticket {told}.", advice="Name one that is open.")


def target(text: str, profile: Profile) -> str:
    """Return what is to be debugged, if the profile has it. Raises `UsageError`."""
    told = text.strip()
    if profile.targets and told not in profile.targets:
        raise UsageError(
            f"The profile {profile.name} is not for {printable(told)!r}.",
            advice=f"Name one of: {', '.join(profile.targets)}.",
        )
    if any(map(_hides, told)) or len(told) > LONGEST_TICKET:
        raise UsageError(f"{printable(told)!r} is no name of a target.", advice="Write it as plain text.")
    return told


def printable(text: str, most: int = LONGEST_TICKET) -> str:
    """Return the beginning of a text as it may stand in an entry whatever it holds."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


def _hides(character: str) -> bool:
    """Say whether a character could make a reader see something else than what is there."""
    return character in REVERSING or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
