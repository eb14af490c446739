"""Passkeys over the REST API: who may do what, and what a server takes of a browser that is not a good one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.passkeys import SoftPasskey, decode
from support.servers import AuditedServer
from web_house import TOKENS, Person, hold_cell

from jupyter_audit.access.cellsigning import CELL_APPROVAL
from jupyter_audit.access.signing import APPROVAL, PASSKEY_REGISTRATION
from jupyter_audit.cli.main import main

Who = Callable[[str | None], Person]

#              nobody erin ana  aude adam nina
TABLE = """
challenge      403    403  409  403  403  403
challenge-none 403    403  404  403  403  403
cell-challenge 403    403  404  403  403  403
creation       403    403  200  403  403  403
offer          403    403  400  403  403  403
register       403    403  404  403  403  403
offers         403    200  200  200  200  200
"""
PEOPLE = (None, "erin", "ana", "aude", "adam", "nina")
CASES = [
    pytest.param(name, act, int(status), id=f"{name or 'nobody'} {act}")
    for act, *statuses in map(str.split, TABLE.strip().splitlines())
    for name, status in zip(PEOPLE, statuses, strict=True)
]
OFFER = {"label": "laptop", "id": "AA", "client_data": "e30", "attestation": "AA"}


@pytest.fixture
def here(house: AuditedServer) -> AuditedServer:
    """The server at an address at which browsers use passkeys."""
    return replace(house, url=house.url.replace("127.0.0.1", "localhost"))


@pytest.fixture
def who(here: AuditedServer) -> Who:
    return lambda name: Person(here, name)


@pytest.fixture
def origin(here: AuditedServer) -> str:
    return here.url.partition("/u/")[0]


@pytest.mark.parametrize(("name", "act", "status"), CASES)
def test_each_role_does_with_passkeys_what_its_rules_allow(who: Who, name: str | None, act: str, status: int) -> None:
    path, body = {
        "challenge": ("requests/{}/challenge", {"decision": "approve"}),
        "challenge-none": ("requests/r-000000000000/challenge", {"decision": "approve"}),
        "cell-challenge": ("held-cells/h-000000000000/challenge", {"decision": "approve"}),
        "creation": ("passkeys/creation", None),
        "offer": ("passkeys/offers", OFFER),
        "register": ("passkeys", {"offer": "p-000000000000", "proof": "{}"}),
        "offers": ("passkeys/offers", None),
    }[act]
    path = path.format(who("erin").request_access()) if "{}" in path else path
    answer = who(name).ask("GET" if act == "offers" else "POST", path, body)
    assert answer.status_code == status, answer.text


def offer(person: Person, soft: SoftPasskey, at: str, **wrong: Any) -> Any:
    """Have a passkey made, and offer it."""
    options = person.post("passkeys/creation")["options"]
    assert options["authenticatorSelection"]["userVerification"] == "required"
    body = {"label": "laptop", **soft.make(options["challenge"], **{"origin": at, **wrong})}
    return person.ask("POST", "passkeys/offers", body)


def test_what_a_browser_made_badly_is_not_offered(who: Who, origin: str) -> None:
    ana, soft = who("ana"), SoftPasskey()
    for wrong in ({"origin": "https://evil.example"}, {"flags": 0x41}, {"flags": 0x44}):
        assert offer(ana, soft, origin, **wrong).status_code == 400
    assert offer(ana, SoftPasskey(rp_id="evil.example"), origin).status_code == 400
    # A challenge of nobody's, of somebody else's, and one that served before.
    assert ana.ask("POST", "passkeys/offers", {"label": "laptop", **soft.make("AAAA", origin=origin)}).status_code == 403
    theirs = who("abe").post("passkeys/creation")["options"]["challenge"]
    assert ana.ask("POST", "passkeys/offers", {"label": "laptop", **soft.make(theirs, origin=origin)}).status_code == 403
    mine = {"label": "laptop", **soft.make(ana.post("passkeys/creation")["options"]["challenge"], origin=origin)}
    assert [ana.ask("POST", "passkeys/offers", mine).status_code for _ in range(2)] == [201, 403]


@pytest.fixture
def abes(who: Who, origin: str) -> Iterator[tuple[Person, SoftPasskey]]:
    """abe, with a passkey of each test's own."""
    abe, soft = who("abe"), SoftPasskey("RS256")
    made = offer(abe, soft, origin).json()
    proof = soft.sign(PASSKEY_REGISTRATION, made["statement"], origin=origin)
    assert made["vouched"] is None
    row = abe.post("passkeys", offer=made["offer"], proof=proof)
    assert (row["person"], row["kind"], row["host"], row["key"]) == ("abe", "passkey", "localhost", soft.text)
    yield abe, soft
    abe.post("approver-keys/withdraw", person="abe", key=soft.text, reason="the test is over")


def test_an_answer_counts_only_at_this_servers_own_address(
    abes: tuple[Person, SoftPasskey], who: Who, origin: str, house: AuditedServer
) -> None:
    abe, soft = abes
    request = who("erin").request_access()
    # The ledger's own check takes any address of the host; the server takes its own alone.
    for elsewhere in ("https://localhost", "http://localhost:1", "http://sub.localhost"):
        asked = abe.post(f"requests/{request}/challenge", decision="approve")
        assert asked["options"]["userVerification"] == "required"
        signed = {"statement": asked["statement"], "signature": soft.sign(APPROVAL, asked["statement"], origin=elsewhere)}
        refused = abe.ask("POST", f"requests/{request}/approve", signed)
        assert (refused.status_code, "origin" in refused.json()["detail"]) == (403, True)
    asked = abe.post(f"requests/{request}/challenge", decision="approve")
    signed = {"statement": asked["statement"], "signature": soft.sign(APPROVAL, asked["statement"], origin=origin)}
    # Asked of abe, it is nobody else's to send.
    assert who("ana").ask("POST", f"requests/{request}/approve", signed).status_code == 403
    abe.post(f"requests/{request}/approve", **signed)
    (entry,) = (each for each in house.entries("access.approved") if each.body["request"] == request)
    assert entry.body["signature"] == signed["signature"]


def test_a_denial_is_asked_for_with_its_reason_and_an_approval_without(
    abes: tuple[Person, SoftPasskey], who: Who, origin: str
) -> None:
    abe, soft = abes
    request = who("erin").request_access()
    for body in ({"decision": "deny"}, {"decision": "approve", "reason": "x"}, {"decision": "perhaps"}):
        assert abe.ask("POST", f"requests/{request}/challenge", body).status_code == 400
    asked = abe.post(f"requests/{request}/challenge", decision="deny", reason="not today")
    signed = {"statement": asked["statement"], "signature": soft.sign(APPROVAL, asked["statement"], origin=origin)}
    assert abe.post(f"requests/{request}/deny", reason="not today", **signed)["answer"] == "not today"


def test_a_held_cell_is_answered_with_a_passkey_at_this_servers_own_address_once(
    abes: tuple[Person, SoftPasskey], who: Who, origin: str, house: AuditedServer
) -> None:
    abe, soft = abes
    asked = who("erin").post("requests", profile="each-cell", reason="orders are charged twice", ticket="SHOP-1")["id"]
    grant = who("ana").post(f"requests/{asked}/approve")["id"]
    first, second, denied = (hold_cell(house, grant) for _ in range(3))
    assert who("ana").ask("POST", f"held-cells/{first}/challenge", {"decision": "approve"}).status_code == 409
    assert abe.ask("POST", f"held-cells/{first}/challenge", {"decision": "deny"}).status_code == 400

    def signed(hold: str, at: str = origin, **wish: str) -> dict[str, str]:
        given = abe.post(f"held-cells/{hold}/challenge", **{"decision": "approve", **wish})
        return {"statement": given["statement"], "signature": soft.sign(CELL_APPROVAL, given["statement"], origin=at)}

    refused = abe.ask("POST", f"held-cells/{first}/approve", signed(first, "http://localhost:1"))
    assert (refused.status_code, "origin" in refused.json()["detail"]) == (403, True)
    answer = signed(first)
    assert who("ana").ask("POST", f"held-cells/{first}/approve", answer).status_code == 403
    assert abe.ask("POST", f"held-cells/{second}/approve", answer).status_code == 403
    # That used it up, also for the cell that it is of.
    assert abe.ask("POST", f"held-cells/{first}/approve", answer).status_code == 403
    answer = signed(first)
    assert abe.post(f"held-cells/{first}/approve", **answer)["state"] == "approved"
    assert abe.ask("POST", f"held-cells/{first}/approve", answer).status_code == 409
    no = signed(denied, decision="deny", reason="not today")
    assert abe.post(f"held-cells/{denied}/deny", reason="not today", **no)["answer"] == "not today"
    (entry,) = (each for each in house.entries("cell.approved") if each.body["hold"] == first)
    assert entry.body["signature"] == answer["signature"]
    assert abe.ask("POST", f"held-cells/{first}/challenge", {"decision": "approve"}).status_code == 409


def test_a_stolen_answer_to_a_challenge_of_ones_own_needs_the_passkey(abes: tuple[Person, SoftPasskey], who: Who, origin: str) -> None:
    """amy asks in her own name and sends what abe's passkey signed for it."""
    amy, own, soft = who("amy"), SoftPasskey(), abes[1]
    made = offer(amy, own, origin).json()
    amy.post("passkeys", offer=made["offer"], proof=own.sign(PASSKEY_REGISTRATION, made["statement"], origin=origin))
    try:
        request = who("erin").request_access()
        asked = amy.post(f"requests/{request}/challenge", decision="approve")
        signed = {"statement": asked["statement"], "signature": soft.sign(APPROVAL, asked["statement"], origin=origin)}
        assert amy.ask("POST", f"requests/{request}/approve", signed).status_code == 403
    finally:
        amy.post("approver-keys/withdraw", person="amy", key=own.text, reason="the test is over")


def test_a_passkey_of_somebody_with_a_key_waits_until_the_key_signed_it_in_on_their_own_machine(
    who: Who, origin: str, here: AuditedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_TOKEN", TOKENS["amy"])
    monkeypatch.setattr("jupyter_audit.configfile.SYSTEM_FOLDERS", (tmp_path / "etc",))
    amy, soft, there = who("amy"), SoftPasskey("EdDSA"), ("--key-file", str(tmp_path / "mine.key"), "--server", here.url)
    assert main(["keys", "mine", "create", *there[:2]]) == 0
    key = capsys.readouterr().out.strip()
    assert main(["keys", "mine", "register", *there]) == 0
    assert main(["keys", "mine", "vouch", "--yes", *there]) == 6  # nothing waits
    made = offer(amy, soft, origin).json()
    # Something else than what it signed is not kept, and nobody else sees or registers what waits.
    assert amy.ask("POST", "passkeys", {"offer": made["offer"], "proof": "AA=="}).status_code == 400
    waits = amy.ask("POST", "passkeys", {"offer": made["offer"], "proof": soft.sign(PASSKEY_REGISTRATION, made["statement"], origin=origin)})
    assert waits.status_code == 202
    assert who("abe").get("passkeys/offers")["offers"] == []
    assert who("abe").ask("POST", "passkeys", {"offer": made["offer"], "vouched": "AA=="}).status_code == 404
    assert amy.ask("POST", "passkeys", {"offer": made["offer"], "vouched": "AA=="}).status_code == 403
    assert amy.get("approver-keys")["keys"][-1]["key"] == key
    capsys.readouterr()
    assert main(["keys", "mine", "vouch", "--yes", *there]) == 0
    assert soft.text in capsys.readouterr().err
    row = amy.get("approver-keys")["keys"][-1]
    assert (row["key"], row["trust"], row["voucher"]) == (soft.text, "vouched", key)
    assert main(["keys", "people", "--server", here.url]) == 0
    assert "laptop" in capsys.readouterr().out
    for more in (("--passkey", soft.text), ()):
        assert main(["keys", "mine", "withdraw", "--reason", "the test is over", *more, *there]) == 0


def test_at_an_address_that_is_a_number_the_problem_says_where_to_go(person: Who, house: AuditedServer) -> None:
    there = replace(house, url=house.url.replace("localhost", "127.0.0.1"))
    refused = Person(there, "ana").ask("POST", "passkeys/creation")
    assert (refused.status_code, refused.json()["code"]) == (409, "passkeys_unavailable")
    assert "passkey_origins" in refused.json()["advice"]


def test_the_offered_options_name_ones_own_passkeys_alone(abes: tuple[Person, SoftPasskey], who: Who) -> None:
    abe, soft = abes
    options = abe.post("passkeys/creation")["options"]
    assert [each["id"] for each in options["excludeCredentials"]] == [soft.credential]
    assert len(decode(options["challenge"])) == 32
    assert who("ana").post("passkeys/creation")["options"]["excludeCredentials"] == []
