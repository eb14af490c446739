"""Where contents are sealed, detections judge code from memory; code that they could not read is said in the ledger."""

from __future__ import annotations

from conftest import SetClock, Work, findings

from jupyter_audit.detect.runner import UNREAD, DetectionRunner
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, open_ledger
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.record.fresh import FreshContents
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.settings import JupyterAudit

ANNA = AuditorSecret.generate("anna")
WRITE = "import sqlite3\nsqlite3.connect('shop.db').execute('DELETE FROM orders WHERE id = 1')"


def judged(home: Home, clock: SetClock, fresh: FreshContents, *, before: int = 0, code: str = WRITE) -> list[object]:
    """Record `before` cells, start detections, record one more; return what the gaps say once all are judged."""
    recorder = Recorder(lambda: open_ledger(home, clock=clock, sealed_to=[ANNA.public]), fresh=fresh)
    runner = DetectionRunner(home.ledger, recorder, JupyterAudit(), fresh=fresh)
    work = Work()
    for _ in range(before):
        recorder.record(work.cell(code)).result(10)
    fresh.forget(10_000)  # as if another server had recorded them
    runner.start()
    entry = recorder.record(work.cell(code)).result(10)
    assert runner.wait_until_judged(entry.seq, 30)
    runner.close()
    recorder.close()
    with LedgerReader.open(home.ledger) as reader:
        return [gap.body["detail"] for gap in reader.entries(types=["gap.recorded"]) if gap.body["what"] == UNREAD]


def test_new_code_is_judged_though_nobody_can_read_it_from_the_ledger(home: Home, clock: SetClock) -> None:
    assert judged(home, clock, FreshContents()) == []
    assert len(findings(home)) == 1


def test_sealed_code_from_before_this_server_is_said_to_be_unread(home: Home, clock: SetClock) -> None:
    assert judged(home, clock, FreshContents(), before=3) == [{"entries": [1, 3], "count": 3}]
    assert len(findings(home)) == 1


def test_code_that_did_not_fit_into_memory_is_said_to_be_unread(home: Home, clock: SetClock) -> None:
    assert judged(home, clock, FreshContents(most=10)) == [{"entries": [1, 1], "count": 1}]
    assert findings(home) == []
