"""
The people of a small team, as one file lists them: names, groups, and a hash of what each logs in with. Pure.

A person has a password (for the browser), a token (for programs), or both; a service has a token and the person on
whose behalf it acts. Only Argon2id hashes are kept. `peoplefile` reads and writes the file, `jupyter audit people`
changes it, `server.login` asks it who somebody is.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id, verify

from jupyter_audit.access.policy import RESERVED
from jupyter_audit.access.principals import same_person
from jupyter_audit.errors import ConfigError, NotFoundError, UsageError
from jupyter_audit.model import SERVER

VERSION = 1
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
LONGEST_NAME = 100
"""Characters."""

TOKEN_BYTES = 32


class PersonKind(StrEnum):
    """What a principal is."""

    PERSON = "person"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Person:
    """
    One principal. `password` and `token` are Argon2id hashes in libsodium's form, or empty; `token_id` is the part of
    the token that says whose it is. `stamp` changes with whatever they log in with: cookies carry it, and end with it.
    `on_behalf_of` is whom a service acts for.
    """

    name: str
    kind: PersonKind = PersonKind.PERSON
    groups: tuple[str, ...] = ()
    password: str = ""
    token: str = ""
    token_id: str = ""
    stamp: str = ""
    on_behalf_of: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what the file says of them, under their name."""
        values = dataclasses.asdict(self)
        del values["name"]
        return {**values, "kind": self.kind.value, "groups": list(self.groups)}


@dataclass(frozen=True, slots=True)
class People:
    """Everybody, by name."""

    by_name: Mapping[str, Person] = field(default_factory=dict)

    def get(self, name: str) -> Person:
        """Return one of them. Raises `NotFoundError`."""
        found = self.by_name.get(name)
        if found is None:
            raise NotFoundError(f"There is nobody named {name!r}.", advice="`jupyter audit people list` shows who there is.")
        return found

    def of_token_id(self, token_id: str) -> Person | None:
        """Return whose token has this id, if anybody's."""
        return next((person for person in self.by_name.values() if token_id and person.token_id == token_id), None)

    def services_of(self, name: str) -> list[Person]:
        """Return the services that act on behalf of a person."""
        return [person for person in self.by_name.values() if person.on_behalf_of == name]

    def added(self, person: Person) -> People:
        """Return the people with one more. Raises `UsageError` for a name that is taken, however it is spelled."""
        for name in self.by_name:
            if same_person(name, person.name):
                raise UsageError(
                    f"{person.name!r} and {name!r}, who is there already, would be taken for one person.",
                    advice="Choose another name, or remove the other first.",
                )
        if person.kind is PersonKind.SERVICE:
            responsible = self.by_name.get(person.on_behalf_of)
            if responsible is None or responsible.kind is not PersonKind.PERSON:
                raise UsageError(
                    f"A service acts on behalf of a person, and {person.on_behalf_of!r} is none of these people.",
                    advice="Name somebody who is there: --on-behalf-of NAME.",
                )
        return self.changed(person)

    def changed(self, person: Person) -> People:
        """Return the people with one of them as given."""
        return People({**self.by_name, person.name: person})

    def removed(self, names: Iterable[str]) -> People:
        """Return the people without some of them."""
        gone = set(names)
        return People({name: person for name, person in self.by_name.items() if name not in gone})

    def dump(self) -> bytes:
        """Return the file's content."""
        people = {name: person.to_json() for name, person in sorted(self.by_name.items())}
        return (json.dumps({"version": VERSION, "people": people}, ensure_ascii=False, indent=1) + "\n").encode()


def parse_people(data: bytes) -> People:
    """Return the people that a file's content lists. Raises `ConfigError` if it cannot be such a file."""
    try:
        said = json.loads(data)
        if said["version"] != VERSION:
            raise ConfigError(f"The people file is of version {said['version']!r}; this program knows {VERSION}.")
        people = {
            name: Person(name=name, **{**values, "kind": PersonKind(values["kind"]), "groups": tuple(values["groups"])})
            for name, values in said["people"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"The people file is not one: {type(error).__name__}.") from error
    return People(people)


# --- names, groups, passwords, tokens -------------------------------------------------------------


def person_name(text: str) -> str:
    """Return a name as it is kept. Raises `UsageError` for one that could be read as something else."""
    name = unicodedata.normalize("NFC", text)
    if not name or name != name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise UsageError(
            f"{text!r} cannot be somebody's name.",
            advice=f"A name has 1 to {LONGEST_NAME} printable characters, with no space at either end.",
        )
    if name.startswith(RESERVED) or same_person(name, SERVER.name):
        raise UsageError(f"{name!r} means something else to Jupyter Audit.", advice="Choose another name.")
    return name


def group_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of groups as they are kept. Raises `UsageError`."""
    return tuple(sorted({person_name(name) for name in names}))


def password_hash(text: str) -> str:
    """Return the Argon2id hash of a password. Raises `UsageError` for one that is too short or too long."""
    if len(text) < SHORTEST_PASSWORD or len(_encoded(text)) > LONGEST_PASSWORD:
        raise UsageError(
            f"A password has {SHORTEST_PASSWORD} characters at least, and {LONGEST_PASSWORD} bytes at most.",
            advice="Four or five words that do not belong together are easy to remember.",
        )
    return _hashed(text)


def new_stamp() -> str:
    """Return a stamp that no cookie carries yet."""
    return secrets.token_hex(8)


def with_password(person: Person, text: str) -> Person:
    """Return somebody with another password; their cookies end. Raises `UsageError`."""
    if person.kind is PersonKind.SERVICE:
        raise UsageError(f"{person.name} is a service, which has a token and no password.")
    return dataclasses.replace(person, password=password_hash(text), stamp=new_stamp())


def with_token(person: Person) -> tuple[Person, str]:
    """Return somebody with another token, and that token, which nothing can show again; their cookies end."""
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(TOKEN_BYTES)
    made = dataclasses.replace(person, token=_hashed(secret), token_id=token_id, stamp=new_stamp())
    return made, f"{token_id}.{secret}"


def split_token(token: str) -> tuple[str, str]:
    """Return a token's id and secret; of what is no token of ours, an id that nobody has."""
    token_id, _, secret = token.partition(".")
    return token_id, secret


def matches(kept: str, secret: str) -> bool:
    """
    Say whether `secret` is what was hashed to `kept`, taking as long where `kept` is empty, for somebody who is not there
    or has no such thing. Takes some 50 ms and 64 MiB.
    """
    text = _encoded(secret)
    right = len(text) <= LONGEST_PASSWORD
    try:
        verify(kept.encode() or _nobodys(), text[:LONGEST_PASSWORD])
    except (CryptoError, ValueError):
        right = False
    return right and bool(kept)


def _encoded(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")


def _hashed(text: str) -> str:
    # libsodium's interactive limits: two passes over 64 MiB.
    made = argon2id.str(_encoded(text), argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE)
    return made.rstrip(b"\0").decode()


@cache
def _nobodys() -> bytes:
    return _hashed(secrets.token_urlsafe(TOKEN_BYTES)).encode()
