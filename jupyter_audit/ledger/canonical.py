"""
The one spelling of an entry: RFC 8785 canonical JSON, without floats.

Two parties that agree on an entry's value agree on its bytes, so its hash needs no further rules. What
has no single spelling is refused, never coerced: floats, integers beyond 2^53 - 1, text that is not
Unicode, names that are not text. Keeps P5 and P7.

For what is allowed here, orjson, or the standard library where there is none, writes exactly the form of RFC 8785,
but for the order of names outside ASCII (section 3.2.3 sorts by UTF-16 units); those go through `rfc8785`. Property
tests hold all of them to the same bytes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring
from typing import Any, cast

import rfc8785

from jupyter_audit.model import Json

MAX_INTEGER = 2**53 - 1
"""RFC 8785 section 3.2.2.3: beyond it, integers have no single spelling in IEEE 754 readers."""

MAX_DEPTH = 64
"""Arrays and objects inside each other; more is refused, so that no reader runs out of stack."""

_orjson: Any = None
with contextlib.suppress(ImportError):  # no wheel for this platform: slower, to the same bytes
    import orjson

    _orjson = orjson

_slow_encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def _encode(plain: dict[str, Any]) -> str:
    """Return the canonical text of plain values whose names are ASCII."""
    if _orjson is None:
        return _slow_encode(plain)
    try:
        text: str = _orjson.dumps(plain, option=_orjson.OPT_SORT_KEYS).decode()
        return text
    except TypeError:  # a surrogate: what is wrong is put into words below
        return _slow_encode(plain)


_FLAT = frozenset({str, bool, int, type(None)})

quote: Callable[[str], str] = encode_basestring
"""Return the canonical JSON string of a text (RFC 8785 section 3.2.2.2), in its quotation marks."""


class CanonicalError(ValueError):
    """A value has no canonical form, or a text is not in it."""


def is_exact(values: Iterable[Any]) -> bool:
    """Return whether values that a JSON decoder made have one spelling: no floats, no integer beyond 2^53 - 1."""
    for value in values:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is int:
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                return False
        elif not (is_exact(value.values()) if kind is dict else kind is list and is_exact(value)):
            return False
    return True


def has_ascii_names(value: object) -> bool:
    """Return whether all names of objects in what a JSON decoder made are ASCII, so that there is one order for them."""
    if type(value) is dict:
        return all(name.isascii() and has_ascii_names(member) for name, member in value.items())
    return type(value) is not list or all(map(has_ascii_names, value))


class _Plain:
    """Copies a value into plain dicts and lists, and notes whether a name outside ASCII came by."""

    __slots__ = ("foreign_names",)

    def __init__(self) -> None:
        self.foreign_names = False

    def members(self, value: Mapping[Any, object], depth: int) -> dict[str, Any]:
        if depth >= MAX_DEPTH:
            raise CanonicalError(f"more than {MAX_DEPTH} arrays and objects inside each other")
        plain: dict[str, Any] = {}
        for name, member in value.items():
            if type(name) is not str:
                if not isinstance(name, str):
                    raise CanonicalError(f"name that is not text: {name!r}")
                name = str(name)  # an enum's member counts as the text it is
            if not name.isascii():
                self.foreign_names = True
            kind = type(member)
            # Most members are texts, and this is on the path of every cell.
            plain[name] = member if kind is str or kind is bool else self.copy(member, depth + 1)
        return plain

    def copy(self, value: object, depth: int) -> Any:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return value
        if kind is int:
            number = cast(int, value)
            if not -MAX_INTEGER <= number <= MAX_INTEGER:
                raise CanonicalError(f"integer beyond 2^53 - 1: {number}")
            return number
        if kind is dict:
            return self.members(cast("dict[Any, object]", value), depth)
        if kind is list or kind is tuple:
            if depth >= MAX_DEPTH:
                raise CanonicalError(f"more than {MAX_DEPTH} arrays and objects inside each other")
            return [self.copy(item, depth + 1) for item in cast("list[object]", value)]
        if isinstance(value, Mapping):
            return self.members(value, depth)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, int):
            return self.copy(int(value), depth)
        if isinstance(value, float):
            raise CanonicalError(f"floats are not allowed: {value!r}")
        raise CanonicalError(f"{kind.__name__} is not a JSON value")


def canonicalize(value: Mapping[str, Json], *, depth: int = 0) -> tuple[str, dict[str, Any]]:
    """
    Return the canonical text of `value`, and the plain copy that reading it back would give.

    `depth` is how many objects it will stand inside of.
    Raises `CanonicalError` for anything that has no single spelling.
    """
    if type(value) is dict and depth < MAX_DEPTH:
        flat = _encode_flat(value)
        if flat is not None:
            return flat, dict(value)
    walk = _Plain()
    plain = walk.members(value, depth)
    try:
        text = rfc8785.dumps(plain).decode() if walk.foreign_names else _encode(plain)
        if not text.isascii():
            text.encode()
    except (UnicodeEncodeError, rfc8785.CanonicalizationError) as error:
        raise CanonicalError(f"text that is not Unicode: {error}") from error
    return text, plain


def _encode_flat(value: dict[str, Any]) -> str | None:
    """Return the canonical text of an object as most bodies are: no objects or arrays in it, ASCII. None for any other."""
    if _orjson is None or not _FLAT.issuperset(map(type, value.values())):
        return None
    try:
        text: str = _orjson.dumps(value, option=_orjson.OPT_SORT_KEYS | _orjson.OPT_STRICT_INTEGER).decode()
    except TypeError:  # also for a name that is no plain text
        return None  # what is wrong is put into words by the walk through it
    return text if text.isascii() else None


def parse_canonical(text: str) -> dict[str, Any]:
    """
    Return the object that `text` spells, if and only if `text` is its canonical spelling.

    Raises `CanonicalError` otherwise: not JSON, not an object, or another spelling of one.
    """
    if _orjson is not None and text.isascii() and text.count("{") + text.count("[") <= MAX_DEPTH:
        # Nearly every entry. Names are in order if the text comes out again, no two are alike, and there are no surrogates.
        try:
            value = _orjson.loads(text)
            if type(value) is dict and _encode(value) == text and is_exact(value.values()):
                return cast("dict[str, Any]", value)
        except ValueError:
            pass  # what is wrong is put into words below
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CanonicalError(f"not JSON: {error}") from error
    if type(value) is not dict:
        raise CanonicalError("not a JSON object")
    again, plain = canonicalize(value)
    if again != text:
        raise CanonicalError("not in canonical form")
    return plain
