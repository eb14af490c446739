"""
Hypothesis strategies that start from what is valid and change it: texts, JSON, bytes, SQLite files.

Random input alone dies at the first check of a reader; a valid one with a few changes reaches the last.
"""

from __future__ import annotations

import copy
import json
import re
import string
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

TOKENS = [
    "", " ", "\n", "\n\n", "\r\n", "\t", "\x00", "\x1f", "\x7f", "\u2014 ", "\u2028", "\xa0", "\ud800", "ü", "\U0001f600",
    "+", "=", "==", "/", "A", "AAAA", "0", "00", "1", "-1", "1.0", "1e9", "9007199254740992", "9223372036854775808",
    "10000000000000000000000", "null", "true", "NaN", "Infinity", "{}", "[]", "{", "}", "[", "]", '"', ",", ":", '"":0', "\\u0041",
    "[" * 3000, '{"a":' * 3000, "x" * 70, "é" * 200,
]  # fmt: skip
"""What readers stumble over: separators, other spellings, numbers beyond an integer, nesting, text that is none."""

ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 1.5, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 10**30, float("inf"), "", "\n", "\x00",
    "x", "ü", "\ud800", "0" * 64, "A" * 44, [], [[]], [None], {}, {"a": 1}, {"": {}},
]  # fmt: skip
"""What stands where something else is expected."""

KINDS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
"""One of them in another's place: most checks of form still pass, and what is behind them is reached."""


def changed_texts(valid: Sequence[str]) -> st.SearchStrategy[str]:
    """A valid text with one to four places cut out, put in, exchanged, doubled, or one character by another of its kind; or any text."""
    return _cut_or_put(valid) | _of_the_same_form(valid)


@st.composite
def _of_the_same_form(draw: st.DrawFn, valid: Sequence[str]) -> str:
    text = draw(st.sampled_from(list(valid)))
    at = draw(st.sampled_from([at for at, character in enumerate(text) if any(character in kind for kind in KINDS)] or [0]))
    kind = next((kind for kind in KINDS if text[at : at + 1] in kind), " ")
    return text[:at] + draw(st.sampled_from(kind)) + text[at + 1 :]


@st.composite
def _cut_or_put(draw: st.DrawFn, valid: Sequence[str]) -> str:
    text: str = draw(st.sampled_from(list(valid)))
    if draw(st.integers(0, 15)) == 0:
        return draw(st.text(max_size=200))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3, 4]))):
        # Where its parts meet, above all.
        borders = st.sampled_from([0, *(found.start() for found in re.finditer(r"\b", text)), len(text)])
        start = draw(borders | st.integers(0, len(text)))
        stop = max(start, draw(borders)) if draw(st.booleans()) else min(len(text), start + draw(st.sampled_from([0, 1, 1, 2, 8, 64])))
        how = draw(st.sampled_from(["cut", "put", "character", "double", "end", "line"]))
        if how == "cut":
            text = text[:start] + text[stop:]
        elif how == "put":
            text = text[:start] + draw(st.sampled_from(TOKENS)) + text[stop:]
        elif how == "character":
            text = text[:start] + draw(st.characters()) + text[start + 1 :]
        elif how == "double":
            text = text[:stop] + text[start:]
        elif how == "end":
            text = text[:start]
        else:
            lines = text.split("\n")
            moved = lines.pop(draw(st.integers(0, len(lines) - 1)))
            lines.insert(draw(st.integers(0, len(lines))), moved)
            text = "\n".join(lines)
    return text


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for name in value:
            found += _places(value[name], (*path, name))
    elif isinstance(value, list):
        for number in range(len(value)):
            found += _places(value[number], (*path, number))
    return found


@st.composite
def changed_values(draw: st.DrawFn, valid: Sequence[Any], others: Sequence[Any] = ()) -> Any:
    """A valid JSON value in which one to three members are left out, exchanged, added, or swapped for another's."""
    value = copy.deepcopy(draw(st.sampled_from(list(valid))))
    odd = [*ODD_VALUES, *others]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.sampled_from(_places(value)))
        if not place:
            continue
        inside = value
        for step in place[:-1]:
            inside = inside[step]
        last = place[-1]
        how = draw(st.sampled_from(["other", "out", "text", "number", "more", "wrap"]))
        if how == "other":
            inside[last] = copy.deepcopy(draw(st.sampled_from(odd)))
        elif how == "out":
            del inside[last]
        elif how == "text" and isinstance(inside[last], str):
            inside[last] = draw(changed_texts([inside[last]]))
        elif how == "number" and type(inside[last]) is int:
            inside[last] += draw(st.sampled_from([-1, 1, 2**31, 2**53]))
        elif how == "wrap":
            inside[last] = [inside[last]]
        elif isinstance(inside, dict):
            name = draw(st.sampled_from(["a", "", "commit", "session", "grant", "names", "actor", "clock_back", "ü"]))
            inside[name] = copy.deepcopy(draw(st.sampled_from(odd)))
        else:
            inside.append(copy.deepcopy(inside[last]))
    return value


def changed_json(valid: Sequence[Any], others: Sequence[Any] = ()) -> st.SearchStrategy[str]:
    """The text of a changed value, canonical or not, or a changed text of a valid one."""

    def canonical(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    values = changed_values(valid, others)
    return st.one_of(values.map(canonical), values.map(json.dumps), changed_texts([canonical(value) for value in valid]))


@st.composite
def changed_bytes(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """Valid bytes with one to four places flipped, cut out, put in or doubled; or any bytes at all."""
    data: bytes = draw(st.sampled_from(list(valid)))
    if draw(st.integers(0, 15)) == 0:
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([1, 1, 2, 8, 64])))
        how = draw(st.sampled_from(["flip", "cut", "put", "double", "end"]))
        if how == "flip" and start < len(data):
            data = data[:start] + bytes([data[start] ^ (1 << draw(st.integers(0, 7)))]) + data[start + 1 :]
        elif how == "cut":
            data = data[:start] + data[stop:]
        elif how == "put":
            data = data[:start] + draw(st.binary(max_size=16)) + data[stop:]
        elif how == "double":
            data = data[:stop] + data[start:]
        elif how == "end":
            data = data[:start]
    return data


HEADER_FIELDS = {16: 2, 18: 1, 19: 1, 20: 1, 21: 1, 22: 1, 23: 1, 24: 4, 28: 4, 32: 4, 36: 4, 40: 4, 44: 4, 48: 4, 52: 4, 56: 4,
                 60: 4, 62: 2, 64: 4, 68: 4, 72: 4, 92: 4, 96: 4}  # fmt: skip
"""Offset to length of the fields of SQLite's header (https://www.sqlite.org/fileformat2.html section 1.3)."""


@st.composite
def changed_database(draw: st.DrawFn, whole: bytes, page: int) -> bytes:
    """A database file with one to three pages damaged as disks, crashes and people with a hex editor do it."""
    data = bytearray(whole)
    pages = len(data) // page
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.integers(0, pages - 1))
        start = number * page
        head = start + (100 if number == 0 else 0)
        how = draw(st.sampled_from(["bit", "noise", "zero", "copy", "swap", "torn", "cut", "header", "type", "pointer", "count", "child"]))
        if how == "bit":
            data[draw(st.integers(start, start + page - 1))] ^= 1 << draw(st.integers(0, 7))
        elif how == "noise":
            at, noise = draw(st.integers(start, start + page - 64)), draw(st.binary(min_size=1, max_size=64))
            data[at : at + len(noise)] = noise
        elif how == "zero":
            data[start : start + page] = bytes(page)
        elif how in ("copy", "swap"):
            other = draw(st.integers(0, pages - 1)) * page
            kept = data[start : start + page]
            data[start : start + page] = data[other : other + page]
            if how == "swap":
                data[other : other + page] = kept
        elif how == "torn":
            data[start + page // 2 : start + page] = bytes(page // 2)
        elif how == "cut":
            return bytes(data[: draw(st.sampled_from([start, start + page // 2, start + 1]))])
        elif how == "header":
            at = draw(st.sampled_from(sorted(HEADER_FIELDS)))
            length = HEADER_FIELDS[at]
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif how == "type":
            data[head] = draw(st.sampled_from([0, 2, 5, 10, 13, 255]))
        elif how == "count":  # how many cells there are, where they begin, and the first free block
            at = head + draw(st.sampled_from([1, 3, 5]))
            data[at : at + 2] = draw(st.binary(min_size=2, max_size=2))
        elif how == "pointer":
            at = head + 8 + 2 * draw(st.integers(0, 20))
            data[at : at + 2] = struct.pack(">H", draw(st.integers(0, page)))
        else:  # an inner page's children: loops, shared children, pages that are not there
            at = draw(st.sampled_from([head + 8, *(start + page - 4 * place for place in range(1, 9))]))
            data[at : at + 4] = struct.pack(">I", draw(st.integers(0, pages + 1)))
    return bytes(data)
