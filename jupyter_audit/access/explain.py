"""
What one person could do under one profile, and why: the rules of access asked one after the other. Pure.

No rule is told here a second time: each answer is what `rules` says, the refusal's own sentence included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jupyter_audit.access import rules
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Request
from jupyter_audit.access.inwords import rules_in_words, version
from jupyter_audit.access.policy import GROUP, SCOPE, Policy
from jupyter_audit.access.profiles import Profile
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError, UsageError
from jupyter_audit.model import Principal, Role


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether the rules allow something; if not, `why` and what to do about it."""

    allowed: bool
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON."""
        return {"allowed": self.allowed, "why": self.why}

    def __str__(self) -> str:
        return "yes" if self.allowed else f"no. {self.why}"


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody named where approvers are, or a group of people (`group:NAME`, `*`), and whether they could say yes."""

    name: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `principal` could do under `profile` at `now`."""

    principal: Principal
    profile: Profile
    now: datetime
    ask: Answer
    begin_now: Answer
    break_glass: Answer
    approvals: int
    approvers: tuple[Approver, ...]
    acknowledged: bool
    used: timedelta
    live: tuple[str, ...]
    rules: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the explanation for programs."""
        weekly = self.profile.weekly_hours * 60
        used = int(self.used.total_seconds() // 60)
        return {
            "user": self.principal.name,
            "groups": sorted(self.principal.groups),
            "roles": sorted(self.principal.roles),
            "profile": self.profile.name,
            "version": version(self.profile),
            "time": format_time(self.now),
            "ask": self.ask.to_json(),
            "begin_now": self.begin_now.to_json(),
            "break_glass": self.break_glass.to_json(),
            "approvals": self.approvals,
            "approvers": [{"name": one.name, **one.answer.to_json()} for one in self.approvers],
            "acknowledged": self.acknowledged,
            "minutes_used": used,
            "minutes_left": max(0, weekly - used) if weekly else None,
            "live_grants": list(self.live),
            "settings": self.profile.to_json(),
            "rules": list(self.rules),
        }

    def lines(self) -> list[str]:
        """Return the explanation for people."""
        row = self.to_json()
        able = [one.name for one in self.approvers if one.answer.allowed]
        unable = [f"{one.name}: {one.answer.why}" for one in self.approvers if not one.answer.allowed]
        left = "no limit" if row["minutes_left"] is None else f"{row['minutes_left']} minutes left"
        return [
            f"{self.principal.name} under the profile {self.profile.name}, at {row['time']}",
            f"  roles:           {', '.join(row['roles']) or 'none'}",
            f"  groups:          {', '.join(row['groups']) or 'none'}",
            f"  may ask:         {self.ask}",
            f"  may begin now:   {self.begin_now}",
            f"  needs:           {self.approvals} yes of {', '.join(able) or 'nobody'}",
            *(f"  could not:       {line}" for line in unable),
            f"  rules read:      {'acknowledged' if self.acknowledged else 'not acknowledged'}"
            + (", which is demanded" if self.profile.acknowledge and not self.acknowledged else ""),
            f"  used this week:  {row['minutes_used']} minutes, {left}",
            f"  break glass:     {self.break_glass}",
            f"  grants in force: {', '.join(self.live) or 'none'}",
            "",
            "The rules:",
            *(f"- {line}" for line in self.rules),
        ]


def explain(policy: Policy, book: GrantBook, principal: Principal, profile: Profile, now: datetime) -> Explanation:
    """Return what `principal`, with the roles and groups that they have, could do under `profile` at `now`."""
    shortest = timedelta(minutes=1)

    def begin_now() -> None:
        rules.may_ask(policy, principal, profile)
        rules.end_of(profile, now, shortest)
        rules.within_budget(book, profile, principal.name, shortest, now)

    def break_glass() -> None:
        rules.may_hold(policy, principal.name, principal.groups, profile, service=bool(principal.on_behalf_of))
        rules.may_break_glass(book, profile, principal, now)

    return Explanation(
        principal=principal,
        profile=profile,
        now=now,
        ask=asked(lambda: rules.may_ask(policy, principal, profile)),
        begin_now=asked(begin_now),
        break_glass=asked(break_glass),
        approvals=1 if policy.solo else profile.approvals,
        approvers=tuple(_approvers(policy, principal, profile, now)),
        acknowledged=book.acknowledged(principal.on_behalf_of or principal.name, profile.name, version(profile)),
        used=book.used(principal.name, profile.name, now - rules.WEEK),
        live=tuple(grant.id for grant in book.live(principal.name, now) if grant.profile == profile.name),
        rules=tuple(rules_in_words(profile)),
    )


def asked(rule: Callable[[], object]) -> Answer:
    """Return what a rule says, without raising it."""
    try:
        rule()
    except (AccessError, UsageError) as error:
        return Answer(allowed=False, why=" ".join(error.explain().split()))
    return Answer(allowed=True)


def may_approve(policy: Policy, person: Principal, requester: str, profile: Profile, now: datetime) -> Answer:
    """Return whether `person` could say yes to what `requester`, with the groups that nobody named, asks for."""
    return asked(lambda: rules.may_answer(policy, person, _request(Principal(requester, "policy"), profile, now), profile))


def _approvers(policy: Policy, principal: Principal, profile: Profile, now: datetime) -> list[Approver]:
    """Return whoever is named as an approver, each with what the rules say to their yes."""
    if policy.solo:
        return [Approver(principal.name, Answer(allowed=True))]
    request = _request(principal, profile, now)
    named = profile.approvers or policy.roles.get(Role.APPROVER, ())
    return [Approver(name, _could_answer(policy, name, request, profile)) for name in dict.fromkeys(named)]


def _request(principal: Principal, profile: Profile, now: datetime) -> Request:
    """Return the request that somebody could make now."""
    return Request(
        id="such a request",
        principal=principal.name,
        vouched_by=principal.vouched_by,
        profile=profile.name,
        reason="",
        ticket="",
        duration=timedelta(minutes=profile.default_minutes),
        asked=now,
        lapses=now + timedelta(minutes=profile.request_waits_minutes),
        seq=0,
        approvals=profile.approvals,
        groups=tuple(sorted(principal.groups)),
        on_behalf_of=principal.on_behalf_of,
    )


def _could_answer(policy: Policy, name: str, request: Request, profile: Profile) -> Answer:
    if name == "*":
        return Answer(allowed=True)
    groups = frozenset({name.removeprefix(GROUP)} if name.startswith((GROUP, SCOPE)) else ())
    # Of a group it is asked whether a member whose name nobody knows could.
    own = "" if groups else name
    person = Principal(own or f"somebody in {name}", "policy", policy.roles_of(own, groups), groups)
    return asked(lambda: rules.may_answer(policy, person, request, profile))
