"""Kinds of entries about people: who may log in, and the keys with which they sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_audit.record.kinds.base import Kind


@dataclass(frozen=True, slots=True)
class PeopleAdded(Kind):
    """
    An admin added somebody to the people file. `kind` is `person` or `service`; a service acts `on_behalf_of` a person.

    `credential` is what they were given: `password`, `token` or nothing. `digest` is the SHA-256 of the file from here
    on: a file of another digest counts for nobody.
    """

    TYPE = "people.added"
    person: str
    kind: str
    groups: Sequence[str]
    on_behalf_of: str
    credential: str
    digest: str


@dataclass(frozen=True, slots=True)
class PeopleChanged(Kind):
    """
    An admin gave somebody another password, token or groups; `what` says which. `groups` are those from here on.

    `digest` as in people.added.
    """

    TYPE = "people.changed"
    person: str
    what: str
    groups: Sequence[str]
    digest: str


@dataclass(frozen=True, slots=True)
class PeopleRemoved(Kind):
    """An admin took somebody out of the people file. From here on they are nobody. `digest` as in people.added."""

    TYPE = "people.removed"
    person: str
    digest: str


@dataclass(frozen=True, slots=True)
class PeopleAccepted(Kind):
    """An admin took a people file as it is, which the ledger had not said to be so. `people` are those in it."""

    TYPE = "people.accepted"
    people: Sequence[str]
    digest: str
@dataclass(frozen=True, slots=True)
class AccessKeyRegistered(Kind):
    """
    An approver registers the public key that they sign approvals with. The actor is whose key it is.

    `key` is a verifier key as signed notes have it. `proof` is its signature over ledger, name and key: nobody registers a
    key that they do not hold. `replaces` is the key that it follows, and `vouched` the signature over the same of that one, or
    else of a passkey that its owner has already.
    """

    TYPE = "access.key_registered"
    key: str
    proof: str
    replaces: str = ""
    vouched: str = ""


@dataclass(frozen=True, slots=True)
class AccessPasskeyRegistered(Kind):
    """
    An approver registers a passkey, which signs approvals in the browser. The actor is whose passkey it is.

    `key` is its public key, `passkey:ALGORITHM:KEY`; `credential` the id that the browser finds it by; `rp_id` the host that it
    signs for; `aaguid` the make that it says it is; `label` what its owner calls it. `proof` is its signature over all that,
    ledger and name: a WebAuthn assertion. `vouched` is the signature over the same of a key or passkey that the person has
    already, where there is one.
    """

    TYPE = "access.passkey_registered"
    key: str
    credential: str
    rp_id: str
    label: str
    aaguid: str
    proof: str
    vouched: str = ""


@dataclass(frozen=True, slots=True)
class AccessKeyWithdrawn(Kind):
    """
    A person's key or passkey signs no more from here on, and why. The actor is that person, or an admin.

    `signature` is that of the key itself, where its owner still had it.
    """

    TYPE = "access.key_withdrawn"
    person: str
    key: str
    reason: str
    signature: str = ""
