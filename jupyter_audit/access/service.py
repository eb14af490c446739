"""
Requests, answers and revocations: each judged against the newest entries, with the ledger's write lock held.

So concurrent answers are decided by ledger order, and nothing but entries decides (P4). An act that a rule
forbids is an entry too (`access.refused`), then an error for whoever tried. `_act` is the way of them all.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar, cast

from jupyter_audit.access import feedback, inwords, rules, signatures
from jupyter_audit.access.approverkeys import ApproverKey
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant, GrantState, Request
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.signing import Decision, Signed
from jupyter_audit.access.tickets import Seen, Tickets
from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import AccessError, LedgerError, NotPermittedError, UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Actor, Draft, Entry, Principal, Role
from jupyter_audit.record import kinds

Decide = Callable[[LedgerReader], Sequence[Draft]]
Transact = Callable[[Decide], list[Entry]]
Judge = Callable[[GrantBook, datetime], Draft | list[Draft]]
T = TypeVar("T")

UNSIGNED = Signed("", "")

LONGEST_CAUSE = 500
"""Characters of an error's sentence that `access.refused` keeps."""


class AccessService:
    """
    The acts of the way of a grant. `transact` is the ledger's own, or the recorder's.

    The same rules hold for the command line and for REST: both come here. Safe to call from any thread;
    one act is done at a time. `book` is the service's own, never one that others use.
    """

    def __init__(
        self,
        transact: Transact,
        policy: Policy,
        clock: Clock,
        book: GrantBook | None = None,
        tickets: Tickets | None = None,
    ) -> None:
        self._transact = transact
        self._policy = policy
        self._clock = clock
        self._book = book or GrantBook()
        self._tickets = tickets or Tickets()
        # The book is one for all acts, and a server's acts come from several threads (REST, the sweeper).
        self._lock = threading.Lock()

    def request(
        self,
        principal: Principal,
        *,
        profile: str,
        reason: str,
        ticket: str,
        minutes: int | None = None,
        target: str = "",
        starts: datetime | None = None,
        takes_over: str = "",
    ) -> Request:
        """
        Ask for a grant of `minutes` (None: the profile's default), from `starts` (None: its approval) on.

        `takes_over` is a live grant of somebody else: the new one carries it on for the time that is left, and it ends.
        Raises `UsageError` for a reason, ticket, target or duration that the profile does not take,
        `NotPermittedError` if `principal` may not ask for this profile, `AccessError` for what is not to be had now.
        """
        request_id = f"r-{secrets.token_hex(6)}"
        seen = self._seen_for(principal, profile, ticket)

        def judge(book: GrantBook, now: datetime) -> Draft:
            wanted = self._policy.profile(profile)
            rules.may_ask(self._policy, principal, wanted)
            if takes_over and starts is not None:
                raise UsageError("A grant that is taken over goes on at once.", advice="Leave the beginning out.")
            rules.few_pending(book, self._policy, principal, now)
            begins = rules.begin(wanted, starts, now)
            length = rules.duration(wanted, minutes)
            if takes_over:
                length = self._left_to_take_over(book, principal, wanted, takes_over, now)
            rules.within_budget(book, wanted, principal.name, length, now)
            if begins is not None:
                rules.end_of(wanted, begins, length)
            rules.must_know_the_rules(book, principal, wanted)
            told = rules.ticket(ticket, wanted.ticket_pattern)
            rules.ticket_stands(wanted, told, seen)
            kind = kinds.AccessRequested(
                request=request_id,
                profile=wanted.name,
                reason=rules.reason(reason, wanted.shortest_reason),
                ticket=told,
                duration_s=int(length.total_seconds()),
                lapses=format_time(now + timedelta(minutes=wanted.request_waits_minutes)),
                target=rules.target(target, wanted),
                starts="" if begins is None else format_time(begins),
                takes_over=takes_over,
                approvals=1 if self._policy.solo else wanted.approvals,
                groups=sorted(principal.groups),
                on_behalf_of=principal.on_behalf_of,
                ticket_checked=wanted.checks_tickets,
                signed_approvals=wanted.signed_approvals,
            )
            return kinds.draft(kind, actor=Actor.of(principal))

        return self._act(principal, "request", profile, judge, lambda book: book.request(request_id))

    def extend(self, principal: Principal, grant_id: str, *, reason: str, minutes: int | None = None) -> Request:
        """Ask for more time under a grant of one's own. Raises as `request` does, and `NotFoundError`."""
        request_id = f"r-{secrets.token_hex(6)}"
        known = self._peek(lambda book: book.grant(grant_id))
        seen = self._seen_for(principal, known.profile, known.ticket) if known is not None else None

        def judge(book: GrantBook, now: datetime) -> Draft:
            grant = rules.live_grant(book, grant_id, now)
            if grant.principal != principal.name:
                raise NotPermittedError(
                    f"The grant {grant.id} is {grant.principal}'s; only they ask for more of it.",
                    advice="Ask to take it over (`jupyter audit request --takes-over`).",
                )
            profile = self._policy.profile(grant.profile)
            rules.may_ask(self._policy, principal, profile)
            rules.few_pending(book, self._policy, principal, now)
            rules.may_extend(book, profile, grant, now)
            length = rules.duration(profile, minutes)
            rules.within_budget(book, profile, principal.name, length, now)
            rules.ticket_stands(profile, grant.ticket, seen)
            kind = kinds.AccessRequested(
                request=request_id,
                profile=profile.name,
                reason=rules.reason(reason, profile.shortest_reason),
                ticket=grant.ticket,
                duration_s=int(length.total_seconds()),
                lapses=format_time(min(grant.not_after, now + timedelta(minutes=profile.request_waits_minutes))),
                target=grant.target,
                extends=grant.id,
                approvals=1 if self._policy.solo else profile.approvals,
                groups=sorted(principal.groups),
                on_behalf_of=principal.on_behalf_of,
                ticket_checked=profile.checks_tickets,
                signed_approvals=profile.signed_approvals,
            )
            return kinds.draft(kind, actor=Actor.of(principal))

        return self._act(principal, "extend", grant_id, judge, lambda book: book.request(request_id))

    def approve(self, principal: Principal, request_id: str, signed: Signed = UNSIGNED) -> Request | Grant:
        """
        Say yes. Returns the grant that begins now (or lasts longer now), or the request if more people must say yes.

        `signed` is the approver's own signature, which the profile may demand.
        Raises `NotFoundError`, `NotPermittedError` or `AccessError`.
        """
        grant_id = f"g-{secrets.token_hex(6)}"
        known = self._peek(lambda book: book.request(request_id))
        seen = None
        if known is not None and Role.APPROVER in principal.roles:
            seen = self._seen(self._policy.profiles.get(known.profile), known.ticket, known.principal)

        def judge(book: GrantBook, now: datetime) -> Draft:
            request = rules.pending(book, request_id, now)
            profile = self._policy.profile(request.profile)
            rules.may_answer(self._policy, principal, request, profile)
            rules.ticket_stands(profile, request.ticket, seen)
            signatures.check_yes(book, principal, request, profile, signed, now)
            if len(request.endorsers) + 1 < rules.approvals_of(self._policy, request, profile):
                if request.is_of(principal.name):
                    raise NotPermittedError(
                        f"{principal.name} may say the last yes to their own request, not an earlier one.",
                        advice="Another approver must say yes first.",
                    )
                endorsed = kinds.AccessEndorsed(request.id, signed.statement, signed.signature)
                return kinds.draft(endorsed, actor=Actor.of(principal))
            if request.extends:
                return self._extension(book, principal, request, profile, signed, now)
            return self._grant(book, principal, request, profile, grant_id, signed, now)

        def outcome(book: GrantBook) -> Request | Grant | None:
            request = book.request(request_id)
            if request is None or request.answered is None:
                return request if request is not None and principal.name in request.endorsers else None
            return book.grant(request.extends or grant_id)

        return cast(Request | Grant, self._act(principal, "approve", request_id, judge, outcome))

    def deny(self, principal: Principal, request_id: str, reason: str, signed: Signed = UNSIGNED) -> Request:
        """Say no, and why; `signed` holds the same reason. Raises as `approve` does."""

        def judge(book: GrantBook, now: datetime) -> Draft:
            request = rules.pending(book, request_id, now)
            rules.must_approve(principal)
            told = rules.reason(reason, 1)
            if signed:
                signatures.check_signature(book, principal, request, signed, Decision.DENY, now, told)
            denied = kinds.AccessDenied(request.id, told, signed.statement, signed.signature)
            return kinds.draft(denied, actor=Actor.of(principal))

        return self._act(principal, "deny", request_id, judge, lambda book: book.request(request_id))

    def withdraw(self, principal: Principal, request_id: str) -> Request:
        """Take one's own unanswered request back."""

        def judge(book: GrantBook, now: datetime) -> Draft:
            request = rules.pending(book, request_id, now)
            if request.principal != principal.name:
                raise NotPermittedError(
                    f"The request {request.id} is {request.principal}'s; only they withdraw it."
                )
            return kinds.draft(kinds.AccessWithdrawn(request.id), actor=Actor.of(principal))

        return self._act(principal, "withdraw", request_id, judge, lambda book: book.request(request_id))

    def revoke(self, principal: Principal, grant_id: str, reason: str) -> Grant:
        """End a grant now: approvers, admins, and whoever holds it may."""

        def judge(book: GrantBook, now: datetime) -> Draft:
            grant = rules.known_grant(book, grant_id)
            if not {Role.APPROVER, Role.ADMIN} & principal.roles and principal.name != grant.principal:
                raise NotPermittedError(
                    f"{principal.name} may not revoke the grant {grant.id}.",
                    advice="Approvers, admins and its holder may.",
                )
            if not grant.is_live(now) and grant.state(now) is not GrantState.APPROVED:
                raise AccessError(f"The grant {grant.id} has ended already ({grant.state(now)}).")
            kind = kinds.AccessRevoked(rules.reason(reason, 1))
            return kinds.draft(kind, actor=Actor.of(principal), grant=grant.id)

        return self._act(principal, "revoke", grant_id, judge, lambda book: book.grant(grant_id))

    def revoke_everyone(self, principal: Principal, reason: str) -> list[Grant]:
        """End every grant that is in force or yet to begin, in one commit: for an incident. Approvers and admins may."""
        ended: list[str] = []

        def judge(book: GrantBook, now: datetime) -> list[Draft]:
            if not {Role.APPROVER, Role.ADMIN} & principal.roles:
                raise NotPermittedError(
                    f"{principal.name} may not revoke everybody's grants.", advice="Approvers and admins may."
                )
            kind = kinds.AccessRevoked(rules.reason(reason, 1))
            ended.extend(grant.id for grant in book.unended(now))
            return [kinds.draft(kind, actor=Actor.of(principal), grant=grant_id) for grant_id in ended]

        def outcome(book: GrantBook) -> list[Grant]:
            return [grant for grant_id in ended if (grant := book.grant(grant_id)) is not None]

        return self._act(principal, "revoke", "everyone", judge, outcome)

    def break_glass(
        self, principal: Principal, *, profile: str, reason: str, ticket: str, target: str = "", minutes: int | None = None
    ) -> Grant:
        """
        Take access at once, for an emergency. Everybody is told, and somebody else must review it afterwards.

        Raises `UsageError`, `NotPermittedError` or `AccessError` where the profile does not allow it.
        """
        grant_id = f"g-{secrets.token_hex(6)}"

        def judge(book: GrantBook, now: datetime) -> list[Draft]:
            wanted = self._policy.profile(profile)
            rules.may_hold(self._policy, principal.name, principal.groups, wanted, service=bool(principal.on_behalf_of))
            rules.may_break_glass(book, wanted, principal, now)
            most = wanted.break_glass_minutes
            if minutes is not None and (type(minutes) is not int or not 1 <= minutes <= most):
                raise UsageError(
                    f"A broken glass lasts {most} minutes at most under the profile {wanted.name}.",
                    advice=f"Take 1 to {most} minutes; ask for more in the ordinary way meanwhile.",
                )
            kind = kinds.AccessBreakGlass(
                profile=wanted.name,
                reason=rules.reason(reason, wanted.shortest_reason),
                ticket=rules.ticket(ticket, wanted.ticket_pattern),
                target=rules.target(target, wanted),
                not_before=format_time(now),
                not_after=format_time(now + timedelta(minutes=most if minutes is None else minutes)),
            )
            return [kinds.draft(kind, actor=Actor.of(principal), grant=grant_id)]

        return self._act(principal, "break_glass", profile, judge, lambda book: book.grant(grant_id))

    def review(self, principal: Principal, grant_id: str, *, justified: bool, comment: str) -> Grant:
        """Judge what was done under a broken glass, after it ended. Not by whoever broke it."""

        def judge(book: GrantBook, now: datetime) -> Draft:
            grant = rules.known_grant(book, grant_id)
            rules.may_review(self._policy, principal, grant, now)
            kind = kinds.AccessReviewed(justified=bool(justified), comment=rules.reason(comment, 1))
            return kinds.draft(kind, actor=Actor.of(principal), grant=grant.id)

        return self._act(principal, "review", grant_id, judge, lambda book: book.grant(grant_id))

    def register_key(self, principal: Principal, *, key: str, proof: str, replaces: str = "", vouched: str = "") -> ApproverKey:
        """Register the key that an approver signs with from now on (docs/signed-approvals.md). Raises `NotPermittedError`."""
        kind = kinds.AccessKeyRegistered(key=key, proof=proof, replaces=replaces, vouched=vouched)

        def judge(book: GrantBook, _: datetime) -> Draft:
            signatures.may_register(book, principal, kind)
            return kinds.draft(kind, actor=Actor.of(principal))

        return self._act(principal, "register_key", key, judge, lambda book: book.keys.of(principal.name))

    def withdraw_key(self, principal: Principal, person: str, *, reason: str, signature: str = "") -> ApproverKey:
        """End a key: one's own, or as an admin anybody's. `signature` is that of the key, where it is at hand."""
        ended: list[str] = []

        def judge(book: GrantBook, _: datetime) -> Draft:
            kind = signatures.withdrawal(book, principal, person, reason, signature)
            ended.append(kind.key)
            return kinds.draft(kind, actor=Actor.of(principal))

        def outcome(book: GrantBook) -> ApproverKey | None:
            return next((each for each in book.keys if each.text in ended and each.ended is not None), None)

        return self._act(principal, "withdraw_key", person, judge, outcome)

    def expire(self) -> list[Entry]:
        """Put down, once each, the requests that lapsed and the grants that expired."""

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            book, now = self._newest(reader)
            return [_end(ended) for ended in book.unnoticed_ends(now)]

        with self._lock:
            return self._transact(decide)

    def acknowledge(self, principal: Principal, profile: str, version: str) -> str:
        """
        Put down that somebody read the rules of a profile, of this version; once. Returns the version, whole.

        Raises `AccessError` if the rules are others by now, `NotPermittedError` if they may not hold the profile.
        """

        def judge(book: GrantBook, now: datetime) -> list[Draft]:
            wanted = self._policy.profile(profile)
            rules.may_acknowledge(self._policy, principal, wanted, version)
            whole = inwords.version(wanted)
            if book.acknowledged(principal.name, wanted.name, whole):
                return []
            return [kinds.draft(kinds.AccessAcknowledged(wanted.name, whole), actor=Actor.of(principal))]

        def outcome(book: GrantBook) -> str | None:
            whole = inwords.version(self._policy.profile(profile))
            return whole if book.acknowledged(principal.name, profile, whole) else None

        return self._act(principal, "acknowledge", profile, judge, outcome)

    def say(self, principal: Principal, text: str, about: int | None = None) -> int:
        """
        Put down what got in somebody's way; return the number of the entry that it is about, or -1.

        `about` None: their newest refusal or wait of the last hour, if there is one. Raises `UsageError` for a text that
        cannot be kept, `NotFoundError` for an entry that is not theirs.
        """
        found = [-1]

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            now = self._newest(reader)[1]
            entry = feedback.subject(reader, principal.name, about, now)
            found.append(-1 if entry is None else entry.seq)
            return [feedback.draft(principal, text, entry)]

        with self._lock:
            self._transact(decide)
        return found[-1]

    def end_with_ticket(self, grant_id: str, why: str) -> list[Entry]:
        """Revoke a grant, as the server, because of its ticket. Does nothing if it has ended already."""

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            book, now = self._newest(reader)
            if all(grant.id != grant_id for grant in book.unended(now)):
                return []
            return [kinds.draft(kinds.AccessRevoked(rules.printable(why, LONGEST_CAUSE)), grant=grant_id)]

        with self._lock:
            return self._transact(decide)

    # --- before the ledger is locked ----------------------------------------------------------------

    def _seen_for(self, principal: Principal, profile_name: str, ticket: str) -> Seen | None:
        """Ask the tracker for somebody who wants access; not for whoever may not have it: `judge` says so."""
        profile = self._policy.profiles.get(profile_name)
        try:
            if profile is None or not profile.checks_tickets:
                return None
            rules.may_ask(self._policy, principal, profile)
            return self._seen(profile, rules.ticket(ticket, profile.ticket_pattern), principal.name)
        except (AccessError, UsageError):
            return None

    def _seen(self, profile: Profile | None, ticket: str, person: str) -> Seen | None:
        """Return what the tracker of a profile says; None where none is asked."""
        if profile is None or not profile.checks_tickets:
            return None
        return self._tickets.ask(profile, ticket, person)

    def _peek(self, read: Callable[[GrantBook], T | None]) -> T | None:
        """Return what the book says now, to prepare a judgement; None where no profile needs it."""
        found: list[T | None] = [None]
        if not any(profile.checks_tickets for profile in self._policy.profiles.values()):
            return None

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            found.append(read(self._newest(reader)[0]))
            return []

        with self._lock:
            self._transact(decide)
        return found[-1]

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
                judged = judge(book, now)
                return judged if isinstance(judged, list) else [judged]
            except (AccessError, UsageError) as error:
                refused.append(error)
                cause = rules.printable(str(error), LONGEST_CAUSE)
                kind = kinds.AccessRefused(action=action, target=rules.printable(target), cause=cause)
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

    def _grant(
        self,
        book: GrantBook,
        principal: Principal,
        request: Request,
        profile: Profile,
        grant_id: str,
        signed: Signed,
        now: datetime,
    ) -> Draft:
        """Return the approval of a request for a new grant."""
        # A policy that was tightened meanwhile holds for what was asked for before.
        wanted = min(request.duration, timedelta(minutes=profile.longest_minutes))
        not_before = max(now, request.starts or now)
        if request.takes_over:
            wanted = min(wanted, rules.live_grant(book, request.takes_over, now).not_after - now)
        rules.within_budget(book, profile, request.principal, wanted, now)
        kind = kinds.AccessApproved(
            request=request.id,
            principal=request.principal,
            vouched_by=request.vouched_by,
            profile=profile.name,
            not_before=format_time(not_before),
            not_after=format_time(rules.end_of(profile, not_before, wanted)),
            self_approved=request.is_of(principal.name),
            solo=self._policy.solo,
            takes_over=request.takes_over,
            statement=signed.statement,
            signature=signed.signature,
        )
        return kinds.draft(kind, actor=Actor.of(principal), grant=grant_id)

    def _extension(
        self, book: GrantBook, principal: Principal, request: Request, profile: Profile, signed: Signed, now: datetime
    ) -> Draft:
        """Return the approval of a request for more time: never more in all than the profile gives at once."""
        grant = rules.live_grant(book, request.extends, now)
        rules.may_extend(book, profile, grant, now)
        rules.within_budget(book, profile, request.principal, request.duration, now)
        most = grant.not_before + timedelta(minutes=profile.longest_minutes)
        not_after = min(grant.not_after + request.duration, most)
        if profile.hours is not None:
            not_after = min(not_after, rules.end_of(profile, now, not_after - now))
        if not_after <= grant.not_after:
            raise AccessError(
                f"The grant {grant.id} cannot last longer than until {format_time(grant.not_after)} "
                f"under the profile {profile.name}.",
                advice="Ask for a new one when it has ended.",
            )
        kind = kinds.AccessExtended(
            request=request.id,
            not_after=format_time(not_after),
            self_approved=request.is_of(principal.name),
            solo=self._policy.solo,
            statement=signed.statement,
            signature=signed.signature,
        )
        return kinds.draft(kind, actor=Actor.of(principal), grant=grant.id)

    @staticmethod
    def _left_to_take_over(
        book: GrantBook, principal: Principal, profile: Profile, grant_id: str, now: datetime
    ) -> timedelta:
        grant = rules.live_grant(book, grant_id, now)
        if same_person(grant.principal, principal.name):
            raise AccessError(f"The grant {grant.id} is yours already.")
        if grant.profile != profile.name:
            raise UsageError(
                f"The grant {grant.id} is of the profile {grant.profile}.", advice=f"Ask with --profile {grant.profile}."
            )
        return timedelta(seconds=max(1, int((grant.not_after - now).total_seconds())))


def _end(ended: Request | Grant) -> Draft:
    """Return the entry that says that a request lapsed, or that a grant expired."""
    if isinstance(ended, Request):
        return kinds.draft(kinds.AccessLapsed(ended.id))
    return kinds.draft(kinds.AccessExpired(format_time(ended.not_after)), grant=ended.id)
