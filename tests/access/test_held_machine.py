"""
No sequence of acts, hostile entries and passing time ever lets a cell run that its rules forbid.

The rules stand here a second time: a held cell is approved if an approver of its profile, who neither wants it run nor is
whom it is wanted for, said yes while it waited and its grant was in force, and nobody had answered before.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from access_house import House, SetClock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.holds import HoldState
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError
from jupyter_audit.model import Actor, Content, Principal, Role
from jupyter_audit.record import kinds

PICK = st.integers(0, 50)
PEOPLE = st.sampled_from(["ada", "Ada", "bob", "cyn", "dan", "eve", "bot"])
APPROVERS = {"bob", "cyn"}
PROFILES = {
    "production-debug": {"cell_approval": "each", "self_approval": True},
    "agents": {"cell_approval": "each", "services": True, "longest_minutes": 60},
}
BOT = Principal("bot", "test", frozenset({Role.ENGINEER, Role.APPROVER}), on_behalf_of="bob")


def held(house: House, grant: str, owner: str, hold: str = "", **changes: Any) -> str:
    """Have a cell wait, as the gate does; return its id."""
    made = house.book.grant(grant)
    profile = made.profile if made else "production-debug"
    kind = kinds.CellHeld(**{
        "hold": hold or f"h-{secrets.token_hex(6)}", "kernel_id": "k", "msg_id": "m", "channel": "shell", "cell": "", "silent": False,
        "lines": 1, "profile": profile, "lapses": format_time(house.clock.now() + timedelta(minutes=15)),
        "on_behalf_of": "bob" if owner == "bot" else "", "signed_approvals": False, **changes,
    })  # fmt: skip
    contents = {"message": Content(b'{"code":"1"}', "application/json")}
    house.put_down(kinds.draft(kind, actor=Actor(owner, "test"), grant=grant, session="s-1", contents=contents))
    return kind.hold


@dataclass
class Cell:
    owner: str
    grant: str
    lapses: float
    state: str = "waiting"


class WayOfACell(RuleBasedStateMachine):
    """What people, the server, and a key holder without manners can do."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jupyter-audit-test-"))
        self.clock = SetClock()
        roles = {"engineer": ["ada", "bob", "bot"], "approver": ["bob", "cyn"]}
        self.house = House(self.folder, self.clock, profiles=PROFILES, roles=roles)
        self.cells: dict[str, Cell] = {}
        self.ends: dict[str, float] = {}

    def teardown(self) -> None:
        if hasattr(self, "house"):
            self.house.close()
            shutil.rmtree(self.folder)

    def person(self, name: str) -> Principal:
        return BOT if name == "bot" else self.house.person(name)

    def pick(self, number: int) -> tuple[str, Cell] | None:
        return list(self.cells.items())[number % len(self.cells)] if self.cells else None

    def in_force(self, cell: Cell) -> bool:
        return self.clock.elapsed < self.ends[cell.grant]

    @rule(owner=st.sampled_from(["ada", "bob", "bot"]))
    def begin_a_grant(self, owner: str) -> None:
        if len(self.ends) > 4:
            return
        profile = "agents" if owner == "bot" else "production-debug"
        asker = Principal("bot", "test", frozenset({Role.ENGINEER}), on_behalf_of="bob") if owner == "bot" else self.person(owner)
        house = self.house
        request = house.access.request(asker, profile=profile, reason="orders are stuck", ticket="T-1", minutes=10)
        grant = house.access.approve(house.person("cyn"), request.id)
        house.now()
        self.ends[grant.id] = self.clock.elapsed + 600

    @rule(number=PICK)
    def hold_a_cell(self, number: int) -> None:
        if not self.ends:
            return
        grant = list(self.ends)[number % len(self.ends)]
        self.house.now()
        known = self.house.book.grant(grant)
        assert known is not None
        cell = Cell(known.principal, grant, self.clock.elapsed + 900)
        self.cells[held(self.house, grant, known.principal)] = cell

    @rule(who=PEOPLE, number=PICK)
    def approve(self, who: str, number: int) -> None:
        if (picked := self.pick(number)) is None:
            return
        hold, cell = picked
        own = who.casefold() == cell.owner or (cell.owner == "bot" and who == "bob")
        may = who in APPROVERS and not own and cell.state == "waiting" and self.clock.elapsed < cell.lapses
        try:
            self.house.access.approve_cell(self.person(who), hold)
        except AccessError:
            assert not (may and self.in_force(cell))
        else:
            assert may
            assert self.in_force(cell)
            cell.state = "approved"

    @rule(who=PEOPLE, number=PICK)
    def deny(self, who: str, number: int) -> None:
        if (picked := self.pick(number)) is None:
            return
        hold, cell = picked
        may = who in APPROVERS and cell.state == "waiting" and self.clock.elapsed < cell.lapses
        try:
            self.house.access.deny_cell(self.person(who), hold, "not now")
        except AccessError:
            assert not may
        else:
            assert may
            cell.state = "denied"

    @rule(number=PICK)
    def end(self, number: int) -> None:
        if (picked := self.pick(number)) is None:
            return
        hold, cell = picked
        self.house.put_down(kinds.draft(kinds.CellHoldEnded(hold, "interrupted"), grant=cell.grant, session="s-1"))
        cell.state = "ended" if cell.state in ("waiting", "approved") else cell.state

    @rule(who=PEOPLE, number=PICK)
    def write_an_approval_past_the_rules(self, who: str, number: int) -> None:
        """Whoever holds the server's key may write a yes in an approver's name; in the owner's it counts for nothing."""
        if (picked := self.pick(number)) is None:
            return
        hold, cell = picked
        own = who.casefold() == cell.owner or (cell.owner == "bot" and who == "bob")
        if own or not self.in_force(cell) or self.clock.elapsed >= cell.lapses or cell.state != "waiting":
            self.house.put_down(kinds.draft(kinds.CellApproved(hold), actor=Actor(who, "test"), grant=cell.grant, session="s-1"))

    @rule(number=PICK)
    def write_a_hold_of_anothers_grant(self, number: int) -> None:
        if self.ends:
            grant = list(self.ends)[number % len(self.ends)]
            made = held(self.house, grant, "eve")
            self.house.now()
            assert self.house.book.hold(made) is None

    @rule(number=PICK)
    def hold_a_cell_of_the_same_name(self, number: int) -> None:
        if (picked := self.pick(number)) is not None:
            held(self.house, picked[1].grant, picked[1].owner, hold=picked[0])

    @rule(number=PICK)
    def revoke(self, number: int) -> None:
        if self.ends:
            grant = list(self.ends)[number % len(self.ends)]
            try:
                self.house.access.revoke(self.house.person("cyn"), grant, "enough")
            except AccessError:
                assert self.clock.elapsed >= self.ends[grant]
            self.ends[grant] = min(self.ends[grant], self.clock.elapsed)

    @rule(seconds=st.sampled_from([1.0, 60.0, 300.0, 600.0, 900.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.pass_time(seconds)

    @invariant()
    def what_is_approved_may_be(self) -> None:
        if not hasattr(self, "house"):
            return
        now = self.house.now()
        rebuilt = GrantBook(monotonic=self.clock.monotonic)
        rebuilt.refresh(self.house.ledger)
        for hold, cell in self.cells.items():
            found = self.house.book.hold(hold)
            assert found is not None
            assert rebuilt.hold(hold) == found
            state = "lapsed" if cell.state == "waiting" and self.clock.elapsed >= cell.lapses else cell.state
            assert found.state(now) is HoldState(state)


WayOfACell.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTheWayOfACell: Any = pytest.mark.timeout(120)(WayOfACell.TestCase)
