"""The words of the design as frozen data: who acted, what is to be recorded, what was recorded. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Union

Json = Union[None, bool, int, str, Sequence["Json"], Mapping[str, "Json"]]  # noqa: UP007 (recursive alias)
"""What a body may hold: JSON without floats, so that every value has one spelling (RFC 8785)."""


class Role(StrEnum):
    """What a principal may do. One principal can hold several; in solo mode one holds all."""

    ENGINEER = "engineer"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """
    A person or service, as whoever vouches for it names it.

    `vouched_by` says who that is: `os-account` (solo mode and the command line), or the class name of
    the server's IdentityProvider. `groups` are those that it says the principal belongs to. A service acts
    `on_behalf_of` a person; for a person that is empty.
    """

    name: str
    vouched_by: str
    roles: frozenset[Role] = frozenset()
    groups: frozenset[str] = frozenset()
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who an entry is about, as the entry carries it. `SERVER` acts where no person did."""

    name: str
    vouched_by: str

    @classmethod
    def of(cls, principal: Principal) -> Actor:
        """Return the actor that stands for `principal` in an entry; a service's says for whom it acts."""
        behalf = f", on behalf of {principal.on_behalf_of}" if principal.on_behalf_of else ""
        return cls(principal.name, f"{principal.vouched_by}{behalf}")


SERVER = Actor("jupyter-audit", "server")


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that an entry commits to but does not hold (code, output), so that they can be purged."""

    data: bytes
    media_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before the ledger has given it a number and a time."""

    type: str
    body: Mapping[str, Json]
    actor: Actor = SERVER
    grant: str | None = None
    session: str | None = None
    contents: Mapping[str, Content] = field(default_factory=dict)


class Commitment(NamedTuple):  # made for every entry that is appended or read: a third of the time that a dataclass takes
    """
    What an entry keeps of one content: enough to prove it later, too little to guess it from.

    `sealed` is the SHA-256 of the bytes that only auditors can open, in hex; None where the content is not sealed.
    """

    digest: str
    size: int
    media_type: str
    sealed: str | None = None


class Entry(NamedTuple):
    """One record of the ledger. `raw` is the canonical JSON text exactly as it was hashed."""

    seq: int
    time: datetime
    type: str
    actor: Actor
    grant: str | None
    session: str | None
    body: Mapping[str, Json]
    contents: Mapping[str, Commitment]
    raw: str
