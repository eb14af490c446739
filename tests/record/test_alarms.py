"""An alarm of a witness is put down once as it begins, and once when the witness cosigns again; never because it is down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, create_ledger, open_ledger
from jupyter_audit.ledger.anchors import Standing
from jupyter_audit.model import SERVER
from jupyter_audit.record.alarms import alarms_that_stand, unsaid

SINK = "witness+https://witness.example.org#KEY"
SINCE = "2026-11-24T09:00:00.000000Z"
WELL = Standing(SINK, 9, 0, "", "", alarm=False)
DOWN = Standing(SINK, 9, 0, SINCE, "refused the connection", alarm=False)
ALARM = Standing(SINK, 0, 9, SINCE, "cosigned 12 entries, this ledger has 9", alarm=True)
AGAIN = Standing(SINK, 0, 9, "2026-11-25T09:00:00.000000Z", "cosigned 12 entries, this ledger has 9", alarm=True)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    home = Home(tmp_path / "audit")
    create_ledger(home, clock=SystemClock(), actor=SERVER)
    with open_ledger(home, clock=SystemClock()) as opened:
        yield opened


def test_what_the_ledger_has_to_be_told(ledger: Ledger) -> None:
    told = []
    for standing in (WELL, DOWN, ALARM, ALARM, DOWN, WELL, WELL, ALARM, AGAIN):
        drafts = unsaid(ledger, [standing])
        if drafts:
            ledger.append(drafts)
        told.append([(draft.body["stands"], draft.body["since"]) for draft in drafts])
    began, over = (True, SINCE), (False, SINCE)
    assert told == [[], [], [began], [], [], [over], [], [began], [(True, AGAIN.failing_since)]]
    assert alarms_that_stand(ledger)[SINK].body["said"] == AGAIN.error


def test_each_witness_has_its_own(ledger: Ledger) -> None:
    ledger.append(unsaid(ledger, [ALARM, Standing("file:/kept", 9, 0, "", "", alarm=False)]))
    other = Standing("witness+https://other.example.org#KEY", 0, 9, SINCE, "two ledgers", alarm=True)
    ledger.append(unsaid(ledger, [ALARM, other]))
    assert set(alarms_that_stand(ledger)) == {ALARM.sink, other.sink}
    ledger.append(unsaid(ledger, [WELL, other]))
    assert set(alarms_that_stand(ledger)) == {other.sink}
