"""
Fixtures for the demonstration.

- `shop`: the folder's shop database as `make lab` makes it, made once; never write to it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "notebooks" / "shop"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lab") / "shop.db"
    subprocess.run([sys.executable, "-I", str(SCRIPT), str(path)], check=True, capture_output=True)
    return path
