"""
The keys and passkeys of approvers, as the entries before tell of them: who registered which, what became of it. Pure (P4).

A person has one key and any number of passkeys. The first of them shows that its owner wanted it registered for that name; that
it was really that person who did, only the server says. Each further one needs the signature of one in force, a key that
replaces another that of the one it replaces, so that whoever holds the server's key cannot add one unseen. What was withdrawn, or
replaced, never comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from jupyter_audit.access.passkey import Passkey, PasskeyError, decode, public_of
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.signing import (
    PASSKEY_REGISTRATION,
    REGISTRATION,
    WITHDRAWAL,
    PublicKey,
    Signed,
    SigningError,
    Statement,
    check,
    check_seal,
    key_text,
    passkey_text,
    registration_text,
    signer_of,
    withdrawal_text,
)
from jupyter_audit.ledger.note import NoteError, VerifierKey, parse_named_key
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds


class Trust(StrEnum):
    """What a key rests on: the server's word at its registration, or the signature of one before it."""

    FIRST = "first"
    VOUCHED = "vouched"
    ANEW = "anew"


@dataclass(frozen=True, slots=True)
class ApproverKey:
    """
    A key or passkey that was registered by entry `seq`, for `person`. `ended` is the entry that ended it, `ended_by` who did.

    One that was registered `ANEW` followed others that were withdrawn, and nothing but the server's word ties it to them.
    `voucher` is the text of the one that signed it in, `counter` how far a passkey's own count is.
    """

    person: str
    key: PublicKey
    seq: int
    time: datetime
    trust: Trust
    voucher: str = ""
    counter: int = 0
    ended: int | None = None
    ended_by: str = ""
    ended_signed: bool = False

    @property
    def text(self) -> str:
        """The verifier key, or the passkey's public key."""
        return key_text(self.key)


@dataclass(frozen=True, slots=True)
class Coming:
    """What a registration brings: the key, what it rests on, who signed it in, and the counters of passkeys from then on."""

    key: PublicKey
    trust: Trust
    voucher: ApproverKey | None
    counter: int = 0
    vouched_at: int = 0


class KeyRing:
    """Every key and passkey that was registered in one ledger, in its order."""

    def __init__(self) -> None:
        self._keys: list[ApproverKey] = []

    def __iter__(self) -> Iterator[ApproverKey]:
        return iter(self._keys)

    def in_force(self, person: str) -> list[ApproverKey]:
        """Return what a person signs with now, oldest first."""
        return [each for each in self._keys if each.ended is None and same_person(each.person, person)]

    def of(self, person: str) -> ApproverKey | None:
        """Return the key (not the passkeys) with which a person signs now."""
        return next((each for each in self.in_force(person) if isinstance(each.key, VerifierKey)), None)

    def passkeys(self, person: str) -> list[tuple[ApproverKey, Passkey]]:
        """Return the passkeys with which a person signs now, oldest first."""
        return [(each, each.key) for each in self.in_force(person) if isinstance(each.key, Passkey)]

    def signer(self, person: str, signature: str) -> ApproverKey:
        """Return what a person made a signature with, by what that says. Raises `SigningError` where they have no such thing."""
        credential = signer_of(signature)
        if not credential:
            found = self.of(person)
            if found is None:
                raise SigningError(f"{person} has no registered key")
            return found
        for each, passkey in self.passkeys(person):
            if passkey.credential == credential:
                return each
        raise SigningError(f"{person} has no such passkey")

    def check(self, person: str, signed: Signed, expected: Statement) -> tuple[Statement, ApproverKey]:
        """Return what a person signed, if it is as expected, and the key as it is after that. Raises `SigningError`."""
        by = self.signer(person, signed.signature)
        said, counter = check(signed, expected, by.key, by.counter)
        return said, replace(by, counter=counter)

    def check_new(self, origin: str, name: str, said: kinds.AccessKeyRegistered) -> Coming:
        """Return what the registration of a key brings. Raises `SigningError`."""
        key = _parse(said.key)
        if any(isinstance(each.key, VerifierKey) and each.key.public == key.public for each in self._keys):
            raise SigningError("this key was registered before; one that was withdrawn or replaced never comes back")
        old = self.of(name)
        if said.replaces != ("" if old is None else old.text):
            raise SigningError("it does not say truly which key it replaces")
        text = registration_text(origin, name, said.key, said.replaces)
        check_seal(key, REGISTRATION, text, said.proof)
        return self._vouched(name, Coming(key, Trust.FIRST, old), REGISTRATION, text, said.vouched)

    def check_new_passkey(self, origin: str, name: str, said: kinds.AccessPasskeyRegistered) -> Coming:
        """Return what the registration of a passkey brings. Raises `SigningError`."""
        passkey = passkey_of(said)
        others = [each.key for each in self._keys if isinstance(each.key, Passkey)]
        if any(passkey.text == other.text or passkey.credential == other.credential for other in others):
            raise SigningError("this passkey was registered before; one that was withdrawn never comes back")
        text = passkey_text(origin, name, passkey)
        counter = check_seal(passkey, PASSKEY_REGISTRATION, text, said.proof)
        return self._vouched(name, Coming(passkey, Trust.FIRST, None, counter), PASSKEY_REGISTRATION, text, said.vouched)

    def _vouched(self, name: str, coming: Coming, domain: bytes, text: str, vouched: str) -> Coming:
        """Return what is coming with what it rests on. `coming.voucher` is who must vouch, if it is not up to the person."""
        if not self.in_force(name):
            if vouched:
                raise SigningError("it says that another key vouches for it, and there is none")
            before = any(same_person(each.person, name) for each in self._keys)
            return replace(coming, trust=Trust.ANEW if before else Trust.FIRST)
        if not vouched:
            raise SigningError(f"{name} has others in force, and none of them vouches for it")
        by = coming.voucher or self.signer(name, vouched)
        at = check_seal(by.key, domain, text, vouched, by.counter)
        return replace(coming, trust=Trust.VOUCHED, voucher=by, vouched_at=at)

    def check_end(self, origin: str, said: kinds.AccessKeyWithdrawn) -> tuple[ApproverKey, int]:
        """Return the key or passkey that a withdrawal ends, and its counter. Raises `SigningError`."""
        found = next((each for each in self.in_force(said.person) if each.text == said.key), None)
        if found is None or found.person != said.person:
            raise SigningError(f"{said.person} has no such key")
        if not said.signature:
            return found, found.counter
        text = withdrawal_text(origin, found.person, said.key)
        return found, check_seal(found.key, WITHDRAWAL, text, said.signature, found.counter)

    def register(self, origin: str, entry: Entry, said: kinds.AccessKeyRegistered) -> None:
        """Take in the registration of a key. Raises `SigningError` if it does not follow from the entries before it."""
        coming, old = self.check_new(origin, entry.actor.name, said), self.of(entry.actor.name)
        self._add(entry, coming)
        if old is not None:
            self._end(old, entry, signed=True)

    def register_passkey(self, origin: str, entry: Entry, said: kinds.AccessPasskeyRegistered) -> None:
        """Take in the registration of a passkey. Raises `SigningError` if it does not follow from the entries before it."""
        self._add(entry, self.check_new_passkey(origin, entry.actor.name, said))

    def withdraw(self, origin: str, entry: Entry, said: kinds.AccessKeyWithdrawn) -> None:
        """Take in a withdrawal. Raises `SigningError` if it does not follow from the entries before it."""
        key, counter = self.check_end(origin, said)
        self._end(self.used(replace(key, counter=counter)), entry, signed=bool(said.signature))

    def used(self, key: ApproverKey) -> ApproverKey:
        """Keep how far a passkey's counter is, as `check` returned it."""
        at = next(at for at, each in enumerate(self._keys) if each.seq == key.seq)
        self._keys[at] = replace(self._keys[at], counter=key.counter)
        return self._keys[at]

    def _add(self, entry: Entry, coming: Coming) -> None:
        voucher = ""
        if coming.voucher is not None:
            voucher = self.used(replace(coming.voucher, counter=coming.vouched_at)).text
        key = ApproverKey(entry.actor.name, coming.key, entry.seq, entry.time, coming.trust, voucher, coming.counter)
        self._keys.append(key)

    def _end(self, key: ApproverKey, entry: Entry, *, signed: bool) -> None:
        at = self._keys.index(key)
        self._keys[at] = replace(key, ended=entry.seq, ended_by=entry.actor.name, ended_signed=signed)


def passkey_of(said: kinds.AccessPasskeyRegistered) -> Passkey:
    """Return the passkey that a registration names. Raises `SigningError` for one that cannot be."""
    try:
        public_of(said.key)
        if len(decode(said.credential)) not in range(1, 1024):
            raise PasskeyError("the id of a passkey has 1 to 1023 bytes")
    except PasskeyError as error:
        raise SigningError(str(error)) from error
    if not said.rp_id:
        raise SigningError("a passkey is for a host, and this one names none")
    return Passkey(said.key, said.credential, said.rp_id, said.label, said.aaguid)


def _parse(text: str) -> VerifierKey:
    try:
        return parse_named_key(text)
    except NoteError as error:
        raise SigningError(f"it brings no verifier key: {error}") from error
