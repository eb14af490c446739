"""
Fixtures for the command line.

- `empty`: the command line in an empty folder.
- `cli`: the same, after `init`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_house import CommandLine


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    # The tests are not to depend on what an admin of this machine has set.
    monkeypatch.setattr("jupyter_audit.configfile.SYSTEM_FOLDERS", (tmp_path / "etc",))
    return CommandLine(tmp_path, capsys)


@pytest.fixture
def cli(empty: CommandLine) -> CommandLine:
    empty.good("init")
    return empty
