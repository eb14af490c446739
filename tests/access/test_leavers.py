"""Whoever was removed, or lost the role, keeps neither a request nor a grant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock

from jupyter_audit.access.grants import GrantState, RequestState
from jupyter_audit.access.leavers import Known
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.errors import AccessError
from jupyter_audit.model import Draft, Principal
from jupyter_audit.settings import JupyterAudit

EVERYBODY = Known("test", {"ada": (), "bob": (), "cyn": ()})


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, SetClock(), profiles={"production-debug": {"break_glass": True}, "agents": {"services": True}},
                 roles={"engineer": ["ada", "bob", "bot", "group:dev"], "approver": ["bob", "cyn"], "admin": ["dan"]})  # fmt: skip


def without(*names: str) -> Known:
    return replace(EVERYBODY, groups={name: groups for name, groups in EVERYBODY.groups.items() if name not in names})


def held(house: House) -> tuple[str, str, str]:
    """A request that waits, a live grant, and a broken glass, all ada's."""
    granted = house.access.approve(house.person("bob"), house.ask()).id
    glass = house.access.break_glass(house.person("ada"), profile="production-debug", reason="it is all down", ticket="T-1").id
    return house.ask(), granted, glass


def test_nothing_ends_of_somebody_who_is_there(house: House) -> None:
    held(house)
    assert house.access.end_leavers(EVERYBODY) == []
    assert house.access.end_leavers(None) == []
    assert house.access.end_leavers(Known("another provider", {})) == []


def test_a_removed_person_s_requests_are_closed_and_grants_end_with_the_reason(house: House) -> None:
    asked, granted, glass = held(house)
    entries = house.access.end_leavers(without("ada"))
    assert sorted((entry.type, str(entry.body["reason"])) for entry in entries) == [
        ("access.closed", "ada was removed."),
        ("access.revoked", "ada was removed."),
        ("access.revoked", "ada was removed."),
    ]
    now = house.now()
    request = house.book.request(asked)
    assert request is not None
    assert (request.state(now), request.answer) == (RequestState.CLOSED, "ada was removed.")
    assert {house.book.grant(grant).state(now) for grant in (granted, glass)} == {GrantState.REVOKED}  # type: ignore[union-attr]
    assert house.access.end_leavers(without("ada")) == []
    with pytest.raises(AccessError, match="closed"):
        house.access.approve(house.person("bob"), asked)


def test_a_service_s_access_ends_with_the_person_it_acts_for(house: House) -> None:
    bot = Principal("bot", "test", house.policy.roles_of("bot"), on_behalf_of="ada")
    asked = house.access.request(bot, profile="agents", reason="nightly checks", ticket="T-1").id
    known = without("ada")
    [entry] = house.access.end_leavers(replace(known, groups={**known.groups, "bot": ()}))
    assert entry.body == {"request": asked, "reason": "ada was removed."}


def test_whoever_left_the_group_that_gave_the_role_loses_what_it_gave(house: House) -> None:
    eve = Principal("eve", "test", house.policy.roles_of("eve", {"dev"}), frozenset({"dev"}))
    house.access.request(eve, profile="production-debug", reason="orders are stuck", ticket="T-1")
    here = replace(EVERYBODY, groups={**EVERYBODY.groups, "eve": ("dev",)})
    assert house.access.end_leavers(here) == []
    [entry] = house.access.end_leavers(replace(here, groups={**here.groups, "eve": ()}))
    assert "role engineer" in str(entry.body["reason"])


@pytest.mark.parametrize("known", [None, EVERYBODY], ids=["unlisted", "listed"])
def test_a_policy_that_takes_the_role_away_ends_what_it_gave(house: House, known: Known | None) -> None:
    asked, granted, glass = held(house)
    settings: dict[str, Any] = {"profiles": {"production-debug": {"break_glass": True}}, "roles": {"engineer": ["bob"], "approver": ["cyn"]}}
    stricter = AccessService(house.ledger.transact, Policy.from_settings(JupyterAudit(**settings)), house.clock)
    ended = stricter.end_leavers(known)
    # Of a broken glass it is not said in which groups its holder was; where nobody lists people, it ends by its time.
    assert {entry.grant or str(entry.body["request"]) for entry in ended} == ({asked, granted, glass} if known else {asked, granted})


def test_a_request_that_was_answered_cannot_be_closed_by_a_forged_entry(house: House) -> None:
    asked, granted = house.ask(), ""
    granted = house.access.approve(house.person("bob"), asked).id
    house.put_down(Draft("access.closed", {"request": asked, "reason": "x"}))
    assert granted in house.live()
    assert house.book.anomalies()
