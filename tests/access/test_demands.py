"""What somebody with the server's key forges falls short of the policy that the ledger says was in force, and is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock

from jupyter_audit.access.policydiff import unsaid
from jupyter_audit.model import SERVER, Actor, Draft
from jupyter_audit.review.approvals import TYPES, judge_approvals

PROFILES = {
    "signed": {"signed_approvals": True},
    "pair": {"approvals": 2},
    "plain": {},
    "own": {"self_approval": True},
    "glass": {"break_glass": True},
}
ADA, BOB = Actor("ada", "test"), Actor("bob", "test")


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path, SetClock(), profiles=PROFILES)
    made.ledger.transact(lambda reader: unsaid(made.policy, reader, SERVER, "server"))
    return made


def found(house: House) -> list[str]:
    report = judge_approvals(house.ledger.entries(types=TYPES), house.ledger.origin, {})
    return [each.what for each in report.forged]


def request(profile: str, **changes: Any) -> Draft:
    body = {
        "request": "r-1", "profile": profile, "reason": "forged", "ticket": "T-1", "duration_s": 600,
        "lapses": "2026-11-24T10:00:00.000000Z", "target": "", "starts": "", "extends": "", "takes_over": "", "approvals": 1,
        "groups": [], "on_behalf_of": "", "ticket_checked": False, "signed_approvals": False, **changes,
    }  # fmt: skip
    return Draft("access.requested", body, actor=ADA)


def approval(profile: str, by: Actor = BOB, **changes: Any) -> Draft:
    body = {
        "request": "r-1", "principal": "ada", "vouched_by": "test", "profile": profile,
        "not_before": "2026-11-24T09:00:00.000000Z", "not_after": "2026-11-24T09:10:00.000000Z",
        "self_approved": by is ADA, "solo": False, "takes_over": "", "statement": "", "signature": "", **changes,
    }  # fmt: skip
    return Draft("access.approved", body, actor=by, grant="g-1")


FORGERIES: dict[str, tuple[list[Draft], list[str]]] = {
    "a request that hides that a yes must be signed": (
        [request("signed"), approval("signed")],
        ["asks for no signed approval, and had to", "it is not signed, and had to be"],
    ),
    "a request that hides that two must say yes": (
        [request("pair"), approval("pair")],
        ["asks for 1 approvals, and 2 were needed", "1 said yes, and 2 were needed"],
    ),
    "an approval of oneself": ([request("plain"), approval("plain", ADA)], ["its requester approved it"]),
    "an approval that says solo": ([request("plain"), approval("plain", solo=True)], ["one person holds every role"]),
    "a profile of its own": ([request("mine"), approval("mine")], ["has not", "has not"]),
    "a broken glass where there is none": (
        [
            Draft(
                "access.break_glass",
                {"profile": "plain", "reason": "x", "ticket": "T", "target": "", "not_before": "2026-11-24T09:00:00.000000Z",
                 "not_after": "2026-11-24T09:10:00.000000Z"},
                actor=ADA, grant="g-1",
            )
        ],
        ["no glass of its profile may be broken"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_entry_that_demands_less_than_the_policy_did_is_found(house: House, forgery: str) -> None:
    drafts, told = FORGERIES[forgery]
    house.put_down(*drafts)
    said = found(house)
    assert len(said) == len(told)
    for one, words in zip(said, told, strict=True):
        assert words in one
        assert "policy in force (entry 1)" in one


def test_what_was_done_by_the_rules_is_not_called_forged(house: House) -> None:
    house.access.approve(house.person("bob"), house.ask(profile="plain"))
    pair = house.ask(profile="pair")
    for name in ("bob", "cyn"):
        house.access.approve(house.person(name), pair)
    house.access.approve(house.person("bob"), house.ask("bob", profile="own"))
    house.access.break_glass(house.person("ada"), profile="glass", reason="it is all down", ticket="T-1")
    assert found(house) == []


def test_a_looser_policy_of_the_command_line_excuses_nothing_that_a_server_judged(house: House) -> None:
    loose = replace(house.policy, solo=True)
    house.ledger.transact(lambda reader: unsaid(loose, reader, SERVER, "command line"))
    house.put_down(request("signed"))
    assert "asks for no signed approval" in found(house)[0]


def test_each_entry_is_held_to_the_policy_of_its_time(house: House) -> None:
    house.ask(profile="plain")
    stricter = replace(house.policy, profiles={**house.policy.profiles, "plain": house.policy.profiles["signed"]})
    house.ledger.transact(lambda reader: unsaid(stricter, reader, SERVER, "server"))
    assert found(house) == []


def test_a_ledger_that_holds_no_policy_is_not_compared(tmp_path: Path) -> None:
    made = House(tmp_path, SetClock(), profiles=PROFILES)
    made.put_down(request("signed"), approval("signed"))
    assert found(made) == []
