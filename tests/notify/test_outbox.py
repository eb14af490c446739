"""What is owed to whom follows from the entries and the clock alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_house import SETTINGS, NotifyHouse

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.grants import Grant
from jupyter_audit.access.policy import Policy
from jupyter_audit.clock import format_time
from jupyter_audit.errors import ConfigError
from jupyter_audit.home import Home
from jupyter_audit.model import SERVER, Actor, Content, Entry
from jupyter_audit.notify.courier import scrub
from jupyter_audit.notify.events import EVENTS, grant_ending, one_line, review_overdue
from jupyter_audit.notify.outbox import MOST_OWED, Outbox, compose
from jupyter_audit.notify.routes import Routes
from jupyter_audit.notify.standing import glasses_unheard
from jupyter_audit.record import kinds
from jupyter_audit.settings import JupyterAudit

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TARGETS = {"oncall": "json://localhost/x", "bea": "json://localhost/b", "ada": "json://localhost/a"}
PEOPLE = {"cyn": ["bea"], "ada": ["ada"]}


def routes(**given: Any) -> Routes:
    return Routes.from_settings(JupyterAudit(**{**SETTINGS, "alert_targets": TARGETS, "alert_people": PEOPLE, **given}), Home(Path("/x")))


def an_entry(seq: int, kind: str, body: dict[str, Any], **more: Any) -> Entry:
    return Entry(seq, more.pop("time", NOW), kind, more.pop("actor", SERVER), None, None, body, {}, "")


def outbox(made: Routes, seq: int = 1) -> Outbox:
    box = Outbox(made, Policy.from_settings(JupyterAudit(**SETTINGS)))
    box.take(an_entry(seq, "alert.routed", made.to_json()))
    return box


def finding(seq: int, level: str = "high", entries: list[int] | None = None) -> Entry:
    body = {"rule": "r", "title": f"T{seq}", "level": level, "explanation": "e", "entries": entries or [0]}
    return an_entry(seq, "finding.raised", body)


def told(box: Outbox, book: GrantBook | None = None) -> dict[tuple[str, str], int]:
    return {(owed.event, owed.target): owed.count for owed in box.owed(book or GrantBook(), NOW)}


def test_only_findings_of_the_level_are_told_and_only_those_after_the_target() -> None:
    box = outbox(routes(alert_finding_level="high"))
    for seq, level in ((0, "critical"), (2, "medium"), (3, "high"), (4, "critical"), (5, "of another rulebook")):
        box.take(finding(seq, level))
    assert told(box) == {("finding", name): 3 for name in TARGETS}


def test_what_was_told_or_given_up_is_not_owed_any_more_and_the_rest_is() -> None:
    box = outbox(routes())
    for seq in range(2, 6):
        box.take(finding(seq))
    common = {"event": "finding", "count": 2, "about": []}
    box.take(an_entry(6, "alert.sent", {**common, "target": "oncall", "through": 3, "attempts": 1}))
    box.take(an_entry(7, "alert.failed", {**common, "target": "bea", "through": 5, "error": "x", "given_up": True}))
    box.take(an_entry(8, "alert.failed", {**common, "target": "ada", "through": 5, "error": "x", "given_up": False}))
    assert told(box) == {("finding", "oncall"): 2, ("finding", "ada"): 4}
    assert box.failing == {"bea", "ada"}


def test_of_what_cannot_be_told_the_newest_is_kept_and_the_rest_counted() -> None:
    box = outbox(routes(alert_routes={"finding": ["oncall"]}))
    for seq in range(2, MOST_OWED + 102):
        box.take(finding(seq))
    [owed] = box.owed(GrantBook(), NOW)
    assert (len(owed.notices), owed.count, owed.through) == (MOST_OWED, MOST_OWED + 100, MOST_OWED + 101)
    title, text = compose(owed, "http://panel")
    assert title == f"[Jupyter Audit] high: T{MOST_OWED + 101}, and {MOST_OWED + 99} more"
    assert f"and {MOST_OWED + 90} older" in text
    assert len(text) < 4000
    box.told("finding", "oncall", owed.through, [])
    box.forget_told()
    assert not box.owed(GrantBook(), NOW)


def test_a_request_goes_to_whoever_may_answer_it_until_somebody_has(house: NotifyHouse) -> None:
    made, book = routes(), GrantBook()
    box = outbox(made, 0)
    request = house.ask()

    def look() -> dict[tuple[str, str], int]:
        for entry in house.reader.entries():
            if entry.type == "access.requested":
                box.take(entry)
        book.refresh(house.reader)
        return {(o.event, o.target): o.count for o in box.owed(book, house.clock.now())}

    # bob may answer too, but has no target; ada, who has one, asked herself.
    assert look() == {("request_waiting", "bea"): 1}
    house.access.deny(house.person("cyn"), request, "not now")
    assert look() == {}


def test_a_held_cell_is_told_to_approvers_without_its_code_and_not_to_whom_it_is_run_for(house: NotifyHouse) -> None:
    book, box = GrantBook(), outbox(routes(alert_people={"cyn": ["bea"], "bob": ["ada"]}), 0)
    grant = house.access.approve(house.person("cyn"), house.ask("ada")).id
    lapses = format_time(house.clock.now() + timedelta(minutes=5))
    held = kinds.CellHeld("h-0123456789ab", "k", "m", "shell", "c", False, 3, "production-debug", lapses, "bob", False)
    message = {"message": Content(b'{"code": "secret = 1"}', "application/json")}
    draft = kinds.draft(held, actor=Actor("ada", "t"), grant=grant, session="s-0123456789ab", contents=message)
    entry = house.recorder.record(draft).result()
    box.take(entry)
    book.refresh(house.reader)
    [owed] = box.owed(book, house.clock.now())
    assert (owed.event, owed.target) == ("cell_waiting", "bea")
    text = compose(owed, "http://panel", server="http://here")[1]
    assert "or jupyter audit approve-cell h-0123456789ab --server http://here\n" in text
    assert "secret" not in text
    assert not box.owed(book, house.clock.now() + timedelta(minutes=6))


def test_a_witness_that_contradicts_the_ledger_is_told_and_that_it_is_over_is_not() -> None:
    box = outbox(routes())
    alarm = {"sink": "witness+https://w.example#key", "stands": True, "since": "2026-11-25T11:00:00Z", "said": "it saw 7 entries"}
    box.take(an_entry(2, "witness.alarm", alarm))
    box.take(an_entry(3, "witness.alarm", {**alarm, "stands": False, "said": ""}))
    assert told(box) == {("witness_alarm", name): 1 for name in TARGETS}
    assert "It says: it saw 7 entries" in compose(box.owed(GrantBook(), NOW)[0], "x")[1]


def test_everyones_revocation_is_one_thing_however_many_grants_it_ended(house: NotifyHouse) -> None:
    for name in ("ada", "bob"):
        house.access.approve(house.person("cyn"), house.ask(name))
    box = outbox(routes(), 0)
    house.access.revoke_everyone(house.person("dan"), "a token leaked")
    for entry in house.entries("access.revoked"):
        box.take(entry)
    [owed, *_] = box.owed(GrantBook(), NOW)
    assert (owed.event, owed.count) == ("revoked_everyone", 1)
    assert "Grants: 2" in compose(owed, "x")[1]
    assert house.access.request(house.person("ada"), profile="production-debug", reason="orders are stuck", ticket="T-1")


def a_grant(**given: Any) -> Grant:
    made: dict[str, Any] = {
        "id": "g-1", "request": "", "principal": "ada", "vouched_by": "t", "profile": "production-debug", "reason": "r",
        "ticket": "T", "not_before": NOW, "not_after": NOW + timedelta(minutes=30), "approver": "", "self_approved": False,
        "seq": 3, **given,
    }  # fmt: skip
    return Grant(**made)


def test_a_grants_end_is_told_once_and_again_when_it_was_extended() -> None:
    lead, grant = timedelta(minutes=5), a_grant()
    assert grant_ending(grant, NOW + timedelta(minutes=24), lead) is None
    notice = grant_ending(grant, NOW + timedelta(minutes=25), lead)
    later = grant_ending(a_grant(not_after=NOW + timedelta(minutes=60)), NOW + timedelta(minutes=56), lead)
    assert notice is not None
    assert later is not None
    assert notice.key != later.key
    assert grant_ending(grant, NOW + timedelta(minutes=31), lead) is None
    assert grant_ending(a_grant(not_after=NOW + timedelta(minutes=8)), NOW + timedelta(minutes=6), lead) is None


def test_a_review_that_is_overdue_is_told_again_each_time_as_long_has_passed() -> None:
    day, grant = timedelta(hours=24), a_grant(break_glass=True)
    ended = grant.not_after
    keys = [
        notice.key if (notice := review_overdue(grant, ("cyn",), ended + timedelta(hours=hours), day)) else None
        for hours in (1, 23, 25, 47, 49)
    ]
    assert keys == [None, None, "g-1:1", "g-1:1", "g-1:2"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"alert_targets": {"everyone": "json://x"}}, "is no name for a target"),
    ({"alert_targets": {"x": "not a url"}}, "is neither a URL nor"),
    ({"alert_routes": {"breakglass": ["oncall"]}}, "is no event"),
    ({"alert_routes": {"break_glass": ["nobody"]}}, "which is no target"),
    ({"alert_people": {"cyn": ["nobody"]}}, "which is no target"),
]


@pytest.mark.parametrize(("given", "told"), BAD, ids=[told for _, told in BAD])
def test_a_setting_that_cannot_be_used_names_itself(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        routes(**given)
    assert error.value.setting[0] == next(iter(given))


def test_a_glass_that_alerts_nobody_is_known_whatever_the_reason() -> None:
    policy = Policy.from_settings(JupyterAudit(**SETTINGS))
    assert glasses_unheard(routes(), policy) == []
    for deaf in ({"alert_targets": {}, "alert_people": {}}, {"alert_routes": {"finding": ["oncall"]}},
                 {"alert_routes": {"break_glass": ["approvers"]}, "alert_people": {}}):  # fmt: skip
        assert glasses_unheard(routes(**deaf), policy) == ["production-debug"]


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o606])
def test_a_targets_file_that_others_could_read_is_not_read(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "alerts"
    folder.mkdir()
    (folder / "x").write_text("json://secret")
    (folder / "x").chmod(mode)
    made = Routes.from_settings(JupyterAudit(alert_targets={"t": "file:x"}), Home(tmp_path))
    with pytest.raises(ConfigError, match="others could read or change") as error:
        made.targets["t"].url()
    assert "secret" not in error.value.explain()
    (folder / "x").chmod(0o600)
    assert made.targets["t"].url() == "json://secret"
    assert not made.targets["t"].readable_by_kernels


@pytest.mark.parametrize("said", ["file:missing", "env:NO_SUCH_VARIABLE"])
def test_a_target_that_is_not_there_says_so_when_it_is_needed(tmp_path: Path, said: str) -> None:
    made = Routes.from_settings(JupyterAudit(alert_targets={"t": said}), Home(tmp_path))
    with pytest.raises(ConfigError, match="The alert target t"):
        made.targets["t"].url()


@given(st.text(), st.integers(1, 400))
def test_what_a_person_wrote_stands_on_one_line(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert line.isprintable() or not line


@given(st.lists(st.from_regex(r"\A[A-Za-z0-9%._-]{3,30}\Z"), min_size=1, max_size=5), st.sampled_from("/?&=:@"))
def test_no_piece_of_a_url_is_left_in_an_error(pieces: list[str], sign: str) -> None:
    url = "slack://" + sign.join(pieces)
    harmless = {"http", "https", "json", "jsons", "mailto", "mailtos", "html", "text", "markdown", "true", "false", "post"}
    error = scrub(f"could not reach {url} ({' '.join(pieces)})", url)
    assert not [piece for piece in pieces if piece.lower() not in harmless and piece in error]


def test_the_help_of_the_setting_names_every_event() -> None:
    told = str(JupyterAudit.alert_routes.help)
    assert [name for name in EVENTS if name not in told] == []


@pytest.mark.parametrize(
    "spoil", [lambda body: body.clear(), lambda body: body.update(through="x", entries=7, routes=[], about=3)], ids=["empty", "of another type"]
)
def test_an_entry_that_is_not_as_its_kind_says_has_no_effect(spoil: Callable[[dict[str, Any]], None]) -> None:
    box = outbox(routes())
    for number, kind in enumerate(("alert.sent", "alert.failed", "finding.raised", "access.break_glass", "access.requested", "alert.routed")):
        body: dict[str, Any] = {"event": "finding", "target": "oncall", "count": 1, "through": 99, "about": [], "attempts": 1}
        spoil(body)
        box.take(an_entry(number + 2, kind, body))
    box.take(finding(20))
    assert told(box)[("finding", "oncall")] == 1
