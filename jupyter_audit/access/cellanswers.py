"""
Answering a held cell: may this person say yes or no to it, and which entry says so? Pure.

As `answering`, whose rules of approvers hold here too, but for one: nobody says yes to their own cell, in solo mode and
under a profile of self-approval neither. `service` calls these with the newest book, inside the ledger's write lock.
"""

from __future__ import annotations

from datetime import datetime

from jupyter_audit.access import rules, signatures
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.holds import Hold, HoldState
from jupyter_audit.access.policy import Policy, names_one
from jupyter_audit.access.signing import ClonedError, Decision, Signed, SigningError, signed_at
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError, NotFoundError, NotPermittedError
from jupyter_audit.model import Actor, Draft, Principal
from jupyter_audit.record import kinds


def yes(policy: Policy, book: GrantBook, principal: Principal, hold_id: str, signed: Signed, now: datetime) -> Draft:
    """Return the entry of a yes. Raises `NotFoundError`, `NotPermittedError` or `AccessError`."""
    hold = waiting(book, hold_id, now)
    may_approve(policy, principal, hold)
    grant = book.grant(hold.grant)
    if grant is None or not grant.is_live(now):
        raise AccessError(f"The grant {hold.grant} of the cell {hold.id} has ended.", advice="It will not run.")
    if signed:
        _check_signature(book, principal, hold, signed, Decision.APPROVE, now, "")
    elif must_be_signed(policy, hold):
        raise NotPermittedError(
            f"The profile {hold.profile} takes no yes that its approver has not signed.",
            advice="In the panel: Approve with passkey. Or on your own machine: "
            f"`jupyter audit approve-cell {hold.id} --sign` (docs/signed-approvals.md).",
        )
    kind = kinds.CellApproved(hold.id, signed.statement, signed.signature)
    return kinds.draft(kind, actor=Actor.of(principal), grant=hold.grant, session=hold.session)


def no(book: GrantBook, principal: Principal, hold_id: str, reason: str, signed: Signed, now: datetime) -> Draft:
    """Return the entry of a no, and why; `signed` holds the same reason. Raises as `yes` does."""
    hold = waiting(book, hold_id, now)
    rules.must_approve(principal)
    told = rules.reason(reason, 1)
    if signed:
        _check_signature(book, principal, hold, signed, Decision.DENY, now, told)
    kind = kinds.CellDenied(hold.id, told, signed.statement, signed.signature)
    return kinds.draft(kind, actor=Actor.of(principal), grant=hold.grant, session=hold.session)


def waiting(book: GrantBook, hold_id: str, now: datetime) -> Hold:
    """Return a held cell that waits for an answer. Raises `NotFoundError` or `AccessError`."""
    hold = book.hold(hold_id)
    if hold is None:
        raise NotFoundError(f"There is no held cell {hold_id}.", advice="`jupyter audit held` lists those that wait.")
    state = hold.state(now)
    if state is not HoldState.WAITING:
        raise AccessError(f"The cell {hold.id} cannot be answered: it is {state} already.")
    return hold


def must_be_signed(policy: Policy, hold: Hold) -> bool:
    """Say whether a yes must be signed: as it was when the cell was held, or as the policy has it since."""
    profile = policy.profiles.get(hold.profile)
    return hold.signed_approvals or (profile is not None and profile.signed_approvals)


def may_approve(policy: Policy, principal: Principal, hold: Hold) -> None:
    """Raise `NotPermittedError` unless `principal` may say yes to a held cell."""
    rules.must_approve(principal)
    profile = policy.profile(hold.profile)
    if profile.approvers and not names_one(profile.approvers, principal.name, principal.groups):
        raise NotPermittedError(
            f"{principal.name} does not approve the profile {profile.name}: {', '.join(profile.approvers)} do.",
            advice=f"An admin says who does in c.JupyterAudit.profiles[{profile.name!r}]['approvers'].",
        )
    if hold.is_of(principal.name):
        raise NotPermittedError(
            f"{principal.name} may not approve the cell {hold.id}: it is their own.", advice="Another approver must, always."
        )


def _check_signature(
    book: GrantBook, principal: Principal, hold: Hold, signed: Signed, decision: Decision, now: datetime, why: str
) -> None:
    try:
        said, _ = book.check_cell_answer(hold, principal.name, signed, decision, why)
        apart = abs(signed_at(said) - now)
    except ClonedError as error:
        raise signatures.cloned(principal, error) from error
    except SigningError as error:
        raise NotPermittedError(
            f"The signature under this answer to the cell {hold.id} does not hold: {error}.",
            advice="Sign with a passkey that you registered in the panel, or with the key of `jupyter audit keys mine register`: "
            f"`jupyter audit approve-cell {hold.id} --sign`.",
        ) from error
    if apart > signatures.CLOCKS_APART:
        raise NotPermittedError(
            f"It was signed at {said.time}, and here it is {format_time(now)}.",
            advice="Set the clock of your machine, and sign again.",
        )
