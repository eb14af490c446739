"""Sessions, timelines, findings and activity, told from a real ledger."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from jupyter_audit.home import Home
from jupyter_audit.model import Actor, Commitment, Entry, Json
from jupyter_audit.record.kinds import KINDS
from jupyter_audit.review import (
    VerifiedReader,
    build_timeline,
    choose_step,
    count_activity,
    count_by_hour,
    count_by_principal,
    find_session,
    format_step,
    list_findings,
    list_refusals,
    list_sessions,
    open_verified,
    read_timeline,
)
from jupyter_audit.review.findings import worse_level
from jupyter_audit.review.sessions import SessionFacts
from jupyter_audit.review.timeline import CellStep, EventStep, Timeline


@pytest.fixture(scope="module")
def ledger(day: Home) -> Iterator[VerifiedReader]:
    with open_verified(day.ledger, day.verifier_key) as reader:
        yield reader


@pytest.fixture(scope="module")
def alice(ledger: VerifiedReader) -> SessionFacts:
    found = find_session(list_sessions(ledger.entries()), "s-alice0000001")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def story(ledger: VerifiedReader, alice: SessionFacts) -> Timeline:
    return read_timeline(ledger, alice)


def test_a_session_says_who_why_under_whose_approval_and_how_it_ended(alice: SessionFacts) -> None:
    assert alice.principal == "alice"
    assert alice.grant is not None
    assert (alice.grant.reason, alice.grant.ticket) == ("Customers are charged too much", "SHOP-1042")
    assert (alice.grant.approver, alice.grant.self_approved) == ("bob", False)
    assert (alice.notebook, alice.isolation, alice.canary) == ("investigation.ipynb", "landlock", True)
    assert (alice.cause, alice.clean) == ("shutdown", True)
    assert alice.started is not None
    assert alice.ended is not None
    assert alice.started < alice.ended


def test_a_session_counts_what_happened_but_not_the_canary(alice: SessionFacts) -> None:
    counts = (alice.cells_run, alice.cells_refused, alice.errors, alice.late_outputs, alice.findings)
    assert counts == (5, 1, 1, 1, 1)
    assert (alice.worst, alice.unreadable) == ("medium", 0)


def test_self_approval_revocation_and_an_unclean_end_are_seen(ledger: VerifiedReader) -> None:
    mallory = find_session(list_sessions(ledger.entries()), "s-mallory00001")
    assert mallory is not None
    assert mallory.grant is not None
    assert mallory.grant.self_approved
    assert mallory.grant.ended_by == "revoked by bob: this looks wrong"
    assert (mallory.cause, mallory.processes, mallory.clean) == ("revoked", 2, False)
    assert (mallory.cells_refused, mallory.messages_refused, mallory.reports) == (3, 1, 1)


def test_the_session_with_most_findings_and_refusals_is_looked_at_first(ledger: VerifiedReader) -> None:
    sessions = list_sessions(ledger.entries())
    chosen = find_session(sessions)
    assert chosen is not None
    assert chosen.id == "s-mallory00001"
    assert find_session(sessions, "s-nowhere") is None
    assert find_session([]) is None


def test_a_timeline_tells_the_cells_in_order_with_what_came_out(story: Timeline) -> None:
    cells = story.cells
    assert [cell.refused for cell in cells] == ["no_grant", "", "", "", "", ""]
    assert [cell.outcome.status if cell.outcome else None for cell in cells] == [
        None, "ok", "ok", "error", "ok", "ok",
    ]  # fmt: skip
    hello = cells[1]
    assert hello.code == "import pandas as pd\nprint('hello')"
    assert hello.outcome is not None
    assert [(o.output, o.preview, o.lines) for o in hello.outcome.outputs] == [
        ("stream:stdout", "hello\n", 1)
    ]
    assert [step.seq for step in story.steps] == sorted(step.seq for step in story.steps)


def test_rows_errors_late_output_and_findings_stand_with_their_cell(story: Timeline) -> None:
    mass, failed, thread = story.cells[2:5]
    assert mass.outcome is not None
    assert {output.rows for output in mass.outcome.outputs} == {21132}
    assert [finding.title for finding in mass.findings] == ["Mass read"]
    assert failed.outcome is not None
    assert failed.outcome.error == "ZeroDivisionError"
    assert [[output.preview for output in late.outputs] for late in thread.late] == [["still here\n"]]


def test_purged_code_and_output_are_told_as_purged(story: Timeline) -> None:
    secret = story.cells[5]
    assert (secret.code, secret.purged, secret.lines) == (None, True, 1)
    assert secret.outcome is not None
    (output,) = secret.outcome.outputs
    assert (output.preview, output.purged, output.size) == (None, True, 29)


def test_whose_word_it_is_is_told(ledger: VerifiedReader, story: Timeline) -> None:
    assert {cell.outcome.reported_by for cell in story.cells if cell.outcome} == {"kernel"}
    mallory = find_session(list_sessions(ledger.entries()))
    assert mallory is not None
    events = [step for step in read_timeline(ledger, mallory).steps if isinstance(step, EventStep)]
    assert {step.type: step.reported_by for step in events}["kernel.report"] == "kernel"
    assert {step.type: step.reported_by for step in events}["session.ended"] == "server"
    assert {step.type: step.grave for step in events}["message.refused"]


def test_findings_come_gravest_first_and_gaps_are_among_them(ledger: VerifiedReader) -> None:
    assert [finding.level for finding in list_findings(ledger.entries())] == ["gap", "high", "medium"]


@pytest.mark.parametrize(
    ("one", "other", "worse"),
    [
        ("", "low", "low"),
        ("critical", "high", "critical"),
        ("medium", "medium", "medium"),
        ("odd", "high", "odd"),
    ],
)
def test_a_level_nobody_knows_counts_as_the_gravest(one: str, other: str, worse: str) -> None:
    assert worse_level(one, other) == worse_level(other, one) == worse


def test_every_kind_of_refusal_is_listed(ledger: VerifiedReader) -> None:
    refusals = list_refusals(ledger.entries())
    assert [refusal.what for refusal in refusals] == [
        "cell of 1 line",
        "comm_open on shell",
        *["cell of 1 line"] * 3,
        "start of kernel audit",
        "approve r-x",
    ]
    assert refusals[0].cause == "no_grant"


def test_activity_counts_everything_once(ledger: VerifiedReader) -> None:
    entries = list(ledger.entries())
    bars = count_activity(entries, timedelta(hours=1))
    assert [bars[0].start, bars[-1].start] == [
        datetime(2026, 11, 23, 9, tzinfo=UTC),
        datetime(2026, 11, 23, 23, tzinfo=UTC),
    ]
    assert len(bars) == 15
    sums = [sum(getattr(bar, name) for bar in bars) for name in ("run", "refused", "errors", "findings")]
    assert sums == [8, 5, 1, 2]
    people = count_by_principal(entries)
    assert people["alice"] == {"run": 5, "refused": 1, "errors": 1, "findings": 1}


def test_hours_are_those_of_the_zone(ledger: VerifiedReader) -> None:
    entries = list(ledger.entries())
    assert count_by_hour(entries)[0][9] == 6
    berlin = count_by_hour(entries, ZoneInfo("Europe/Berlin"))
    assert (berlin[0][10], berlin[1][0]) == (6, 7)


@pytest.mark.parametrize("hours", [0, 1, 24, 24 * 30, 24 * 365 * 5])
def test_a_step_is_chosen_that_gives_a_readable_number_of_bars(hours: int) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    step = choose_step(first, first + timedelta(hours=hours))
    assert timedelta(hours=hours) / step < 120
    assert format_step(step)


def test_nothing_to_count_gives_nothing() -> None:
    assert count_activity([], timedelta(hours=1)) == []
    assert list_sessions([]) == []


# --- entries that are not as they should be ---------------------------------------------------------


def an_entry(
    seq: int,
    kind: str,
    body: dict[str, Json],
    *,
    session: str | None = "s-odd",
    contents: tuple[str, ...] = (),
) -> Entry:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    held = {name: Commitment("0" * 64, 1, "application/json") for name in contents}
    return Entry(seq, moment, kind, Actor("eve", "test"), None, session, body, held, "{}")


ODD: list[Json] = [None, True, -1, "", "x", [], {}, [None], {"a": [{}]}]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_entries_with_any_values_are_told_and_never_stop_the_review(value: Json) -> None:
    body = {field.name: value for kind in KINDS.values() for field in dataclasses.fields(cast(Any, kind))}
    types = [*KINDS, "something.new"]
    entries = [an_entry(seq, kind, body, contents=("message", "outputs")) for seq, kind in enumerate(types)]
    (session,) = list_sessions(entries)
    timeline = build_timeline(session, entries, lambda seq, name: json.dumps(value).encode())
    assert len(timeline.steps) >= len(types) - 3
    list_findings(entries)
    list_refusals(entries)
    count_activity(entries, timedelta(minutes=1))


def test_an_entry_that_lacks_fields_is_counted() -> None:
    (session,) = list_sessions([an_entry(1, "cell.admitted", {})])
    assert session.unreadable == 1


@pytest.mark.parametrize("held", [b"", b"\xff\xfe", b"[", b"[" * 100_000, b'"code"', b'{"code": 1}'])
def test_code_that_is_no_code_is_told_as_unreadable(held: bytes) -> None:
    entry = an_entry(1, "cell.refused", {"cause": "no_grant", "lines": 2}, contents=("message",))
    (step,) = build_timeline(SessionFacts("s-odd", entry.time, entry.time), [entry], lambda *_: held).steps
    assert isinstance(step, CellStep)
    assert (step.code, step.purged) == (None, False)


def test_an_end_without_its_cell_stands_for_itself_and_is_grave() -> None:
    outputs: list[Json] = [
        {"output": "stream:stdout", "mime": "text/plain", "bytes": 5, "lines": 1, "rows": None}
    ]
    body: dict[str, Json] = {"admitted": -1, "outputs": outputs, "reported_by": "kernel"}
    entry = an_entry(7, "cell.late_output", body)
    (step,) = build_timeline(SessionFacts("s-odd", entry.time, entry.time), [entry], lambda *_: None).steps
    assert isinstance(step, EventStep)
    assert step.grave
    assert "stream:stdout of 5 bytes" in step.what


def test_a_second_end_of_one_cell_does_not_replace_the_first() -> None:
    cell = an_entry(1, "cell.admitted", {"lines": 1})
    first = an_entry(2, "cell.finished", {"admitted": 1, "status": "error", "outputs": []})
    second = an_entry(3, "cell.finished", {"admitted": 1, "status": "ok", "outputs": []})
    facts = SessionFacts("s-odd", cell.time, cell.time)
    steps = build_timeline(facts, [cell, first, second], lambda *_: None).steps
    assert isinstance(steps[0], CellStep)
    assert steps[0].outcome is not None
    assert steps[0].outcome.status == "error"
    assert isinstance(steps[1], EventStep)
    assert steps[1].grave
