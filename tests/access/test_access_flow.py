"""More than one yes, more time, another's grant, a later beginning, a broken glass: each by its rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant, GrantState, Request, RequestState
from jupyter_audit.access.policy import Policy
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError, ConfigError, NotPermittedError, UsageError
from jupyter_audit.model import Actor, Draft, Principal
from jupyter_audit.settings import JupyterAudit

ROLES = {"engineer": ["ada", "eve"], "approver": ["bob", "cyn", "fay"], "admin": ["dan"], "auditor": ["aud"]}
Make = Callable[..., House]


@pytest.fixture
def with_profile(tmp_path: Path, clock: SetClock) -> Make:
    def make(**profile: Any) -> House:
        return House(tmp_path, clock, roles=ROLES, profiles={"production-debug": profile})

    return make


def granted(house: House, by: str = "bob", **asked: Any) -> Grant:
    made = house.access.approve(house.person(by), house.ask(**asked))
    assert isinstance(made, Grant)
    return made


# --- more than one yes ---------------------------------------------------------------------------


def test_a_profile_with_two_approvals_grants_at_the_second_yes_of_another_person(with_profile: Make) -> None:
    house = with_profile(approvals=2)
    request = house.ask()
    first = house.access.approve(house.person("bob"), request)
    assert isinstance(first, Request)
    assert (first.endorsers, first.state(house.now()), house.live()) == (("bob",), RequestState.PENDING, set())
    for spelling in ("bob", "BOB"):
        with pytest.raises(AccessError):
            house.access.approve(Principal(spelling, "test", house.policy.roles_of("bob")), request)
    second = house.access.approve(house.person("cyn"), request)
    assert isinstance(second, Grant)
    assert house.live() == {second.id}
    assert second.not_before == house.clock.now()


def test_a_policy_that_demands_more_since_holds_for_what_was_asked_before(with_profile: Make) -> None:
    house = with_profile()
    request = house.ask()
    house.access._policy = Policy.from_settings(
        JupyterAudit(roles=ROLES, profiles={"production-debug": {"approvals": 3}})
    )
    for who in ("bob", "cyn"):
        assert isinstance(house.access.approve(house.person(who), request), Request)
    assert isinstance(house.access.approve(house.person("fay"), request), Grant)


def test_more_approvals_than_there_are_approvers_denies(with_profile: Make) -> None:
    house = with_profile(approvals=4)
    with pytest.raises(NotPermittedError, match="not so many"):
        house.ask()


def test_an_entry_that_skips_a_yes_gives_nothing(with_profile: Make) -> None:
    house = with_profile(approvals=2)
    request, now = house.ask(), house.clock.now()
    body = {"request": request, "principal": "ada", "vouched_by": "test", "profile": "production-debug", "solo": False,
            "not_before": format_time(now), "not_after": format_time(now + timedelta(minutes=5)), "self_approved": False}  # fmt: skip
    house.put_down(Draft("access.approved", body, actor=Actor("bob", "test"), grant="g-0123456789ab"))
    assert house.live() == set()
    for who in ("ada", "ADA"):
        house.put_down(Draft("access.endorsed", {"request": request}, actor=Actor(who, "test")))
    assert house.live() == set()
    house.now()
    assert len(house.book.anomalies()) == 3


# --- who -----------------------------------------------------------------------------------------


def test_only_the_approvers_and_requesters_that_a_profile_names_count(with_profile: Make) -> None:
    house = with_profile(approvers=["group:leads", "fay"], requesters=["ada"])
    with pytest.raises(NotPermittedError, match="it is for ada"):
        house.ask("eve")
    request = house.ask("ada")
    with pytest.raises(NotPermittedError, match="does not approve"):
        house.access.approve(house.person("bob"), request)
    lead = Principal("bob", "test", house.policy.roles_of("bob"), frozenset({"leads"}))
    assert isinstance(house.access.approve(lead, request), Grant)


def test_groups_give_roles_and_the_request_says_which_they_were(tmp_path: Path, clock: SetClock) -> None:
    house = House(tmp_path, clock, roles={"engineer": ["group:sre"], "approver": ["bob"]})
    groups = frozenset({"sre", "all"})
    ada = Principal("ada", "test", house.policy.roles_of("ada", groups), groups)
    request = house.access.request(ada, profile="production-debug", reason="orders are stuck", ticket="T-1")
    assert house.newest()["groups"] == ["all", "sre"]
    house.access.approve(house.person("bob"), request.id)
    with pytest.raises(NotPermittedError):
        house.ask("ada")


# --- more time -----------------------------------------------------------------------------------


def test_more_time_needs_the_same_yes_as_a_grant_and_never_goes_beyond_the_profile(with_profile: Make) -> None:
    house = with_profile(longest_minutes=45)
    grant = granted(house)
    request = house.access.extend(house.person("ada"), grant.id, reason="it takes longer", minutes=30)
    with pytest.raises(NotPermittedError):
        house.access.approve(house.person("ada"), request.id)
    longer = house.access.approve(house.person("cyn"), request.id)
    assert isinstance(longer, Grant)
    assert (longer.id, longer.not_after - longer.not_before, len(longer.extensions)) == (grant.id, timedelta(minutes=45), 1)
    house.clock.pass_time(44 * 60)
    assert house.live() == {grant.id}
    house.clock.pass_time(60)
    assert house.live() == set()


def test_nobody_extends_what_has_ended_or_is_anothers_or_too_often(with_profile: Make) -> None:
    house = with_profile(extensions=1)
    grant = granted(house)
    with pytest.raises(NotPermittedError, match="only they ask for more"):
        house.access.extend(house.person("eve"), grant.id, reason="it takes longer")
    request = house.access.extend(house.person("ada"), grant.id, reason="it takes longer", minutes=10)
    house.access.approve(house.person("bob"), request.id)
    with pytest.raises(AccessError, match="as often as"):
        house.access.extend(house.person("ada"), grant.id, reason="it takes longer")
    late = granted(house, minutes=10)
    request = house.access.extend(house.person("ada"), late.id, reason="it takes longer")
    house.clock.pass_time(600)
    with pytest.raises(AccessError):
        house.access.approve(house.person("bob"), request.id)
    with pytest.raises(AccessError, match="not in force"):
        house.access.extend(house.person("ada"), late.id, reason="it takes longer")


def test_more_time_counts_also_while_the_clock_is_behind_what_was_seen(with_profile: Make) -> None:
    house = with_profile()
    house.clock.set_by(600)
    house.ask()
    house.now()
    house.clock.set_by(-600)
    grant = granted(house)
    request = house.access.extend(house.person("ada"), grant.id, reason="it takes longer", minutes=10)
    longer = house.access.approve(house.person("cyn"), request.id)
    assert isinstance(longer, Grant)
    assert longer.not_after - grant.not_after == timedelta(minutes=10)
    house.clock.pass_time(60)
    mine = granted(house, name="eve", takes_over=grant.id)
    assert (house.live("ada"), house.live("eve")) == (set(), {mine.id})


# --- another's grant -----------------------------------------------------------------------------


def test_the_night_shift_takes_a_grant_over_for_the_time_that_is_left(with_profile: Make) -> None:
    house = with_profile()
    grant = granted(house, minutes=30)
    house.clock.pass_time(600)
    mine = granted(house, name="eve", takes_over=grant.id)
    assert (house.live("ada"), house.live("eve")) == (set(), {mine.id})
    assert mine.not_after == grant.not_after
    old = house.book.grant(grant.id)
    assert old is not None
    assert (old.state(house.now()), old.successor) == (GrantState.TAKEN_OVER, mine.id)


def test_what_has_ended_meanwhile_is_not_taken_over(with_profile: Make) -> None:
    house = with_profile()
    grant = granted(house, minutes=10)
    request = house.ask("eve", takes_over=grant.id)
    house.clock.pass_time(600)
    with pytest.raises(AccessError, match="not in force"):
        house.access.approve(house.person("bob"), request)
    assert house.live("eve") == set()


def test_a_grant_is_not_taken_over_later(with_profile: Make) -> None:
    house = with_profile()
    grant = granted(house)
    with pytest.raises(UsageError, match="at once"):
        house.ask("eve", takes_over=grant.id, starts=house.clock.now() + timedelta(minutes=5))
    assert house.live("ada") == {grant.id}


# --- when ----------------------------------------------------------------------------------------


def test_a_grant_for_a_maintenance_window_begins_with_it(with_profile: Make) -> None:
    house = with_profile()
    starts = house.clock.now() + timedelta(hours=5)
    grant = granted(house, starts=starts)
    assert (house.live(), grant.state(house.now())) == (set(), GrantState.APPROVED)
    house.clock.pass_time(5 * 3600)
    assert house.live() == {grant.id}
    house.clock.pass_time(1800)
    assert house.live() == set()


@pytest.mark.parametrize("days", [-0.01, 8])
def test_a_grant_begins_neither_in_the_past_nor_too_far_ahead(with_profile: Make, days: float) -> None:
    house = with_profile()
    with pytest.raises(UsageError, match="cannot begin"):
        house.ask(starts=house.clock.now() + timedelta(days=days))


def test_a_grant_ends_with_the_hours_of_its_profile_and_none_begins_outside(with_profile: Make) -> None:
    house = with_profile(hours="Mon-Fri 08:00-10:15 Europe/Berlin")  # it is a Tuesday, 10:00 in Berlin
    grant = granted(house, minutes=30)
    assert grant.not_after - grant.not_before == timedelta(minutes=15)
    request = house.ask()
    house.clock.pass_time(900)
    assert house.live() == set()
    with pytest.raises(AccessError, match="not now"):
        house.access.approve(house.person("bob"), request)


@pytest.mark.parametrize(
    "hours", ["", "always", "Mon-Fri", "Mon-Fri 08:00-18:00", "Mon-Fri 8-18 UTC", "Mon-Fri 08:00-18:00 Nowhere/Town",
              "Mo-Fr 08:00-18:00 UTC", "Mon-Fri 08:00-08:00 UTC", "Mon-Fri 25:00-26:00 UTC", 8, None]
)  # fmt: skip
def test_hours_that_are_none_are_refused_by_the_settings_name(with_profile: Make, hours: object) -> None:
    with pytest.raises(ConfigError, match=r"profiles\['production-debug'\]\['hours'\]"):
        with_profile(hours=hours)


def test_a_night_shift_belongs_to_the_day_it_began_on(with_profile: Make) -> None:
    house = with_profile(hours="Mon-Fri 22:00-06:00 UTC")
    hours = house.policy.profile("production-debug").hours
    assert hours is not None
    tuesday = house.clock.now().replace(hour=23)
    assert hours.until(tuesday) == tuesday.replace(hour=6) + timedelta(days=1)
    saturday = tuesday + timedelta(days=4)
    assert hours.until(saturday) is None
    assert hours.until(saturday.replace(hour=5)) == saturday.replace(hour=6)


# --- how much ------------------------------------------------------------------------------------


def test_a_weekly_budget_counts_what_was_used_and_comes_back(with_profile: Make) -> None:
    house = with_profile(weekly_hours=1)
    first = granted(house, minutes=50)
    with pytest.raises(AccessError, match="10 minutes left"):
        house.ask(minutes=11)
    house.clock.pass_time(600)
    house.access.revoke(house.person("ada"), first.id, "found it")
    granted(house, minutes=50)
    house.clock.pass_time(7 * 86_400 + 3_000)
    granted(house, minutes=60)


def test_two_requests_do_not_share_one_budget(with_profile: Make) -> None:
    house = with_profile(weekly_hours=1)
    first, second = house.ask(minutes=40), house.ask(minutes=40)
    house.access.approve(house.person("bob"), first)
    with pytest.raises(AccessError, match="20 minutes left"):
        house.access.approve(house.person("bob"), second)


def test_another_spelling_of_a_name_has_no_budget_of_its_own(tmp_path: Path, clock: SetClock) -> None:
    roles = {"engineer": ["*"], "approver": ["bob"]}
    house = House(tmp_path, clock, roles=roles, profiles={"production-debug": {"weekly_hours": 1}})
    granted(house, minutes=50)
    with pytest.raises(AccessError, match="10 minutes left"):
        house.ask("ADA", minutes=50)


# --- a broken glass ------------------------------------------------------------------------------


def broken(house: House, who: str = "ada", **given: Any) -> Grant:
    return house.access.break_glass(
        house.person(who), profile="production-debug", reason="the shop is down", ticket="T-9", **given
    )


def test_a_broken_glass_is_access_at_once_and_waits_for_somebody_elses_review(with_profile: Make) -> None:
    house = with_profile(break_glass=True)
    grant = broken(house)
    assert house.live() == {grant.id}
    assert (grant.break_glass, grant.approver, grant.not_after - grant.not_before) == (True, "", timedelta(minutes=15))
    with pytest.raises(AccessError, match="still in force"):
        house.access.review(house.person("bob"), grant.id, justified=True, comment="it was down")
    house.clock.pass_time(900)
    assert house.live() == set()
    assert [each.id for each in house.book.unreviewed(house.now())] == [grant.id]
    for who in ("ada", "eve"):
        with pytest.raises(NotPermittedError):
            house.access.review(house.person(who), grant.id, justified=True, comment="it was down")
    reviewed = house.access.review(house.person("aud"), grant.id, justified=False, comment="no incident was open")
    assert (reviewed.reviewed_by, reviewed.justified, house.book.unreviewed(house.now())) == ("aud", False, [])
    with pytest.raises(AccessError, match="reviewed already"):
        house.access.review(house.person("bob"), grant.id, justified=True, comment="it was down")


def test_a_glass_is_broken_only_where_a_profile_has_one_and_not_too_often(with_profile: Make) -> None:
    house = with_profile(break_glass=True, weekly_break_glass=1)
    with pytest.raises(UsageError, match="15 minutes at most"):
        broken(house, minutes=16)
    with pytest.raises(NotPermittedError):
        broken(house, "bob")
    broken(house)
    with pytest.raises(AccessError, match="1 times within a week"):
        broken(house)


def test_without_a_word_in_the_profile_no_glass_can_be_broken(with_profile: Make) -> None:
    house = with_profile()
    with pytest.raises(NotPermittedError, match="no glass to break"):
        broken(house)


# --- an incident ---------------------------------------------------------------------------------


def test_everybodys_grants_end_in_one_act_those_to_come_included(with_profile: Make) -> None:
    house = with_profile()
    granted(house, name="ada")
    granted(house, name="eve")
    granted(house, name="eve", starts=house.clock.now() + timedelta(hours=1))
    with pytest.raises(NotPermittedError):
        house.access.revoke_everyone(house.person("ada"), "I am bored")
    ended = house.access.revoke_everyone(house.person("dan"), "keys were stolen")
    assert len(ended) == 3
    assert house.live("ada") == house.live("eve") == set()
    house.clock.pass_time(3600)
    assert house.live("eve") == set()


def test_a_book_made_anew_says_the_same_of_all_of_it(with_profile: Make) -> None:
    house = with_profile(approvals=2, break_glass=True)
    request = house.ask()
    house.access.approve(house.person("bob"), request)
    grant = house.access.approve(house.person("cyn"), request)
    assert isinstance(grant, Grant)
    request = house.access.extend(house.person("ada"), grant.id, reason="it takes longer").id
    house.access.approve(house.person("fay"), request)
    house.access.approve(house.person("cyn"), request)
    glass = broken(house, "eve")
    house.clock.pass_time(1200)
    house.access.review(house.person("dan"), glass.id, justified=True, comment="it was down")
    house.now()
    again = GrantBook(monotonic=house.clock.monotonic)
    again.refresh(house.ledger)
    assert again.grants() == house.book.grants()
    assert again.all_requests() == house.book.all_requests()
    assert again.anomalies() == []


# --- how much may wait ---------------------------------------------------------------------------


def test_no_spelling_of_a_name_lets_more_requests_wait_and_what_was_answered_waits_no_more(tmp_path: Path, clock: SetClock) -> None:
    roles = {"engineer": ["*"], "approver": ["bob"]}
    house = House(tmp_path, clock, roles=roles, pending_requests=2)
    first = house.ask("ada")
    grant = house.access.approve(house.person("bob"), first)
    assert isinstance(grant, Grant)
    house.ask("Ada")
    house.access.extend(house.person("ada"), grant.id, reason="it takes longer")
    for name in ("ada", "ADA"):
        with pytest.raises(AccessError, match="as many as may"):
            house.ask(name)
    with pytest.raises(AccessError, match="as many as may"):
        house.access.extend(house.person("ada"), grant.id, reason="it takes longer")
    house.ask("eve")
    house.clock.pass_time(3600)
    house.ask("ada")
