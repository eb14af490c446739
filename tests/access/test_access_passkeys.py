"""Approvals that a passkey signed: whoever holds the server's key, and writes what they like, cannot make one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from support.passkeys import SoftPasskey, altered, encode
from test_access_fold import approval
from test_access_signed import PROFILES, SECOND, register, statement

from jupyter_audit.access.approverkeys import Trust
from jupyter_audit.access.ceremonies import OFFER_SECONDS, SECONDS, Ceremonies
from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.access.passkey import Passkey, PasskeyError, public_of, text_of
from jupyter_audit.access.signing import (
    APPROVAL,
    PASSKEY_REGISTRATION,
    REGISTRATION,
    Signed,
    passkey_text,
    registration_text,
    seal,
)
from jupyter_audit.errors import ClonedPasskeyError, NotFoundError, NotPermittedError
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.model import Actor, Draft
from jupyter_audit.record import kinds
from jupyter_audit.review.approvals import TYPES, judge_approvals


@pytest.fixture
def signing(tmp_path: Path, clock: SetClock) -> Any:
    """A house whose profiles demand signatures, in which bob and cyn have registered passkeys."""
    house: Any = House(tmp_path, clock, profiles=PROFILES, pending_requests=1000)
    house.passkeys = {"bob": SoftPasskey(), "cyn": SoftPasskey("EdDSA")}
    for name, soft in house.passkeys.items():
        register_passkey(house, name, soft)
    yield house
    house.close()


def registration(
    house: Any, name: str, soft: SoftPasskey, by: SoftPasskey | Signer | None = None, **wrong: Any
) -> kinds.AccessPasskeyRegistered:
    """Return what the entry of a registration says."""
    passkey = Passkey(soft.text, soft.credential, soft.rp_id, "laptop", "00000000-0000-0000-0000-000000000000")
    text = passkey_text(house.ledger.origin, name, passkey)
    vouched = ""
    if by is not None:
        vouched = seal(by, PASSKEY_REGISTRATION, text) if isinstance(by, Signer) else by.sign(PASSKEY_REGISTRATION, text)
    return kinds.AccessPasskeyRegistered(
        key=passkey.text,
        credential=passkey.credential,
        rp_id=passkey.rp_id,
        label=passkey.label,
        aaguid=passkey.aaguid,
        proof=soft.sign(PASSKEY_REGISTRATION, text, **wrong),
        vouched=vouched,
    )


def register_passkey(house: Any, name: str, soft: SoftPasskey, by: SoftPasskey | Signer | None = None, **wrong: Any) -> Any:
    return house.access.register_passkey(house.person(name), registration(house, name, soft, by, **wrong), "")


def asked(house: Any, request: str, by: str = "bob", **changed: Any) -> str:
    """Return what a passkey is asked to sign to say yes."""
    changed = {"key": "passkey", "nonce": secrets.token_hex(16), **changed}
    return statement(house, request, by, **changed).text()


def signed(house: Any, request: str, by: str = "bob", wrong: dict[str, Any] | None = None, **changed: Any) -> Signed:
    text = asked(house, request, by, **changed)
    return Signed(text, house.passkeys[by].sign(APPROVAL, text, **(wrong or {})))


def taken(house: Any, answer: Signed, by: str = "bob") -> Signed:
    """Have the server wait for an answer, as it does once it asked for one."""
    house.access.ceremonies.ask(by, APPROVAL, answer.statement, lambda said: None)
    return answer


def fields(answer: Signed) -> dict[str, str]:
    return {"statement": answer.statement, "signature": answer.signature}


def judged(house: Any, **pins: str) -> Any:
    """Return what our own pass finds, which must be what the second one finds that was written from the documentation."""
    given = {name: [key] for name, key in pins.items()}
    found = judge_approvals(house.ledger.entries(types=TYPES), house.ledger.origin, given)
    again = SECOND.judge(house.home.ledger, [f"{name}={key}" for name, key in pins.items()])
    assert sorted(again.forged) == sorted({each.seq for each in found.forged})
    assert again.good == found.compared
    return found


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_a_yes_that_a_passkey_signed_makes_a_grant_and_both_verifiers_say_whose_it_is(signing: Any, algorithm: str) -> None:
    old, new = signing.passkeys["bob"], SoftPasskey(algorithm)
    assert register_passkey(signing, "bob", new, old).trust is Trust.VOUCHED
    signing.passkeys["bob"] = new
    request = signing.ask()
    answer = taken(signing, signed(signing, request))
    grant = signing.access.approve(signing.person("bob"), request, answer)
    assert signing.live() == {grant.id}
    assert (signing.newest()["statement"], signing.newest()["signature"]) == (answer.statement, answer.signature)
    assert signing.book.anomalies() == []
    found = judged(signing, bob=old.text)
    assert (found.signed, found.forged, found.compared) == ({"bob": 1}, (), {old.text, new.text})
    assert "passkey 'laptop' at localhost" in found.text()


def test_a_denial_an_endorsement_and_an_extension_are_signed_with_passkeys_too(signing: Any) -> None:
    pair, no = signing.ask(profile="pair"), signing.ask()
    for name in ("bob", "cyn"):
        grant = signing.access.approve(signing.person(name), pair, taken(signing, signed(signing, pair, name), name))
    assert signing.live() == {grant.id}
    more = signing.access.extend(signing.person("ada"), grant.id, reason="not done yet", minutes=10).id
    assert isinstance(signing.access.approve(signing.person("bob"), more, taken(signing, signed(signing, more))), Request)
    denial = taken(signing, signed(signing, no, decision="deny", reason="not today"))
    with pytest.raises(NotPermittedError, match="another reason"):
        signing.access.deny(signing.person("bob"), no, "never", denial)
    again = taken(signing, signed(signing, no, decision="deny", reason="not today"))
    assert signing.access.deny(signing.person("bob"), no, "not today", again).answered == "denied"
    assert judged(signing).forged == ()


Forge = Callable[[Any, str], Signed]


def other_request(house: Any, _: str) -> Signed:
    return signed(house, house.ask("ada"))


def of_another(house: Any, request: str) -> Signed:
    text = asked(house, request)
    return Signed(text, house.passkeys["cyn"].sign(APPROVAL, text))


def of_anothers_under_ones_own_id(house: Any, request: str) -> Signed:
    answer = of_another(house, request)
    return Signed(answer.statement, altered(answer.signature, id=house.passkeys["bob"].credential))


def withdrawn(house: Any, request: str) -> Signed:
    answer = signed(house, request)
    house.access.withdraw_key(house.person("bob"), "bob", reason="lost it", key=house.passkeys["bob"].text)
    return answer


def of_another_purpose(house: Any, request: str) -> Signed:
    text = asked(house, request)
    return Signed(text, house.passkeys["bob"].sign(PASSKEY_REGISTRATION, text))


def lengthened_afterwards(house: Any, request: str) -> Signed:
    answer = signed(house, request)
    return Signed(answer.statement.replace('"duration_s":1800', '"duration_s":28800'), answer.signature)


def by_an_ed25519_key(house: Any, request: str) -> Signed:
    text = asked(house, request)
    return Signed(text, seal(Signer.generate("bob"), APPROVAL, text))


def mangled(**changed: Any) -> Forge:
    def forge(house: Any, request: str) -> Signed:
        answer = signed(house, request)
        return Signed(answer.statement, altered(answer.signature, **changed))

    return forge


def wrong(**how: Any) -> Forge:
    return lambda house, request: signed(house, request, wrong=how)


def said(**changed: Any) -> Forge:
    return lambda house, request: signed(house, request, **changed)


FORGED: dict[str, Forge] = {
    "signed for another request": other_request,
    "signed for another ledger": said(origin="jupyter-audit/0123456789abcdef"),
    "signed for less time": said(duration_s=60),
    "lengthened afterwards": lengthened_afterwards,
    "signed for somebody else": said(requester="eve"),
    "a no": said(decision="deny"),
    "signed in another approver's name": said(approver="cyn"),
    "signed with another person's passkey": of_another,
    "signed with another person's passkey under one's own id": of_anothers_under_ones_own_id,
    "signed with a passkey that was removed since": withdrawn,
    "signed by a passkey that nobody registered": lambda h, r: Signed(t := asked(h, r), SoftPasskey().sign(APPROVAL, t)),
    "signed by a key of the forger's under the passkey's id": lambda h, r: Signed(
        t := asked(h, r), SoftPasskey(credential=h.passkeys["bob"].credential).sign(APPROVAL, t)
    ),
    "signed by an Ed25519 key": by_an_ed25519_key,
    "for another purpose": of_another_purpose,
    "without a nonce": lambda h, r: Signed(
        t := statement(h, r, key="passkey").text(), h.passkeys["bob"].sign(APPROVAL, t)
    ),
    "with a short nonce": said(nonce="1234"),
    "naming a key": lambda h, r: signed(h, r, key=h.passkeys["bob"].text),
    "at another host": wrong(origin="https://evil.example"),
    "at a host that only ends like ours": wrong(origin="https://notlocalhost"),
    "at a host that only begins like ours": wrong(origin="https://localhost.evil.example"),
    "over plain http": wrong(origin="http://debug.localhost.example"),
    "at an address with a name in it": wrong(origin="https://localhost@evil.example"),
    "at an address with a path": wrong(origin="http://localhost/x"),
    "at no address": wrong(origin=None),
    "for another host": wrong(rp_id="evil.example"),
    "without anybody being there": wrong(flags=0x04),
    "without verifying who was there": wrong(flags=0x01),
    "copied, and not to be copied": wrong(flags=0x15),
    "with something after the data": wrong(more=b"x"),
    "within another site's page": wrong(crossOrigin=True),
    "below another site": wrong(topOrigin="https://evil.example"),
    "as for making a passkey": wrong(type="webauthn.create"),
    "with another challenge": wrong(challenge=encode(bytes(32))),
    "with no challenge": wrong(challenge=None),
    "with the counter where it was": wrong(counter=1),
    "with the counter gone back": wrong(counter=0),
    "with flags altered": mangled(authenticatorData=lambda d: d[:32] + b"\x1d" + d[33:]),
    "with the counter altered": mangled(authenticatorData=lambda d: d[:33] + b"\0\0\1\0" + d[37:]),
    "with its data cut": mangled(authenticatorData=lambda d: d[:36]),
    "with the browser's data altered": mangled(clientDataJSON=lambda d: d.replace(b"8888", b"8889")),
    "with a member of the browser's data twice": mangled(clientDataJSON=lambda d: d.replace(b"{", b'{"origin":"https://evil.example",')),
    "with the browser's data no JSON": mangled(clientDataJSON=lambda d: d[:-1]),
    "with a signature with a bit flipped": mangled(signature=lambda d: d[:-1] + bytes([d[-1] ^ 1])),
    "without a signature": mangled(signature=""),
    "with padding": lambda h, r: Signed((a := signed(h, r)).statement, a.signature.replace('"}', '=="}')),
    "with spaces": lambda h, r: Signed((a := signed(h, r)).statement, a.signature.replace(",", ", ")),
    "with more in it": mangled(userHandle="AA"),
    "nothing": lambda h, r: Signed(asked(h, r), "{}"),
    "half an answer": lambda h, r: Signed(asked(h, r), "{"),
    "too long": mangled(clientDataJSON=lambda d: d + b" " * 10_000),
}  # fmt: skip


@pytest.mark.parametrize("forged", FORGED)
def test_the_service_takes_no_yes_that_is(signing: Any, forged: str) -> None:
    request = signing.ask(minutes=30)
    answer = taken(signing, FORGED[forged](signing, request))
    with pytest.raises(NotPermittedError):
        signing.access.approve(signing.person("bob"), request, answer)
    assert signing.live() == set()
    refused = signing.newest()
    assert (refused["action"], refused["refusal"]) == ("approve", "cloned_passkey" if "counter" in forged and "altered" not in forged else "not_permitted")


@pytest.mark.parametrize("profile", ["production-debug", "free"])
def test_an_admin_who_writes_one_with_the_servers_key_gives_nothing_and_both_verifiers_tell(signing: Any, profile: str) -> None:
    written = {}
    # The one that ends the passkey comes last.
    for name, forge in sorted(FORGED.items(), key=lambda item: item[1] is withdrawn):
        request = signing.ask(minutes=30, profile=profile)
        signing.now()
        (entry,) = signing.put_down(approval(signing, request, profile=profile, **fields(forge(signing, request))))
        written[name] = entry.seq
    assert signing.live() == set()
    assert {each.seq for each in signing.book.anomalies()} == set(written.values())
    found = {each.seq for each in judged(signing).forged}
    assert [name for name, seq in written.items() if seq not in found] == []
    assert len(found) == len(written)


def test_a_yes_of_ones_own_passkey_that_the_server_did_not_ask_for_is_refused(signing: Any) -> None:
    request = signing.ask()
    with pytest.raises(NotPermittedError, match="not asked for"):
        signing.access.approve(signing.person("bob"), request, signed(signing, request))
    assert signing.newest()["action"] == "approve"


def test_what_was_asked_counts_once_for_one_person_and_not_for_long(clock: SetClock) -> None:
    house = Ceremonies(monotonic=clock.monotonic)
    answer = SoftPasskey().sign(APPROVAL, "yes")
    house.ask("bob", APPROVAL, "yes", lambda said: None)
    assert "not asked" in house.spend("cyn", APPROVAL, "yes", answer)
    assert "not asked" in house.spend("bob", REGISTRATION, "yes", answer)
    assert "not asked" in house.spend("bob", APPROVAL, "no", answer)
    assert house.spend("bob", APPROVAL, "yes", answer) == ""
    assert "answered before" in house.spend("bob", APPROVAL, "yes", answer)
    house.ask("bob", APPROVAL, "yes", lambda said: None)
    clock.pass_time(SECONDS)
    assert "too late" in house.spend("bob", APPROVAL, "yes", answer)


def test_a_wrong_answer_uses_up_what_was_asked_and_many_questions_push_out_the_oldest(clock: SetClock) -> None:
    def no(said: object) -> None:
        raise PasskeyError("wrong")

    house = Ceremonies(monotonic=clock.monotonic)
    answer = SoftPasskey().sign(APPROVAL, "yes")
    house.ask("bob", APPROVAL, "yes", no)
    assert house.spend("bob", APPROVAL, "yes", answer) == "wrong"
    assert "not asked" in house.spend("bob", APPROVAL, "yes", answer)
    for number in range(17):
        house.ask("bob", APPROVAL, str(number), lambda said: None)
    assert "not asked" in house.spend("bob", APPROVAL, "0", answer)
    assert house.spend("bob", APPROVAL, "1", answer) == ""


def test_a_passkey_that_was_made_waits_for_its_owner_alone_and_not_for_ever(clock: SetClock) -> None:
    house = Ceremonies(monotonic=clock.monotonic)
    passkey = Passkey(SoftPasskey().text, "AA", "localhost", "laptop", "")
    offer = house.offer("bob", passkey, "{}")
    assert house.offers("bob") == []  # it has not signed for itself
    house.prove(offer, "proof")
    assert [each.proof for each in house.offers("Bob")] == ["proof"]
    with pytest.raises(NotFoundError, match="waits to be registered"):
        house.offered("cyn", offer.id)
    clock.pass_time(OFFER_SECONDS)
    with pytest.raises(NotFoundError, match="waits to be registered"):
        house.offered("bob", offer.id)
    for _ in range(20):
        newest = house.offer("bob", passkey, "{}")
    house.close(newest)
    with pytest.raises(NotFoundError):
        house.offered("bob", newest.id)


def test_a_replayed_answer_in_the_ledger_counts_once_and_is_told(signing: Any) -> None:
    request = signing.ask(minutes=1)
    answer = taken(signing, signed(signing, request))
    first = signing.access.approve(signing.person("bob"), request, answer)
    (replayed,) = signing.put_down(approval(signing, request, grant="g-00000000000f", **fields(answer)))
    assert signing.live() == {first.id}
    assert [each.seq for each in judged(signing).forged] == [replayed.seq]


def test_a_cloned_passkey_is_refused_and_the_refusal_says_so_in_a_word(signing: Any) -> None:
    copy = replace(signing.passkeys["bob"])
    for _ in range(2):
        request = signing.ask()
        signing.access.approve(signing.person("bob"), request, taken(signing, signed(signing, request)))
    request = signing.ask()
    text = asked(signing, request)
    with pytest.raises(ClonedPasskeyError, match="may have been copied"):
        signing.access.approve(signing.person("bob"), request, taken(signing, Signed(text, copy.sign(APPROVAL, text))))
    assert signing.newest()["refusal"] == "cloned_passkey"
    # One that does not count at all is no clone.
    synced = SoftPasskey(counter=None)
    register_passkey(signing, "bob", synced, signing.passkeys["bob"])
    signing.passkeys["bob"] = synced
    for _ in range(2):
        request = signing.ask()
        assert isinstance(signing.access.approve(signing.person("bob"), request, taken(signing, signed(signing, request))), Grant)


# --- registrations ------------------------------------------------------------------------------


def test_a_second_passkey_needs_the_first_ones_word_and_an_admin_cannot_do_without(signing: Any) -> None:
    bob, mallory = signing.passkeys["bob"], SoftPasskey()
    with pytest.raises(NotPermittedError, match="none of them vouches"):
        register_passkey(signing, "bob", mallory)
    for by in (None, mallory, signing.passkeys["cyn"], Signer.generate("bob")):
        kind = registration(signing, "bob", mallory, by)
        signing.put_down(kinds.draft(kind, actor=Actor("bob", "test")))
    signing.now()
    assert [key.text for key, _ in signing.book.keys.passkeys("bob")] == [bob.text]
    assert len(signing.book.anomalies()) == 4
    assert len(judged(signing, bob=bob.text).forged) == 4
    signing.put_down(kinds.draft(registration(signing, "Bob", mallory), actor=Actor("Bob", "test")))
    signing.now()
    assert [key.text for key, _ in signing.book.keys.passkeys("BOB")] == [bob.text]


def test_a_key_signs_a_passkey_in_and_a_passkey_a_key(signing: Any, tmp_path: Path, clock: SetClock) -> None:
    house: Any = House(tmp_path / "other", clock, profiles=PROFILES)
    signer, soft = Signer.generate("bob"), SoftPasskey()
    register(house, "bob", signer)
    with pytest.raises(NotPermittedError, match="vouches"):
        register_passkey(house, "bob", soft)
    assert register_passkey(house, "bob", soft, signer).voucher == format_verifier_key(signer.verifier)
    house.passkeys = {"bob": soft}
    request = house.ask()
    assert isinstance(house.access.approve(house.person("bob"), request, taken(house, signed(house, request))), Grant)
    house.access.withdraw_key(house.person("bob"), "bob", reason="lost it")

    second = Signer.generate("bob")
    key = format_verifier_key(second.verifier)
    text = registration_text(house.ledger.origin, "bob", key, "")
    proof = seal(second, REGISTRATION, text)
    with pytest.raises(NotPermittedError, match="vouches"):
        house.access.register_key(house.person("bob"), key=key, proof=proof)
    vouched = soft.sign(REGISTRATION, text)
    assert house.access.register_key(house.person("bob"), key=key, proof=proof, vouched=vouched).trust is Trust.VOUCHED
    found = judged(house, bob=format_verifier_key(signer.verifier))
    assert (found.forged, len(found.compared)) == ((), 3)
    house.close()


def test_a_forged_first_passkey_is_found_with_the_one_that_the_approver_tells(tmp_path: Path, clock: SetClock) -> None:
    """Whoever holds the server's key registers a passkey of their own in bob's name, and approves with it."""
    house: Any = House(tmp_path, clock, profiles=PROFILES)
    house.passkeys = {"bob": SoftPasskey()}
    house.put_down(kinds.draft(registration(house, "bob", house.passkeys["bob"]), actor=Actor("bob", "test")))
    request = house.ask()
    house.put_down(approval(house, request, **fields(signed(house, request))))
    assert len(house.live()) == 1
    assert judged(house).forged == ()
    assert "NOT COMPARED" in judged(house).text()
    (found,) = judged(house, bob=SoftPasskey().text).forged
    assert (found.seq, "registered for bob" in found.what) == (1, True)
    house.close()


@pytest.mark.parametrize(
    "how", [{"flags": 0x01}, {"origin": "https://evil.example"}, {"rp_id": "evil.example"}, {"challenge": encode(bytes(32))}],
    ids=["unverified", "elsewhere", "another host", "another challenge"],
)  # fmt: skip
def test_nobody_registers_a_passkey_that_did_not_sign_for_it(signing: Any, how: dict[str, Any]) -> None:
    with pytest.raises(NotPermittedError, match="cannot be registered"):
        register_passkey(signing, "bob", SoftPasskey(), signing.passkeys["bob"], **how)


def test_a_passkey_of_anybody_never_comes_back_and_is_nobody_elses(signing: Any) -> None:
    bob = signing.passkeys["bob"]
    with pytest.raises(NotPermittedError, match="registered before"):
        register_passkey(signing, "cyn", bob, signing.passkeys["cyn"])
    signing.access.withdraw_key(signing.person("dan"), "bob", reason="stolen", key=bob.text)
    with pytest.raises(NotPermittedError, match="registered before"):
        register_passkey(signing, "bob", bob)
    assert register_passkey(signing, "bob", SoftPasskey()).trust is Trust.ANEW
    twin = SoftPasskey(credential=bob.credential)
    with pytest.raises(NotPermittedError, match="registered before"):
        register_passkey(signing, "bob", twin)


def test_only_approvers_register_and_only_owners_and_admins_remove(signing: Any) -> None:
    with pytest.raises(NotPermittedError, match="not an approver"):
        register_passkey(signing, "ada", SoftPasskey())
    with pytest.raises(NotPermittedError, match="may not withdraw"):
        signing.access.withdraw_key(signing.person("cyn"), "bob", reason="for fun", key=signing.passkeys["bob"].text)
    with pytest.raises(NotFoundError, match="no such key"):
        signing.access.withdraw_key(signing.person("bob"), "bob", reason="mine", key=signing.passkeys["cyn"].text)
    with pytest.raises(NotFoundError, match="no key"):
        signing.access.withdraw_key(signing.person("bob"), "bob", reason="mine")
    ended = signing.access.withdraw_key(signing.person("bob"), "bob", reason="sold it", key=signing.passkeys["bob"].text)
    assert (ended.ended_by, ended.ended_signed) == ("bob", False)


def test_a_public_key_has_one_spelling_and_one_of_three_algorithms() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    good = SoftPasskey().text
    public_of(good)
    for bad in (good + "=", good.replace("ES256", "RS256"), good.replace("passkey", "key"), good[:-4], "passkey:ES256:", "x" * 9000):
        with pytest.raises(PasskeyError):
            public_of(bad)
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 1024)):
        with pytest.raises(PasskeyError, match="none of"):
            text_of(key.public_key())


def test_a_second_passkey_of_the_same_device_signs_beside_the_first(signing: Any) -> None:
    first, second = signing.passkeys["bob"], SoftPasskey("RS256")
    register_passkey(signing, "bob", second, first)
    for soft in (first, second):
        signing.passkeys["bob"] = soft
        request = signing.ask()
        assert isinstance(signing.access.approve(signing.person("bob"), request, taken(signing, signed(signing, request))), Grant)
    body = {"person": "bob", "key": first.text, "reason": "lost", "signature": ""}
    signing.put_down(Draft("access.key_withdrawn", body, actor=Actor("bob", "test")))
    signing.now()
    assert [key.text for key, _ in signing.book.keys.passkeys("bob")] == [second.text]
