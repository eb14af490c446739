"""
The keys of approvers, as the entries before tell of them: who registered which, what became of it. Pure (P4).

A person's first key shows that its owner wanted it registered for that name; that it was really that person who did, only
the server says. Each further key needs the signature of the one that it replaces, so that whoever holds the server's
key cannot put another in its place unseen. A key that was withdrawn, or replaced, never comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from jupyter_audit.access.principals import same_person
from jupyter_audit.access.signing import (
    REGISTRATION,
    WITHDRAWAL,
    SigningError,
    check_seal,
    registration_text,
    withdrawal_text,
)
from jupyter_audit.ledger.note import NoteError, VerifierKey, format_verifier_key, parse_named_key
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds


class Trust(StrEnum):
    """What a key rests on: the server's word at its registration, or the signature of the key before it."""

    FIRST = "first"
    VOUCHED = "vouched"
    ANEW = "anew"


@dataclass(frozen=True, slots=True)
class ApproverKey:
    """
    A key that was registered by entry `seq`, for `person`. `ended` is the entry that ended it, `ended_by` who did.

    A key that was registered `ANEW` followed one that was withdrawn, and nothing but the server's word ties it to that one.
    """

    person: str
    key: VerifierKey
    seq: int
    time: datetime
    trust: Trust
    ended: int | None = None
    ended_by: str = ""
    ended_signed: bool = False

    @property
    def text(self) -> str:
        """The verifier key."""
        return format_verifier_key(self.key)


class KeyRing:
    """Every key that was registered in one ledger, in its order."""

    def __init__(self) -> None:
        self._keys: list[ApproverKey] = []

    def __iter__(self) -> Iterator[ApproverKey]:
        return iter(self._keys)

    def of(self, person: str) -> ApproverKey | None:
        """Return the key with which a person signs now."""
        return next((each for each in self._keys if each.ended is None and same_person(each.person, person)), None)

    def check_new(self, origin: str, name: str, said: kinds.AccessKeyRegistered) -> tuple[VerifierKey, Trust]:
        """Return the key that a registration brings, and what it rests on. Raises `SigningError`."""
        key = _parse(said.key)
        if any(each.key.public == key.public for each in self._keys):
            raise SigningError("this key was registered before; one that was withdrawn or replaced never comes back")
        old = self.of(name)
        if said.replaces != ("" if old is None else old.text):
            raise SigningError("it does not say truly which key it replaces")
        text = registration_text(origin, name, said.key, said.replaces)
        check_seal(key, REGISTRATION, text, said.proof)
        if old is not None:
            check_seal(old.key, REGISTRATION, text, said.vouched)
            return key, Trust.VOUCHED
        if said.vouched:
            raise SigningError("it says that another key vouches for it, and there is none")
        before = any(same_person(each.person, name) for each in self._keys)
        return key, Trust.ANEW if before else Trust.FIRST

    def check_end(self, origin: str, said: kinds.AccessKeyWithdrawn) -> ApproverKey:
        """Return the key that a withdrawal ends. Raises `SigningError`."""
        found = self.of(said.person)
        if found is None or (found.person, found.text) != (said.person, said.key):
            raise SigningError(f"{said.person} has no such key")
        if said.signature:
            check_seal(found.key, WITHDRAWAL, withdrawal_text(origin, found.person, said.key), said.signature)
        return found

    def register(self, origin: str, entry: Entry, said: kinds.AccessKeyRegistered) -> None:
        """Take in a registration. Raises `SigningError` if it does not follow from the entries before it."""
        key, trust = self.check_new(origin, entry.actor.name, said)
        old = self.of(entry.actor.name)
        if old is not None:
            self._end(old, entry, signed=True)
        self._keys.append(ApproverKey(entry.actor.name, key, entry.seq, entry.time, trust))

    def withdraw(self, origin: str, entry: Entry, said: kinds.AccessKeyWithdrawn) -> None:
        """Take in a withdrawal. Raises `SigningError` if it does not follow from the entries before it."""
        self._end(self.check_end(origin, said), entry, signed=bool(said.signature))

    def _end(self, key: ApproverKey, entry: Entry, *, signed: bool) -> None:
        at = self._keys.index(key)
        self._keys[at] = replace(key, ended=entry.seq, ended_by=entry.actor.name, ended_signed=signed)


def _parse(text: str) -> VerifierKey:
    try:
        return parse_named_key(text)
    except NoteError as error:
        raise SigningError(f"it brings no verifier key: {error}") from error
