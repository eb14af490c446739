"""The page in the states that a good server never shows: each must still be a page, and say what is the case."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger
from jupyter_audit.ledger.schema import OBJECTS
from jupyter_audit.model import Actor, Content, Draft, Principal, Role
from jupyter_audit.notify.routes import Routes
from jupyter_audit.record import kinds
from jupyter_audit.server import overview
from jupyter_audit.server.overview import MOST_REFUSALS
from jupyter_audit.server.panel import PanelHandler
from jupyter_audit.server.services import Services
from jupyter_audit.server.sight import SessionOwners
from jupyter_audit.settings import JupyterAudit

ERIN = Principal("erin", "Hub", frozenset({Role.ENGINEER}))
ANA = Principal("ana", "Hub", frozenset({Role.APPROVER}))
SESSION, KERNEL = "s-0123456789ab", "00000000-0000-0000-0000-000000000000"


@dataclass
class SetClock:
    """A clock that a test sets."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 11, 24, 12, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment


@dataclass
class Stage:
    """A ledger, and a server that is in the state that a test wants."""

    home: Home
    ledger: Ledger
    clock: SetClock
    policy: Policy
    failing: float = 0.0
    unassured: tuple[str, ...] = ()
    isolation: str = "landlock"
    routes: Routes = field(default_factory=lambda: Routes.from_settings(JupyterAudit(), Home(Path("/nowhere"))))

    @property
    def access(self) -> AccessService:
        return AccessService(self.ledger.transact, self.policy, self.clock)

    def page(self, principal: Principal) -> str:
        """Return the page that this principal sees."""
        owners, book = SessionOwners(), GrantBook()
        services = SimpleNamespace(
            book=book,
            policy=self.policy,
            sessions=SimpleNamespace(all=lambda: ()),
            server_id="0123456789ab",
            isolation=SimpleNamespace(rung=SimpleNamespace(value=self.isolation), why="a test says so"),
            assessment=SimpleNamespace(assured=("it is a test",), unassured=self.unassured),
            alert_routes=self.routes,
            gate=SimpleNamespace(held={}, each_cell=frozenset()),
            recorder=SimpleNamespace(failing_for=lambda: self.failing),
        )
        with LedgerReader.open(self.home.ledger) as reader:
            book.refresh(reader)
            owners.refresh(reader)
            sight = owners.sight_of(principal, book)
            ledger = overview.look(reader, sight, frozenset(), lambda session, _: owners.owner_of(session), self.routes)
        standing = overview.standing(cast(Services, services), principal, book.now(self.clock.now()))
        passkeys = {"own": [], "has_key": False, "waiting": [], "usable": False, "why_not": "a test says so"}
        given: dict[str, Any] = {"api": "/a/", "static": "/s/", "themes": {}, "xsrf": "x", "passkeys": passkeys}
        return PanelHandler._templates.get_template("panel.html").render(**standing, ledger=ledger, **given)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    home, clock = Home(tmp_path / "audit"), SetClock()
    create_ledger(home, clock=clock, actor=Actor("adam", "os-account"))
    ledger = open_ledger(home, clock=clock)
    settings = JupyterAudit(roles={"engineer": ["erin"], "approver": ["ana"]})
    yield Stage(home, ledger, clock, Policy.from_settings(settings))
    ledger.close()


def request(stage: Stage) -> str:
    made = stage.access.request(ERIN, profile="production-debug", reason="totals are off", ticket="SHOP-9")
    return made.id


def test_a_server_that_cannot_record_says_that_nothing_runs(stage: Stage) -> None:
    stage.failing = 3.0
    assert "Recording fails, so nothing runs" in stage.page(ERIN)


def test_what_a_server_could_not_assure_is_said_to_everybody(stage: Stage) -> None:
    stage.unassured, stage.isolation = ("terminals are <off>",), "none"
    page = stage.page(ERIN)
    assert "<li>terminals are &lt;off&gt;</li>" in page
    assert "Kernels are not isolated here" in page


def test_a_request_that_nobody_could_approve_is_not_asked_for(stage: Stage) -> None:
    stage.policy = Policy.from_settings(JupyterAudit(roles={"engineer": ["erin"]}))
    page = stage.page(ERIN)
    assert "no approver is named" in page
    assert "ask-form" not in page


def test_who_holds_no_role_is_told_who_gives_them(stage: Stage) -> None:
    page = stage.page(Principal("nina", "Hub"))
    assert "c.JupyterAudit.roles" in page
    assert "without a role" in page
    assert "ask-form" not in page


def test_a_request_that_lapsed_is_said_for_a_while(stage: Stage) -> None:
    request(stage)
    assert "Your request waits for an answer" in stage.page(ERIN)
    stage.clock.moment += timedelta(minutes=61)
    assert "Nobody answered your request for SHOP-9 in time" in stage.page(ERIN)
    stage.clock.moment += timedelta(minutes=61)
    assert "Nobody answered" not in stage.page(ERIN)


def test_a_denial_is_said_until_something_newer_is_asked(stage: Stage) -> None:
    stage.access.deny(ANA, request(stage), "not <now>")
    page = stage.page(ERIN)
    assert "ana denied your request for SHOP-9" in page
    assert "not &lt;now&gt;" in page
    request(stage)
    assert "denied your request" not in stage.page(ERIN)


def test_a_grant_of_others_is_no_buttons_to_an_engineer(stage: Stage) -> None:
    grant = stage.access.approve(ANA, request(stage))
    assert "Approved by</dt><dd>ana" in stage.page(ERIN)
    assert f"grants/{grant.id}/revoke" in stage.page(ANA)
    stage.clock.moment += timedelta(minutes=31)
    assert "You have no access now" in stage.page(ERIN)


def test_a_yes_that_must_be_signed_is_no_button_but_a_command_for_the_approvers_machine(stage: Stage) -> None:
    made = request(stage)
    assert f"approve-{made}" in stage.page(ANA)
    roles = {"engineer": ["erin"], "approver": ["ana"]}
    profiles = {"production-debug": {"signed_approvals": True}}
    stage.policy = Policy.from_settings(JupyterAudit(roles=roles, profiles=profiles))
    page = stage.page(ANA)
    assert f"approve-{made}" not in page
    assert f"jupyter audit approve {made} --sign" in page
    assert f"deny-{made}" in page
    assert "--sign" not in stage.page(ERIN)


def test_purged_unfinished_and_unknown_things_are_still_rows(stage: Stage) -> None:
    erin = Actor.of(ERIN)
    message = Content(json.dumps({"code": "the secret"}).encode(), "application/json")
    admitted = kinds.CellAdmitted(KERNEL, "m", "shell", "", False, True, 3, False)
    finding = kinds.FindingRaised("r", "A title", "unheard-of", "It <matters>.", list(range(9)))
    entries = stage.ledger.append(
        [
            kinds.draft(kinds.SessionStarted("x", KERNEL, "audit", "none", ""), actor=erin, session=SESSION),
            kinds.draft(admitted, actor=erin, session=SESSION, contents={"message": message}),
            kinds.draft(kinds.MessageRefused(KERNEL, "m", "", "shell", "new_cause"), actor=erin, session=SESSION),
            kinds.draft(kinds.SessionRefused("audit", "gate"), actor=erin),
            kinds.draft(finding, session=SESSION),
        ]
    )
    with sqlite3.connect(stage.home.ledger) as purge:
        purge.execute("DROP TRIGGER content_kept")
        purge.execute("DELETE FROM content WHERE seq = ?", (entries[1].seq,))
        purge.execute(OBJECTS["trigger", "content_kept"])
    for page in (stage.page(ERIN), stage.page(ANA)):
        assert "(purged)" in page
        assert "the secret" not in page
        assert "unfinished" in page
        assert "new_cause" in page
        assert "a message that does not parse" in page
        assert "the gate does not let it start" in page
        assert "It &lt;matters&gt;." in page
        assert "0, 1, 2, 3, 4, 5, …" in page
    assert "It &lt;matters&gt;." not in stage.page(Principal("otto", "Hub", frozenset({Role.ENGINEER})))


def test_what_jupyterlab_asks_by_itself_does_not_hide_what_people_tried(stage: Stage) -> None:
    erin = Actor.of(ERIN)

    def refused(msg_type: str, asked: object) -> Draft:
        content = Content(json.dumps(asked).encode(), "application/json")
        kind = kinds.MessageRefused(KERNEL, "m", msg_type, "control", "no_grant")
        return kinds.draft(kind, actor=erin, session=SESSION, contents={"message": content})

    peoples = {
        "debug_request evaluate": refused("debug_request", {"type": "request", "command": "evaluate"}),
        "history_request search": refused("history_request", {"hist_access_type": "search", "pattern": "*password*"}),
        "comm_open mine": refused("comm_open", {"target_name": "mine", "data": {}}),
        "comm_msg update": refused("comm_msg", {"data": {"method": "update"}}),
        "comm_msg": refused("comm_msg", {"data": [{"method": "request_states"}]}),
    }
    its_own = [
        refused("history_request", {"hist_access_type": "tail", "n": 10, "output": False, "raw": True}),
        refused("comm_open", {"target_name": "jupyter.widget.control", "data": {}}),
        refused("comm_msg", {"data": {"method": "request_states"}}),
        *(refused("debug_request", {"type": "request", "command": "debugInfo"}) for _ in range(MOST_REFUSALS + 5)),
    ]

    stage.ledger.append([kinds.draft(kinds.SessionStarted("x", KERNEL, "audit", "none", ""), actor=erin, session=SESSION)])
    tried = stage.ledger.append(list(peoples.values()))
    newest = stage.ledger.append(its_own)[-1].seq
    for page in (stage.page(ERIN), stage.page(ANA)):
        listed, _, routine = page.partition('<details id="routine">')
        for what, entry in zip(peoples, tried, strict=True):
            assert f"<td>{entry.seq}</td>" in listed
            assert f"<code>{what}</code>" in listed
        assert "debugInfo" not in listed
        assert f"{len(its_own)} questions of JupyterLab’s own" in routine
        assert f"{len(its_own)} times, the last one entry {newest} at" in routine


def test_a_glass_that_alerts_nobody_and_a_target_that_takes_nothing_are_said_loudly(stage: Stage) -> None:
    stage.policy = Policy.from_settings(JupyterAudit(profiles={"emergency": {"break_glass": True}}, roles={"approver": ["ana"]}))
    assert "A broken glass alerts nobody." in stage.page(ERIN)
    stage.routes = Routes.from_settings(JupyterAudit(alert_targets={"oncall": "json://127.0.0.1/s3cret"}), stage.home)
    failed = kinds.AlertFailed("finding", "oncall", 3, 5, [], "it is <down>", True)
    stage.ledger.append([kinds.draft(failed)])
    page = stage.page(ANA)
    assert "A broken glass alerts nobody." not in page
    assert "Alerts do not reach oncall</strong> (json) since" in page
    assert "it is &lt;down&gt;" in page
    assert "3 alerts for oncall never arrived" in page
    assert "s3cret" not in page
    assert "oncall" not in stage.page(ERIN)
