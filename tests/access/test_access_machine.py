"""
No sequence of acts, hostile entries and clock settings ever yields a live grant that the rules forbid.

The rules are written here a second time, from the words of the design: a grant is live for its holder if
somebody who may, and is not the holder, has said yes to a request that was still waiting, and less time than
was asked for has passed since, by a clock that nobody sets; and nobody has revoked it.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from test_access_fold import SPOILED, approval

from jupyter_audit.access.book import SLACK, GrantBook
from jupyter_audit.errors import AccessError, AuditError

PEOPLE = st.sampled_from(["ada", "bob", "cyn", "dan", "eve"])
PICK = st.integers(0, 50)
ENGINEERS, APPROVERS, ADMINS = {"ada", "bob"}, {"bob", "cyn"}, {"dan"}

SHORT_ONLY = "for longer than was asked"
"""Spoils an approval only where half an hour was asked for."""


@dataclass
class Asked:
    id: str
    who: str
    seconds: float
    at: float
    answered: bool = False


@dataclass
class Given:
    id: str
    who: str
    until: float


class WayOfAGrant(RuleBasedStateMachine):
    """What people, a key holder without manners, and whoever sets the clock can do."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jupyter-audit-test-"))
        self.clock = SetClock()
        self.house = House(self.folder, self.clock)
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
        profile=st.sampled_from(["production-debug", "recovery", "x"]),
    )
    def ask(self, who: str, minutes: int, profile: str) -> None:
        longest = {"production-debug": 480, "recovery": 15}.get(profile, 0)
        may = who in (ADMINS if profile == "recovery" else ENGINEERS)
        try:
            made = self.house.ask(who, minutes=minutes, profile=profile)
        except AuditError:
            assert not (may and 1 <= minutes <= longest)
        else:
            assert may
            assert 1 <= minutes <= longest
            self.asked.append(Asked(made, who, minutes * 60, self.clock.elapsed))

    @rule(who=PEOPLE, number=PICK)
    def approve(self, who: str, number: int) -> None:
        if (asked := self.pick(number)) is None:
            return
        in_time = self.clock.elapsed - asked.at < 3600 + (SLACK.total_seconds() if self.ever_set else 0)
        may = who in APPROVERS and who != asked.who and not asked.answered
        try:
            grant = self.house.access.approve(self.house.person(who), asked.id)
        except AccessError:
            assert not (may and in_time) or self.ever_set
        else:
            assert may
            assert in_time
            asked.answered = True
            assert grant.id not in self.given
            self.given[grant.id] = Given(grant.id, asked.who, self.clock.elapsed + asked.seconds)

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
        grant.until = self.clock.elapsed

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
