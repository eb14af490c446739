"""An approver registers a passkey in a real browser and approves with it, and what is stolen, replayed or forged counts for nothing."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, sync_playwright
from support.passkeys import altered
from support.servers import AuditedServer, audited_server, make_home, wait_for

from jupyter_audit.cli.main import main
from jupyter_audit.clock import SystemClock
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Actor, Draft

sys.path.append(str(Path(__file__).parents[2] / "docs"))
SECOND = importlib.import_module("verify_approvals")

TOKENS = {name: f"the-token-of-{name}" for name in ("ana", "abe", "erin")}
CONFIG = f"""
c.ServerApp.identity_provider_class = "jupyter_audit.server.identity.UserTokensIdentityProvider"
c.UserTokensIdentityProvider.digests = {({name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()})!r}
c.JupyterAudit.roles = {{"engineer": ["erin"], "approver": ["ana", "abe"]}}
c.JupyterAudit.profiles = {{
    "debug": {{"signed_approvals": True}},
    "pair": {{"signed_approvals": True, "approvals": 2}},
    "cells": {{"signed_approvals": True, "cell_approval": "each"}},
}}
"""
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("passkeys"))
    make_home(folder)
    config = folder / "admin_config.py"
    config.write_text(CONFIG)
    config.chmod(0o600)
    with audited_server(folder, f"--config={config}", solo=False) as running:
        # Browsers use no passkeys at an address that is a number.
        yield replace(running, url=running.url.replace("127.0.0.1", "localhost"))


def person(server: AuditedServer, name: str) -> AuditedServer:
    return replace(server, token=TOKENS[name])


class Approver:
    """Somebody with a browser of their own, and a device that makes passkeys."""

    def __init__(self, browser: Any, server: AuditedServer, name: str) -> None:
        self.server, self.name = person(server, name), name
        self.complaints: list[str] = []
        context = browser.new_context()
        self.page: Page = context.new_page()
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.cdp: CDPSession = context.new_cdp_session(self.page)
        self.cdp.send("WebAuthn.enable")
        self.device = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})["authenticatorId"]
        self.page.goto(f"{server.url}/audit/panel?token={TOKENS[name]}")

    def register(self, label: str) -> str:
        """Register a passkey; return its public key."""
        self.page.locator("#passkey-new-open").click()
        self.page.get_by_label("What do you call it?").fill(label)
        self.page.get_by_role("button", name="Register a passkey").click()
        self.page.get_by_role("status").get_by_text("registered").wait_for()
        row = self.page.locator("#passkeys tr", has_text=label)
        row.wait_for()
        return row.locator("code").inner_text()

    def approve(self, request: str) -> None:
        button = self.page.locator(f"#approve-{request}-passkey")
        button.wait_for()
        button.click()
        self.page.get_by_role("status").get_by_text(re.compile("Approved|said yes")).wait_for()

    def credentials(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cdp.send("WebAuthn.getCredentials", {"authenticatorId": self.device})["credentials"]
        return found


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Any]:
    with sync_playwright() as playwright:
        # As root Chromium has no sandbox of its own to start with.
        started = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def ana(browser: Any, server: AuditedServer) -> Approver:
    return Approver(browser, server, "ana")


@pytest.fixture(scope="module")
def anas_key(ana: Approver) -> str:
    return ana.register("ana's laptop")


def ask(server: AuditedServer, profile: str = "debug") -> str:
    body = {"profile": profile, "reason": "orders are charged twice", "ticket": "SHOP-1"}
    made: str = person(server, "erin").api("POST", "requests", body)["id"]
    return made


def approved(server: AuditedServer, request: str) -> Any:
    return next(e for e in server.entries("access.approved", "access.endorsed") if e.body["request"] == request)


def answer(server: AuditedServer, name: str, request: str, signed: dict[str, Any]) -> tuple[int, Any]:
    return person(server, name).request("POST", f"/audit/api/v1/requests/{request}/approve", signed)


def verdict(server: AuditedServer, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["verify", "--json", "--home", str(server.home.path), *options])
    return code, json.loads(capsys.readouterr().out)


def test_a_passkey_is_registered_and_approves_and_the_engineer_works_and_anybody_verifies_it(
    ana: Approver, anas_key: str, server: AuditedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert anas_key.startswith("passkey:ES256:")
    request = ask(server)
    # Without a signature there is no way: not the API's either.
    status, problem = answer(server, "ana", request, {})
    assert (status, "passkey" in problem["advice"]) == (403, True)
    ana.page.reload()
    ana.approve(request)
    entry = approved(server, request)
    said = json.loads(entry.body["signature"])
    assert said.keys() == {"authenticatorData", "clientDataJSON", "id", "signature"}
    assert json.loads(entry.body["statement"])["request"] == request
    kernel = person(server, "erin").kernel()
    assert kernel.printed("print(6 * 7)").strip() == "42"
    kernel.close()
    code, told = verdict(server, capsys, "--approver-key", f"ana={anas_key}")
    assert (code, told["verdict"]) == (0, "whole")
    assert told["approvals"]["signed"] == {"ana": 1}
    assert [(key["person"], key["kind"], key["compared"]) for key in told["approvals"]["keys"]] == [("ana", "passkey", True)]
    assert ana.complaints == []


def test_a_denial_with_a_passkey_is_signed_with_its_reason(ana: Approver, anas_key: str, server: AuditedServer) -> None:
    request = ask(server)
    ana.page.reload()
    ana.page.locator(f"#deny-{request}-open").click()
    ana.page.locator(f"#deny-{request}-reason").fill("not on a Friday")
    ana.page.locator(f"#deny-{request}-passkey").click()
    denied = wait_for(lambda: [e for e in server.entries("access.denied") if e.body["request"] == request], "the denial")
    assert json.loads(denied[0].body["statement"])["reason"] == "not on a Friday"


def test_a_held_cell_is_approved_with_a_passkey_and_runs_and_anybody_verifies_it(
    ana: Approver, anas_key: str, server: AuditedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    person(server, "ana").api("POST", "revoke-everyone", {"reason": "so that erin works under the next grant"})
    request = ask(server, "cells")
    ana.page.reload()
    ana.approve(request)
    kernel = person(server, "erin").kernel()
    sent = kernel.execute("print(6 * 7)")
    held = server.await_entry("cell.held").body["hold"]
    # Nobody says yes to it without signing.
    status, problem = person(server, "ana").request("POST", f"/audit/api/v1/held-cells/{held}/approve", {})
    assert (status, "with passkey" in problem["advice"]) == (403, True)
    ana.page.reload()
    ana.page.locator("#held").get_by_role("button", name="with your passkey").click()
    ana.page.get_by_role("status").get_by_text("runs, once").wait_for()
    said = [m["content"]["text"] for m in kernel.wait(sent) if m["header"]["msg_type"] == "stream"]
    assert "42" in "".join(said)
    kernel.close()
    approved_cell = server.await_entry("cell.approved")
    assert json.loads(approved_cell.body["statement"])["hold"] == held
    assert json.loads(approved_cell.body["signature"]).keys() == {"authenticatorData", "clientDataJSON", "id", "signature"}
    code, told = verdict(server, capsys, "--approver-key", f"ana={anas_key}")
    assert (code, told["verdict"], told["approvals"]["unsigned"]) == (0, "whole", {})
    assert SECOND.judge(server.home.ledger, [f"ana={anas_key}"]).forged == {}


def test_two_people_say_yes_each_with_their_own(
    browser: Any, ana: Approver, anas_key: str, server: AuditedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    abe = Approver(browser, server, "abe")
    abe.register("abe's phone")
    request = ask(server, "pair")
    ana.page.reload()
    ana.approve(request)
    # What ana signed is no yes of abe's, nor a second one of hers.
    stolen = {name: approved(server, request).body[name] for name in ("statement", "signature")}
    for name in ("abe", "ana"):
        assert answer(server, name, request, stolen)[0] in (403, 409)
    abe.page.reload()
    abe.approve(request)
    assert [e.actor.name for e in server.entries("access.endorsed")][-1] == "ana"
    assert verdict(server, capsys)[0] == 0


def challenged(page: Page, server: AuditedServer, request: str) -> dict[str, Any]:
    """Return what the page's own passkey signs for a request, without sending it."""
    return dict(
        page.evaluate(
            """async request => {
              let sent;
              const headers = { 'Content-Type': 'application/json', 'X-XSRFToken': document.body.dataset.xsrf };
              const call = async (path, body) => {
                if (path.endsWith('/approve')) { sent = body; return {}; }
                const answer = await fetch(document.body.dataset.api + path, { method: 'POST', headers, body: JSON.stringify(body) });
                return answer.json();
              };
              await window.auditPasskeys.answer(call, `requests/${request}/approve`, {});
              return sent;
            }""",
            request,
        )
    )


def test_what_a_passkey_signed_counts_once_for_one_request_and_not_altered(
    ana: Approver, anas_key: str, server: AuditedServer
) -> None:
    request, other = ask(server), ask(server)
    signed = challenged(ana.page, server, request)
    status, problem = answer(server, "ana", other, signed)
    assert (status, "another request" in problem["detail"]) == (403, True)
    # It was used up: also for what it was for.
    status, problem = answer(server, "ana", request, signed)
    assert (status, "not asked for" in problem["detail"]) == (403, True)
    for change in (
        {"authenticatorData": lambda data: data[:32] + b"\x01" + data[33:]},
        {"clientDataJSON": lambda data: data.replace(b"http://localhost", b"https://localhost")},
    ):
        signed = challenged(ana.page, server, request)
        status, problem = answer(server, "ana", request, signed | {"signature": altered(signed["signature"], **change)})
        assert (status, problem["code"]) == (403, "not_permitted")
    signed = challenged(ana.page, server, request)
    assert answer(server, "ana", request, signed)[0] == 200
    assert answer(server, "ana", request, signed)[0] == 409


def test_a_device_that_does_not_verify_its_owner_signs_nothing_that_counts(
    ana: Approver, anas_key: str, server: AuditedServer
) -> None:
    request = ask(server)
    ana.page.reload()
    ana.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": ana.device, "isUserVerified": False})
    try:
        ana.page.locator(f"#approve-{request}-passkey").click()
        ana.page.get_by_role("alert").get_by_text("The passkey was not used").wait_for()
    finally:
        ana.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": ana.device, "isUserVerified": True})
    assert not [e for e in server.entries("access.approved") if e.body["request"] == request]


IN_TURNS = """() => {
  window.turns = [];
  for (const name of ['create', 'get']) {
    const really = navigator.credentials[name].bind(navigator.credentials);
    navigator.credentials[name] = async options => {
      await new Promise(goOn => window.turns.push(goOn));
      return really(options);
    };
  }
}"""


def test_a_second_device_is_signed_in_by_the_first_and_each_can_be_removed(
    ana: Approver, anas_key: str, server: AuditedServer
) -> None:
    options = {**AUTHENTICATOR, "transport": "usb"}
    stick = ana.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]
    devices = (ana.device, stick)
    try:
        ana.page.reload()
        ana.page.evaluate(IN_TURNS)
        ana.page.locator("#passkey-new-open").click()
        ana.page.get_by_label("What do you call it?").fill("a stick")
        ana.page.get_by_role("button", name="Register a passkey").click()
        # She touches the stick to make it, the stick to sign with it, and then the laptop.
        for at, touched in enumerate((stick, stick, ana.device)):
            ana.page.wait_for_function("at => window.turns.length > at", arg=at)
            for device in devices:
                enabled = {"authenticatorId": device, "enabled": device == touched}
                ana.cdp.send("WebAuthn.setAutomaticPresenceSimulation", enabled)
            ana.page.evaluate("at => window.turns[at]()", at)
        ana.page.get_by_role("status").get_by_text("registered").wait_for()
        (row,) = (r for r in person(server, "ana").api("GET", "approver-keys")["keys"] if r["label"] == "a stick")
        assert (row["trust"], row["voucher"], row["ended"]) == ("vouched", anas_key, None)
        ana.page.locator(f"#passkey-{row['entry']}-open").click()
        ana.page.locator(f"#passkey-{row['entry']}-reason").fill("only a test")
        ana.page.locator(f"#passkey-{row['entry']}-send").click()
        withdrawn = server.await_entry("access.key_withdrawn", lambda entry: entry.body["key"] == row["key"])
        assert withdrawn.actor.name == "ana"
    finally:
        ana.cdp.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": stick})
        ana.cdp.send("WebAuthn.setAutomaticPresenceSimulation", {"authenticatorId": ana.device, "enabled": True})


def test_a_copied_passkey_is_told_by_its_counter(ana: Approver, anas_key: str, server: AuditedServer) -> None:
    (copied,) = ana.credentials()
    used = ask(server)
    ana.page.reload()
    ana.approve(used)
    # The copy is as it was before: it counts from there.
    ana.cdp.send("WebAuthn.removeCredential", {"authenticatorId": ana.device, "credentialId": copied["credentialId"]})
    ana.cdp.send("WebAuthn.addCredential", {"authenticatorId": ana.device, "credential": copied})
    request = ask(server)
    ana.page.reload()
    ana.page.locator(f"#approve-{request}-passkey").click()
    ana.page.get_by_role("alert").get_by_text("may have been copied").wait_for()
    (refused,) = [e for e in server.entries("access.refused") if e.body["refusal"] == "cloned_passkey"]
    assert refused.body["target"] == request
    found = server.await_entry("finding.raised", lambda entry: "copied" in str(entry.body["title"]))
    assert (found.body["level"], refused.seq in found.body["entries"]) == ("critical", True)


def test_an_admin_with_the_servers_key_forges_no_passkeys_approval(
    ana: Approver, anas_key: str, server: AuditedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ask(server)
    real = server.entries("access.approved")[0]
    ledger = open_ledger(server.home, clock=SystemClock())
    try:
        body = {**real.body, "request": request}
        (forged,) = ledger.append([Draft("access.approved", body, actor=Actor("ana", real.actor.vouched_by), grant="g-00000000000f")])
    finally:
        ledger.close()
    code, told = verdict(server, capsys, "--approver-key", f"ana={anas_key}")
    assert (code, told["verdict"]) == (10, "forged approvals")
    assert forged.seq in [each["seq"] for each in told["approvals"]["forged"]]
    # The check that shares no code with ours reads what a real browser signed, and finds the same.
    again = SECOND.judge(server.home.ledger, [f"ana={anas_key}"])
    assert sorted(again.forged) == sorted(each["seq"] for each in told["approvals"]["forged"])
    assert dict(again.signed)["ana"] >= told["approvals"]["signed"]["ana"] > 2
    grants = person(server, "ana").api("GET", "grants")["grants"]
    assert "g-00000000000f" not in [grant["id"] for grant in grants]
