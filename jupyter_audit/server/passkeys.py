"""
The REST API of passkeys: what a browser is given to sign, and the passkeys that it registers (docs/signed-approvals.md).

Thin, as `api`: the rules of access decide, `authenticators` speaks WebAuthn, `ceremonies` remembers what was asked. A passkey is
made in three steps: options for the browser, the passkey that it made (an offer), its signature under what the entry will say.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tornado.httputil import HTTPServerRequest

from jupyter_audit.access import cellanswers, rules, signatures
from jupyter_audit.access.cellsigning import CELL_APPROVAL, CellStatement
from jupyter_audit.access.ceremonies import CREATION, Ceremonies, Offer
from jupyter_audit.access.passkey import Passkey, PasskeyError, challenge_of, decode, encode, is_assertion
from jupyter_audit.access.signing import (
    APPROVAL,
    BY_PASSKEY,
    PASSKEY_REGISTRATION,
    Decision,
    Statement,
    message,
    passkey_text,
)
from jupyter_audit.access.views import key_view
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError, NotPermittedError, UsageError
from jupyter_audit.model import Principal
from jupyter_audit.record import kinds
from jupyter_audit.server import authenticators
from jupyter_audit.server.apibase import AuditApiHandler, authorized_to
from jupyter_audit.server.authenticators import RelyingParty
from jupyter_audit.server.inputs import Field
from jupyter_audit.server.services import Services

TEXT = Field(str)
TEXT_OR_NOTHING = Field(str, required=False)


class PasskeyApiHandler(AuditApiHandler):
    """What these handlers share: for approvers, who do so many acts a minute, at an address where passkeys work."""

    def begin(self) -> RelyingParty:
        """Return what passkeys are for here. Raises `NotPermittedError`, `TooManyError` or `PasskeysUnavailableError`."""
        rules.must_approve(self.principal)
        self.shared.pace.take(self.principal.name)
        self.shared.now()
        return authenticators.relying_party(self.services.settings, self.request)

    @property
    def ceremonies(self) -> Ceremonies:
        """What was asked and not answered yet."""
        return self.services.access.ceremonies

    def mine(self, party: RelyingParty) -> dict[Passkey, int]:
        """Return the caller's passkeys that work here, and their counters."""
        own = self.services.book.keys.passkeys(self.principal.name)
        return {passkey: key.counter for key, passkey in own if passkey.rp_id == party.rp_id}

    def ask(self, party: RelyingParty, purpose: bytes, text: str, counters: Mapping[Passkey, int]) -> bytes:
        """Keep that one of these passkeys is asked to sign a text, and return the challenge."""
        challenge = challenge_of(message(purpose, text))
        check = partial(authenticators.check_signed, party, counters, challenge)
        self.ceremonies.ask(self.principal.name, purpose, text, check)
        return challenge


class AnswerChallengeHandler(PasskeyApiHandler):
    """What the two challenges to an answer share."""

    def wanted(self) -> tuple[Decision, str]:
        """Return the answer that is to be signed, and why if it is a no. Raises `UsageError`."""
        given = self.body(decision=TEXT, reason=TEXT_OR_NOTHING)
        try:
            decision = Decision(given["decision"])
        except ValueError as error:
            raise UsageError("decision is neither approve nor deny.") from error
        if bool(given["reason"]) != (decision is Decision.DENY):
            raise UsageError("A denial has a reason, and an approval none.")
        return decision, rules.reason(given["reason"], 1) if decision is Decision.DENY else ""

    def own(self, party: RelyingParty) -> dict[Passkey, int]:
        """Return the caller's passkeys that work here, and their counters. Raises `AccessError` if there is none."""
        passkeys = self.mine(party)
        if not passkeys:
            raise AccessError(
                f"{self.principal.name} has no passkey for {party.rp_id}.",
                advice="Register one in the panel, under Your passkeys.",
            )
        return passkeys

    def answer_with(
        self, party: RelyingParty, passkeys: Mapping[Passkey, int], purpose: bytes, said: Statement | CellStatement
    ) -> None:
        """Answer with the statement as a passkey signs it, and the options with which a browser has it signed."""
        time, nonce = format_time(self.shared.now()), secrets.token_hex(16)
        statement = replace(said, key=BY_PASSKEY, time=time, nonce=nonce).text()
        challenge = self.ask(party, purpose, statement, passkeys)
        self.answer({"statement": statement, "options": authenticators.signing_options(party, [*passkeys], challenge)})


class ChallengeHandler(AnswerChallengeHandler):
    """What a passkey signs to answer a request."""

    @authorized_to("write")
    async def post(self, request_id: str) -> None:
        """Answer with the statement, and the options with which a browser has it signed."""
        decision, reason = self.wanted()
        party, name, book = self.begin(), self.principal.name, self.services.book
        request = rules.pending(book, request_id, self.shared.now())
        self.answer_with(party, self.own(party), APPROVAL, book.answer_to(request, name, decision, reason))


class CellChallengeHandler(AnswerChallengeHandler):
    """What a passkey signs to answer a held cell."""

    @authorized_to("write")
    async def post(self, hold_id: str) -> None:
        """Answer with the statement, and the options with which a browser has it signed."""
        decision, reason = self.wanted()
        party, name, book = self.begin(), self.principal.name, self.services.book
        hold = cellanswers.waiting(book, hold_id, self.shared.now())
        self.answer_with(party, self.own(party), CELL_APPROVAL, book.cell_answer_to(hold, name, decision, reason))


class PasskeyCreationHandler(PasskeyApiHandler):
    """The first step of a passkey: what the browser makes it with."""

    @authorized_to("write")
    async def post(self) -> None:
        """Answer with the options with which a browser makes one."""
        self.body()
        party, name = self.begin(), self.principal.name
        known = [passkey for _, passkey in self.services.book.keys.passkeys(name)]
        challenge = secrets.token_bytes(32)
        self.ceremonies.ask(name, CREATION, encode(challenge))
        here = [passkey for passkey in known if passkey.rp_id == party.rp_id]
        self.answer({"options": authenticators.creation_options(party, name, here, challenge)})


class PasskeyOffersHandler(PasskeyApiHandler):
    """The second step: the passkey that the browser made, which is to sign for itself."""

    @authorized_to("read")
    async def get(self) -> None:
        """List one's own passkeys that wait for one's key to sign them in."""
        self.query()
        self.shared.now()
        offers = self.ceremonies.offers(self.principal.name)
        self.answer({"origin": self.services.book.origin, "offers": [offer_view(offer) for offer in offers]})

    @authorized_to("write")
    async def post(self) -> None:
        """Take the passkey, and answer with what it signs, and what vouches for it."""
        given = self.body(label=TEXT, id=TEXT, client_data=TEXT, attestation=TEXT)
        label = signatures.passkey_label(given["label"])
        party, name, book = self.begin(), self.principal.name, self.services.book
        try:
            client_data, attestation = decode(given["client_data"]), decode(given["attestation"])
            fresh = self.ceremonies.created(name, authenticators.challenge_in(client_data))
            passkey = authenticators.made(party, given["id"], client_data, attestation, label)
        except PasskeyError as error:
            raise UsageError(f"This is no passkey that can be registered: {error}.") from error
        if not fresh:
            raise NotPermittedError("This passkey was not asked for just now.", advice="Press the button in the panel again.")
        offer = self.ceremonies.offer(name, passkey, passkey_text(book.origin, name, passkey))
        others = self.mine(party)
        challenge = self.ask(party, PASSKEY_REGISTRATION, offer.statement, {**others, passkey: 0})
        self.answer(
            {
                **offer_view(offer),
                "proof": authenticators.signing_options(party, [passkey], challenge),
                "vouched": authenticators.signing_options(party, [*others], challenge) if others else None,
            },
            201,
        )


class PasskeysHandler(PasskeyApiHandler):
    """The third step: the registration."""

    @authorized_to("write")
    async def post(self) -> None:
        """
        Register a passkey that signed for itself, and that one's other passkey or key signed in, where there is one.

        Without the latter it waits for one's key, which is on another machine.
        """
        given = self.body(offer=TEXT, proof=TEXT_OR_NOTHING, vouched=TEXT_OR_NOTHING)
        access, principal, name = self.services.access, self.principal, self.principal.name
        rules.must_approve(principal)
        self.shared.now()
        offer = self.ceremonies.offered(name, given["offer"])
        proof, vouched, passkey = given["proof"] or offer.proof, given["vouched"] or "", offer.passkey
        if given["proof"] and not is_assertion(given["proof"]):
            raise UsageError("proof is not what a passkey signed.", advice="Send it as JSON (openapi.yaml, Assertion).")
        # What the offer has already was checked as it came.
        stale = self.ceremonies.spend(name, PASSKEY_REGISTRATION, offer.statement, given["proof"] or "", vouched)
        if given["proof"] and not vouched and self.services.book.keys.of(name) is not None:
            signatures.must_be_fresh(stale)
            self.answer(offer_view(self.ceremonies.prove(offer, proof)), 202)
            return
        kind = kinds.AccessPasskeyRegistered(
            key=passkey.text,
            credential=passkey.credential,
            rp_id=passkey.rp_id,
            label=passkey.label,
            aaguid=passkey.aaguid,
            proof=proof,
            vouched=vouched,
        )
        made = await self.act(lambda: access.register_passkey(principal, kind, stale))
        self.ceremonies.close(offer)
        self.answer(key_view(made), 201)


def passkeys_of(services: Services, principal: Principal, request: HTTPServerRequest) -> dict[str, Any]:
    """Return what the panel shows of somebody's passkeys: their own, whether any works at this address, or why none can."""
    own = services.book.keys.passkeys(principal.name)
    view = {
        "own": [key_view(key) for key, _ in own],
        "has_key": services.book.keys.of(principal.name) is not None,
        "waiting": [offer_view(offer) for offer in services.access.ceremonies.offers(principal.name)],
    }
    try:
        party = authenticators.relying_party(services.settings, request)
    except AccessError as error:
        return {**view, "usable": False, "why_not": error.explain()}
    return {**view, "usable": any(passkey.rp_id == party.rp_id for _, passkey in own), "why_not": ""}


def offer_view(offer: Offer) -> dict[str, Any]:
    """Return a passkey that waits to be registered, and what is signed about it."""
    passkey = offer.passkey
    return {"offer": offer.id, "label": passkey.label, "host": passkey.rp_id, "key": passkey.text, "statement": offer.statement}
