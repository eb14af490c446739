"""
The rules of signed answers and of approvers' keys: pure, as `rules`, and asked by `service` with the newest entries.

What they forbid they raise, with what to do next.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from jupyter_audit.access import rules
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Request
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.signing import Decision, Signed, SigningError, signed_at
from jupyter_audit.clock import format_time
from jupyter_audit.errors import NotFoundError, NotPermittedError
from jupyter_audit.model import Principal, Role
from jupyter_audit.record import kinds

CLOCKS_APART = timedelta(minutes=5)
"""How far the clock of an approver's machine may be from the server's."""


def must_be_signed(request: Request, profile: Profile) -> bool:
    """Say whether a yes must be signed: as it was when it was asked, or as the policy has it since."""
    return request.signed_approvals or profile.signed_approvals


def check_yes(
    book: GrantBook, principal: Principal, request: Request, profile: Profile, signed: Signed, now: datetime
) -> None:
    """Raise `NotPermittedError` for a signature that does not hold, or for none where there must be one."""
    if signed:
        check_signature(book, principal, request, signed, Decision.APPROVE, now)
    elif must_be_signed(request, profile):
        raise NotPermittedError(
            f"The profile {profile.name} takes no yes that its approver has not signed.",
            advice=f"On your own machine: `jupyter audit approve {request.id} --sign` (docs/signed-approvals.md).",
        )


def check_signature(
    book: GrantBook, principal: Principal, request: Request, signed: Signed, decision: Decision, now: datetime, why: str = ""
) -> None:
    """Raise `NotPermittedError` unless `signed` is the principal's answer to this request, made just now."""
    try:
        said = book.check_answer(request, principal.name, signed, decision, why)
        apart = abs(signed_at(said) - now)
    except SigningError as error:
        raise NotPermittedError(
            f"The signature under this answer to {request.id} does not hold: {error}.",
            advice="Sign with the key that you registered (`jupyter audit keys mine register`): "
            f"`jupyter audit approve {request.id} --sign`.",
        ) from error
    if apart > CLOCKS_APART:
        raise NotPermittedError(
            f"It was signed at {said.time}, and here it is {format_time(now)}.",
            advice="Set the clock of your machine, and sign again.",
        )


def may_register(book: GrantBook, principal: Principal, kind: kinds.AccessKeyRegistered) -> None:
    """Raise `NotPermittedError` unless `principal` is an approver who shows to hold this key, and the one it replaces."""
    rules.must_approve(principal)
    try:
        book.keys.check_new(book.origin, principal.name, kind)
    except SigningError as error:
        raise NotPermittedError(
            f"The key cannot be registered for {principal.name}: {error}.",
            advice="Make one of your own with `jupyter audit keys mine create`. If the one before is lost, "
            "withdraw that first (`jupyter audit keys mine withdraw`).",
        ) from error


def withdrawal(book: GrantBook, principal: Principal, person: str, reason: str, signature: str) -> kinds.AccessKeyWithdrawn:
    """Return the entry that ends a person's key. Raises `NotFoundError`, `NotPermittedError` or `UsageError`."""
    if not same_person(principal.name, person) and Role.ADMIN not in principal.roles:
        raise NotPermittedError(f"{principal.name} may not withdraw {person}'s key.", advice="They may, and admins.")
    key = book.keys.of(person)
    if key is None:
        raise NotFoundError(f"{person} has no key.", advice="`jupyter audit keys people` lists them.")
    kind = kinds.AccessKeyWithdrawn(key.person, key.text, rules.reason(reason, 1), signature)
    try:
        book.keys.check_end(book.origin, kind)
    except SigningError as error:
        raise NotPermittedError(f"The key of {person} was not withdrawn: {error}.") from error
    return kind
