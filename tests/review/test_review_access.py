"""What auditors read of a grant whose end moved, that was taken over, or that nobody approved: told as the ledger has it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from review_day import START, SetClock

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import format_time
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, create_ledger, open_ledger
from jupyter_audit.model import SERVER, Actor, Draft, Principal
from jupyter_audit.record import kinds
from jupyter_audit.review import list_sessions, read_timeline
from jupyter_audit.review.sessions import GrantFacts, SessionFacts
from jupyter_audit.review.show import show_sessions, show_timeline
from jupyter_audit.settings import JupyterAudit

ROLES = {"engineer": ["ada", "eve"], "approver": ["bob", "cyn"], "auditor": ["aud"]}
PROFILES: dict[str, Any] = {"production-debug": {"break_glass": True, "approvals": 2, "targets": ["shop"]}}
ASKED = {"profile": "production-debug", "ticket": "T-1", "target": "shop"}
HOSTILE = "<script>window.pwned = 1</script>"


class House:
    """One ledger and its rules, and sessions under the grants."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder / "audit")
        self.clock = SetClock(START)
        create_ledger(home, clock=self.clock, actor=SERVER)
        self.ledger: Ledger = open_ledger(home, clock=self.clock)
        self.policy = Policy.from_settings(JupyterAudit(roles=ROLES, profiles=PROFILES))
        book = GrantBook(monotonic=lambda: self.clock.moment.timestamp())
        self.access = AccessService(self.ledger.transact, self.policy, self.clock, book=book)

    def person(self, name: str) -> Principal:
        return Principal(name, "test", self.policy.roles_of(name))

    def approve(self, request: str) -> Grant:
        self.access.approve(self.person("bob"), request)
        made = self.access.approve(self.person("cyn"), request)
        assert isinstance(made, Grant)
        return made

    def grant(self, name: str = "ada", **more: Any) -> Grant:
        asked: dict[str, Any] = {**ASKED, "reason": f"orders are stuck {HOSTILE}", "minutes": 30, **more}
        return self.approve(self.access.request(self.person(name), **asked).id)

    def extend(self, grant: Grant) -> Grant:
        asked = self.access.extend(self.person(grant.principal), grant.id, reason=f"it takes longer {HOSTILE}", minutes=10)
        return self.approve(asked.id)

    def session(self, grant: Grant) -> SessionFacts:
        """Put down a session under a grant and return what is told of it."""
        name, actor = f"s-{grant.id[2:]}", Actor(grant.principal, "test")
        bound = kinds.SessionBound("k", format_time(grant.not_after))
        self.ledger.append(
            [
                kinds.draft(kinds.SessionStarted("srv", "k", "audit", "landlock", ""), actor=actor, session=name),
                kinds.draft(bound, actor=actor, session=name, grant=grant.id),
            ]
        )
        return self.told(name)

    def told(self, session: str) -> SessionFacts:
        return next(each for each in list_sessions(self.ledger.entries()) if each.id == session)

    def shown(self, facts: SessionFacts) -> str:
        """Return everything that an auditor reads of a session, which must be inert."""
        shown = [show_sessions([facts]), show_timeline(read_timeline(self.ledger, facts))]  # type: ignore[arg-type]
        assert "<script" not in "".join(each.html for each in shown)
        return "\n".join(each.html + each.text for each in shown)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def facts_of(session: SessionFacts) -> GrantFacts:
    assert session.grant is not None
    return session.grant


def test_a_moved_end_is_the_one_that_is_told_with_who_moved_it_and_why(house: House) -> None:
    grant = house.grant()
    session = house.session(grant)
    longer = house.extend(grant)
    facts = facts_of(house.told(session.id))
    assert facts.not_after == format_time(longer.not_after) != format_time(grant.not_after)
    assert facts.endorsers == ("bob",)
    (more,) = facts.extensions
    assert "approved by bob, cyn" in more
    assert "it takes longer" in more
    shown = house.shown(house.told(session.id))
    for words in ("asked for more time for the grant", "gave the grant more time", "bob and cyn", "said yes to the request", "shop"):
        assert words in shown


def test_a_take_over_is_told_on_both_sides(house: House) -> None:
    old = house.grant()
    first = house.session(old)
    house.clock.on(minutes=10)
    new = house.grant("eve", takes_over=old.id)
    second = house.session(new)
    before, after = facts_of(house.told(first.id)), facts_of(second)
    assert before.ended_by == "taken over by eve, which cyn approved"
    assert (after.takes_over, after.principal) == (old.id, "eve")
    assert f"who took over the grant {old.id}" in house.shown(house.told(first.id))
    assert old.id in house.shown(second)


def test_a_broken_glass_has_no_approver_and_stays_open_until_it_is_reviewed(house: House) -> None:
    asked: dict[str, Any] = {**ASKED, "reason": f"the shop is down {HOSTILE}"}
    glass = house.access.break_glass(house.person("ada"), **asked)
    session = house.session(glass)
    facts = facts_of(session)
    assert (facts.break_glass, facts.approver, facts.review, facts.ticket, facts.target) == (True, "", "", "T-1", "shop")
    shown = house.shown(session)
    assert "approved by nobody" in shown
    assert "not reviewed yet" in shown
    house.clock.on(minutes=16)
    house.access.review(house.person("aud"), glass.id, justified=False, comment=f"nothing was down {HOSTILE}")
    reviewed = house.told(session.id)
    assert facts_of(reviewed).review.startswith("not justified, says aud: nothing was down")
    shown = house.shown(reviewed)
    assert "not reviewed yet" not in shown
    assert "reviewed the broken glass: not justified" in shown


def test_what_had_no_effect_is_told_as_such_and_changes_nothing(house: House) -> None:
    grant = house.grant()
    session = house.session(grant)
    until = format_time(grant.not_after + timedelta(hours=3))
    forged = {"request": grant.request, "not_after": until, "self_approved": False, "solo": False}
    house.ledger.append([Draft("access.extended", forged, actor=Actor("ada", "test"), grant=grant.id)])
    facts = facts_of(house.told(session.id))
    assert (facts.not_after, facts.extensions) == (format_time(grant.not_after), ())
    assert len(facts.anomalies) == 1
    assert "No effect" in house.shown(house.told(session.id))
