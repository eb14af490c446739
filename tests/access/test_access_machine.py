"""
No sequence of acts, hostile entries and clock settings ever yields a live grant that the rules forbid.

The rules are written here a second time, from the words of the design: a grant is live for its holder if
somebody who may, and is not the holder, has said yes to a request that was still waiting, and less time than
was asked for has passed since, by a clock that nobody sets; and nobody has revoked it.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_access_fold import SPOILED, approval

from jupyter_audit.access.book import SLACK, GrantBook
from jupyter_audit.access.grants import Request
from jupyter_audit.errors import AccessError, AuditError

PEOPLE = st.sampled_from(["ada", "bob", "cyn", "dan", "eve"])
PICK = st.integers(0, 50)
ENGINEERS, APPROVERS, ADMINS = {"ada", "bob"}, {"bob", "cyn"}, {"dan"}

SHORT_ONLY = "for longer than was asked"
"""Spoils an approval only where half an hour was asked for."""


PAIR = {"approvals": 2, "break_glass": True, "extensions": 2, "weekly_break_glass": 3}
"""A profile under which two people must say yes, and whose glass may be broken."""


@dataclass
class Asked:
    id: str
    who: str
    seconds: float
    at: float
    lapses: float
    needed: int = 1
    extends: str = ""
    takes_over: str = ""
    said_yes: set[str] = field(default_factory=set)
    answered: bool = False


@dataclass
class Given:
    id: str
    who: str
    since: float
    until: float
    times_extended: int = 0
    broken: bool = False
    reviewed: bool = False


class WayOfAGrant(RuleBasedStateMachine):
    """What people, a key holder without manners, and whoever sets the clock can do."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jupyter-audit-test-"))
        self.clock = SetClock()
        profiles = {"production-debug": {}, "recovery": {"recovery": True}, "pair": PAIR}
        self.house = House(self.folder, self.clock, profiles=profiles)
        self.asked: list[Asked] = []
        self.given: dict[str, Given] = {}
        self.ever_set = False

    def teardown(self) -> None:
        if hasattr(self, "house"):
            self.house.close()
            shutil.rmtree(self.folder)

    def pick(self, number: int) -> Asked | None:
        return self.asked[number % len(self.asked)] if self.asked else None

    @rule(
        who=PEOPLE,
        minutes=st.integers(-1, 500),
        profile=st.sampled_from(["production-debug", "recovery", "pair", "x"]),
    )
    def ask(self, who: str, minutes: int, profile: str) -> None:
        longest = {"production-debug": 480, "recovery": 15, "pair": 480}.get(profile, 0)
        may = who in (ADMINS if profile == "recovery" else ENGINEERS)
        if profile == "pair":
            may = who == "ada"  # of the two approvers one is bob, who may not be his own
        try:
            made = self.house.ask(who, minutes=minutes, profile=profile)
        except AuditError:
            assert not (may and 1 <= minutes <= longest)
        else:
            assert may
            assert 1 <= minutes <= longest
            elapsed = self.clock.elapsed
            self.asked.append(Asked(made, who, minutes * 60, elapsed, elapsed + 3600, 2 if profile == "pair" else 1))

    @rule(who=PEOPLE, number=PICK)
    def approve(self, who: str, number: int) -> None:
        if (asked := self.pick(number)) is None:
            return
        elapsed, slack = self.clock.elapsed, SLACK.total_seconds() if self.ever_set else 0
        in_time = elapsed < asked.lapses + slack
        may = who in APPROVERS and who != asked.who and not asked.answered and who not in asked.said_yes
        old = self.given.get(asked.extends or asked.takes_over)
        stands = old is None or elapsed < old.until
        room = old is None or not asked.extends or (old.times_extended < 2 and old.until - old.since < 480 * 60)
        try:
            made = self.house.access.approve(self.house.person(who), asked.id)
        except AccessError:
            assert not (may and in_time and stands and room) or self.ever_set
            return
        assert may
        assert in_time
        asked.said_yes.add(who)
        if isinstance(made, Request):
            assert len(asked.said_yes) < asked.needed
            return
        assert len(asked.said_yes) >= asked.needed
        assert stands or self.ever_set
        asked.answered = True
        if old is not None and asked.extends:
            assert made.id == old.id
            old.until = min(old.until + asked.seconds, old.since + 480 * 60)
            old.times_extended += 1
            return
        assert made.id not in self.given
        until = elapsed + asked.seconds
        if old is not None:
            until, old.until = min(until, old.until), elapsed
        self.given[made.id] = Given(made.id, asked.who, elapsed, until)

    @rule(number=PICK, minutes=st.integers(1, 500))
    def ask_for_more(self, number: int, minutes: int) -> None:
        if not self.given:
            return
        grant = list(self.given.values())[number % len(self.given)]
        try:
            made = self.house.access.extend(self.house.person(grant.who), grant.id, reason="it takes longer", minutes=minutes)
        except AuditError:
            return
        assert self.clock.elapsed < grant.until or self.ever_set
        needed = 2 if made.profile == "pair" else 1
        lapses = min(grant.until, self.clock.elapsed + 3600)
        self.asked.append(Asked(made.id, grant.who, minutes * 60, self.clock.elapsed, lapses, needed, extends=grant.id))

    @rule(number=PICK, who=PEOPLE)
    def ask_to_take_over(self, number: int, who: str) -> None:
        if not self.given:
            return
        grant = list(self.given.values())[number % len(self.given)]
        profile = self.house.book.grant(grant.id)
        assert profile is not None
        try:
            made = self.house.access.request(
                self.house.person(who), profile=profile.profile, reason="the night shift goes on", ticket="T-2", takes_over=grant.id
            )
        except AuditError:
            return
        assert who != grant.who
        assert self.clock.elapsed < grant.until or self.ever_set
        needed, elapsed = 2 if made.profile == "pair" else 1, self.clock.elapsed
        seconds = made.duration.total_seconds()
        self.asked.append(Asked(made.id, who, seconds, elapsed, elapsed + 3600, needed, takes_over=grant.id))

    @rule(who=PEOPLE, profile=st.sampled_from(["production-debug", "pair"]), minutes=st.integers(0, 20))
    def break_the_glass(self, who: str, profile: str, minutes: int) -> None:
        try:
            made = self.house.access.break_glass(
                self.house.person(who), profile=profile, reason="the shop is down", ticket="T-3", minutes=minutes
            )
        except AuditError:
            return
        assert who in ENGINEERS
        assert profile == "pair"
        assert 1 <= minutes <= 15
        recent = [g for g in self.given.values() if g.broken and g.who == who and g.since > self.clock.elapsed - 7 * 86_400]
        assert len(recent) < 3 or self.ever_set
        elapsed = self.clock.elapsed
        self.given[made.id] = Given(made.id, who, elapsed, elapsed + minutes * 60, broken=True)

    @rule(who=PEOPLE, number=PICK)
    def review(self, who: str, number: int) -> None:
        if not self.given:
            return
        grant = list(self.given.values())[number % len(self.given)]
        try:
            self.house.access.review(self.house.person(who), grant.id, justified=True, comment="it was")
        except AccessError:
            return
        assert grant.broken
        assert not grant.reviewed
        assert who != grant.who
        assert who in APPROVERS | ADMINS
        assert self.clock.elapsed >= grant.until or self.ever_set
        grant.reviewed = True

    @rule(who=PEOPLE)
    def revoke_everyone(self, who: str) -> None:
        try:
            ended = self.house.access.revoke_everyone(self.house.person(who), "an incident")
        except AccessError:
            return
        assert who in APPROVERS | ADMINS
        for grant in ended:
            self.given[grant.id].until = min(self.given[grant.id].until, self.clock.elapsed)
        assert not any(self.house.live(name) for name in ("ada", "bob", "cyn", "dan", "eve"))

    @rule(who=PEOPLE, number=PICK, act=st.sampled_from(["deny", "withdraw"]))
    def answer(self, who: str, number: int, act: str) -> None:
        if (asked := self.pick(number)) is None:
            return
        person = self.house.person(who)
        try:
            if act == "deny":
                self.house.access.deny(person, asked.id, "no")
            else:
                self.house.access.withdraw(person, asked.id)
        except AccessError:
            return
        assert who in APPROVERS if act == "deny" else who == asked.who
        assert not asked.answered
        asked.answered = True

    @rule(who=PEOPLE, number=PICK)
    def revoke(self, who: str, number: int) -> None:
        if not self.given:
            return
        grant = list(self.given.values())[number % len(self.given)]
        try:
            self.house.access.revoke(self.house.person(who), grant.id, "enough")
        except AccessError:
            return
        assert who in APPROVERS | ADMINS | {grant.who}
        grant.until = min(grant.until, self.clock.elapsed)

    @rule(number=PICK, how=st.sampled_from(sorted(SPOILED.keys() - {SHORT_ONLY})))
    def write_a_spoiled_approval(self, number: int, how: str) -> None:
        if (asked := self.pick(number)) is not None and not self.ever_set:
            self.house.put_down(SPOILED[how](self.house, asked.id))

    @rule(number=PICK)
    def write_a_second_answer(self, number: int) -> None:
        asked = self.pick(number)
        if asked is not None and asked.answered:
            self.house.put_down(approval(self.house, asked.id, grant="g-ffffffffffff", principal=asked.who))

    @rule()
    def put_ends_down(self) -> None:
        self.house.access.expire()

    @rule(seconds=st.one_of(st.floats(0, 4000), st.sampled_from([60.0, 900.0, 1800.0, 3600.0, 28_800.0])))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.pass_time(round(seconds, 3))

    @rule(seconds=st.floats(-100_000, 100_000))
    def set_the_clock(self, seconds: float) -> None:
        self.house.now()
        self.clock.set_by(round(seconds, 3))
        self.ever_set = True

    @invariant()
    def what_is_live_may_be(self) -> None:
        if not hasattr(self, "house"):
            return
        rebuilt = GrantBook(monotonic=self.clock.monotonic)
        rebuilt.refresh(self.house.ledger)
        now = self.house.now()
        for who in ("ada", "bob", "cyn", "dan", "eve"):
            live = self.house.live(who)
            allowed = {g.id for g in self.given.values() if g.who == who and self.clock.elapsed < g.until}
            slack = SLACK.total_seconds() if self.ever_set else 0
            assert live <= {g.id for g in self.given.values() if g.who == who and self.clock.elapsed < g.until + slack}
            # While nobody sets the clock, whoever was given access has it.
            assert self.ever_set or live == allowed
            assert {grant.id for grant in rebuilt.live(who, now)} == live


WayOfAGrant.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTheWayOfAGrant: Any = pytest.mark.timeout(120)(WayOfAGrant.TestCase)
