"""The command line in a folder of its own, run in this process or as the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_audit.cli.main import main
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry

COMMAND = [sys.executable, "-m", "jupyter_audit.cli.main"]


class Past:
    """A clock that stood still so many days ago."""

    def __init__(self, days: int) -> None:
        self.moment = datetime.now(UTC) - timedelta(days=days)

    def now(self) -> datetime:
        return self.moment


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, Any]]:
        """Return what was printed as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class CommandLine:
    """Runs commands on the home in `folder`."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def home(self) -> Home:
        return Home(self.folder / "audit")

    def __call__(self, *words: str, home: bool = True) -> Result:
        """Run one command in this process."""
        named = ["--home", str(self.home.path)] if home else []
        self.capsys.readouterr()
        try:
            code = main([words[0], *named, *words[1:]])
        except SystemExit as error:
            code = int(str(error.code or 0))
        out, err = self.capsys.readouterr()
        return Result(code, out, err)

    def good(self, *words: str) -> Result:
        """Run a command that must succeed."""
        done = self(*words)
        assert done.code == 0, done
        return done

    def json(self, *words: str) -> Any:
        """Run a command that must succeed, and return the one JSON document that it prints."""
        (row,) = self.good(*words, "--json").rows()
        return row

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a real command."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST"))}
        return {**kept, "HOME": str(self.folder), "JUPYTER_AUDIT_HOME": str(self.home.path), **(more or {})}

    def start(self, *words: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start the real command."""
        return subprocess.Popen(
            [*COMMAND, *words],
            env=self.environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def entries(self, *types: str) -> list[Entry]:
        """Return the entries of some types."""
        with LedgerReader.open(self.home.ledger) as reader:
            return list(reader.entries(types=types or None))

    def config(self, text: str, mode: int = 0o600) -> str:
        """Write an admin's configuration file and return its path."""
        path = self.folder / "admin_config.py"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def granted(self, minutes: int = 30) -> str:
        """Ask for a grant, approve it, and return its id."""
        asked = self.json("request", "--reason", "orders are stuck", "--ticket", "T-1", "--minutes", str(minutes))
        grant: str = self.json("approve", asked["id"])["id"]
        return grant
