"""
Requests, answers and revocations: each judged against the newest entries, with the ledger's write lock held.

What may be asked for stands in `asking`, how it is answered in `answering`; here is the way of every act (`_act`).
So concurrent answers are decided by ledger order, and nothing but entries decides (P4). An act that a rule forbids
is an entry too (`access.refused`), then an error for whoever tried.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar, cast

from jupyter_audit.access import answering, asking, cellanswers, feedback, inwords, leavers, rules, signatures
from jupyter_audit.access.approverkeys import ApproverKey
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.cellsigning import CELL_APPROVAL
from jupyter_audit.access.ceremonies import Ceremonies
from jupyter_audit.access.grants import Grant, GrantState, Request
from jupyter_audit.access.holds import Hold
from jupyter_audit.access.leavers import Known
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.signing import APPROVAL, Signed
from jupyter_audit.access.tickets import Seen, Tickets
from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import AccessError, LedgerError, NotPermittedError, UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import SERVER, Actor, Draft, Entry, Principal, Role
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
    one act is done at a time. `book` is the service's own, never one that others use. `ceremonies` is what passkeys are asked to
    sign: nothing that a passkey signed is taken unless it stands there.
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
        self.ceremonies = Ceremonies()
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
        wish = asking.Wish(request_id, profile, reason, ticket, minutes, target, starts, takes_over)
        seen = self._seen_for(principal, profile, ticket)

        def judge(book: GrantBook, now: datetime) -> Draft:
            return kinds.draft(asking.for_grant(self._policy, book, principal, wish, seen, now), actor=Actor.of(principal))

        return self._act(principal, "request", profile, judge, lambda book: book.request(request_id))

    def extend(self, principal: Principal, grant_id: str, *, reason: str, minutes: int | None = None) -> Request:
        """Ask for more time under a grant of one's own. Raises as `request` does, and `NotFoundError`."""
        request_id = f"r-{secrets.token_hex(6)}"
        known = self._peek(lambda book: book.grant(grant_id))
        seen = self._seen_for(principal, known.profile, known.ticket) if known is not None else None

        def judge(book: GrantBook, now: datetime) -> Draft:
            wish = asking.MoreTime(request_id, grant_id, reason, minutes)
            return kinds.draft(asking.for_more_time(self._policy, book, principal, wish, seen, now), actor=Actor.of(principal))

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
        stale = self.ceremonies.spend(principal.name, APPROVAL, signed.statement, signed.signature)

        def judge(book: GrantBook, now: datetime) -> Draft:
            said = answering.yes(self._policy, book, principal, answering.Yes(request_id, grant_id, signed, seen), now)
            signatures.must_be_fresh(stale)
            return said

        def outcome(book: GrantBook) -> Request | Grant | None:
            request = book.request(request_id)
            if request is None or request.answered is None:
                return request if request is not None and principal.name in request.endorsers else None
            return book.grant(request.extends or grant_id)

        return cast(Request | Grant, self._act(principal, "approve", request_id, judge, outcome))

    def deny(self, principal: Principal, request_id: str, reason: str, signed: Signed = UNSIGNED) -> Request:
        """Say no, and why; `signed` holds the same reason. Raises as `approve` does."""
        stale = self.ceremonies.spend(principal.name, APPROVAL, signed.statement, signed.signature)

        def judge(book: GrantBook, now: datetime) -> Draft:
            said = answering.no(book, principal, request_id, reason, signed, now)
            signatures.must_be_fresh(stale)
            return said

        return self._act(principal, "deny", request_id, judge, lambda book: book.request(request_id))

    def approve_cell(self, principal: Principal, hold_id: str, signed: Signed = UNSIGNED) -> Hold:
        """Say yes to one held cell, which runs then, once. Raises as `approve` does."""
        stale = self.ceremonies.spend(principal.name, CELL_APPROVAL, signed.statement, signed.signature)

        def judge(book: GrantBook, now: datetime) -> Draft:
            said = cellanswers.yes(self._policy, book, principal, hold_id, signed, now)
            signatures.must_be_fresh(stale)
            return said

        return self._act(principal, "approve_cell", hold_id, judge, lambda book: _answered(book.hold(hold_id)))

    def deny_cell(self, principal: Principal, hold_id: str, reason: str, signed: Signed = UNSIGNED) -> Hold:
        """Say no to one held cell, and why; `signed` holds the same reason. Raises as `approve` does."""
        stale = self.ceremonies.spend(principal.name, CELL_APPROVAL, signed.statement, signed.signature)

        def judge(book: GrantBook, now: datetime) -> Draft:
            said = cellanswers.no(book, principal, hold_id, reason, signed, now)
            signatures.must_be_fresh(stale)
            return said

        return self._act(principal, "deny_cell", hold_id, judge, lambda book: _answered(book.hold(hold_id)))

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
            kind = kinds.AccessRevoked(rules.reason(reason, 1), everyone=True)
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
        wish = asking.Wish("", profile, reason, ticket, minutes, target)

        def judge(book: GrantBook, now: datetime) -> Draft:
            kind = asking.at_once(self._policy, book, principal, wish, now)
            return kinds.draft(kind, actor=Actor.of(principal), grant=grant_id)

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

    def register_passkey(self, principal: Principal, kind: kinds.AccessPasskeyRegistered, stale: str) -> ApproverKey:
        """Register a passkey. `stale` is what `ceremonies` said of its signatures. Raises `NotPermittedError`."""

        def judge(book: GrantBook, _: datetime) -> Draft:
            signatures.may_register_passkey(book, principal, kind)
            signatures.must_be_fresh(stale)
            return kinds.draft(kind, actor=Actor.of(principal))

        def outcome(book: GrantBook) -> ApproverKey | None:
            return next((each for each, _ in book.keys.passkeys(principal.name) if each.text == kind.key), None)

        return self._act(principal, "register_passkey", kind.label, judge, outcome)

    def withdraw_key(
        self, principal: Principal, person: str, *, reason: str, signature: str = "", key: str = ""
    ) -> ApproverKey:
        """
        End a key or passkey: one's own, or as an admin anybody's.

        `key` is its text (empty: the key that a person has beside their passkeys), `signature` its own, where it is at hand.
        """
        ended: list[str] = []

        def judge(book: GrantBook, _: datetime) -> Draft:
            kind = signatures.withdrawal(book, principal, person, reason, signature, key)
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

    def end_leavers(self, known: Known | None, actor: Actor = SERVER) -> list[Entry]:
        """Close the requests and end the grants of whoever was removed or lost the role; `actor` noticed, or did that."""

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            book, now = self._newest(reader)
            return leavers.to_end(self._policy, book, known, now, actor)

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

    def say(self, principal: Principal, text: str, about: int | None = None, session: str | None = None) -> int:
        """
        Put down what got in somebody's way; return the number of the entry that it is about, or -1.

        `about` None: their newest refusal or wait of the last hour, in this `session` or outside of any. Raises
        `UsageError` for a text that cannot be kept, `NotFoundError` for an entry that is not theirs.
        """
        found = [-1]

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            now = self._newest(reader)[1]
            entry = feedback.subject(reader, principal.name, about, now, session)
            found.append(-1 if entry is None else entry.seq)
            return [feedback.draft(principal, text, entry, session)]

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
                kind = kinds.AccessRefused(action=action, target=rules.printable(target), cause=cause, refusal=error.code)
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


def _answered(hold: Hold | None) -> Hold | None:
    return hold if hold is not None and hold.answered is not None else None


def _end(ended: Request | Grant) -> Draft:
    """Return the entry that says that a request lapsed, or that a grant expired."""
    if isinstance(ended, Request):
        return kinds.draft(kinds.AccessLapsed(ended.id))
    return kinds.draft(kinds.AccessExpired(format_time(ended.not_after)), grant=ended.id)
