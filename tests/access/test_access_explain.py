"""Every key of a profile is described as it is, and what a person is told about a profile is what the rules do."""

from __future__ import annotations

import ast
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.access import rules
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.explain import Explanation, explain
from jupyter_audit.access.inwords import rules_in_words, version
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.policydiff import changes, unsaid
from jupyter_audit.access.profiles import PROFILE_KEYS, Profile, parse_profile
from jupyter_audit.errors import AccessError, AuditError
from jupyter_audit.model import SERVER, Draft, Principal
from jupyter_audit.profilekeys import PROFILE_HELP
from jupyter_audit.record import kinds
from jupyter_audit.settings import JupyterAudit

KEYS = sorted(PROFILE_KEYS)


def told(house: House, name: str = "ada", groups: tuple[str, ...] = (), profile: str = "production-debug") -> Explanation:
    person = Principal(name, "test", house.policy.roles_of(name, groups), frozenset(groups))
    now = house.now()
    return explain(house.policy, house.book, person, house.policy.profile(profile), now)


def house_of(tmp_path: Path, clock: SetClock, **profile: Any) -> House:
    return House(tmp_path, clock, profiles={"production-debug": profile})


def test_every_key_has_a_check_a_help_and_a_field() -> None:
    assert list(PROFILE_HELP) == list(PROFILE_KEYS)
    assert set(PROFILE_KEYS) == {field.name for field in dataclasses.fields(Profile)} - {"name"}


@pytest.mark.parametrize("key", KEYS)
def test_the_default_in_the_help_is_the_default(key: str) -> None:
    value = ast.literal_eval(PROFILE_HELP[key].default)
    if value is None:
        assert getattr(Profile("p"), key) is None
    else:
        assert parse_profile("p", {key: value}) == Profile("p")


def test_the_help_of_the_setting_names_every_key() -> None:
    told_help = JupyterAudit.class_traits()["profiles"].help
    assert [key for key in KEYS if f"{key} (" not in told_help] == []


def test_an_engineer_may_ask_and_every_approver_but_themselves_could_say_yes(house: House) -> None:
    row = told(house, "bob").to_json()
    assert row["ask"]["allowed"]
    able = {one["name"]: one["allowed"] for one in row["approvers"]}
    assert able == {"bob": False, "cyn": True}


def test_who_may_not_ask_reads_the_sentence_of_the_refusal(house: House) -> None:
    answer = told(house, "eve").ask
    with pytest.raises(AccessError) as refused:
        house.ask("eve")
    assert not answer.allowed
    assert answer.why.startswith(str(refused.value))


def test_an_approver_without_the_role_is_shown_as_one_who_could_not(tmp_path: Path, clock: SetClock) -> None:
    with_it = house_of(tmp_path, clock, approvers=["cyn", "eve", "group:dba"])
    able = {one.name: one.answer for one in told(with_it).approvers}
    assert able["cyn"].allowed
    assert not able["eve"].allowed
    assert not able["group:dba"].allowed
    with_it.close()


def test_what_was_used_and_is_left_is_told(tmp_path: Path, clock: SetClock) -> None:
    house = house_of(tmp_path, clock, weekly_hours=1)
    house.access.approve(house.person("cyn"), house.ask(minutes=60))
    clock.pass_time(3600)
    row = told(house).to_json()
    assert (row["minutes_used"], row["minutes_left"]) == (60, 0)
    assert row["ask"]["allowed"]
    assert not row["begin_now"]["allowed"]
    assert "0 minutes left" in row["begin_now"]["why"]
    house.close()


def test_outside_of_the_hours_a_grant_may_be_asked_for_but_not_begin(tmp_path: Path, clock: SetClock) -> None:
    house = house_of(tmp_path, clock, hours="Mon-Fri 08:00-18:00 UTC")
    clock.wall = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
    answer = told(house)
    assert answer.ask.allowed
    assert not answer.begin_now.allowed
    house.close()


def test_the_lines_for_people_say_what_the_json_says(house: House) -> None:
    lines = "\n".join(told(house).lines())
    for word in ("ada", "production-debug", "engineer", "bob, cyn", "no limit", "The rules:"):
        assert word in lines


names = st.lists(st.sampled_from(["ada", "bob", "cyn", "eve", "group:x", "group:dba"]), max_size=3)


@given(
    st.fixed_dictionaries(
        {"requesters": names, "approvers": names, "approvals": st.integers(1, 3), "self_approval": st.booleans(),
         "break_glass": st.booleans(), "recovery": st.booleans()}
    ),
    st.sampled_from(["ada", "bob", "cyn", "dan", "eve"]),
    st.sampled_from([(), ("x",), ("dba", "x")]),
)  # fmt: skip
def test_nobody_is_told_that_they_may_ask_whose_request_is_refused(
    profile: dict[str, Any], name: str, groups: tuple[str, ...]
) -> None:
    roles = {"engineer": ["ada", "bob", "group:x"], "approver": ["bob", "cyn"], "admin": ["dan"]}
    policy = Policy.from_settings(JupyterAudit(roles=roles, profiles={"p": profile}))
    person = Principal(name, "test", policy.roles_of(name, groups), frozenset(groups))
    answer = explain(policy, GrantBook(), person, policy.profile("p"), datetime(2026, 11, 24, tzinfo=UTC)).ask
    try:
        rules.may_ask(policy, person, policy.profile("p"))
    except AuditError:
        assert not answer.allowed
    else:
        assert answer.allowed


def test_each_rule_that_a_profile_changes_changes_what_people_read_and_its_version() -> None:
    plain = parse_profile("p", {})
    changed: dict[str, Any] = {
        "default_minutes": 7, "longest_minutes": 99, "request_waits_minutes": 5, "shortest_reason": 33, "ticket_pattern": "X",
        "self_approval": True, "kernels": ["audit"], "recovery": True, "terminals": True, "isolation": "landlock",
        "network": "none", "targets": ["shop"], "requesters": ["ada"], "approvers": ["bob"], "approvals": 2, "signed_approvals": True,
        "hours": "Mon 08:00-09:00 UTC", "extensions": 0, "break_glass": True, "weekly_hours": 3, "weekly_extensions": 4,
    }  # fmt: skip
    for key, value in changed.items():
        other = parse_profile("p", {key: value})
        assert rules_in_words(other) != rules_in_words(plain), key
        assert version(other) != version(plain), key


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "~1"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "a/b", "~", ""]), inner, max_size=3),
    max_leaves=8,
)
OBJECTS: st.SearchStrategy[Any] = st.dictionaries(st.sampled_from(["a", "b", "a/b", "~", ""]), VALUES, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_diff_leads_from_the_one_policy_to_the_other(old: Any, new: Any) -> None:
    made = json.loads(json.dumps(old))
    for change in changes(old, new):
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in change.path.split("/")[1:]]
        inner = made
        for part in way:
            inner = inner[part]
        if change.op == "remove":
            assert inner.pop(last) == change.old
        else:
            assert (last in inner) == (change.op == "replace")
            inner[last] = change.new
    assert json.dumps(made, sort_keys=True) == json.dumps(new, sort_keys=True)


def test_a_policy_whose_digest_was_forged_beside_it_shows_as_a_change(house: House) -> None:
    """The digest of what is held is worked out anew, so a false one hides nothing."""
    forged = kinds.PolicyChanged(house.policy.digest(), "", [], {"solo": True}, "server")
    house.put_down(kinds.draft(forged))
    (draft,) = unsaid(house.policy, house.ledger, SERVER, "server")
    assert {"op": "replace", "path": "/solo", "old": True, "value": False} in draft.body["changes"]  # type: ignore[operator]
    house.put_down(draft)
    assert unsaid(house.policy, house.ledger, SERVER, "server") == []
    house.put_down(Draft("policy.changed", {"policy": "none"}))
    assert len(unsaid(house.policy, house.ledger, SERVER, "server")) == 1
