"""
Fixtures: `clock`, `home` and `ledger` as in the ledger's tests, and two witnesses that know the ledger.

- `witness` runs for all tests of a module, and knows a few ledgers: each test gets one that it has not seen yet.
- `stopped` is the test's own, to be started, killed and damaged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))

from ledger_story import EVE, SetClock
from witness_house import RunningWitness, make_witness

from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, create_ledger, open_ledger

LEDGERS = 12
"""How many a witness knows, unless the module says how many its tests need."""


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningWitness, Iterator[Home]]]:
    folder = tmp_path_factory.mktemp("witness")
    homes = [Home(folder / f"audit-{number}") for number in range(getattr(request.module, "LEDGERS", LEDGERS))]
    for home in homes:
        create_ledger(home, clock=SetClock(), actor=EVE)
    made = make_witness(folder, [home.verifier_key.read_text().strip() for home in homes])
    made.start()
    yield made, iter(homes)
    made.stop()


@pytest.fixture
def witness(house: tuple[RunningWitness, Iterator[Home]]) -> RunningWitness:
    return house[0]


@pytest.fixture
def home(house: tuple[RunningWitness, Iterator[Home]]) -> Home:
    return next(house[1])


@pytest.fixture
def ledger(home: Home, clock: SetClock) -> Iterator[Ledger]:
    with open_ledger(home, clock=clock) as opened:
        yield opened


@pytest.fixture
def stopped(home: Home, tmp_path: Path) -> Iterator[RunningWitness]:
    made = make_witness(tmp_path, [home.verifier_key.read_text().strip()])
    yield made
    made.stop(kill=True)
