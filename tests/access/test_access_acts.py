"""Each act by its rules: who may, what is refused, and that what is refused is an entry too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock

from jupyter_audit.access.grants import GrantState, RequestState
from jupyter_audit.access.service import AccessService
from jupyter_audit.errors import AccessError, AuditError, NotFoundError, NotPermittedError, UsageError
from jupyter_audit.model import Role


def test_the_clock_of_a_grant_starts_at_its_approval(house: House) -> None:
    request = house.ask(minutes=30)
    house.clock.pass_time(1800)
    grant = house.access.approve(house.person("bob"), request)
    assert grant.not_before == house.clock.now()
    assert grant.not_after - grant.not_before == timedelta(minutes=30)
    assert house.live() == {grant.id}


def test_without_a_word_about_minutes_the_profile_decides(house: House) -> None:
    request = house.ask(minutes=None)
    grant = house.access.approve(house.person("cyn"), request)
    assert grant.not_after - grant.not_before == timedelta(minutes=30)


def test_a_grant_lives_until_just_before_its_end(house: House) -> None:
    grant = house.access.approve(house.person("cyn"), house.ask(minutes=1))
    house.clock.pass_time(59.999999)
    assert house.live() == {grant.id}
    house.clock.pass_time(0.000001)
    assert house.live() == set()
    assert grant.state(house.now()) is GrantState.EXPIRED


def test_a_request_can_be_answered_until_just_before_it_lapses(house: House) -> None:
    first, second = house.ask(), house.ask()
    house.clock.pass_time(3599.999999)
    house.access.approve(house.person("cyn"), first)
    house.clock.pass_time(0.000001)
    with pytest.raises(AccessError, match="lapsed"):
        house.access.approve(house.person("cyn"), second)


def test_nobody_approves_their_own_request(house: House) -> None:
    with pytest.raises(NotPermittedError, match="own request"):
        house.access.approve(house.person("bob"), house.ask("bob"))
    assert house.live("bob") == set()


@pytest.mark.parametrize("spelling", ["Bob", "BOB", "ｂｏｂ", "bob "])
def test_another_spelling_of_a_name_is_not_another_person(
    tmp_path: Path, clock: SetClock, spelling: str
) -> None:
    house = House(tmp_path, clock, roles={"engineer": ["*"], "approver": ["*"]})
    with pytest.raises(NotPermittedError, match="own request"):
        house.access.approve(house.person(spelling), house.ask("bob"))


def test_in_solo_mode_one_approves_oneself_on_purpose_and_the_entry_says_so(
    tmp_path: Path, clock: SetClock
) -> None:
    house = House(tmp_path, clock, solo=True)
    request = house.ask()
    assert house.live() == set()
    house.access.approve(house.person("ada"), request)
    said = house.newest()
    assert (said["self_approved"], said["solo"]) == (True, True)


def test_a_profile_can_allow_self_approval_to_approvers_only(tmp_path: Path, clock: SetClock) -> None:
    house = House(tmp_path, clock, profiles={"production-debug": {"self_approval": True}})
    house.access.approve(house.person("bob"), house.ask("bob"))
    said = house.newest()
    assert (said["self_approved"], said["solo"]) == (True, False)
    with pytest.raises(NotPermittedError, match="not an approver"):
        house.access.approve(house.person("ada"), house.ask("ada"))


@pytest.mark.parametrize(
    ("act", "who"),
    [("approve", "ada"), ("approve", "dan"), ("deny", "ada"), ("withdraw", "bob"), ("revoke", "eve")],
)
def test_an_act_without_the_right_is_refused_and_put_down(house: House, act: str, who: str) -> None:
    request = house.ask()
    person = house.person(who)
    acts: dict[str, Any] = {
        "approve": lambda: house.access.approve(person, request),
        "deny": lambda: house.access.deny(person, request, "no"),
        "withdraw": lambda: house.access.withdraw(person, request),
        "revoke": lambda: house.access.revoke(person, grant.id, "because"),
    }
    if act == "revoke":
        grant = house.access.approve(house.person("bob"), request)
    with pytest.raises(NotPermittedError):
        acts[act]()
    entry = house.ledger.entry(house.ledger.size() - 1)
    assert (entry.type, entry.body["action"], entry.actor.name) == ("access.refused", act, who)


@pytest.mark.parametrize("who", ["ada", "bob", "cyn", "dan"])
def test_holder_approver_and_admin_can_each_revoke(house: House, who: str) -> None:
    grant = house.access.approve(house.person("bob"), house.ask())
    ended = house.access.revoke(house.person(who), grant.id, "enough")
    assert (ended.state(house.now()), ended.ended_by, ended.ended_why) == (GrantState.REVOKED, who, "enough")
    assert house.live() == set()


def test_what_has_ended_cannot_be_revoked(house: House) -> None:
    grant = house.access.approve(house.person("bob"), house.ask(minutes=1))
    house.clock.pass_time(60)
    with pytest.raises(AccessError, match="expired"):
        house.access.revoke(house.person("bob"), grant.id, "late")


@pytest.mark.parametrize("first", ["approve", "deny", "withdraw"])
@pytest.mark.parametrize("second", ["approve", "deny", "withdraw"])
def test_a_request_is_answered_once(house: House, first: str, second: str) -> None:
    request = house.ask()
    acts: dict[str, Any] = {
        "approve": lambda: house.access.approve(house.person("bob"), request),
        "deny": lambda: house.access.deny(house.person("bob"), request, "no"),
        "withdraw": lambda: house.access.withdraw(house.person("ada"), request),
    }
    acts[first]()
    before = house.live()
    with pytest.raises(AccessError):
        acts[second]()
    assert house.live() == before


def test_what_is_not_there_is_not_found(house: House) -> None:
    with pytest.raises(NotFoundError):
        house.access.approve(house.person("bob"), "r-000000000000")
    with pytest.raises(NotFoundError):
        house.access.revoke(house.person("bob"), "g-000000000000", "x")


def test_only_admins_ask_for_recovery(house: House) -> None:
    with pytest.raises(NotPermittedError, match="role admin"):
        house.ask("ada", profile="recovery", minutes=5)
    request = house.ask("dan", profile="recovery", minutes=15)
    assert house.access.approve(house.person("bob"), request).profile == "recovery"


def test_a_profile_whose_approvers_do_not_exist_denies_with_advice(tmp_path: Path, clock: SetClock) -> None:
    house = House(tmp_path, clock, roles={"engineer": ["*"]})
    with pytest.raises(NotPermittedError, match="no approver") as refused:
        house.ask()
    assert "c.JupyterAudit.roles['approver']" in refused.value.advice


def test_being_the_only_approver_is_being_without_one(tmp_path: Path, clock: SetClock) -> None:
    house = House(tmp_path, clock, roles={"engineer": ["*"], "approver": ["ada"]})
    with pytest.raises(NotPermittedError, match="but you"):
        house.ask("ada")
    house.ask("eve")


def test_who_lost_the_role_gets_no_grant_for_an_older_request(house: House, clock: SetClock) -> None:
    request = house.ask("ada")
    tightened = replace(house.policy, roles={**house.policy.roles, Role.ENGINEER: ("bob",)})
    house.access = AccessService(house.ledger.transact, tightened, clock)
    with pytest.raises(NotPermittedError, match="may not hold"):
        house.access.approve(house.person("bob"), request)


def test_a_profile_that_was_tightened_meanwhile_holds_for_older_requests(
    house: House, clock: SetClock
) -> None:
    request = house.ask(minutes=480)
    profiles = {"production-debug": replace(house.policy.profile("production-debug"), longest_minutes=20)}
    house.access = AccessService(house.ledger.transact, replace(house.policy, profiles=profiles), clock)
    grant = house.access.approve(house.person("bob"), request)
    assert grant.not_after - grant.not_before == timedelta(minutes=20)


@pytest.mark.parametrize("minutes", [0, -1, 481, 10**9, True, 1.5, "5"])
def test_a_duration_outside_of_the_profile_is_refused(house: House, minutes: Any) -> None:
    with pytest.raises(UsageError, match="minutes"):
        house.ask(minutes=minutes)
    assert house.types()[-1] == "access.refused"


@pytest.mark.parametrize(
    "reason",
    [
        *["", "  \n\t ", "too short", " x" + " " * 40, "a" * 4097, "ü" * 2049],
        *["ring\x07 the bell", "esc \x1b[2J cape", "nul \x00 nul nul", "return\rreturn", "\ud800 lone half"],
        *["read \u202e backwards", "line\u2028separator"],
    ],
)
def test_a_reason_that_says_nothing_or_hides_something_is_refused(house: House, reason: str) -> None:
    with pytest.raises(UsageError, match="reason"):
        house.ask(reason=reason)


@pytest.mark.parametrize(
    "reason",
    [
        "Bestellungen hängen fest",
        "注文が処理されないため調査します",
        "two\nlines and a\ttab",
        "a" * 4096,
        "👩‍🔧 looks at it",
    ],
)
def test_a_reason_in_any_script_is_kept_as_it_is(house: House, reason: str) -> None:
    request = house.ask(reason=reason)
    assert house.book.request(request) is None
    house.now()
    kept = house.book.request(request)
    assert kept is not None
    assert kept.reason == reason


def test_lines_as_browsers_send_them_are_taken(house: House) -> None:
    house.ask(reason="first line\r\nsecond line")
    assert house.newest()["reason"] == "first line\nsecond line"


@pytest.mark.parametrize("ticket", ["", "T 1", "T-1\nT-2", "T-1\x1b[2J", "x" * 201, "xT-1", "T-1x"])
def test_a_ticket_must_match_the_pattern_as_a_whole(tmp_path: Path, clock: SetClock, ticket: str) -> None:
    house = House(tmp_path, clock, profiles={"production-debug": {"ticket_pattern": r"T-\d+|x+"}})
    with pytest.raises(UsageError, match="ticket"):
        house.ask(ticket=ticket)


def test_a_name_in_any_script_can_hold_a_grant(tmp_path: Path, clock: SetClock) -> None:
    house = House(tmp_path, clock, roles={"engineer": ["*"], "approver": ["bob"]})
    house.access.approve(house.person("bob"), house.ask("Ægir 明 O'Neil"))
    assert len(house.live("Ægir 明 O'Neil")) == 1
    assert house.live("Ægir 明 O'neil") == set()


@pytest.mark.parametrize("target", ["r-\ud800", "r-\x1b[2J", "r-" + "9" * 10_000])
def test_a_hostile_target_is_put_down_harmlessly(house: House, target: str) -> None:
    with pytest.raises(AuditError):
        house.access.approve(house.person("bob"), target)
    said = house.newest()
    assert said["target"].isprintable()
    assert said["cause"].isprintable()
    assert len(said["target"]) <= 200


def test_ends_are_put_down_once_each(house: House) -> None:
    house.ask()
    house.access.approve(house.person("bob"), house.ask(minutes=5))
    assert house.access.expire() == []
    house.clock.pass_time(3600)
    assert sorted(entry.type for entry in house.access.expire()) == ["access.expired", "access.lapsed"]
    assert house.access.expire() == []
    house.now()
    assert house.book.unnoticed_ends(house.now()) == []


def test_requests_that_wait_are_listed_oldest_first(house: House) -> None:
    first, second, third = house.ask(), house.ask(), house.ask()
    house.access.deny(house.person("bob"), second, "no")
    now = house.now()
    assert [request.id for request in house.book.requests(now)] == [first, third]
    assert [request.id for request in house.book.all_requests()] == [third, second, first]
    denied = house.book.request(second)
    assert denied is not None
    assert (denied.state(now), denied.answered_by, denied.answer) == (RequestState.DENIED, "bob", "no")
