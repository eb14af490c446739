"""Held cells whose approval must be signed: the signature is of that very cell, by its approver, for that purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from test_access_signed import SECOND, register
from test_held_machine import held

from jupyter_audit.access.cellsigning import CELL_APPROVAL, CellStatement, sign_cell
from jupyter_audit.access.holds import HoldState
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import parse_profile
from jupyter_audit.access.signing import APPROVAL, Signed, seal
from jupyter_audit.access.views import parts_of_message, plain
from jupyter_audit.clock import format_time
from jupyter_audit.errors import ConfigError, NotFoundError, NotPermittedError
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.model import Actor
from jupyter_audit.record import kinds
from jupyter_audit.review.approvals import TYPES, judge_approvals
from jupyter_audit.settings import JupyterAudit


@pytest.fixture
def signing(tmp_path: Path, clock: SetClock) -> Any:
    """A house with a live grant of ada's, whose cells are approved by signature; bob and cyn have keys."""
    made = House(tmp_path, clock, profiles={"production-debug": {"cell_approval": "each"}})
    made.signers = {name: Signer.generate(name) for name in ("bob", "cyn")}  # type: ignore[attr-defined]
    for name, signer in made.signers.items():  # type: ignore[attr-defined]
        register(made, name, signer)
    made.grant = made.access.approve(made.person("cyn"), made.ask()).id  # type: ignore[attr-defined]
    made.now()
    yield made
    made.close()


def statement(house: Any, hold_id: str, by: str = "bob", **changed: Any) -> CellStatement:
    house.now()
    hold = house.book.hold(hold_id)
    said = CellStatement(
        origin=house.ledger.origin, hold=hold.id, entry=hold.leaf, requester=hold.principal, profile=hold.profile,
        decision="approve", reason="", approver=by, key="", time=format_time(house.clock.now()),
    )  # fmt: skip
    return replace(said, **changed)


def signed(house: Any, hold_id: str, by: str = "bob", **changed: Any) -> Signed:
    return sign_cell(house.signers[by], statement(house, hold_id, by, **changed))


def judged(house: Any) -> Any:
    report = judge_approvals(house.ledger.entries(types=TYPES), house.ledger.origin, {})
    second = SECOND.judge(house.home.ledger, [])
    assert {each.seq for each in report.forged} == set(second.forged)
    assert dict(report.signed) == {name: count for name, count in second.signed.items() if count}
    return report


def test_a_signed_yes_lets_the_cell_run_and_both_verifiers_count_it(signing: Any) -> None:
    hold = held(signing, signing.grant, "ada", signed_approvals=True)
    assert signing.access.approve_cell(signing.person("bob"), hold, signed(signing, hold)).answered is HoldState.APPROVED
    assert dict(judged(signing).signed) == {"bob": 1}


def test_an_unsigned_yes_is_refused_and_one_written_past_the_rules_counts_for_nothing(signing: Any) -> None:
    hold = held(signing, signing.grant, "ada", signed_approvals=True)
    with pytest.raises(NotPermittedError, match="not signed"):
        signing.access.approve_cell(signing.person("bob"), hold)
    signing.put_down(kinds.draft(kinds.CellApproved(hold), actor=Actor("bob", "test"), grant=signing.grant, session="s-1"))
    now = signing.now()
    assert signing.book.hold(hold).state(now) is HoldState.WAITING
    assert len(judged(signing).forged) == 1


@pytest.mark.parametrize(
    "changed",
    [{"hold": "h-000000000000"}, {"entry": "0" * 64}, {"requester": "eve"}, {"profile": "x"}, {"decision": "deny"}, {"reason": "x"},
     {"approver": "cyn"}, {"origin": "elsewhere"}, {"time": "2026-11-24T07:00:00.000000Z"}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_a_signature_for_anything_else_is_refused(signing: Any, changed: dict[str, str]) -> None:
    hold = held(signing, signing.grant, "ada", signed_approvals=True)
    with pytest.raises(NotPermittedError):
        signing.access.approve_cell(signing.person("bob"), hold, signed(signing, hold, **changed))
    assert signing.book.hold(hold).answered is None


def test_the_yes_to_one_cell_is_none_to_another_of_the_same_code(signing: Any) -> None:
    first, second = (held(signing, signing.grant, "ada", signed_approvals=True) for _ in range(2))
    answer = signed(signing, first)
    with pytest.raises(NotPermittedError, match="another"):
        signing.access.approve_cell(signing.person("bob"), second, answer)


def test_what_was_signed_for_a_request_is_no_yes_to_a_cell(signing: Any) -> None:
    hold = held(signing, signing.grant, "ada", signed_approvals=True)
    good = signed(signing, hold)
    other = Signed(good.statement, seal(signing.signers["bob"], APPROVAL, good.statement))
    assert APPROVAL != CELL_APPROVAL
    with pytest.raises(NotPermittedError, match="not that of the key"):
        signing.access.approve_cell(signing.person("bob"), hold, other)


def test_a_no_is_signed_with_its_reason(signing: Any) -> None:
    hold = held(signing, signing.grant, "ada", signed_approvals=True)
    answer = signed(signing, hold, decision="deny", reason="not now")
    with pytest.raises(NotPermittedError):
        signing.access.deny_cell(signing.person("bob"), hold, "another reason", answer)
    assert signing.access.deny_cell(signing.person("bob"), hold, "not now", answer).answered is HoldState.DENIED
    assert judged(signing).forged == ()


def test_who_is_named_as_approver_of_the_profile_approves_its_cells(tmp_path: Path, clock: SetClock) -> None:
    house = House(tmp_path, clock, profiles={"production-debug": {"cell_approval": "each", "approvers": ["cyn"]}})
    grant = house.access.approve(house.person("cyn"), house.ask()).id
    house.now()
    hold = held(house, grant, "ada")
    with pytest.raises(NotPermittedError, match="cyn do"):
        house.access.approve_cell(house.person("bob"), hold)
    assert house.access.approve_cell(house.person("cyn"), hold).answered is HoldState.APPROVED
    with pytest.raises(NotFoundError):
        house.access.approve_cell(house.person("cyn"), "h-000000000000")
    house.close()


@pytest.mark.parametrize("key", ["terminals", "break_glass", "recovery"])
def test_what_cannot_wait_for_an_approval_is_no_part_of_such_a_profile(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        parse_profile("p", {"cell_approval": "each", key: True})


def test_solo_mode_where_nobody_else_could_approve_has_no_such_profile() -> None:
    with pytest.raises(ConfigError, match="solo") as refused:
        Policy.from_settings(JupyterAudit(solo=True, profiles={"p": {"cell_approval": "each"}}))
    assert refused.value.setting == ("profiles", "p", "cell_approval")


@pytest.mark.parametrize(
    ("message", "code", "besides"),
    [
        (b'{"code":"1","silent":false,"store_history":true,"user_expressions":{},"allow_stdin":true,"stop_on_error":false}', "1", ""),
        (b'{"code":"1","user_expressions":{"a":"b()"}}', "1", '{"user_expressions": {"a": "b()"}}'),
        (b'{"code":"1","silent":0}', "1", ""),
        (b'{"code":["1"]}', "", '{"code": ["1"]}'),
        (b'{"code":"1","x":2}', "1", '{"x": 2}'),
        (b'{"code":"\\ud800"}', "\\ud800", ""),
    ],
    ids=range(6),
)
def test_all_that_a_message_asks_for_is_shown(message: bytes, code: str, besides: str) -> None:
    assert parts_of_message(message) == (code, besides)


def test_what_is_not_seen_is_shown_escaped() -> None:
    assert plain("a\u202eb\n\tc\x1b\u200b") == "a\\u202eb\n\tc\\x1b\\u200b"
