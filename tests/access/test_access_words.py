"""Rules are acknowledged once per version by whoever read them; feedback is tied to one's own; numbers come from entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from access_house import House, SetClock
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.access import stats
from jupyter_audit.access.inwords import version
from jupyter_audit.errors import AccessError, NotFoundError, NotPermittedError, UsageError
from jupyter_audit.model import Actor, Draft, Principal, Role

PROFILE = "production-debug"


@pytest.fixture
def strict(tmp_path: Path, clock: SetClock) -> Iterator[House]:
    made = House(tmp_path, clock, profiles={PROFILE: {"acknowledge": True, "break_glass": True}})
    yield made
    made.close()


def told(house: House) -> str:
    return version(house.policy.profile(PROFILE))


def test_nothing_is_asked_for_before_the_rules_are_acknowledged(strict: House) -> None:
    with pytest.raises(AccessError, match="has not acknowledged"):
        strict.ask()
    assert strict.types()[-1] == "access.refused"
    strict.access.acknowledge(strict.person("ada"), PROFILE, told(strict))
    assert strict.ask()
    with pytest.raises(AccessError, match="bob has not acknowledged"):
        strict.ask("bob")


def test_an_acknowledgement_is_put_down_once(strict: House) -> None:
    for _ in range(2):
        assert strict.access.acknowledge(strict.person("ada"), PROFILE, told(strict)[:12]) == told(strict)
    assert strict.types().count("access.acknowledged") == 1


@pytest.mark.parametrize("said", ["", "0" * 64, "short"])
def test_rules_that_were_not_read_cannot_be_acknowledged(strict: House, said: str) -> None:
    with pytest.raises(AccessError, match="not those of version"):
        strict.access.acknowledge(strict.person("ada"), PROFILE, said)
    with pytest.raises(AccessError):
        strict.access.acknowledge(strict.person("ada"), PROFILE, told(strict)[:11])


def test_rules_that_changed_are_read_anew(tmp_path: Path, clock: SetClock, strict: House) -> None:
    strict.access.acknowledge(strict.person("ada"), PROFILE, told(strict))
    other = House(tmp_path / "other", clock, profiles={PROFILE: {"acknowledge": True, "extensions": 0}})
    other.access._transact = strict.ledger.transact
    with pytest.raises(AccessError, match="has not acknowledged"):
        other.ask()
    other.close()


def test_who_may_not_hold_a_profile_cannot_acknowledge_it(strict: House) -> None:
    with pytest.raises(NotPermittedError):
        strict.access.acknowledge(strict.person("eve"), PROFILE, told(strict))


def test_a_service_cannot_acknowledge_for_itself_nor_for_whom_it_acts(strict: House) -> None:
    bot = Principal("bot", "test", frozenset({Role.ENGINEER}), on_behalf_of="ada")
    with pytest.raises(NotPermittedError, match="bot is a service"):
        strict.access.acknowledge(bot, PROFILE, told(strict))


def test_an_emergency_waits_for_no_acknowledgement(strict: House) -> None:
    assert strict.access.break_glass(strict.person("ada"), profile=PROFILE, reason="the shop is down", ticket="T-1").break_glass


def test_feedback_is_tied_to_ones_newest_refusal_or_wait_of_the_last_hour(house: House, clock: SetClock) -> None:
    ada, bob = house.person("ada"), house.person("bob")
    assert house.access.say(ada, "too many forms") == -1
    house.ask("ada")
    asked = house.ledger.size() - 1
    house.ask("bob")
    assert house.access.say(ada, "nobody answers") == asked
    body = house.newest()
    assert (body["about"], body["about_type"]) == (asked, "access.requested")
    with pytest.raises(AccessError):
        house.access.approve(ada, "r-000000000000")
    assert house.access.say(ada, "why not?") == house.ledger.size() - 2
    assert house.access.say(bob, "and mine?") == asked + 1
    clock.pass_time(3700)
    assert house.access.say(ada, "later") == -1
    assert house.access.say(ada, "that one", asked) == asked


@pytest.mark.parametrize("about", [0, 10**9, -5])
def test_feedback_is_about_nobody_elses_entry(house: House, about: int) -> None:
    with pytest.raises(NotFoundError):
        house.access.say(house.person("ada"), "x", about)
    assert "feedback.given" not in house.types()


@pytest.mark.parametrize("text", ["", "  ", "x" * 5000, "a\u202eb"])
def test_a_text_that_cannot_be_kept_is_refused(house: House, text: str) -> None:
    with pytest.raises(UsageError):
        house.access.say(house.person("ada"), text)


def test_the_numbers_are_those_of_the_entries(house: House, clock: SetClock) -> None:
    for seconds in (10, 20, 300):
        request = house.ask()
        clock.pass_time(seconds)
        house.access.approve(house.person("cyn"), request)
    house.access.deny(house.person("cyn"), house.ask(), "no")
    house.access.withdraw(house.person("ada"), house.ask())
    house.ask()
    clock.pass_time(4000)
    house.access.expire()
    house.ask()
    with pytest.raises(AccessError):
        house.ask("eve")
    house.access.say(house.person("ada"), "slow")
    row = stats.count(house.ledger.entries(types=stats.TYPES)).to_json()
    assert row == {
        "requests": 7,
        "approved": 3,
        "denied": 1,
        "abandoned": 2,
        "waiting": 1,
        "unused_grants": 3,
        "approval_seconds": {"median": 20.0, "p95": 300.0},
        "refusals": {"access.refused request": 1},
        "feedback": 1,
    }


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_so_many_percent_do_not_exceed_a_percentile(values: list[float], percent: int) -> None:
    found = stats.percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert stats.percentile([], percent) is None


def test_an_acknowledgement_that_is_none_acknowledges_nothing_and_breaks_nothing(strict: House) -> None:
    strict.put_down(
        Draft("access.acknowledged", {"profile": [PROFILE], "version": {"x": 1}}, actor=Actor("ada", "test")),
        Draft("access.acknowledged", {}, actor=Actor("ada", "test")),
    )
    with pytest.raises(AccessError, match="has not acknowledged"):
        strict.ask()
