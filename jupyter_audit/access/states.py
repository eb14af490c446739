"""
Requests and grants, and where each is at a moment. What becomes of them is said by `grants`. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jupyter_audit.access.principals import same_person


class RequestState(StrEnum):
    """Where a request is. `closed` is one whose requester may no longer have what they asked for."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    CLOSED = "closed"
    LAPSED = "lapsed"


class GrantState(StrEnum):
    """Where a grant is. `approved` is one that has not begun yet; `taken_over` one that another person's carries on."""

    APPROVED = "approved"
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    TAKEN_OVER = "taken_over"


@dataclass(frozen=True, slots=True)
class Request:
    """
    Somebody's asking. `answered` is the answer that the ledger holds, if any.

    `starts` is when the grant is to begin (None: at its approval); `extends` and `takes_over` name the grant that is
    to last longer, or to be carried on. `approvals` people must say yes; `endorsers` are those who have. A service
    asks `on_behalf_of` a person. With `signed_approvals` only a yes that its approver signed counts; `leaf` is the hash
    of the request's entry, in hex.
    """

    id: str
    principal: str
    vouched_by: str
    profile: str
    reason: str
    ticket: str
    duration: timedelta
    asked: datetime
    lapses: datetime
    seq: int
    target: str = ""
    starts: datetime | None = None
    extends: str = ""
    takes_over: str = ""
    approvals: int = 1
    groups: tuple[str, ...] = ()
    on_behalf_of: str = ""
    signed_approvals: bool = False
    leaf: str = ""
    endorsers: tuple[str, ...] = ()
    answered: RequestState | None = None
    answered_by: str | None = None
    answer: str = ""

    def is_of(self, name: str) -> bool:
        """Say whether somebody of this name made the request, or a service made it on their behalf."""
        return any(same_person(name, own) for own in (self.principal, self.on_behalf_of) if own)

    def state(self, now: datetime) -> RequestState:
        """Return where the request is at `now`. At the very moment `lapses` it has lapsed."""
        if self.answered is not None:
            return self.answered
        return RequestState.PENDING if now < self.lapses else RequestState.LAPSED


@dataclass(frozen=True, slots=True)
class Grant:
    """
    A principal's access for a while: from `not_before` until just before `not_after`.

    `ended` is when it was revoked or taken over, if it was; `ended_by` who did that, `successor` the grant that
    carries it on. A `break_glass` grant was approved by nobody: `approver` is empty, and `reviewed_by` until somebody
    has reviewed it. `extensions` are the moments at which it was given more time.
    """

    id: str
    request: str
    principal: str
    vouched_by: str
    profile: str
    reason: str
    ticket: str
    not_before: datetime
    not_after: datetime
    approver: str
    self_approved: bool
    seq: int
    ended: datetime | None = None
    ended_by: str | None = None
    ended_why: str = ""
    target: str = ""
    successor: str = ""
    extensions: tuple[datetime, ...] = ()
    break_glass: bool = False
    reviewed_by: str = ""
    justified: bool | None = None
    review: str = ""

    def state(self, now: datetime) -> GrantState:
        """Return where the grant is at `now`. At the very moment `not_after` it has expired."""
        if self.ended is not None:
            return GrantState.TAKEN_OVER if self.successor else GrantState.REVOKED
        if now < self.not_before:
            return GrantState.APPROVED
        return GrantState.ACTIVE if now < self.not_after else GrantState.EXPIRED

    def is_live(self, now: datetime) -> bool:
        """Say whether anything may run under this grant at `now`."""
        return self.state(now) is GrantState.ACTIVE

    def waits_for_review(self, now: datetime) -> bool:
        """Say whether this is a broken glass that has ended and that nobody has reviewed."""
        return self.break_glass and not self.reviewed_by and not self.is_live(now)
