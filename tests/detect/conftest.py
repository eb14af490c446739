"""
Fixtures for the detections: a clock that tests set, a real ledger, and drafts as the gate makes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jupyter_audit.detect.runner import DetectionRunner
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger
from jupyter_audit.model import Actor, Content, Draft, Entry
from jupyter_audit.record import kinds
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.settings import JupyterAudit

TUESDAY_MORNING = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


class SetClock:
    """A clock that stands where it is put, and goes on a little with each look."""

    def __init__(self, moment: datetime = TUESDAY_MORNING) -> None:
        self.moment = moment

    def now(self) -> datetime:
        self.moment += timedelta(milliseconds=1)
        return self.moment

    def forward(self, **kwargs: float) -> None:
        self.moment += timedelta(**kwargs)


class Work:
    """Makes the drafts of one person's session, as the gate and the capture make them."""

    def __init__(self, person: str = "bob", session: str = "s-000000000001", grant: str | None = "g-1") -> None:
        self.actor = Actor(person, "test")
        self.session = session
        self.grant = grant

    def cell(self, code: str, *, canary: bool = False, expressions: Mapping[str, str] | None = None) -> Draft:
        kind = kinds.CellAdmitted("k", "m", "shell", "c", False, True, 1, canary)
        return self._draft(kind, {"code": code, "user_expressions": dict(expressions or {})})

    def refused(self, code: str = "1", cause: str = "no_grant") -> Draft:
        return self._draft(kinds.CellRefused("k", "m", "shell", "c", cause, 1), {"code": code})

    def message(self, msg_type: str, content: Mapping[str, Any], *, refused: str = "") -> Draft:
        if refused:
            return self._draft(kinds.MessageRefused("k", "m", msg_type, "shell", refused), content)
        return self._draft(kinds.MessageAdmitted("k", "m", msg_type, "shell"), content)

    def request(self, line: str, cause: str) -> Draft:
        method, _, path = line.partition(" ")
        return kinds.draft(kinds.RequestRefused(method, path, "guard", "terminals", cause), actor=self.actor)

    def finished(self, admitted: int, outputs: Sequence[Mapping[str, Any]]) -> Draft:
        kind = kinds.CellFinished("k", admitted, "ok", "", 5, list(outputs), True, "kernel")
        return kinds.draft(kind, grant=self.grant, session=self.session)

    def _draft(self, kind: kinds.Kind, content: Mapping[str, Any]) -> Draft:
        contents = {"message": Content(json.dumps(content).encode(), "application/json")}
        return kinds.draft(kind, actor=self.actor, grant=self.grant, session=self.session, contents=contents)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def home(tmp_path: Path, clock: SetClock) -> Home:
    home = Home(tmp_path / "home")
    create_ledger(home, clock=clock, actor=Actor("admin", "test"))
    return home


@pytest.fixture
def recorder(home: Home, clock: SetClock) -> Iterator[Recorder]:
    recorder = Recorder(lambda: open_ledger(home, clock=clock))
    yield recorder
    recorder.close()


@pytest.fixture
def ledger(home: Home, clock: SetClock) -> Iterator[Ledger]:
    with open_ledger(home, clock=clock) as ledger:
        yield ledger


@pytest.fixture
def run_detections(home: Home, recorder: Recorder) -> Iterator[Callable[..., DetectionRunner]]:
    """Start a runner; every runner that is started ends before the recorder does."""
    started: list[DetectionRunner] = []

    def run(settings: JupyterAudit | None = None, rules: Path | None = None) -> DetectionRunner:
        runner = DetectionRunner(home.ledger, recorder, settings or JupyterAudit(), rules=rules)
        runner.start()
        started.append(runner)
        return runner

    yield run
    for runner in started:
        runner.close()


def findings(home: Home, title: str | None = None) -> list[Entry]:
    """Return the findings in the ledger, of one rule where it is named."""
    with LedgerReader.open(home.ledger) as reader:
        found = list(reader.entries(types=["finding.raised"]))
    return [finding for finding in found if title is None or finding.body["title"] == title]
