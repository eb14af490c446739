"""
Requests, answers and revocations: each judged against the newest entries, with the ledger's write lock held.

So concurrent answers are decided by ledger order, and nothing but entries decides (P4). An act that a rule
forbids is an entry too (`access.refused`), then an error for whoever tried. `_act` is the way of them all.
"""

from __future__ import annotations

import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant, Request, RequestState
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import Profile
from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import AccessError, LedgerError, NotFoundError, NotPermittedError, UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Actor, Draft, Entry, Principal, Role
from jupyter_audit.record import kinds

Decide = Callable[[LedgerReader], Sequence[Draft]]
Transact = Callable[[Decide], list[Entry]]
Judge = Callable[[GrantBook, datetime], Draft]
T = TypeVar("T")

LONGEST_REASON_BYTES = 4096
LONGEST_TICKET = 200
"""Characters."""

LONGEST_CAUSE = 500
"""Characters of an error's sentence that `access.refused` keeps."""

REVERSING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make what is read differ from what is there: no reason for one in a reason."""


class AccessService:
    """
    The acts of the way of a grant. `transact` is the ledger's own, or the recorder's.

    The same rules hold for the command line and for REST: both come here. Safe to call from any thread;
    one act is done at a time. `book` is the service's own, never one that others use.
    """

    def __init__(
        self, transact: Transact, policy: Policy, clock: Clock, book: GrantBook | None = None
    ) -> None:
        self._transact = transact
        self._policy = policy
        self._clock = clock
        self._book = book or GrantBook()
        # The book is one for all acts, and a server's acts come from several threads (REST, the sweeper).
        self._lock = threading.Lock()

    def request(
        self, principal: Principal, *, profile: str, reason: str, ticket: str, minutes: int | None = None
    ) -> Request:
        """
        Ask for a grant of `minutes` (None: the profile's default).

        Raises `UsageError` for a reason, ticket or duration that the profile does not take,
        `NotPermittedError` if `principal` may not ask for this profile.
        """
        request_id = f"r-{secrets.token_hex(6)}"

        def judge(book: GrantBook, now: datetime) -> Draft:
            wanted = self._policy.profile(profile)
            self._may_ask(principal, wanted)
            duration = _duration(wanted, minutes)
            kind = kinds.AccessRequested(
                request=request_id,
                profile=wanted.name,
                reason=_reason(reason, wanted.shortest_reason),
                ticket=_ticket(ticket, wanted.ticket_pattern),
                duration_s=int(duration.total_seconds()),
                lapses=format_time(now + timedelta(minutes=wanted.request_waits_minutes)),
            )
            return kinds.draft(kind, actor=Actor.of(principal))

        return self._act(principal, "request", profile, judge, lambda book: book.request(request_id))

    def approve(self, principal: Principal, request_id: str) -> Grant:
        """Say yes: the grant begins now. Raises `NotFoundError`, `NotPermittedError` or `AccessError`."""
        grant_id = f"g-{secrets.token_hex(6)}"

        def judge(book: GrantBook, now: datetime) -> Draft:
            request = self._pending(book, request_id, now)
            profile = self._policy.profile(request.profile)
            self._may_answer(principal, request, profile)
            # A policy that was tightened meanwhile holds for what was asked for before.
            duration = min(request.duration, timedelta(minutes=profile.longest_minutes))
            kind = kinds.AccessApproved(
                request=request.id,
                principal=request.principal,
                vouched_by=request.vouched_by,
                profile=profile.name,
                not_before=format_time(now),
                not_after=format_time(now + duration),
                self_approved=same_person(principal.name, request.principal),
                solo=self._policy.solo,
            )
            return kinds.draft(kind, actor=Actor.of(principal), grant=grant_id)

        return self._act(principal, "approve", request_id, judge, lambda book: book.grant(grant_id))

    def deny(self, principal: Principal, request_id: str, reason: str) -> Request:
        """Say no, and why. Raises as `approve` does."""

        def judge(book: GrantBook, now: datetime) -> Draft:
            request = self._pending(book, request_id, now)
            if Role.APPROVER not in principal.roles:
                raise _not_an_approver(principal)
            return kinds.draft(kinds.AccessDenied(request.id, _reason(reason, 1)), actor=Actor.of(principal))

        return self._act(principal, "deny", request_id, judge, lambda book: book.request(request_id))

    def withdraw(self, principal: Principal, request_id: str) -> Request:
        """Take one's own unanswered request back."""

        def judge(book: GrantBook, now: datetime) -> Draft:
            request = self._pending(book, request_id, now)
            if request.principal != principal.name:
                raise NotPermittedError(
                    f"The request {request.id} is {request.principal}'s; only they withdraw it."
                )
            return kinds.draft(kinds.AccessWithdrawn(request.id), actor=Actor.of(principal))

        return self._act(principal, "withdraw", request_id, judge, lambda book: book.request(request_id))

    def revoke(self, principal: Principal, grant_id: str, reason: str) -> Grant:
        """End a grant now: approvers, admins, and whoever holds it may."""

        def judge(book: GrantBook, now: datetime) -> Draft:
            grant = book.grant(grant_id)
            if grant is None:
                raise NotFoundError(
                    f"There is no grant {grant_id}.", advice="`jupyter audit grants` lists them."
                )
            if not {Role.APPROVER, Role.ADMIN} & principal.roles and principal.name != grant.principal:
                raise NotPermittedError(
                    f"{principal.name} may not revoke the grant {grant.id}.",
                    advice="Approvers, admins and its holder may.",
                )
            if not grant.is_live(now) and now >= grant.not_before:
                raise AccessError(f"The grant {grant.id} has ended already ({grant.state(now)}).")
            kind = kinds.AccessRevoked(_reason(reason, 1))
            return kinds.draft(kind, actor=Actor.of(principal), grant=grant.id)

        return self._act(principal, "revoke", grant_id, judge, lambda book: book.grant(grant_id))

    def expire(self) -> list[Entry]:
        """Put down, once each, the requests that lapsed and the grants that expired."""

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            book, now = self._newest(reader)
            return [_end(ended) for ended in book.unnoticed_ends(now)]

        with self._lock:
            return self._transact(decide)

    # --- judging ----------------------------------------------------------------------------------

    def _act(
        self,
        principal: Principal,
        action: str,
        target: str,
        judge: Judge,
        outcome: Callable[[GrantBook], T | None],
    ) -> T:
        """Judge an act by the newest entries, put down what came of it; return that or raise the refusal."""
        refused: list[AccessError | UsageError] = []

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            book, now = self._newest(reader)
            try:
                return [judge(book, now)]
            except (AccessError, UsageError) as error:
                refused.append(error)
                cause = _printable(str(error), LONGEST_CAUSE)
                kind = kinds.AccessRefused(action=action, target=_printable(target), cause=cause)
                return [kinds.draft(kind, actor=Actor.of(principal))]

        with self._lock:
            entries = self._transact(decide)
            if refused:
                raise refused[0]
            self._book.take(entries)
            made = outcome(self._book)
        if made is None:
            # The entry is there and means nothing, as when the machine slept between judging and storing.
            raise LedgerError(f"The {action} of {target} came too late to count.", advice="Try again.")
        return made

    def _newest(self, reader: LedgerReader) -> tuple[GrantBook, datetime]:
        self._book.refresh(reader)
        return self._book, self._book.now(self._clock.now())

    @staticmethod
    def _pending(book: GrantBook, request_id: str, now: datetime) -> Request:
        request = book.request(request_id)
        if request is None:
            raise NotFoundError(
                f"There is no request {request_id}.", advice="`jupyter audit requests` lists them."
            )
        state = request.state(now)
        if state is not RequestState.PENDING:
            raise AccessError(
                f"The request {request.id} cannot be answered: it is {state} already.",
                advice="If access is still needed, ask for it anew.",
            )
        return request

    def _may_ask(self, principal: Principal, profile: Profile) -> None:
        needed = Role.ADMIN if profile.recovery else Role.ENGINEER
        if needed not in principal.roles:
            raise NotPermittedError(
                f"{principal.name} may not ask for the profile {profile.name}: it is for the role {needed}.",
                advice="An admin gives roles in c.JupyterAudit.roles.",
            )
        own = self._policy.solo or profile.self_approval
        named = self._policy.roles.get(Role.APPROVER, ())
        others = [name for name in named if own or not same_person(name, principal.name)]
        if not self._policy.solo and not others:
            raise NotPermittedError(
                f"Nobody could approve this: no approver is named{' but you' if named else ''}.",
                advice="An admin names approvers in c.JupyterAudit.roles['approver'], "
                "or sets c.JupyterAudit.solo.",
            )

    def _may_answer(self, principal: Principal, request: Request, profile: Profile) -> None:
        if Role.APPROVER not in principal.roles:
            raise _not_an_approver(principal)
        own = same_person(principal.name, request.principal)
        if own and not (self._policy.solo or profile.self_approval):
            raise NotPermittedError(
                f"{principal.name} may not approve their own request {request.id}.",
                advice="Another approver must. Self-approval is for solo mode and profiles that allow it.",
            )
        # Roles may have been taken away since the request was made.
        needed = Role.ADMIN if profile.recovery else Role.ENGINEER
        if needed not in self._policy.roles_of(request.principal):
            raise NotPermittedError(
                f"{request.principal} may not hold the profile {profile.name}: it is for the role {needed}.",
                advice="An admin gives roles in c.JupyterAudit.roles. Deny the request.",
            )


def _end(ended: Request | Grant) -> Draft:
    """Return the entry that says that a request lapsed, or that a grant expired."""
    if isinstance(ended, Request):
        return kinds.draft(kinds.AccessLapsed(ended.id))
    return kinds.draft(kinds.AccessExpired(format_time(ended.not_after)), grant=ended.id)


def _not_an_approver(principal: Principal) -> NotPermittedError:
    return NotPermittedError(
        f"{principal.name} is not an approver.",
        advice="An admin names approvers in c.JupyterAudit.roles['approver'].",
    )


def _duration(profile: Profile, minutes: int | None) -> timedelta:
    wanted = profile.default_minutes if minutes is None else minutes
    if type(wanted) is not int or not 1 <= wanted <= profile.longest_minutes:
        raise UsageError(
            f"{wanted!r} minutes cannot be asked for under the profile {profile.name}.",
            advice=f"Ask for 1 to {profile.longest_minutes} minutes.",
        )
    return timedelta(minutes=wanted)


def _reason(text: str, shortest: int) -> str:
    reason = text.replace("\r\n", "\n").strip()
    if any(_hides(c) and c not in "\n\t" for c in reason):
        raise UsageError("The reason holds control characters.", advice="Write it as plain text.")
    if len(reason) < shortest:
        raise UsageError(
            f"The reason is too short: {len(reason)} characters.",
            advice=f"Say in at least {shortest} characters why; others will read it.",
        )
    if len(reason.encode()) > LONGEST_REASON_BYTES:
        raise UsageError(
            f"The reason is longer than {LONGEST_REASON_BYTES} bytes.", advice="Put the rest into the ticket."
        )
    return reason


def _ticket(text: str, pattern: str) -> str:
    ticket = text.strip()
    if any(map(_hides, ticket)) or len(ticket) > LONGEST_TICKET or not re.fullmatch(pattern, ticket):
        raise UsageError(
            f"{_printable(ticket)!r} is not a ticket that this profile takes.",
            advice=f"It must match {pattern!r} as a whole, in at most {LONGEST_TICKET} characters.",
        )
    return ticket


def _hides(character: str) -> bool:
    """Say whether a character could make a reader see something else than what is there."""
    return character in REVERSING or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _printable(text: str, most: int = LONGEST_TICKET) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:most])
