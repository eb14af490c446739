"""
Fixtures for the ledger's tests.

- `clock`: a clock that the test sets; it moves a second with each look.
- `home`: an audit home with a new ledger in it. When the test ends, the ledger is verified in full.
- `ledger`: that home's ledger, open for appending.
- `story`: a copy of a ledger with every feature in it (commits of one and of many, contents held and
  purged, a clock set back, a changed key), to be damaged; nothing is verified at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, Story, check, tell_story

from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, create_ledger, open_ledger


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def home(tmp_path: Path, clock: SetClock) -> Iterator[Home]:
    place = Home(tmp_path / "audit")
    create_ledger(place, clock=clock, actor=EVE)
    yield place
    check(place)


@pytest.fixture
def ledger(home: Home, clock: SetClock) -> Iterator[Ledger]:
    with open_ledger(home, clock=clock) as opened:
        yield opened


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Story:
    home = Home(tmp_path_factory.mktemp("story") / "audit")
    return Story(home, tell_story(home, SetClock()))


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Story:
    shutil.copytree(told.home.path, tmp_path / "story")
    return Story(Home(tmp_path / "story"), told.kept)
