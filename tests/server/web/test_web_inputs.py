"""The pure parts of the web faces: reading what clients send, telling errors, putting outputs into words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado import web

from jupyter_audit.clock import parse_time
from jupyter_audit.errors import NotPermittedError, RecordError, UsageError
from jupyter_audit.model import SERVER, Actor, Entry
from jupyter_audit.server.inputs import LARGEST_BODY, Field, Query, parse_body
from jupyter_audit.server.lablink import lab_settings_overrides, write_lab_settings
from jupyter_audit.server.panel import duration
from jupyter_audit.server.problems import problem_of
from jupyter_audit.server.sight import NOTED_EVERY_S, ReadNotes, Sight
from jupyter_audit.server.views import first_line, outputs_in_words

FIELDS = {"reason": Field(str), "minutes": Field(int, required=False)}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_either_the_fields_or_refused_in_words(data: bytes) -> None:
    try:
        found = parse_body(data, FIELDS)
    except UsageError as error:
        found = {"reason": str(error), "minutes": None}
    assert set(found) == {"reason", "minutes"}
    assert isinstance(found["reason"], str)
    assert found["reason"].encode() is not None
    assert found["minutes"] is None or type(found["minutes"]) is int


@given(st.fixed_dictionaries({"reason": st.text(st.characters(exclude_categories=["Cs"]))}, optional={"minutes": st.integers()}))
def test_what_is_right_is_read_as_it_was_sent(given_fields: dict[str, Any]) -> None:
    assert parse_body(json.dumps(given_fields).encode(), FIELDS) == {"minutes": None, **given_fields}


def test_an_empty_body_is_an_empty_object() -> None:
    assert parse_body(b"", {}) == {}


def test_a_body_that_is_too_long_is_not_even_parsed() -> None:
    with pytest.raises(UsageError, match="bytes long"):
        parse_body(b"[" * (LARGEST_BODY + 1), {})


@given(st.dictionaries(st.text(max_size=10), st.lists(st.binary(max_size=20), min_size=1, max_size=3), max_size=3))
def test_any_query_is_either_read_or_refused_in_words(arguments: dict[str, list[bytes]]) -> None:
    try:
        query = Query(arguments, known=("limit", "type"))
        assert query.whole("limit", 5, least=1, most=10) in range(1, 11)
        assert all(kind == "a" for kind in query.texts("type", "a", most=2))
    except UsageError as error:
        str(error).encode()


def test_jupyters_own_parameters_are_let_through() -> None:
    assert Query({"token": [b"x"], "no_track_activity": [b"1"]}, known=()).text("limit", ".*") is None


def test_errors_say_what_happened_and_what_to_do() -> None:
    refused = problem_of(NotPermittedError("You may not.", advice="Ask ana."), 500, known_user=True)
    assert refused == {
        "type": "about:blank", "title": "Forbidden", "status": 403, "detail": "You may not.",
        "advice": "Ask ana.", "code": "not_permitted",
    }  # fmt: skip
    assert problem_of(RecordError("It could not be recorded."), 500, known_user=True)["status"] == 503
    assert problem_of(web.HTTPError(404), 404, known_user=True)["code"] == "not_found"
    assert problem_of(web.HTTPError(400, "100% wrong"), 400, known_user=True)["detail"] == "100% wrong"
    assert problem_of(web.HTTPError(400, "%s is wrong", "it"), 400, known_user=True)["detail"] == "it is wrong"


@pytest.mark.parametrize("error", [ZeroDivisionError("the secret path"), KeyError("the secret path"), None])
def test_what_fails_inside_is_not_told_to_strangers(error: BaseException | None) -> None:
    told = problem_of(error, 500, known_user=False)
    assert "secret" not in str(told)
    assert told["status"] == 500


def entry(actor: Actor, *, grant: str | None = None, session: str | None = None, **body: Any) -> Entry:
    return Entry(1, parse_time("2026-01-01T00:00:00.000000Z"), "x.y", actor, grant, session, body, {}, "")


ERIN = Sight(
    "erin",
    everything=False,
    requests=frozenset({"r-1"}),
    grants=frozenset({"g-1"}),
    sessions=frozenset({"s-1"}),
)


@pytest.mark.parametrize(
    ("shown", "mine"),
    [
        (entry(Actor("erin", "Hub")), True),
        (entry(SERVER, session="s-1"), True),
        (entry(SERVER, grant="g-1"), True),
        (entry(Actor("ana", "Hub"), request="r-1"), True),
        (entry(Actor("otto", "Hub")), False),
        (entry(Actor("otto", "Hub"), session="s-2"), False),
        (entry(SERVER), False),
        (entry(Actor("ana", "Hub"), request=["r-1"]), False),
    ],
)
def test_ones_own_is_what_one_did_and_what_came_of_it(shown: Entry, mine: bool) -> None:
    assert ERIN.may_see(shown) is mine


def test_somebody_called_like_the_server_does_not_see_what_the_server_did() -> None:
    assert not Sight(SERVER.name, everything=False).may_see(entry(SERVER))


def test_what_the_server_did_for_nobody_is_not_another_persons() -> None:
    everything = Sight("aude", everything=True)
    assert not everything.is_anothers(entry(SERVER))
    assert everything.is_anothers(entry(SERVER, session="s-1"))
    assert everything.is_anothers(entry(Actor("erin", "Hub")))


def test_reading_is_noted_once_in_ten_minutes_for_each_thing_that_is_read() -> None:
    now = [0.0]
    notes = ReadNotes(lambda: now[0])
    assert [notes.is_due("aude", "cells"), notes.is_due("aude", "cells")] == [True, False]
    assert notes.is_due("aude", "entries")
    assert notes.is_due("ana", "cells")
    now[0] = NOTED_EVERY_S
    assert notes.is_due("aude", "cells")


def output(kind: str, mime: str = "text/plain", **facts: Any) -> dict[str, Any]:
    return {"output": kind, "mime": mime, "bytes": 0, "lines": 0, "rows": None, "cut": False, **facts}


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ([], ""),
        ([output("stream:stdout", lines=1)], "printed 1 line"),
        (
            [output("stream:stdout", lines=2), output("stream:stderr", lines=3)],
            "printed 2 lines; 3 lines to stderr",
        ),
        ([output("result", "text/html", rows=50_000), output("result", rows=50_000)], "table of 50,000 rows"),
        ([output("result", bytes=2)], "text, 2 bytes"),
        ([output("display", "image/png", bytes=20_480), output("display", bytes=30)], "image/png, 20.5 kB"),
        ([output("error")], ""),
        ([output("more", "", count=7)], "7 more outputs"),
        (
            [output("display", f"x/{n}", bytes=1) for n in range(6)],
            "x/0, 1 byte; x/1, 1 byte; x/2, 1 byte; x/3, 1 byte; …",
        ),
    ],
)
def test_outputs_are_told_in_a_few_words(outputs: list[dict[str, Any]], words: str) -> None:
    assert outputs_in_words(outputs) == words


@given(st.none() | st.text())
def test_a_first_line_is_one_short_line(code: str | None) -> None:
    line = first_line(code)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 161


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(None, ""), (7, "7 ms"), (1500, "1.5 s"), (60_000, "0:01:00"), (3_725_000, "1:02:05")],
)
def test_durations_are_told_as_people_say_them(milliseconds: int | None, words: str) -> None:
    assert duration(milliseconds) == words


@pytest.mark.parametrize("base", ["/", "/u/x/", "/user/a%20b/"])
def test_labs_settings_lead_to_the_panel_of_this_server(tmp_path: Any, base: str) -> None:
    written = json.loads((write_lab_settings(tmp_path / "settings", base) / "overrides.json").read_text())
    assert written == lab_settings_overrides(base)
    menus = written["@jupyterlab/mainmenu-extension:plugin"]["menus"]
    items = [item for menu in menus for item in menu["items"]]
    items += written["@jupyterlab/notebook-extension:panel"]["toolbar"]
    assert {item["args"]["url"] for item in items} == {base + "audit/panel"}
    assert all(item["args"]["newBrowserTab"] for item in items)
