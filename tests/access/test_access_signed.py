"""Approvals that their approver signed: whoever holds the server's key, and writes what they like, cannot make one."""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from test_access_fold import NEW_GRANT, approval

from jupyter_audit.access.approverkeys import Trust
from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.access.signing import (
    APPROVAL,
    REGISTRATION,
    WITHDRAWAL,
    Signed,
    Statement,
    registration_text,
    seal,
    sign,
    withdrawal_text,
)
from jupyter_audit.clock import format_time
from jupyter_audit.errors import NotFoundError, NotPermittedError
from jupyter_audit.ledger.keys import Signer, load_signer
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.model import Actor, Draft
from jupyter_audit.review.approvals import TYPES, judge_approvals

DOCS = Path(__file__).parents[2] / "docs"


def second_check() -> Any:
    """Return docs/verify_approvals.py, which finds its neighbour as it does when somebody runs it."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("verify_approvals")
    finally:
        sys.path.remove(str(DOCS))


SECOND = second_check()

PROFILES = {
    "production-debug": {"signed_approvals": True},
    "free": {},
    "pair": {"signed_approvals": True, "approvals": 2},
}


@pytest.fixture
def signing(tmp_path: Path, clock: SetClock) -> Any:
    """A house whose profiles demand signatures, in which bob and cyn have registered keys."""
    house = House(tmp_path, clock, profiles=PROFILES)
    house.signers = {name: Signer.generate(name) for name in ("bob", "cyn")}  # type: ignore[attr-defined]
    for name, signer in house.signers.items():  # type: ignore[attr-defined]
        register(house, name, signer)
    yield house
    house.close()


def register(house: House, name: str, signer: Signer, old: Signer | None = None) -> Any:
    key = format_verifier_key(signer.verifier)
    replaces = "" if old is None else format_verifier_key(old.verifier)
    text = registration_text(house.ledger.origin, name, key, replaces)
    vouched = "" if old is None else seal(old, REGISTRATION, text)
    return house.access.register_key(
        house.person(name), key=key, proof=seal(signer, REGISTRATION, text), replaces=replaces, vouched=vouched
    )


def statement(house: House, request_id: str, by: str = "bob", **changed: Any) -> Statement:
    """Return what `by` signs to say yes, but for what is changed."""
    house.now()
    request = house.book.request(request_id)
    assert request is not None
    entry = house.ledger.entry(request.seq)
    said = Statement(
        origin=house.ledger.origin,
        request=request.id,
        entry=leaf_hash(entry.raw.encode()).hex(),
        requester=request.principal,
        profile=request.profile,
        ticket=request.ticket,
        duration_s=int(request.duration.total_seconds()),
        decision="approve",
        reason="",
        approver=by,
        key="",
        time=format_time(house.clock.now()),
    )
    return replace(said, **changed)


def signed(house: Any, request_id: str, by: str = "bob", **changed: Any) -> Signed:
    return sign(house.signers[by], statement(house, request_id, by, **changed))


def fields(answer: Signed) -> dict[str, str]:
    return {"statement": answer.statement, "signature": answer.signature}


def test_a_signed_yes_makes_a_grant_and_the_entry_keeps_the_signature(signing: Any) -> None:
    request = signing.ask()
    answer = signed(signing, request)
    grant = signing.access.approve(signing.person("bob"), request, answer)
    assert signing.live() == {grant.id}
    assert (signing.newest()["statement"], signing.newest()["signature"]) == (answer.statement, answer.signature)
    assert signing.book.anomalies() == []


def test_an_unsigned_yes_is_refused_where_the_profile_demands_a_signature(signing: Any) -> None:
    with pytest.raises(NotPermittedError, match="not signed") as refused:
        signing.access.approve(signing.person("bob"), signing.ask())
    assert "--sign" in refused.value.advice
    free = signing.ask(profile="free")
    assert isinstance(signing.access.approve(signing.person("bob"), free), Grant)


def test_a_demand_that_came_after_the_request_holds_too(signing: Any, clock: SetClock) -> None:
    request = signing.ask(profile="free")
    stricter = {"free": replace(signing.policy.profiles["free"], signed_approvals=True)}
    signing.access._policy = replace(signing.policy, profiles=stricter)
    with pytest.raises(NotPermittedError, match="not signed"):
        signing.access.approve(signing.person("bob"), request)


def test_where_two_must_say_yes_both_must_sign(signing: Any) -> None:
    request = signing.ask(profile="pair")
    with pytest.raises(NotPermittedError, match="not signed"):
        signing.access.approve(signing.person("bob"), request)
    assert isinstance(signing.access.approve(signing.person("bob"), request, signed(signing, request)), Request)
    with pytest.raises(NotPermittedError, match="not signed"):
        signing.access.approve(signing.person("cyn"), request)
    grant = signing.access.approve(signing.person("cyn"), request, signed(signing, request, "cyn"))
    assert signing.live() == {grant.id}


def test_an_extension_is_signed_too(signing: Any) -> None:
    request = signing.ask()
    grant = signing.access.approve(signing.person("bob"), request, signed(signing, request))
    more = signing.access.extend(signing.person("ada"), grant.id, reason="not done yet", minutes=10).id
    with pytest.raises(NotPermittedError, match="not signed"):
        signing.access.approve(signing.person("bob"), more)
    longer = signing.access.approve(signing.person("bob"), more, signed(signing, more))
    assert longer.not_after == grant.not_after + timedelta(minutes=10)
    again = signing.access.extend(signing.person("ada"), grant.id, reason="still not done", minutes=10).id
    forged = {"request": again, "not_after": format_time(longer.not_after + timedelta(minutes=10)), "self_approved": False, "solo": False}
    signing.put_down(Draft("access.extended", forged, actor=Actor("bob", "test"), grant=grant.id))
    signing.now()
    assert signing.book.grant(grant.id) == longer


def test_a_denial_can_be_signed_and_its_reason_is_what_was_signed(signing: Any) -> None:
    request = signing.ask()
    answer = signed(signing, request, decision="deny", reason="not today")
    with pytest.raises(NotPermittedError, match="another reason"):
        signing.access.deny(signing.person("bob"), request, "never", answer)
    assert signing.access.deny(signing.person("bob"), request, "not today", answer).answered == "denied"


Forge = Callable[[Any, str], Signed]


def other_request(house: Any, _: str) -> Signed:
    return signed(house, house.ask("ada"))


def twin_request(house: Any, request: str) -> Signed:
    """Sign the same words, but over the entry of another request."""
    twin = statement(house, house.ask("ada"))
    return signed(house, request, entry=twin.entry)


def withdrawn_key(house: Any, request: str) -> Signed:
    answer = signed(house, request)
    house.access.withdraw_key(house.person("bob"), "bob", reason="lost it")
    return answer


def replaced_key(house: Any, request: str) -> Signed:
    answer = signed(house, request)
    register(house, "bob", Signer.generate("bob"), house.signers["bob"])
    return answer


def own_key_in_anothers_name(house: Any, request: str) -> Signed:
    return sign(Signer.generate("bob"), statement(house, request))


def anothers_key(house: Any, request: str) -> Signed:
    return sign(house.signers["cyn"], statement(house, request))


def servers_key(house: Any, request: str) -> Signed:
    return sign(load_signer(house.home.signing_key), statement(house, request))


def other_spelling(house: Any, request: str) -> Signed:
    answer = signed(house, request)
    return Signed(answer.statement.replace('"approver"', ' "approver"'), answer.signature)


def changed_signature(house: Any, request: str) -> Signed:
    answer = signed(house, request)
    data = bytearray(base64.b64decode(answer.signature))
    data[5] ^= 1
    return Signed(answer.statement, base64.b64encode(data).decode())


def lengthened_afterwards(house: Any, request: str) -> Signed:
    answer = signed(house, request)
    return Signed(answer.statement.replace('"duration_s":1800', '"duration_s":28800'), answer.signature)


def of_another_purpose(house: Any, request: str) -> Signed:
    """Have the key's signature over the same text, made for registering or withdrawing keys."""
    text = signed(house, request).statement
    return Signed(text, seal(house.signers["bob"], WITHDRAWAL, text))


FORGED: dict[str, Forge] = {
    "signed for another request": other_request,
    "signed over another request's entry": twin_request,
    "signed for another ledger": lambda h, r: signed(h, r, origin="jupyter-audit/0123456789abcdef"),
    "signed for less time": lambda h, r: signed(h, r, duration_s=60),
    "signed for more time": lambda h, r: signed(h, r, duration_s=28800),
    "lengthened afterwards": lengthened_afterwards,
    "signed for somebody else": lambda h, r: signed(h, r, requester="eve"),
    "signed for another profile": lambda h, r: signed(h, r, profile="free"),
    "signed for another ticket": lambda h, r: signed(h, r, ticket="T-2"),
    "a no": lambda h, r: signed(h, r, decision="deny"),
    "signed in another approver's name": lambda h, r: signed(h, r, approver="cyn"),
    "signed by a key of the forger's": own_key_in_anothers_name,
    "signed by another approver's key": anothers_key,
    "signed by the server's key": servers_key,
    "signed by a key that was withdrawn since": withdrawn_key,
    "signed by a key that was replaced since": replaced_key,
    "a statement in another spelling": other_spelling,
    "a signature with a bit flipped": changed_signature,
    "a signature for another purpose": of_another_purpose,
    "a statement without a signature": lambda h, r: Signed(signed(h, r).statement, ""),
    "a signature without a statement": lambda h, r: Signed("", signed(h, r).signature),
    "no JSON": lambda h, r: Signed("yes", signed(h, r).signature),
    "a statement that is too long": lambda h, r: Signed("x" * 20_000, "AA=="),
    "half a character": lambda h, r: Signed("\ud800", "AA=="),
    "nested without end": lambda h, r: Signed("[" * 10_000, "AA=="),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED)
def test_the_service_takes_no_yes_that_is(signing: Any, forged: str) -> None:
    request = signing.ask(minutes=30)
    answer = FORGED[forged](signing, request)
    with pytest.raises(NotPermittedError, match="does not hold"):
        signing.access.approve(signing.person("bob"), request, answer)
    assert signing.live() == set()


@pytest.mark.parametrize("forged", [name for name in FORGED if name != "half a character"])  # no entry can hold that
@pytest.mark.parametrize("profile", ["production-debug", "free"])
def test_an_admin_who_writes_entries_with_the_servers_key_gives_nothing_with_a_yes_that_is(
    signing: Any, forged: str, profile: str
) -> None:
    request = signing.ask(minutes=30, profile=profile)
    signing.now()
    answer = FORGED[forged](signing, request)
    if "another profile" in forged and profile == "free":
        answer = signed(signing, request, profile="production-debug")
    signing.put_down(approval(signing, request, profile=profile, **fields(answer)))
    assert signing.live() == set()
    assert len(signing.book.anomalies()) == 1


def test_an_admin_who_writes_an_unsigned_approval_gives_nothing(signing: Any) -> None:
    signing.put_down(approval(signing, signing.ask()))
    signing.put_down(Draft("access.endorsed", {"request": signing.ask(profile="pair")}, actor=Actor("bob", "test")))
    assert signing.live() == set()
    assert len(signing.book.anomalies()) == 2


def test_a_signature_serves_once(signing: Any) -> None:
    request = signing.ask(minutes=1)
    answer = signed(signing, request)
    first = signing.access.approve(signing.person("bob"), request, answer)
    signing.put_down(approval(signing, request, grant=NEW_GRANT, not_after=format_time(first.not_after), **fields(answer)))
    assert signing.live() == {first.id}


def test_a_signature_from_another_time_is_refused(signing: Any) -> None:
    request = signing.ask()
    answer = signed(signing, request)
    signing.clock.pass_time(301)
    with pytest.raises(NotPermittedError, match="clock"):
        raise_advice(lambda: signing.access.approve(signing.person("bob"), request, answer))


def raise_advice(act: Callable[[], Any]) -> None:
    try:
        act()
    except NotPermittedError as error:
        raise NotPermittedError(f"{error} {error.advice}") from error


# --- keys ---------------------------------------------------------------------------------------


def test_nobody_registers_a_key_for_somebody_else(signing: Any) -> None:
    mallory = Signer.generate("bob")
    key = format_verifier_key(mallory.verifier)
    proof = seal(mallory, REGISTRATION, registration_text(signing.ledger.origin, "bob", key, ""))
    replaces = format_verifier_key(signing.signers["cyn"].verifier)
    with pytest.raises(NotPermittedError, match="not that of the key"):
        signing.access.register_key(signing.person("cyn"), key=key, proof=proof, replaces=replaces)
    body = {"key": key, "proof": proof, "replaces": "", "vouched": ""}
    signing.put_down(Draft("access.key_registered", body, actor=Actor("eve", "test")))
    signing.now()
    assert signing.book.keys.of("eve") is None
    assert len(signing.book.anomalies()) == 1


def test_whoever_approves_nothing_registers_no_key(signing: Any) -> None:
    with pytest.raises(NotPermittedError, match="not an approver"):
        register(signing, "ada", Signer.generate("ada"))


def test_nobody_registers_a_key_that_they_do_not_hold(signing: Any, tmp_path: Path, clock: SetClock) -> None:
    other = House(tmp_path / "other", clock)
    bobs = format_verifier_key(signing.signers["bob"].verifier)
    proof = signing.ledger.entry(1).body["proof"]
    with pytest.raises(NotPermittedError, match="not that of the key"):
        other.access.register_key(other.person("cyn"), key=bobs, proof=proof)
    with pytest.raises(NotPermittedError, match="not that of the key"):
        other.access.register_key(other.person("bob"), key=bobs, proof=proof)  # the proof is for another ledger
    other.close()


@pytest.mark.parametrize("vouched", ["", "AA==", "by itself"])
@pytest.mark.parametrize("replaces", ["", "the old one"])
def test_an_admin_cannot_put_another_key_in_the_place_of_a_registered_one(signing: Any, vouched: str, replaces: str) -> None:
    mallory = Signer.generate("bob")
    key, old = format_verifier_key(mallory.verifier), format_verifier_key(signing.signers["bob"].verifier)
    named = old if replaces else ""
    text = registration_text(signing.ledger.origin, "bob", key, named)
    proof = seal(mallory, REGISTRATION, text)
    body = {"key": key, "proof": proof, "replaces": named, "vouched": proof if vouched == "by itself" else vouched}
    signing.put_down(Draft("access.key_registered", body, actor=Actor("bob", "test")))
    signing.now()
    assert signing.book.keys.of("bob").text == old
    assert len(signing.book.anomalies()) == 1
    for spelling in ("Bob", "ｂｏｂ"):
        text = registration_text(signing.ledger.origin, spelling, key, "")
        body = {"key": key, "proof": seal(mallory, REGISTRATION, text), "replaces": "", "vouched": ""}
        signing.put_down(Draft("access.key_registered", body, actor=Actor(spelling, "test")))
    signing.now()
    assert signing.book.keys.of("BOB").text == old


def test_a_replaced_key_vouches_for_the_next_and_never_comes_back(signing: Any) -> None:
    new, old = Signer.generate("bob"), signing.signers["bob"]
    assert register(signing, "bob", new, old).trust is Trust.VOUCHED
    with pytest.raises(NotPermittedError, match="never comes back"):
        register(signing, "bob", old, new)
    signing.signers["bob"] = new
    request = signing.ask()
    assert signing.access.approve(signing.person("bob"), request, signed(signing, request)).approver == "bob"


def test_a_key_after_one_that_was_withdrawn_is_said_to_rest_on_nothing_but_the_servers_word(signing: Any) -> None:
    ended = signing.access.withdraw_key(signing.person("dan"), "bob", reason="he lost it")
    assert (ended.ended_by, ended.ended_signed) == ("dan", False)
    assert register(signing, "bob", Signer.generate("bob")).trust is Trust.ANEW


def test_a_key_is_withdrawn_by_its_owner_or_an_admin_and_its_own_signature_is_kept(signing: Any) -> None:
    key = format_verifier_key(signing.signers["bob"].verifier)
    with pytest.raises(NotPermittedError, match="may not withdraw"):
        signing.access.withdraw_key(signing.person("cyn"), "bob", reason="for fun")
    with pytest.raises(NotPermittedError, match="not withdrawn"):
        signing.access.withdraw_key(signing.person("bob"), "bob", reason="moved", signature="AA==")
    text = withdrawal_text(signing.ledger.origin, "bob", key)
    for domain in (APPROVAL, REGISTRATION):
        wrong = seal(signing.signers["bob"], domain, text)
        with pytest.raises(NotPermittedError, match="not withdrawn"):
            signing.access.withdraw_key(signing.person("bob"), "bob", reason="moved", signature=wrong)
    right = seal(signing.signers["bob"], WITHDRAWAL, text)
    assert signing.access.withdraw_key(signing.person("bob"), "bob", reason="moved", signature=right).ended_signed
    with pytest.raises(NotFoundError):
        signing.access.withdraw_key(signing.person("bob"), "bob", reason="again")


def test_a_request_says_what_was_demanded_when_it_was_made(signing: Any) -> None:
    signing.ask()
    assert signing.newest()["signed_approvals"] is True
    signing.ask(profile="free")
    assert signing.newest()["signed_approvals"] is False


# --- what auditors find -------------------------------------------------------------------------


def judged(house: Any, **pins: Signer) -> Any:
    """Return what our own pass finds, which must be what the second one finds that was written from the documentation."""
    given = {name: [format_verifier_key(signer.verifier)] for name, signer in pins.items()}
    found = judge_approvals(house.ledger.entries(types=TYPES), house.ledger.origin, given)
    again = SECOND.judge(house.home.ledger, [f"{name}={key}" for name, (key,) in given.items()])
    assert sorted(again.forged) == sorted({each.seq for each in found.forged})
    assert again.good == found.compared
    return found


def test_auditors_see_how_many_were_signed_by_whom_and_with_which_key(signing: Any) -> None:
    request, pair, no = signing.ask(), signing.ask(profile="pair"), signing.ask()
    signing.access.approve(signing.person("bob"), request, signed(signing, request))
    for name in ("bob", "cyn"):
        signing.access.approve(signing.person(name), pair, signed(signing, pair, name))
    signing.access.deny(signing.person("bob"), no, "not today", signed(signing, no, decision="deny", reason="not today"))
    signing.access.approve(signing.person("cyn"), signing.ask(profile="free"))
    found = judged(signing, bob=signing.signers["bob"])
    assert (found.signed, found.unsigned, found.forged) == ({"bob": 2, "cyn": 1}, {"cyn": 1}, ())
    told = found.text()
    assert "3 (bob 2, cyn 1) signed by their approvers; 1 (cyn 1) on the server's word" in told
    bobs, cyns = (format_verifier_key(signing.signers[name].verifier) for name in ("bob", "cyn"))
    assert f"bob: {bobs}, entry 1 (first); as given" in told
    assert f"cyn: {cyns}, entry 2 (first); NOT COMPARED" in told


@pytest.mark.parametrize("forged", [name for name in FORGED if name != "half a character"])
def test_auditors_are_told_of_an_approval_that_is(signing: Any, forged: str) -> None:
    request = signing.ask(minutes=30)
    (entry,) = signing.put_down(approval(signing, request, **fields(FORGED[forged](signing, request))))
    assert [each.seq for each in judged(signing).forged] == [entry.seq]


def test_auditors_are_told_of_a_yes_without_the_signature_that_was_demanded(signing: Any) -> None:
    (entry,) = signing.put_down(approval(signing, signing.ask()))
    assert [each.seq for each in judged(signing).forged] == [entry.seq]


def test_what_was_signed_before_a_key_was_withdrawn_stays_signed_and_cannot_be_denied(signing: Any) -> None:
    request = signing.ask()
    signing.access.approve(signing.person("bob"), request, signed(signing, request))
    signing.access.withdraw_key(signing.person("bob"), "bob", reason="I never signed that")
    found = judged(signing, bob=signing.signers["bob"])
    assert (found.signed, found.forged) == ({"bob": 1}, ())
    assert "ended by entry" in found.text()


def test_a_forged_first_registration_is_found_with_the_key_that_the_approver_tells(tmp_path: Path, clock: SetClock) -> None:
    """Whoever holds the server's key registers one of their own in bob's name, and approves with it."""
    house: Any = House(tmp_path, clock, profiles=PROFILES)
    house.signers = {"bob": Signer.generate("bob")}
    register(house, "bob", house.signers["bob"])
    request = house.ask()
    house.put_down(approval(house, request, **fields(signed(house, request))))
    assert house.live() == {NEW_GRANT}
    assert judged(house).forged == ()
    assert "NOT COMPARED" in judged(house).text()
    (found,) = judged(house, bob=Signer.generate("bob")).forged
    assert (found.seq, "registered for bob" in found.what) == (1, True)
    house.close()


def test_a_registration_after_a_withdrawal_that_somebody_forged_is_found_too(signing: Any) -> None:
    real, mallory = signing.signers["bob"], Signer.generate("bob")
    key = format_verifier_key(real.verifier)
    body = {"person": "bob", "key": key, "reason": "lost", "signature": ""}
    signing.put_down(Draft("access.key_withdrawn", body, actor=Actor("bob", "test")))
    made = register(signing, "bob", mallory)
    assert "(anew)" in judged(signing).text()
    assert [each.seq for each in judged(signing, bob=real).forged] == [made.seq]
    assert judged(signing, cyn=signing.signers["cyn"]).forged == ()


def test_a_key_that_the_given_one_signed_in_is_as_good_as_given(signing: Any) -> None:
    old = signing.signers["bob"]
    register(signing, "bob", Signer.generate("bob"), old)
    assert judged(signing, bob=old).forged == ()


@pytest.mark.parametrize("request_", [["r"], {"r": 1}, None, 7, "r-ffffffffffff"], ids=["list", "object", "null", "number", "none"])
@pytest.mark.parametrize("statement_", ["x", 7, ["x"], None], ids=["text", "number", "list", "null"])
def test_no_entry_makes_the_judging_fail(signing: Any, request_: Any, statement_: Any) -> None:
    body = {"request": request_, "statement": statement_, "signature": 5}
    for kind in ("access.approved", "access.endorsed", "access.denied", "access.key_registered", "access.key_withdrawn"):
        signing.put_down(Draft(kind, body, actor=Actor("bob", "test")))
    assert len(judged(signing).forged) == 5
