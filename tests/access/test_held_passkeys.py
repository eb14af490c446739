"""Answers to held cells that a passkey signed: of that very cell, by its owner, asked for just now; and nobody else can make one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from support.passkeys import SoftPasskey, altered
from test_access_passkeys import register_passkey
from test_access_passkeys import signed as signed_request
from test_access_passkeys import taken as taken_for_request
from test_access_signed import SECOND
from test_held_machine import held
from test_held_signed import judged, statement

from jupyter_audit.access.cellsigning import CELL_APPROVAL
from jupyter_audit.access.holds import HoldState
from jupyter_audit.access.signing import APPROVAL, Signed, seal
from jupyter_audit.errors import ClonedPasskeyError, NotPermittedError
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.model import Actor
from jupyter_audit.record import kinds
from jupyter_audit.review.approvals import TYPES, judge_approvals


@pytest.fixture
def signing(tmp_path: Path, clock: SetClock) -> Any:
    """A house with a live grant of ada's, whose cells are approved by signature; bob and cyn have passkeys."""
    made: Any = House(tmp_path, clock, profiles={"production-debug": {"cell_approval": "each"}})
    made.grant = made.access.approve(made.person("cyn"), made.ask()).id
    made.now()
    made.passkeys = {"bob": SoftPasskey(), "cyn": SoftPasskey("EdDSA")}
    for name, soft in made.passkeys.items():
        register_passkey(made, name, soft)
    yield made
    made.close()


def cell(house: Any) -> str:
    return held(house, house.grant, "ada", signed_approvals=True)


def asked(house: Any, hold: str, by: str = "bob", **changed: Any) -> str:
    """Return what a passkey is asked to sign to say yes."""
    return statement(house, hold, by, **{"key": "passkey", "nonce": secrets.token_hex(16), **changed}).text()


def signed(house: Any, hold: str, by: str = "bob", wrong: dict[str, Any] | None = None, **changed: Any) -> Signed:
    text = asked(house, hold, by, **changed)
    return Signed(text, house.passkeys[by].sign(CELL_APPROVAL, text, **(wrong or {})))


def taken(house: Any, answer: Signed, by: str = "bob") -> Signed:
    """Have the server wait for an answer, as it does once it asked for one."""
    house.access.ceremonies.ask(by, CELL_APPROVAL, answer.statement, lambda said: None)
    return answer


def put_down(house: Any, kind: kinds.CellApproved | kinds.CellDenied, by: str = "bob") -> int:
    """Write an answer past all rules, as whoever has the server's key can; return its entry."""
    house.now()
    (entry,) = house.put_down(kinds.draft(kind, actor=Actor(by, "test"), grant=house.grant, session="s-1"))
    seq: int = entry.seq
    return seq


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_yes_that_a_passkey_signed_lets_the_cell_run_and_both_verifiers_count_it(signing: Any, algorithm: str) -> None:
    new = SoftPasskey(algorithm)
    register_passkey(signing, "bob", new, signing.passkeys["bob"])
    signing.passkeys["bob"] = new
    hold = cell(signing)
    answer = taken(signing, signed(signing, hold))
    assert signing.access.approve_cell(signing.person("bob"), hold, answer).answered is HoldState.APPROVED
    assert (signing.newest()["statement"], signing.newest()["signature"]) == (answer.statement, answer.signature)
    found = judged(signing)
    assert (dict(found.signed), found.forged, signing.book.anomalies()) == ({"bob": 1}, (), [])


def test_a_no_is_signed_with_its_reason(signing: Any) -> None:
    hold = cell(signing)
    other = taken(signing, signed(signing, hold, decision="deny", reason="not now"))
    with pytest.raises(NotPermittedError, match="another reason"):
        signing.access.deny_cell(signing.person("bob"), hold, "never", other)
    answer = taken(signing, signed(signing, hold, decision="deny", reason="not now"))
    assert signing.access.deny_cell(signing.person("bob"), hold, "not now", answer).answered is HoldState.DENIED
    assert judged(signing).forged == ()


def test_what_the_server_did_not_ask_for_just_now_or_of_somebody_else_is_refused(signing: Any) -> None:
    hold = cell(signing)
    with pytest.raises(NotPermittedError, match="not asked for"):
        signing.access.approve_cell(signing.person("bob"), hold, signed(signing, hold))
    with pytest.raises(NotPermittedError, match="not asked for"):
        signing.access.approve_cell(signing.person("bob"), hold, taken(signing, signed(signing, hold), "cyn"))
    # Asked for as an answer to a request it is none to a cell.
    with pytest.raises(NotPermittedError, match="not asked for"):
        signing.access.approve_cell(signing.person("bob"), hold, taken_for_request(signing, signed(signing, hold)))
    with pytest.raises(NotPermittedError, match="not asked for"):
        signing.access.deny_cell(signing.person("bob"), hold, "x", signed(signing, hold, decision="deny", reason="x"))
    assert signing.book.hold(hold).answered is None


Forge = Callable[[Any, str], Signed]


def mangled(**changed: Any) -> Forge:
    def forge(house: Any, hold: str) -> Signed:
        answer = signed(house, hold)
        return Signed(answer.statement, altered(answer.signature, **changed))

    return forge


def rewritten(old: str, new: str) -> Forge:
    def forge(house: Any, hold: str) -> Signed:
        answer = signed(house, hold, decision="deny", reason="no")
        assert old in answer.statement
        return Signed(answer.statement.replace(old, new), answer.signature)

    return forge


def by_another(house: Any, hold: str) -> Signed:
    text = asked(house, hold)
    return Signed(text, house.passkeys["cyn"].sign(CELL_APPROVAL, text))


def of_a_request(house: Any, hold: str) -> Signed:
    text = asked(house, hold)
    return Signed(text, house.passkeys["bob"].sign(APPROVAL, text))


def by_a_key(house: Any, hold: str) -> Signed:
    text = asked(house, hold)
    return Signed(text, seal(Signer.generate("bob"), CELL_APPROVAL, text))


def without_a_nonce(house: Any, hold: str) -> Signed:
    text = statement(house, hold, key="passkey").text()
    return Signed(text, house.passkeys["bob"].sign(CELL_APPROVAL, text))


def removed(house: Any, hold: str) -> Signed:
    answer = signed(house, hold)
    house.access.withdraw_key(house.person("bob"), "bob", reason="lost it", key=house.passkeys["bob"].text)
    return answer


FORGED: dict[str, Forge] = {
    "of another cell with the same code": lambda h, r: signed(h, cell(h)),
    "of another entry": lambda h, r: signed(h, r, entry="0" * 64),
    "of another ledger": lambda h, r: signed(h, r, origin="elsewhere"),
    "of another person's cell": lambda h, r: signed(h, r, requester="eve"),
    "under another profile": lambda h, r: signed(h, r, profile="x"),
    "in another approver's name": lambda h, r: signed(h, r, approver="cyn"),
    "with a reason": lambda h, r: signed(h, r, reason="x"),
    "a no": lambda h, r: signed(h, r, decision="deny"),
    "a no made a yes": rewritten('"deny"', '"approve"'),
    "for another purpose": of_a_request,
    "with another person's passkey": by_another,
    "with another person's passkey under one's own id": lambda h, r: Signed(
        (a := by_another(h, r)).statement, altered(a.signature, id=h.passkeys["bob"].credential)
    ),
    "with a passkey that nobody registered": lambda h, r: Signed(t := asked(h, r), SoftPasskey().sign(CELL_APPROVAL, t)),
    "with a key that nobody registered": by_a_key,
    "without a nonce": without_a_nonce,
    "with a short nonce": lambda h, r: signed(h, r, nonce="1234"),
    "naming a key": lambda h, r: signed(h, r, key=h.passkeys["bob"].text),
    "at another host": lambda h, r: signed(h, r, wrong={"origin": "https://evil.example"}),
    "without verifying who was there": lambda h, r: signed(h, r, wrong={"flags": 0x01}),
    "with the counter where it was": lambda h, r: signed(h, r, wrong={"counter": 1}),
    "with the browser's data altered": mangled(clientDataJSON=lambda data: data.replace(b"8888", b"8889")),
    "with a signature with a bit flipped": mangled(signature=lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    "half an answer": lambda h, r: Signed(asked(h, r), "{"),
    "with a passkey that was removed since": removed,
}


@pytest.mark.parametrize("forged", FORGED)
def test_the_service_takes_no_yes_that_is(signing: Any, forged: str) -> None:
    hold = cell(signing)
    answer = taken(signing, FORGED[forged](signing, hold))
    with pytest.raises(NotPermittedError) as refused:
        signing.access.approve_cell(signing.person("bob"), hold, answer)
    assert "not asked for" not in str(refused.value)
    assert signing.book.hold(hold).answered is None


def test_one_that_is_written_with_the_servers_key_has_no_effect_and_both_verifiers_tell(signing: Any) -> None:
    written, cells = {}, []
    for name, forge in FORGED.items():
        cells.append(cell(signing))
        answer = forge(signing, cells[-1])
        written[name] = put_down(signing, kinds.CellApproved(cells[-1], answer.statement, answer.signature))
    now = signing.now()
    assert {signing.book.hold(hold).state(now) for hold in cells} == {HoldState.WAITING}
    assert {each.seq for each in signing.book.anomalies()} == set(written.values())
    found = {each.seq for each in judged(signing).forged}
    assert ([name for name, seq in written.items() if seq not in found], len(found)) == ([], len(written))


def test_what_was_signed_counts_once_in_the_ledger_too(signing: Any) -> None:
    hold, other = cell(signing), cell(signing)
    answer = taken(signing, signed(signing, hold))
    signing.access.approve_cell(signing.person("bob"), hold, answer)
    with pytest.raises(NotPermittedError, match="another"):
        signing.access.approve_cell(signing.person("bob"), other, taken(signing, answer))
    again = {put_down(signing, kinds.CellApproved(each, answer.statement, answer.signature)) for each in (hold, other)}
    assert {each.seq for each in judged(signing).forged} == again
    signing.now()
    assert signing.book.hold(other).answered is None


def test_one_counter_goes_on_through_answers_to_cells_and_to_requests(signing: Any) -> None:
    copy = replace(signing.passkeys["bob"])
    hold = cell(signing)
    signing.access.approve_cell(signing.person("bob"), hold, taken(signing, signed(signing, hold)))
    request = signing.ask()
    mine, signing.passkeys["bob"] = signing.passkeys["bob"], copy
    with pytest.raises(ClonedPasskeyError):
        signing.access.approve(signing.person("bob"), request, taken_for_request(signing, signed_request(signing, request)))
    signing.passkeys["bob"] = mine
    signing.access.approve(signing.person("bob"), request, taken_for_request(signing, signed_request(signing, request)))
    hold = cell(signing)
    signing.passkeys["bob"] = replace(copy, counter=2)
    with pytest.raises(ClonedPasskeyError):
        signing.access.approve_cell(signing.person("bob"), hold, taken(signing, signed(signing, hold)))
    assert (signing.newest()["action"], signing.newest()["refusal"]) == ("approve_cell", "cloned_passkey")


def test_a_signature_that_holds_moves_the_counter_on_though_its_answer_came_too_late(signing: Any) -> None:
    hold, other = cell(signing), cell(signing)
    signing.access.deny_cell(signing.person("cyn"), hold, "no")
    late = signed(signing, hold)
    put_down(signing, kinds.CellApproved(hold, late.statement, late.signature))
    # A copy that signs with the same count: what came of the first does not matter.
    signing.passkeys["bob"].counter -= 1
    copied = signed(signing, other)
    forged = put_down(signing, kinds.CellApproved(other, copied.statement, copied.signature))
    report = judge_approvals(signing.ledger.entries(types=TYPES), signing.ledger.origin, {})
    assert ([each.seq for each in report.forged], report.signed) == ([forged], {})
    assert list(SECOND.judge(signing.home.ledger, []).forged) == [forged]
    signing.now()
    assert signing.book.hold(other).answered is None
