"""
What a server asks passkeys to sign, and waits for: each thing once, of one person, for a few minutes. In memory alone.

A passkey signs whatever challenge a page hands it, so a server takes no answer but to what it asked just now, of the person
who answers, for this very act. What is asked for counts once, whether the answer was good or not. Safe to call from any thread.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jupyter_audit.access.passkey import Assertion, Passkey, PasskeyError, is_assertion, parse_assertion
from jupyter_audit.access.principals import person_key
from jupyter_audit.errors import NotFoundError

SECONDS = 180.0
"""How long a passkey may take to answer; less than clocks may be apart (`signatures.CLOCKS_APART`)."""

OFFER_SECONDS = 900.0
"""How long a new passkey may wait for its owner's other key to sign it in."""

MOST = 16
"""Things that one person may be asked at a time; the oldest is forgotten for one more."""

CREATION = b"jupyter-audit passkey creation"
"""The purpose of a challenge under which a passkey is made: it is signed by nothing, and stands in no entry."""

Check = Callable[[Assertion], None]
"""Raises `PasskeyError` for an answer that the server does not take, besides what the ledger's own check says of it."""

_Asked = tuple[str, bytes, str]


@dataclass(frozen=True, slots=True)
class Offer:
    """A passkey that was made and is not registered yet. `proof` is its own signature, once that is there."""

    id: str
    person: str
    passkey: Passkey
    statement: str
    until: float
    proof: str = ""


class Ceremonies:
    """What was asked and not answered yet. `monotonic` returns seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._asked: dict[_Asked, tuple[float, Check | None]] = {}
        self._offers: dict[str, Offer] = {}
        self._lock = threading.Lock()

    def ask(self, person: str, purpose: bytes, text: str, check: Check | None = None) -> None:
        """Keep that `person` was asked to sign a text for a purpose, and how the answer is to be checked."""
        with self._lock:
            now, key = self._monotonic(), person_key(person)
            self._asked = {asked: kept for asked, kept in self._asked.items() if kept[0] > now}
            theirs = [asked for asked in self._asked if asked[0] == key]
            for asked in theirs[: max(0, len(theirs) - MOST + 1)]:
                del self._asked[asked]
            self._asked[key, purpose, text] = (now + SECONDS, check)

    def spend(self, person: str, purpose: bytes, text: str, *signatures: str) -> str:
        """
        Use up what was asked; return why the answer does not count, or nothing.

        Signatures of keys are not asked for, and pass: only those of passkeys are an answer to something.
        """
        answers = [signature for signature in signatures if is_assertion(signature)]
        if not answers:
            return ""
        with self._lock:
            until, check = self._asked.pop((person_key(person), purpose, text), (0.0, None))
        if until <= self._monotonic() or check is None:
            return "it was not asked for just now: this server did not ask it, or it was answered before, or too late"
        try:
            for answer in answers:
                check(parse_assertion(answer))
        except PasskeyError as error:
            return str(error)
        return ""

    def created(self, person: str, challenge: str) -> bool:
        """Say whether `person` was asked just now to make a passkey under this challenge, and use that up."""
        with self._lock:
            until, _ = self._asked.pop((person_key(person), CREATION, challenge), (0.0, None))
        return until > self._monotonic()

    def offer(self, person: str, passkey: Passkey, statement: str) -> Offer:
        """Keep a passkey that was made, until it is registered."""
        made = Offer(f"p-{secrets.token_hex(6)}", person, passkey, statement, self._monotonic() + OFFER_SECONDS)
        with self._lock:
            for old in self._theirs(person)[MOST - 1 :]:
                del self._offers[old.id]
            self._offers[made.id] = made
        return made

    def offered(self, person: str, offer_id: str) -> Offer:
        """Return a person's offer. Raises `NotFoundError` if there is none, or it has waited too long."""
        with self._lock:
            for offer in self._theirs(person):
                if offer.id == offer_id:
                    return offer
        raise NotFoundError(f"No passkey {offer_id} of {person} waits to be registered.", advice="Make it anew, in the panel.")

    def offers(self, person: str) -> Sequence[Offer]:
        """Return the passkeys of a person that have signed for themselves and wait for their other key, newest first."""
        with self._lock:
            return [offer for offer in self._theirs(person) if offer.proof]

    def prove(self, offer: Offer, proof: str) -> Offer:
        """Keep the new passkey's own signature with its offer."""
        with self._lock:
            self._offers[offer.id] = made = replace(offer, proof=proof)
        return made

    def close(self, offer: Offer) -> None:
        """Forget an offer: it was registered, or never will be."""
        with self._lock:
            self._offers.pop(offer.id, None)

    def _theirs(self, person: str) -> list[Offer]:
        now, key = self._monotonic(), person_key(person)
        self._offers = {each.id: each for each in self._offers.values() if each.until > now}
        return sorted((o for o in self._offers.values() if person_key(o.person) == key), key=lambda o: o.until, reverse=True)
