"""Canonical bytes: one spelling for each value, and nothing else accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import IntEnum, StrEnum
from types import MappingProxyType

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.ledger import canonical as canonical_module
from jupyter_audit.ledger.canonical import (
    MAX_DEPTH,
    MAX_INTEGER,
    CanonicalError,
    canonicalize,
    parse_canonical,
    quote,
)


@pytest.fixture(autouse=True, scope="module", params=["orjson", "the standard library"])
def reader_and_writer(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "orjson":
            patch.setattr(canonical_module, "_orjson", None)
        yield


texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=6)


@given(objects)
def test_what_is_written_is_what_rfc8785_writes(value: dict[str, object]) -> None:
    text, plain = canonicalize(value)  # type: ignore[arg-type]

    assert text.encode() == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert plain == value


@given(objects)
def test_what_is_written_is_read_back(value: dict[str, object]) -> None:
    assert parse_canonical(canonicalize(value)[0]) == value  # type: ignore[arg-type]


loose = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), loose, max_size=4), st.booleans(), st.booleans(), st.sampled_from([",", ", "]))
def test_what_is_read_is_exactly_what_rfc8785_writes(value: dict[str, object], ascii_only: bool, in_order: bool, comma: str) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, sort_keys=in_order, separators=(comma, ":"))
    try:
        wanted: object = canonicalize(json.loads(text))[0]
        canonical = wanted == text == rfc8785.dumps(json.loads(text)).decode()
    except CanonicalError:
        canonical = False

    try:
        read = parse_canonical(text)
    except CanonicalError:
        assert not canonical
    else:
        assert canonical
        assert read == json.loads(text)


@given(texts)
def test_a_quoted_text_is_spelled_as_in_an_object(text: str) -> None:
    assert canonicalize({"a": text})[0] == f'{{"a":{quote(text)}}}'


def test_names_are_sorted_by_utf16_units_as_in_the_rfcs_example() -> None:
    # RFC 8785, section 3.2.3
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}

    text, _ = canonicalize(value)

    assert list(json.loads(text).values()) == [2, 4, 6, 7, 1, 5, 3]


def test_control_characters_are_spelled_as_the_rfc_spells_them() -> None:
    # RFC 8785, section 3.2.2.2
    text, _ = canonicalize({"string": '\u20ac$\u000f\nA\'B"\\\\"/\x7f\u2028'})

    assert text == '{"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f\u2028"}'


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


def test_what_is_like_a_plain_value_is_written_as_that_value() -> None:
    value = MappingProxyType({"a": (1, Colour.RED), "b": Number.ONE, Colour.RED: MappingProxyType({})})

    text, plain = canonicalize(value)  # type: ignore[arg-type]

    assert text == '{"a":[1,"red"],"b":1,"red":{}}'
    assert plain == {"a": [1, "red"], "b": 1, "red": {}}
    assert {type(item) for item in plain["a"]} == {int, str}


def test_a_name_that_is_like_text_is_written_as_that_text() -> None:
    text, plain = canonicalize({Colour.RED: 1})

    assert text == '{"red":1}'
    assert [type(name) for name in plain] == [str]


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1.0},
        {"a": float("nan")},
        {"a": MAX_INTEGER + 1},
        {"a": -MAX_INTEGER - 1},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"ä\ud800": 1},
        {"ä": "\ud800"},
        {1: "a"},
        {"a": b"bytes"},
        {"a": {1, 2}},
        {"a": ValueError("of no kind that JSON has")},
    ],
    ids=repr,
)
def test_what_has_no_single_spelling_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(CanonicalError):
        canonicalize(value)  # type: ignore[arg-type]


def test_nesting_ends_before_a_readers_stack_does() -> None:
    value: dict[str, object] = {}
    for _ in range(MAX_DEPTH - 1):
        value = {"a": value}
    canonicalize(value)  # type: ignore[arg-type]

    with pytest.raises(CanonicalError, match="inside each other"):
        canonicalize({"a": value})  # type: ignore[dict-item]
    with pytest.raises(CanonicalError):
        parse_canonical('{"a":' * 100_000 + "1" + "}" * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "[]",
        '{"a": 1}',
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a":1.0}',
        '{"a":1e3}',
        '{"a":NaN}',
        '{"a":-0}',
        '{"a":"\\u0041"}',
        '{"a":"\\/"}',
        '{"a":"\\u001F"}',
        '{"a":9007199254740993}',
        '{"a":"\\ud800"}',
        '{"a":1}\n',
        "{",
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(CanonicalError):
        parse_canonical(text)
