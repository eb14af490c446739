"""
Who may see what of the ledger: auditors, approvers and admins all of it, anybody else what is their own.

One's own is what one did, one's requests and grants and what was answered to them, and everything in one's
sessions. Deciding is pure; the projections here are caches of entries that can be dropped at any time (P4).
Keeps P9: says which entries are somebody else's, so that reading them can be put down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jupyter_audit.access.book import GrantBook
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import SERVER, Entry, Principal, Role
from jupyter_audit.record import kinds

SEES_ALL = frozenset({Role.APPROVER, Role.AUDITOR, Role.ADMIN})

NOTED_EVERY_S = 600.0
"""A page that refreshes itself must not flood the ledger with the fact that it is open."""


def sees_all(principal: Principal) -> bool:
    """Say whether a principal may read other people's entries."""
    return bool(SEES_ALL & principal.roles)


@dataclass(frozen=True, slots=True)
class Sight:
    """What one principal may see. `newest_sessions` are the last few of `sessions`, newest first."""

    name: str
    everything: bool
    requests: frozenset[str] = frozenset()
    grants: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    newest_sessions: tuple[str, ...] = ()

    def owns(self, entry: Entry) -> bool:
        """Say whether the entry is about the principal themselves."""
        request = entry.body.get("request")
        return (
            (entry.actor.name == self.name and entry.actor.vouched_by != SERVER.vouched_by)
            or entry.session in self.sessions
            or entry.grant in self.grants
            or (isinstance(request, str) and request in self.requests)
        )

    def may_see(self, entry: Entry) -> bool:
        """Say whether the entry may be shown to the principal."""
        return self.everything or self.owns(entry)

    def is_anothers(self, entry: Entry) -> bool:
        """Say whether the entry is about another person: showing it is put down (P9)."""
        nobodys = entry.actor == SERVER and entry.session is None and entry.grant is None
        return not nobodys and not self.owns(entry)


class SessionOwners:
    """Whose each session was, from `session.started` entries. Belongs to one thread."""

    MOST_NEWEST = 8

    def __init__(self) -> None:
        self._owner: dict[str, str] = {}
        self._sessions: dict[str, list[str]] = {}
        self._next = 0

    def refresh(self, reader: LedgerReader) -> None:
        """Take in what was appended since the last time."""
        size = reader.size()
        if size == self._next:
            return
        for entry in reader.entries(start=self._next, stop=size, types=(kinds.SessionStarted.TYPE,)):
            if entry.session is not None and entry.session not in self._owner:
                self._owner[entry.session] = entry.actor.name
                self._sessions.setdefault(entry.actor.name, []).append(entry.session)
        self._next = size

    def owner_of(self, session: str | None) -> str | None:
        """Return who owned a session."""
        return self._owner.get(session or "")

    def sight_of(self, principal: Principal, book: GrantBook) -> Sight:
        """Return what a principal may see, by what was taken in so far."""
        sessions = self._sessions.get(principal.name, [])
        return Sight(
            name=principal.name,
            everything=sees_all(principal),
            requests=frozenset(r.id for r in book.all_requests() if r.principal == principal.name),
            grants=frozenset(g.id for g in book.grants() if g.principal == principal.name),
            sessions=frozenset(sessions),
            newest_sessions=tuple(reversed(sessions[-self.MOST_NEWEST :])),
        )


class ReadNotes:
    """Remembers for a while what reading was put down. `tick` tells monotonic seconds."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self._tick = tick
        self._noted: dict[tuple[str, ...], float] = {}

    def is_due(self, *what: str) -> bool:
        """Say whether this reading is to be put down now; saying yes counts as having done so."""
        now = self._tick()
        self._noted = {key: at for key, at in self._noted.items() if now - at < NOTED_EVERY_S}
        if what in self._noted:
            return False
        self._noted[what] = now
        return True
