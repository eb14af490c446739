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
from jupyter_audit.access.signing import ClonedError, Decision, Signed, SigningError, signed_at
from jupyter_audit.clock import format_time
from jupyter_audit.errors import ClonedPasskeyError, NotFoundError, NotPermittedError, UsageError
from jupyter_audit.model import Principal, Role
from jupyter_audit.record import kinds

LONGEST_LABEL = 60
"""Characters of what a passkey is called."""

MOST_PASSKEYS = 20
"""Of one person in force: enough for every device, and no more than a browser is told of at once."""

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
            advice="In the panel: Approve with passkey. Or on your own machine: "
            f"`jupyter audit approve {request.id} --sign` (docs/signed-approvals.md).",
        )


def check_signature(
    book: GrantBook, principal: Principal, request: Request, signed: Signed, decision: Decision, now: datetime, why: str = ""
) -> None:
    """Raise `NotPermittedError` unless `signed` is the principal's answer to this request, made just now."""
    try:
        said, _ = book.check_answer(request, principal.name, signed, decision, why)
        apart = abs(signed_at(said) - now)
    except ClonedError as error:
        raise cloned(principal, error) from error
    except SigningError as error:
        raise NotPermittedError(
            f"The signature under this answer to {request.id} does not hold: {error}.",
            advice="Sign with a passkey that you registered in the panel, or with the key of `jupyter audit keys mine register`: "
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


def cloned(principal: Principal, error: ClonedError) -> ClonedPasskeyError:
    """Return what is told where a passkey's counter did not go on."""
    return ClonedPasskeyError(
        f"Nothing was signed for {principal.name}: {error}.",
        advice="If you did not just answer twice at once, remove this passkey in the panel, and register another.",
    )


def must_be_fresh(stale: str) -> None:
    """Raise `NotPermittedError` if there is a reason why what a passkey signed does not count."""
    if stale:
        raise NotPermittedError(f"What the passkey signed is not taken: {stale}.", advice="Press the button in the panel again.")


def passkey_label(text: str) -> str:
    """Return what a passkey may be called. Raises `UsageError`."""
    label = text.strip()
    if not label or len(label) > LONGEST_LABEL or not label.isprintable():
        raise UsageError(f"A passkey's name has 1 to {LONGEST_LABEL} characters that can be printed.")
    return label


def may_register_passkey(book: GrantBook, principal: Principal, kind: kinds.AccessPasskeyRegistered) -> None:
    """Raise `NotPermittedError` unless `principal` is an approver who shows to hold this passkey, and one that vouches for it."""
    rules.must_approve(principal)
    passkey_label(kind.label)
    if len(book.keys.passkeys(principal.name)) >= MOST_PASSKEYS:
        raise NotPermittedError(
            f"{principal.name} has {MOST_PASSKEYS} passkeys already.", advice="Remove one that is not used any more."
        )
    try:
        book.keys.check_new_passkey(book.origin, principal.name, kind)
    except ClonedError as error:
        raise cloned(principal, error) from error
    except SigningError as error:
        raise NotPermittedError(
            f"The passkey cannot be registered for {principal.name}: {error}.",
            advice="Make it anew in the panel. If your others are lost, remove those first.",
        ) from error


def withdrawal(
    book: GrantBook, principal: Principal, person: str, reason: str, signature: str, key_text: str = ""
) -> kinds.AccessKeyWithdrawn:
    """
    Return the entry that ends a person's key, or the passkey of that text.

    Raises `NotFoundError`, `NotPermittedError` or `UsageError`.
    """
    if not same_person(principal.name, person) and Role.ADMIN not in principal.roles:
        raise NotPermittedError(f"{principal.name} may not withdraw {person}'s key.", advice="They may, and admins.")
    key = book.keys.of(person)
    if key_text:
        key = next((each for each in book.keys.in_force(person) if each.text == key_text), None)
    if key is None:
        such = "such key" if key_text else "key"
        raise NotFoundError(f"{person} has no {such}.", advice="`jupyter audit keys people` lists them.")
    kind = kinds.AccessKeyWithdrawn(key.person, key.text, rules.reason(reason, 1), signature)
    try:
        book.keys.check_end(book.origin, kind)
    except SigningError as error:
        raise NotPermittedError(f"The key of {person} was not withdrawn: {error}.") from error
    return kind
