"""A clock that the test sets, and a house: one ledger, the policy over it, and whoever acts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.model import SERVER, Draft, Entry, Principal
from jupyter_audit.settings import JupyterAudit

ROLES = {"engineer": ["ada", "bob"], "approver": ["bob", "cyn"], "admin": ["dan"]}


class SetClock:
    """Tells the time that the test sets."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
        self.elapsed = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.elapsed

    def pass_time(self, seconds: float) -> None:
        """Let time pass as it does."""
        self.wall += timedelta(seconds=seconds)
        self.elapsed += seconds

    def set_by(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self.wall += timedelta(seconds=seconds)


class House:
    """One ledger, the policy over it, and whoever acts."""

    def __init__(self, folder: Path, clock: SetClock, **settings: Any) -> None:
        self.clock = clock
        self.home = Home(folder / "audit")
        create_ledger(self.home, clock=clock, actor=SERVER)
        self.ledger = open_ledger(self.home, clock=clock)
        self.policy = Policy.from_settings(JupyterAudit(**{"roles": ROLES, **settings}))
        self.access = AccessService(
            self.ledger.transact, self.policy, clock, book=GrantBook(monotonic=clock.monotonic)
        )
        self.book = GrantBook(monotonic=clock.monotonic)

    def person(self, name: str) -> Principal:
        return Principal(name, "test", self.policy.roles_of(name))

    def ask(self, name: str = "ada", **given: Any) -> str:
        """Ask for a grant and return the request's id."""
        asked = {"profile": "production-debug", "reason": "orders are stuck", "ticket": "T-1", "minutes": 30}
        return self.access.request(self.person(name), **{**asked, **given}).id

    def now(self) -> datetime:
        self.book.refresh(self.ledger)
        return self.book.now(self.clock.now())

    def live(self, name: str = "ada") -> set[str]:
        now = self.now()
        return {grant.id for grant in self.book.live(name, now)}

    def put_down(self, *drafts: Draft) -> list[Entry]:
        """Append as somebody who holds the key and keeps to no rule."""
        return self.ledger.append(drafts)

    def types(self) -> list[str]:
        return [entry.type for entry in self.ledger.entries(start=1)]

    def newest(self) -> Mapping[str, Any]:
        return self.ledger.entry(self.ledger.size() - 1).body

    def close(self) -> None:
        self.ledger.close()
