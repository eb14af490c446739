"""Signed approvals through a server: the approver's own machine asks, shows, signs and sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import AuditedServer
from web_house import TOKENS, Person

from jupyter_audit.access.signing import REGISTRATION, registration_text, seal
from jupyter_audit.cli.main import main
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.note import format_verifier_key

People = Callable[[str | None], Person]


def test_an_approver_signs_on_their_own_machine_what_the_server_cannot(
    house: AuditedServer, person: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_TOKEN", TOKENS["ana"])
    monkeypatch.setattr("jupyter_audit.configfile.SYSTEM_FOLDERS", (tmp_path / "etc",))
    key, there = ("--key-file", str(tmp_path / "mine.key")), ("--server", house.url)
    request = person("erin").request_access()
    assert main(["keys", "mine", "create", *key]) == 0
    made = capsys.readouterr().out.strip()
    assert main(["approve", request, "--sign", "--yes", *key, *there]) == 6  # not registered yet
    assert main(["keys", "mine", "register", *key, *there]) == 0
    assert main(["approve", request, "--sign", "--yes", *key, *there]) == 0
    assert "orders are charged twice" in capsys.readouterr().err
    (approved,) = (each for each in house.entries("access.approved") if each.body["request"] == request)
    assert made in str(approved.body["statement"])

    # The same signature under another request is refused by the server.
    other = person("erin").request_access()
    stolen = {name: approved.body[name] for name in ("statement", "signature")}
    refused = person("ana").ask("POST", f"requests/{other}/approve", stolen)
    assert refused.status_code == 403
    assert "another request" in refused.json()["detail"]

    no = ["deny", other, "--reason", "not today", "--sign", "--yes", *key, *there]
    assert main(no) == 0
    (row,) = (row for row in person("nina").get("approver-keys")["keys"] if row["key"] == made)
    assert (row["person"], row["ended"]) == ("ana", None)
    assert main(["keys", "mine", "withdraw", "--reason", "new machine", *key, *there]) == 0
    (row,) = (row for row in person("nina").get("approver-keys")["keys"] if row["key"] == made)
    assert row["ended_signed"] is True


@pytest.mark.parametrize(
    ("name", "status"), [(None, 403), ("erin", 200), ("otto", 404), ("ana", 200), ("aude", 200), ("adam", 200), ("nina", 404)]
)
def test_what_is_to_be_signed_is_shown_to_whom_the_request_is(person: People, name: str | None, status: int) -> None:
    request = person("erin").request_access()
    assert person(name).ask("GET", f"requests/{request}/entry").status_code == status
    assert person(name).ask("GET", "requests/r-000000000000/entry").status_code == (403 if name is None else 404)


@pytest.mark.parametrize("name", [None, "erin", "aude", "adam", "nina"])
def test_only_approvers_register_keys(house: AuditedServer, person: People, name: str | None) -> None:
    signer = Signer.generate("key")
    key, origin = format_verifier_key(signer.verifier), house.reader.origin
    proof = seal(signer, REGISTRATION, registration_text(origin, name or "ana", key, ""))
    answer = person(name).ask("POST", "approver-keys", {"key": key, "proof": proof})
    assert answer.status_code == 403
    assert person("ana").ask("POST", "approver-keys", {"key": "no key", "proof": proof}).status_code == 403


@pytest.mark.parametrize(("name", "status"), [(None, 403), ("erin", 403), ("aude", 403), ("nina", 403), ("adam", 404)])
def test_a_key_is_withdrawn_by_its_owner_or_an_admin(person: People, name: str | None, status: int) -> None:
    answer = person(name).ask("POST", "approver-keys/withdraw", {"person": "bea", "reason": "lost"})
    assert answer.status_code == status
