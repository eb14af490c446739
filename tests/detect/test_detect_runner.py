"""The runner on a real ledger: every entry judged once, whoever appended it, whatever fails on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from shutil import copy

import pytest
from conftest import SetClock, Work, findings

from jupyter_audit.detect.engine import Engine
from jupyter_audit.detect.hours import parse_working_hours
from jupyter_audit.detect.rules import RULES_FOLDER, load_rules
from jupyter_audit.detect.runner import DetectionRunner, first_unjudged
from jupyter_audit.detect.view import EventView
from jupyter_audit.errors import ConfigError, RecordError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, open_ledger
from jupyter_audit.model import Draft, Entry
from jupyter_audit.record import kinds
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.settings import JupyterAudit

Run = Callable[..., DetectionRunner]
LONG = 20.0


def test_a_finding_names_the_cell_and_the_grant_and_explains_itself(home: Home, recorder: Recorder, run_detections: Run) -> None:
    runner = run_detections()
    cell = recorder.record(Work().cell("!cat /etc/passwd")).result()
    assert runner.wait_until_judged(cell.seq, LONG)
    (finding,) = findings(home)
    body = kinds.read(finding, kinds.FindingRaised)
    assert (body.title, body.level, list(body.entries)) == ("Shell escape", "medium", [cell.seq])
    assert (finding.grant, finding.session) == (cell.grant, cell.session)
    assert f"bob reached for a shell or another program in the cell of entry {cell.seq}" in body.explanation
    assert "passwd" not in finding.raw


def test_no_look_of_the_detections_reads_the_whole_ledger(home: Home, recorder: Recorder) -> None:
    """Each look is at a few entries: a plan that scans or indexes the others grows with the ledger, and cells wait for it."""
    with LedgerReader.open(home.ledger) as reader:
        view = EventView(reader, parse_working_hours(JupyterAudit().working_hours, JupyterAudit().time_zone))
        plans = [
            (rule.title, str(step[3]))
            for rule in load_rules(RULES_FOLDER)
            for query in (rule.query, rule.counted)
            if query
            for step in view.connection.execute(f"EXPLAIN QUERY PLAN {query}")
        ]
    assert [plan for plan in plans if "e USING INTEGER PRIMARY KEY" in plan[1]]
    assert [plan for plan in plans if "AUTOMATIC" in plan[1] or plan[1] == "SCAN e"] == []


def test_cells_that_come_without_a_pause_are_judged_meanwhile(home: Home, recorder: Recorder, run_detections: Run) -> None:
    """Detections wait for a moment without cells, and not for ever: an engineer who keeps cells coming is judged, too."""
    runner = run_detections()
    assert runner.wait_until_judged(recorder.record(Work().cell("1")).result().seq, LONG)
    recorder.record(Work().cell("!cat /etc/passwd")).result()
    until = time.monotonic() + LONG
    while not findings(home) and time.monotonic() < until:
        recorder.record(Work().cell("1")).result()
    assert [finding.body["title"] for finding in findings(home)] == ["Shell escape"]


def test_names_of_earlier_cells_are_known_in_every_later_look(home: Home, recorder: Recorder, run_detections: Run) -> None:
    """What was read in one look is not read again in the next; what was not is."""
    runner, work = run_detections(), Work()
    for code in ("import os as innocent", "1", "2", "innocent.system('id')"):
        last = recorder.record(work.cell(code)).result()
        assert runner.wait_until_judged(last.seq, LONG)
    assert [finding.body["entries"] for finding in findings(home)] == [[last.seq]]


def test_a_finding_repeats_nothing_that_a_person_wrote(home: Home, recorder: Recorder, run_detections: Run) -> None:
    """Findings cannot be purged: only names of tables and words of the rules may stand in them (P6)."""
    runner = run_detections()
    codes = [
        "!mysql -psecret4711 shop",
        "cur.execute(\"UPDATE cards SET number = 'secret4711' WHERE id = 1\")",
        "cur.execute(\"SELECT 'secret4711', * FROM cards\")",
        'cur.execute("DELETE FROM \\"<script>x; y\\n\\" WHERE id = 1")',
        "import os as secret4711\nsecret4711.system('x')",
    ]
    for code in codes:
        last = recorder.record(Work().cell(code)).result()
    assert runner.wait_until_judged(last.seq, LONG)
    raised = findings(home)
    assert len(raised) == len(codes)
    for finding in raised:
        assert "secret4711" not in finding.raw
        assert "<" not in finding.raw


def test_what_was_appended_while_no_server_ran_is_judged_once(home: Home, recorder: Recorder, run_detections: Run) -> None:
    recorder.record(Work().cell("!ls")).result()
    run_detections().close()
    assert len(findings(home)) == 1
    recorder.record(Work().cell("!ls")).result()
    run_detections().close()
    run_detections().close()
    assert len(findings(home)) == 2


def test_entries_of_other_processes_are_judged(home: Home, recorder: Recorder, clock: SetClock, run_detections: Run) -> None:
    runner = run_detections()
    with open_ledger(home, clock=clock) as other:
        (cell,) = other.append([Work().cell("!ls")])
    assert runner.wait_until_judged(cell.seq, LONG)
    assert len(findings(home)) == 1


def test_a_crash_before_the_ledger_was_told_loses_and_doubles_nothing(
    home: Home, recorder: Recorder, run_detections: Run
) -> None:
    """A killed server leaves findings without a `detection.judged` entry: all is judged again, none put twice."""
    runner = run_detections()
    work = Work()
    for code in ("!ls", "cur.execute('DELETE FROM orders')"):
        last = recorder.record(work.cell(code)).result()
    for _ in range(6):
        last = recorder.record(work.refused()).result()
    assert runner.wait_until_judged(last.seq, LONG)
    before = findings(home)
    with LedgerReader.open(home.ledger) as reader:
        assert first_unjudged(reader) == 0
    run_detections().close()
    assert findings(home) == before
    assert [finding.body["title"] for finding in before] == [
        "Shell escape",
        "Write to production",
        "Burst of refusals",
    ]


def test_two_servers_on_one_ledger_raise_each_finding_once(
    home: Home, recorder: Recorder, clock: SetClock, run_detections: Run
) -> None:
    second = Recorder(lambda: open_ledger(home, clock=clock))
    try:
        runners = [run_detections(), DetectionRunner(home.ledger, second, JupyterAudit())]
        runners[1].start()
        work = Work()
        for number in range(20):
            drafts = [work.cell("!ls"), work.refused(), work.cell("1 + 1")]
            last = (recorder if number % 2 else second).record_all(drafts).result()[-1]
        assert all(runner.wait_until_judged(last.seq, LONG) for runner in runners)
        runners[1].close()
    finally:
        second.close()
    assert len(findings(home, "Shell escape")) == 20
    assert len(findings(home, "Burst of refusals")) == 1
    named = [(finding.body["rule"], tuple(finding.body["entries"])) for finding in findings(home)]
    assert len(named) == len(set(named))


def test_a_burst_is_one_finding_however_long_it_goes_on(
    home: Home, recorder: Recorder, clock: SetClock, run_detections: Run
) -> None:
    runner = run_detections()
    work = Work()
    for _ in range(40):
        clock.forward(seconds=40)
        last = recorder.record(work.refused()).result()
    assert runner.wait_until_judged(last.seq, LONG)
    assert len(findings(home, "Burst of refusals")) == 1
    runner.close()
    run_detections()  # a server that starts in the middle of a burst knows that it goes on
    for _ in range(9):
        clock.forward(seconds=40)
        last = recorder.record(work.refused()).result()
    assert run_detections().wait_until_judged(last.seq, LONG)
    assert len(findings(home, "Burst of refusals")) == 1
    clock.forward(minutes=6)
    for _ in range(5):
        last = recorder.record(work.refused()).result()
    assert run_detections().wait_until_judged(last.seq, LONG)
    assert len(findings(home, "Burst of refusals")) == 2


def test_bursts_of_two_people_are_two_and_do_not_add_up(home: Home, recorder: Recorder, run_detections: Run) -> None:
    runner = run_detections()
    for person in ("eve", "eva"):
        for _ in range(5):
            recorder.record(Work(person).refused()).result()
    for number in range(8):
        last = recorder.record(Work(f"somebody-{number % 2}").refused()).result()
    assert runner.wait_until_judged(last.seq, LONG)
    bursts = findings(home, "Burst of refusals")
    assert sorted(str(finding.body["explanation"]).split(" were")[0] for finding in bursts) == [
        "5 cells of eva",
        "5 cells of eve",
    ]


def test_a_night_of_work_is_one_finding_for_each_grant(
    home: Home, recorder: Recorder, clock: SetClock, run_detections: Run
) -> None:
    runner = run_detections()
    clock.forward(hours=13)
    for grant in ("g-1", "g-2"):
        for _ in range(5):
            last = recorder.record(Work(grant=grant).cell("1 + 1")).result()
    assert runner.wait_until_judged(last.seq, LONG)
    runner.close()
    last = recorder.record(Work(grant="g-1").cell("1 + 1")).result()
    run_detections().close()
    nights = findings(home, "Work at an unusual hour")
    assert [finding.grant for finding in nights] == ["g-1", "g-2"]


def test_a_cell_that_reads_and_shows_a_whole_table_is_one_finding(home: Home, recorder: Recorder, run_detections: Run) -> None:
    runner = run_detections()
    work = Work()
    cell = recorder.record(work.cell("pd.read_sql('SELECT * FROM orders', con)")).result()
    assert runner.wait_until_judged(cell.seq, LONG)
    output = {"output": "result", "mime": "text/html", "bytes": 9, "lines": 9, "rows": 50_000, "cut": True}
    end = recorder.record(work.finished(cell.seq, [output])).result()
    assert runner.wait_until_judged(end.seq, LONG)
    assert [finding.body["entries"] for finding in findings(home)] == [[cell.seq]]


def test_what_a_cell_showed_is_told_of_its_person(home: Home, recorder: Recorder, run_detections: Run) -> None:
    runner = run_detections()
    work = Work("alice")
    cell = recorder.record(work.cell("load()")).result()
    output = {"output": "result", "mime": "text/html", "bytes": 9, "lines": 9, "rows": 50_000, "cut": True}
    end = recorder.record(work.finished(cell.seq, [output])).result()
    assert runner.wait_until_judged(end.seq, LONG)
    (finding,) = findings(home)
    assert finding.body["entries"] == [cell.seq, end.seq]
    assert str(finding.body["explanation"]).startswith(f"alice read a large table in the cell of entry {cell.seq}: 50000 rows")


def test_findings_are_not_judged(home: Home, recorder: Recorder, run_detections: Run) -> None:
    runner = run_detections()
    last = recorder.record(Work().cell("!ls")).result()
    assert runner.wait_until_judged(last.seq, LONG)
    with LedgerReader.open(home.ledger) as reader:
        view = EventView(reader, parse_working_hours("07:00-20:00", "UTC"))
        view.show(0, reader.size())
        types = [row[0] for row in view.connection.execute("SELECT type FROM audit_events")]
    assert types == ["ledger.created", "cell.admitted"]


def test_a_damaged_or_purged_message_is_code_that_cannot_be_read(ledger: Ledger) -> None:
    cells = ledger.append([Work().cell("!ls") for _ in range(3)])
    odd = kinds.CellAdmitted("k", "m", "shell", "c", False, True, 1, False)
    cells += ledger.append([kinds.draft(odd, actor=Work().actor, session="s-9")])
    ledger.connection.execute("DROP TRIGGER content_kept")
    ledger.connection.execute("DROP TRIGGER content_unchanged")
    ledger.connection.execute("DELETE FROM content WHERE seq = ?", (cells[0].seq,))
    ledger.connection.execute("UPDATE content SET data = x'00' WHERE seq = ?", (cells[1].seq,))
    engine = Engine(EventView(ledger, parse_working_hours("07:00-20:00", "UTC")), load_rules())
    matches, failures = engine.judge(0, ledger.size() - 1)
    assert not failures
    assert [match.entries for match in matches] == [(cells[2].seq,)]


def broken_rules(folder: Path) -> Path:
    """The product's rules and one that fails when it runs."""
    for path in RULES_FOLDER.glob("*.yml"):
        copy(path, folder)
    (folder / "broken.yml").write_text(
        (RULES_FOLDER / "unusual_hour.yml")
        .read_text()
        .replace("8a94cf1e-35d7-46b0-9e0e-1b7c5d2a4e44", "11111111-2222-3333-4444-555555555555")
        .replace("    off_hours: true\n", f"    type|contains: '{'x' * 60_000}'\n")  # too long for SQLite's LIKE
        .replace("title: Work at an unusual hour", "title: Broken")
    )
    return folder


def test_a_rule_that_fails_is_a_gap_and_the_others_go_on(
    home: Home, recorder: Recorder, run_detections: Run, tmp_path: Path
) -> None:
    runner = run_detections(rules=broken_rules(tmp_path))
    for _ in range(4):
        last = recorder.record(Work().cell("!ls")).result()
    assert runner.wait_until_judged(last.seq, LONG)
    assert len(findings(home, "Shell escape")) == 4
    with LedgerReader.open(home.ledger) as reader:
        (gap,) = reader.entries(types=["gap.recorded"])
    assert gap.body["what"] == "detection failed"
    assert gap.body["detail"]["title"] == "Broken"


class Failing:
    """A recorder whose disk is full until it is repaired."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.full = threading.Event()
        self.tried = threading.Event()
        self.full.set()

    def transact(self, decide: Callable[[LedgerReader], Sequence[Draft]]) -> Future[list[Entry]]:
        if self.full.is_set():
            self.tried.set()
            failed: Future[list[Entry]] = Future()
            failed.set_exception(RecordError("The disk is full."))
            return failed
        return self.recorder.transact(decide)

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> None:
        self.recorder.subscribe(callback)


def test_findings_that_could_not_be_stored_are_stored_later(home: Home, recorder: Recorder) -> None:
    failing = Failing(recorder)
    runner = DetectionRunner(home.ledger, failing, JupyterAudit())
    runner.start()
    work = Work()
    last = recorder.record_all([work.cell("!ls"), *[work.refused()] * 6]).result()[-1]
    assert failing.tried.wait(LONG)
    assert findings(home) == []
    failing.full.clear()
    assert runner.wait_until_judged(last.seq, LONG)
    runner.close()
    assert [finding.body["title"] for finding in findings(home)] == ["Shell escape", "Burst of refusals"]


def test_a_word_that_reaches_past_itself_is_not_believed(ledger: Ledger) -> None:
    """Whoever can append could otherwise blind the detections to everything that comes."""
    ledger.append([Work().cell("1") for _ in range(3)])
    ledger.append([kinds.draft(kinds.DetectionJudged(through=2, rules={}))])
    ledger.append([kinds.draft(kinds.DetectionJudged(through=1_000_000, rules={}))])
    assert first_unjudged(ledger) == 3


@pytest.mark.parametrize("hours", ["", "7-20", "25:00-26:00", "07:60-20:00", "09:00-09:00", "24:00-08:00"])
def test_hours_that_are_none_are_refused_by_name(home: Home, recorder: Recorder, hours: str) -> None:
    with pytest.raises(ConfigError, match=r"JupyterAudit\.working_hours"):
        DetectionRunner(home.ledger, recorder, JupyterAudit(working_hours=hours))


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "Europe"])
def test_a_time_zone_that_is_none_is_refused_by_name(home: Home, recorder: Recorder, zone: str) -> None:
    with pytest.raises(ConfigError, match=r"JupyterAudit\.time_zone"):
        DetectionRunner(home.ledger, recorder, JupyterAudit(time_zone=zone))


def test_a_broken_rule_stops_the_start(home: Home, recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text("title: [")
    runner = DetectionRunner(home.ledger, recorder, JupyterAudit(), rules=tmp_path)
    with pytest.raises(ConfigError, match=r"x\.yml, line 1"):
        runner.start()
    runner.close()


def test_judging_a_cell_costs_about_a_millisecond(ledger: Ledger) -> None:
    """The detections share an interpreter with the server: what they cost is the server's delay."""
    work = Work()
    code = "df = pd.read_sql('SELECT status, count(*) FROM orders WHERE id > ? GROUP BY 1', con)\ndf.head()"
    for number in range(300):
        (cell,) = ledger.append([work.cell(f"{code}\nprint({number})")])
        ledger.append([work.finished(cell.seq, [])])
    engine = Engine(EventView(ledger, parse_working_hours("07:00-20:00", "UTC")), load_rules())
    engine.judge(0, 100)
    started = time.process_time()
    for low in range(101, 601, 2):
        engine.judge(low, low + 1)
    each = (time.process_time() - started) / 250
    print(f"{each * 1000:.2f} ms for a cell and its end")
    assert each < 0.02  # far above what it takes, for slow and busy machines
