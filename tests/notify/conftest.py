"""Fixtures: a house with a ledger of its own, and a web server that takes alerts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from notify_house import NotifyHouse
from support.receivers import Receiver, http_receiver


@pytest.fixture
def house(tmp_path: Path) -> Iterator[NotifyHouse]:
    made = NotifyHouse(tmp_path)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as running:
        yield running
