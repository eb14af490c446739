"""
Fixtures for the review.

- `day`: the audit home of a ledger with everything in it (review_day.py), made once; never write to it.
- `own_day`: a copy of it that a test may damage.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from review_day import write_day

from jupyter_audit.home import Home


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("review") / "home")
    write_day(home)
    return home


@pytest.fixture
def own_day(day: Home, tmp_path: Path) -> Home:
    shutil.copytree(day.path, tmp_path / "home")
    return Home(tmp_path / "home")
