"""Kinds of entries about access: the way of a grant, and approvers' keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_audit.record.kinds.base import Kind


@dataclass(frozen=True, slots=True)
class AccessRequested(Kind):
    """
    Somebody asks for a grant. The actor is the requester; `lapses` is when the request goes unanswered.

    `target` names what is to be debugged, `starts` when a grant is to begin that does not begin at its approval.
    `extends` is the grant that is to last longer, `takes_over` the one of somebody else that is to be carried on.
    `approvals` is how many people must say yes. `groups` are the requester's, as the identity provider named them;
    `on_behalf_of` is whom a service asks for.
    `ticket_checked` says that the profile's tracker called the ticket open.
    `signed_approvals` says that only a yes that its approver signed counts (docs/signed-approvals.md).
    """

    TYPE = "access.requested"
    request: str
    profile: str
    reason: str
    ticket: str
    duration_s: int
    lapses: str
    target: str = ""
    starts: str = ""
    extends: str = ""
    takes_over: str = ""
    approvals: int = 1
    groups: Sequence[str] = ()
    on_behalf_of: str = ""
    ticket_checked: bool = False
    signed_approvals: bool = False


@dataclass(frozen=True, slots=True)
class AccessEndorsed(Kind):
    """
    An approver says yes to a request that needs more than one; the last yes is the approval.

    `statement` and `signature` as in access.approved.
    """

    TYPE = "access.endorsed"
    request: str
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessApproved(Kind):
    """
    An approver says yes; the clock of the grant starts here. The envelope's `grant` is the new grant.

    `principal` is whom it was given to. `self_approved` is true only in solo mode, or where a profile
    allows it, and says that requester and approver are one person. `takes_over` is the grant of
    somebody else that ends here, because this one carries it on. `statement` is what the approver signed with a key of
    their own, if they did, and `signature` the Ed25519 signature in base64, or a passkey's assertion as JSON with
    authenticatorData, clientDataJSON, id and signature (docs/signed-approvals.md).
    """

    TYPE = "access.approved"
    request: str
    principal: str
    vouched_by: str
    profile: str
    not_before: str
    not_after: str
    self_approved: bool
    solo: bool
    takes_over: str = ""
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessExtended(Kind):
    """
    An approver says yes to a request for more time: the grant in the envelope lasts until `not_after` now.

    `statement` and `signature` as in access.approved.
    """

    TYPE = "access.extended"
    request: str
    not_after: str
    self_approved: bool
    solo: bool
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessBreakGlass(Kind):
    """
    Somebody takes access without asking, for an emergency. The actor holds the grant in the envelope.

    It is a finding at once, and stays open until somebody else has reviewed it (`access.reviewed`).
    """

    TYPE = "access.break_glass"
    profile: str
    reason: str
    ticket: str
    target: str
    not_before: str
    not_after: str


@dataclass(frozen=True, slots=True)
class AccessReviewed(Kind):
    """
    Somebody else looked at what was done under a break-glass grant, and says what they found.

    `justified` is their judgement; `comment` their reasons.
    """

    TYPE = "access.reviewed"
    justified: bool
    comment: str


@dataclass(frozen=True, slots=True)
class AccessDenied(Kind):
    """An approver says no, and why. `statement` and `signature` as in access.approved."""

    TYPE = "access.denied"
    request: str
    reason: str
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class AccessWithdrawn(Kind):
    """The requester takes an unanswered request back."""

    TYPE = "access.withdrawn"
    request: str


@dataclass(frozen=True, slots=True)
class AccessClosed(Kind):
    """
    A request ends unanswered, because its requester may no longer have what they asked for: they were removed, or lost the
    role. The actor is the server that noticed, or the admin who removed them.
    """

    TYPE = "access.closed"
    request: str
    reason: str


@dataclass(frozen=True, slots=True)
class AccessLapsed(Kind):
    """A request was not answered in time."""

    TYPE = "access.lapsed"
    request: str


@dataclass(frozen=True, slots=True)
class AccessRevoked(Kind):
    """An approver, an admin or the holder ends a live grant before its time; `everyone` if every other was ended with it."""

    TYPE = "access.revoked"
    reason: str
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class AccessExpired(Kind):
    """A grant reached its end. Put down by the server that noticed; the end itself is in the approval."""

    TYPE = "access.expired"
    not_after: str


@dataclass(frozen=True, slots=True)
class AccessRefused(Kind):
    """
    Somebody tried to request, approve, deny or revoke and was not allowed to.

    `cause` says why, and `refusal` says it in a word for programs, such as `not_permitted` or `cloned_passkey`.
    """

    TYPE = "access.refused"
    action: str
    target: str
    cause: str
    refusal: str = ""
