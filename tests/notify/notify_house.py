"""One ledger with a recorder, the acts of access upon it, and runners that tell what it owes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.servers import wait_for

from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger
from jupyter_audit.model import SERVER, Entry, Principal
from jupyter_audit.notify.post import Post
from jupyter_audit.notify.routes import Routes
from jupyter_audit.notify.runner import AlertRunner, Pace
from jupyter_audit.record import kinds
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.settings import JupyterAudit

SETTINGS: dict[str, Any] = {
    "roles": {"engineer": ["ada", "bob"], "approver": ["bob", "cyn"], "admin": ["dan"]},
    "profiles": {"production-debug": {"break_glass": True, "weekly_break_glass": 10}},
}
LINK = "http://debug.example.org/audit/panel"


class NotifyHouse:
    """The ledger, its recorder, and whoever acts. Runners that nobody closes are as good as killed."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.home = Home(folder / "audit")
        create_ledger(self.home, clock=self.clock, actor=SERVER)
        self.recorder = Recorder(lambda: open_ledger(self.home, clock=self.clock))
        self.reader = LedgerReader.open(self.home.ledger)
        self.policy = Policy.from_settings(JupyterAudit(**SETTINGS))
        self.access = AccessService(lambda decide: self.recorder.transact(decide).result(), self.policy, self.clock)

    def settings(self, **given: Any) -> JupyterAudit:
        return JupyterAudit(**{**SETTINGS, **given})

    def runner(self, recorder: Any = None, deadline_s: float = 5.0, **given: Any) -> AlertRunner:
        """Start a runner for these settings; it has begun once its targets are in the ledger."""
        settings = self.settings(**given)
        before = len(self.entries("alert.routed"))
        routes = Routes.from_settings(settings, self.home)
        newest = self.entries("alert.routed")[-1:]
        runner = AlertRunner(
            routes, self.home, recorder or self.recorder, self.policy, self.clock,
            link=lambda: LINK, server="5e4", post=Post(deadline_s), pace=Pace(0.2, 0.5),
        )  # fmt: skip
        runner.start()
        if recorder is None and not (newest and dict(newest[0].body) == routes.to_json()):
            wait_for(lambda: len(self.entries("alert.routed")) > before, "the routes to be put down")
        return runner

    def person(self, name: str) -> Principal:
        return Principal(name, "test", self.policy.roles_of(name))

    def ask(self, name: str = "ada", reason: str = "orders are stuck") -> str:
        return self.access.request(self.person(name), profile="production-debug", reason=reason, ticket="T-1").id

    def break_glass(self, name: str = "ada", reason: str = "shop is down") -> str:
        return self.access.break_glass(self.person(name), profile="production-debug", reason=reason, ticket="T-9").id

    def find(self, level: str, *entries: int, title: str = "Mass read") -> Entry:
        kind = kinds.FindingRaised("r", title, level, "ada read the whole table.", entries)
        return self.recorder.record(kinds.draft(kind)).result()

    def entries(self, *types: str) -> list[Entry]:
        return list(self.reader.entries(types=types))

    def await_entry(self, kind: str, matches: Callable[[Entry], bool] = lambda _: True) -> Entry:
        found: Entry = wait_for(lambda: next((e for e in self.entries(kind) if matches(e)), None), f"an entry {kind}")
        return found

    def close(self) -> None:
        self.recorder.close()
        self.reader.close()
