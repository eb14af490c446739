"""`doctor` shows what the ledger's load leaves behind (refused entries, a write-ahead log that cannot shrink), and unheard alarms."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jupyter_audit.access.policy import Policy
from jupyter_audit.cli import doctor as doctor_module
from jupyter_audit.cli.server_checks import _backlog
from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger
from jupyter_audit.model import Actor, Draft
from jupyter_audit.settings import JupyterAudit


@pytest.mark.parametrize(("refused", "level"), [(0, "ok"), (3, "warn")])
def test_entries_that_were_refused_are_a_warning(refused: int, level: str) -> None:
    [finding] = _backlog({"entries": 2, "bytes": 9, "refused": refused})
    assert finding.level == level
    assert "2" in finding.result


def test_a_write_ahead_log_that_a_reader_keeps_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "audit")
    create_ledger(home, clock=SystemClock(), actor=Actor("eve", "os-account"))
    context = cast(Any, SimpleNamespace(home=home))
    monkeypatch.setattr(doctor_module, "LARGEST_LOG", 16 * 1024)
    assert list(doctor_module._log_of_writes(context)) == []

    with LedgerReader.open(home.ledger), open_ledger(home, clock=SystemClock()) as ledger:
        for _ in range(5):
            ledger.append([Draft("server.started", {}, actor=Actor("eve", "os-account"))])
        [finding] = doctor_module._log_of_writes(context)
    assert finding.level == "warn"
    assert "fuser" in finding.advice


def test_a_glass_that_can_be_broken_unheard_fails(tmp_path: Path) -> None:
    home = Home(tmp_path / "audit")
    create_ledger(home, clock=SystemClock(), actor=Actor("eve", "os-account"))
    settings = JupyterAudit(profiles={"emergency": {"break_glass": True}})
    context = cast(Any, SimpleNamespace(home=home, settings=settings, policy=Policy.from_settings(settings)))
    with open_ledger(home, clock=SystemClock()) as ledger:
        [finding] = doctor_module._alerts(context, ledger)
    assert (finding.level, finding.check) == ("fail", "alerts")
    assert "the profile emergency alerts nobody" in finding.result
