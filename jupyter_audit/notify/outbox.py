"""
What is owed to whom, folded from entries in ledger order (P4). Pure, with the clock as an argument.

What has been told is an entry; what ought to have been and was not is still owed, also by the next server. Each target is
told each event in the order of the ledger, so one number says how far it is. Bounded: of what a target is owed only the
newest `MOST_OWED` of an event are kept, the others are counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import RequestState
from jupyter_audit.access.holds import HoldState
from jupyter_audit.access.policy import Policy
from jupyter_audit.errors import LedgerError
from jupyter_audit.hints import through_server
from jupyter_audit.model import Entry, Role
from jupyter_audit.notify import events
from jupyter_audit.notify.events import EVENTS, Notice
from jupyter_audit.notify.routes import Routes, reached
from jupyter_audit.record import kinds

MOST_OWED = 500
LISTED = 10
"""Things that one message lists; the others it counts."""

MOST_AGE = timedelta(days=30)
"""What could not be told for so long is given up, with an entry that says so."""

ALERTS = (kinds.AlertRouted.TYPE, kinds.AlertSent.TYPE, kinds.AlertFailed.TYPE)
TELLING = (
    kinds.AccessBreakGlass.TYPE,
    kinds.AccessRequested.TYPE,
    kinds.AccessRevoked.TYPE,
    kinds.CellHeld.TYPE,
    kinds.FindingRaised.TYPE,
    kinds.WitnessAlarm.TYPE,
)
"""The types from which notices are made."""

Pair = tuple[str, str]
"""An event and a target."""


@dataclass(frozen=True, slots=True)
class Owed:
    """What one message to one target is about: the notices, oldest first, and how many older ones are only counted."""

    event: str
    target: str
    notices: tuple[Notice, ...]
    older: int = 0

    @property
    def count(self) -> int:
        """Of how many things it tells."""
        return len(self.notices) + self.older

    @property
    def through(self) -> int:
        """The newest entry that it tells of; -1 if it is of none."""
        return max(notice.seq for notice in self.notices)

    @property
    def about(self) -> list[str]:
        """The keys of what is of no entry."""
        return [notice.key for notice in self.notices if notice.seq < 0]


@dataclass(slots=True)
class _Kept:
    """Of one event: the newest notices, how many were dropped, and up to which entry."""

    notices: deque[Notice] = field(default_factory=deque)
    dropped: list[int] = field(default_factory=list)


class Outbox:
    """Follows the entries of one ledger. Belongs to one thread. `failing` are the targets that took nothing last."""

    def __init__(self, routes: Routes, policy: Policy) -> None:
        self._routes = routes
        self._policy = policy
        self._kept: dict[str, _Kept] = {name: _Kept() for name in EVENTS}
        self._begins: dict[Pair, int] = {}
        self._through: dict[Pair, int] = {}
        self._about: dict[Pair, set[str]] = {}
        self._glasses: set[int] = set()
        self.failing: set[str] = set()

    def take(self, entry: Entry) -> None:
        """Take in one more entry; what is not as its kind says has no effect."""
        try:
            match entry.type:
                case kinds.AlertRouted.TYPE:
                    self._routed(entry)
                case kinds.AlertSent.TYPE:
                    sent = kinds.read(entry, kinds.AlertSent)
                    self.told(sent.event, sent.target, sent.through, sent.about)
                    self.failing.discard(sent.target)
                case kinds.AlertFailed.TYPE:
                    failed = kinds.read(entry, kinds.AlertFailed)
                    self.failing.add(failed.target)
                    if failed.given_up is True:
                        self.told(failed.event, failed.target, failed.through, failed.about)
                case kinds.AccessBreakGlass.TYPE:
                    self._glasses.add(entry.seq)
                    self._keep(events.break_glass(entry, self._answers(str(entry.body.get("profile")))))
                case kinds.AccessRequested.TYPE:
                    self._keep(events.request_waiting(entry, self._answers(str(entry.body.get("profile")))))
                case kinds.CellHeld.TYPE:
                    self._keep(events.cell_waiting(entry, self._answers(str(entry.body.get("profile")))))
                case kinds.FindingRaised.TYPE if self._routes.counts(str(entry.body.get("level"))):
                    self._keep(events.finding(entry))
                case kinds.WitnessAlarm.TYPE if entry.body.get("stands") is True:
                    self._keep(events.witness_alarm(entry))
                case kinds.AccessRevoked.TYPE if entry.body.get("everyone") is True:
                    self._revoked(entry)
        except (LedgerError, TypeError, ValueError, AttributeError):
            return

    def told(self, event: str, target: str, through: int, about: Iterable[str]) -> None:
        """Note that a target has been told (or will not be) of an event up to an entry, and of what `about` names."""
        pair = (event, target)
        self._through[pair] = max(self._through.get(pair, -1), through)
        self._about.setdefault(pair, set()).update(about)

    def owed(self, book: GrantBook, now: datetime, states: Sequence[Notice] = ()) -> list[Owed]:
        """
        Return what is owed to each target now. `states` are notices of what no entry tells (recording that fails).

        What has become idle to tell (a request that was answered) is not owed any more.
        """
        timed = [*self._timed(book, now), *states]
        found: list[Owed] = []
        for event, kept in self._kept.items():
            pending = [n for n in (*kept.notices, *(t for t in timed if t.event == event)) if not _is_idle(n, book, now)]
            for target in sorted(reached(event, self._routes.routes, self._routes.targets, self._routes.people)):
                wanted = [notice for notice in pending if self._is_owed(notice, target)]
                if wanted:
                    after = self._after((event, target))
                    older = len([seq for seq in kept.dropped if seq > after])
                    found.append(Owed(event, target, tuple(wanted), older))
        return found

    def too_old(self, owed: Owed, now: datetime) -> Owed | None:
        """Return the part of what is owed that is given up, if it could not be told by now."""
        old = tuple(notice for notice in owed.notices if now - notice.since > MOST_AGE)
        return replace(owed, notices=old) if old else None

    def _is_owed(self, notice: Notice, target: str) -> bool:
        pair = (notice.event, target)
        if notice.seq >= 0 and notice.seq <= self._after(pair):
            return False
        if notice.seq < 0 and notice.key in self._about.get(pair, ()):
            return False
        if notice.event == "finding" and self._is_echo(notice):
            # Whoever is told of the broken glass itself need not hear of it twice.
            return self._routes.tells(notice, target) and not self._routes.tells(replace(notice, event="break_glass"), target)
        return self._routes.tells(notice, target)

    def _is_echo(self, notice: Notice) -> bool:
        """Say whether a finding says no more than that a glass was broken, which is an event of its own."""
        return bool(notice.entries) and self._glasses.issuperset(notice.entries)

    def _after(self, pair: Pair) -> int:
        """Return the entry up to which a target is owed nothing of an event: told, or from before it was a target of it."""
        begin = self._begins.get(pair)
        return max(self._through.get(pair, -1), begin if begin is not None else 2**62)

    def _routed(self, entry: Entry) -> None:
        said = kinds.read(entry, kinds.AlertRouted)
        routes = {name: tuple(map(str, words)) for name, words in said.routes.items()}  # type: ignore[arg-type]
        people = {name: tuple(map(str, words)) for name, words in said.people.items()}  # type: ignore[arg-type]
        pairs = {(name, target) for name in routes for target in reached(name, routes, list(said.targets), people)}
        self._begins = {pair: self._begins.get(pair, entry.seq) for pair in pairs}

    def _revoked(self, entry: Entry) -> None:
        notices = self._kept["revoked_everyone"].notices
        last = notices[-1] if notices else None
        if last is not None and last.seq == entry.seq - 1 and last.holder == entry.actor.name:
            notices.pop()
            self._keep(events.revoked_everyone(entry, last.count + 1))
        else:
            self._keep(events.revoked_everyone(entry))

    def _keep(self, notice: Notice) -> None:
        kept = self._kept[notice.event]
        kept.notices.append(notice)
        if len(kept.notices) > MOST_OWED:
            kept.dropped.append(kept.notices.popleft().seq)

    def forget_told(self) -> None:
        """Drop the notices that every target of theirs was told."""
        for event, kept in self._kept.items():
            targets = reached(event, self._routes.routes, self._routes.targets, self._routes.people)
            after = min((self._after((event, target)) for target in targets), default=2**62)
            while kept.notices and kept.notices[0].seq <= after:
                kept.notices.popleft()
            kept.dropped = [seq for seq in kept.dropped if seq > after]

    def _timed(self, book: GrantBook, now: datetime) -> list[Notice]:
        lead = timedelta(minutes=self._routes.ending_minutes)
        patience = timedelta(hours=self._routes.review_hours)
        found = [events.grant_ending(grant, now, lead) for grant in book.unended(now)]
        found += [
            events.review_overdue(grant, self._answers(grant.profile), now, patience) for grant in book.unreviewed(now)
        ]
        return [notice for notice in found if notice is not None]

    def _answers(self, profile_name: str) -> tuple[str, ...]:
        profile = self._policy.profiles.get(profile_name)
        return (profile.approvers if profile else ()) or self._policy.roles.get(Role.APPROVER, ())


def _is_idle(notice: Notice, book: GrantBook, now: datetime) -> bool:
    """Say whether a notice need not be told any more: its request or held cell has been answered, or is too old to be."""
    if not notice.request:
        return False
    if notice.event == "cell_waiting":
        hold = book.hold(notice.request)
        return hold is None or hold.state(now) is not HoldState.WAITING
    request = book.request(notice.request)
    return request is None or request.state(now) is not RequestState.PENDING


def compose(owed: Owed, link: str, *, server: str = "") -> tuple[str, str]:
    """
    Return title and text of the message: the newest things, in facts, and how many more there are.

    `link` is the panel's address. Commands to answer with name `server`, where it is not empty.
    """
    newest = owed.notices[-1]
    more = owed.count - 1
    title = newest.title if not more else f"{newest.title}, and {more} more"
    if more and owed.event == "request_waiting":
        title = f"{owed.count} requests wait for an answer"
    parts = []
    for notice in reversed(owed.notices[-LISTED:]):
        head = [] if not more else [notice.title]
        entry = [f"Entry: {notice.seq}"] if notice.seq >= 0 else []
        parts.append("\n".join([*head, *(f"{name}: {value}" for name, value in notice.facts), *entry,
                                f"Since: {notice.since:%Y-%m-%d %H:%M:%S} UTC"]))  # fmt: skip
    left_out = owed.count - min(len(owed.notices), LISTED)
    if left_out:
        parts.append(f"… and {left_out} older.")
    text = "\n\n".join([*parts, f"Panel: {link}"])
    return f"[Jupyter Audit] {title}", through_server(text, server) if server else text
