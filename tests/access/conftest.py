"""
Fixtures for the rules of access, on real ledgers.

- `clock`: a clock that the test sets; it has a monotonic side, which setting it back does not touch.
- `house`: a ledger in a folder of its own, and the acts of people upon it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from access_house import House, SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def house(tmp_path: Path, clock: SetClock) -> Iterator[House]:
    made = House(tmp_path, clock)
    yield made
    made.close()
