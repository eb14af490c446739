"""What counts as `%audit` is a cell that is that alone, and what stands after it is read strictly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.errors import UsageError
from jupyter_audit.gate.intents import LONGEST, VERBS, parse, said


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("%audit", ""),
        ("%audit status", "status"),
        ("\n  # mine\n%audit   request 30m why --ticket T-1  \n\n", "request 30m why --ticket T-1"),
        ("%audit\tnote it's odd", "note it's odd"),
    ],
)
def test_a_cell_that_is_audit_alone_is_for_the_server(code: str, text: str) -> None:
    assert said({"code": code}) == text


@pytest.mark.parametrize(
    "code",
    [
        "",
        "x = 1\n%audit request 30m why --ticket T-1",
        "%audit status\n%audit status",
        "%audit status\nprint(1)",
        "%auditor status",
        "%%audit status",
        "get_ipython().run_line_magic('audit', 'request')",
        "'''\n%audit status\n'''",
        "%audit " + "x" * LONGEST,
        None,
        ["%audit status"],
        7,
    ],
)
def test_any_other_cell_is_for_the_kernel(code: Any) -> None:
    assert said({"code": code} if code is not None else {}) is None


def test_a_request_is_read_with_its_time_its_options_and_its_reason() -> None:
    intent = parse("request 1h30m orders can't be paid --ticket=T-1 --target \"the shop\" since noon --profile debug")
    assert (intent.verb, intent.minutes, intent.text) == ("request", 90, "orders can't be paid since noon")
    assert intent.options == {"ticket": "T-1", "target": "the shop", "profile": "debug"}


@pytest.mark.parametrize(
    ("text", "minutes", "words"),
    [
        ("extend 30m", 30, ()),
        ("extend 2h still looking", 120, ("still", "looking")),
        ("extend 45min", 45, ()),
        ("extend 30 more", None, ("30", "more")),
        ("request 3 orders are stuck", None, ("3", "orders", "are", "stuck")),
        ("note 30m is not much", None, ("30m", "is", "not", "much")),
    ],
)
def test_a_duration_is_one_with_a_unit_where_a_verb_takes_one(text: str, minutes: int | None, words: tuple[str, ...]) -> None:
    intent = parse(text)
    assert (intent.minutes, intent.words) == (minutes, words)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("approve r-1", "There is no %audit approve"),
        ("break-glass now", "There is no %audit break-glass"),
        ("request why --tickets T-1", "There is no option --tickets"),
        ("request why --ticket", "--ticket says nothing"),
        ("request why --ticket a --ticket b", "--ticket stands there twice"),
        ('request "why', "has no partner"),
    ],
)
def test_what_is_not_written_as_it_should_be_is_an_error_in_words(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        parse(text)
    assert error.value.advice


@given(st.sampled_from(sorted(VERBS)), st.text())
def test_no_text_breaks_the_reader(verb: str, text: str) -> None:
    try:
        intent = parse(f"{verb} {text}")
    except UsageError:
        return
    assert intent.verb == verb or intent.verb in VERBS
