"""
The one spelling of an entry: RFC 8785 canonical JSON, without floats.

Two parties that agree on an entry's value agree on its bytes, so its hash needs no further rules. What
has no single spelling is refused, never coerced: floats, integers beyond 2^53 - 1, text that is not
Unicode, names that are not text. Keeps P5 and P7.

The standard library's C encoder writes exactly the form of RFC 8785 for what is allowed here, but for
the order of names outside ASCII (section 3.2.3 sorts by UTF-16 units); those go through `rfc8785`. A
property test holds both to the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from json import encoder as json_encoder
from json.encoder import encode_basestring
from typing import Any, cast

import rfc8785

from jupyter_audit.model import Json

MAX_INTEGER = 2**53 - 1
"""RFC 8785 section 3.2.2.3: beyond it, integers have no single spelling in IEEE 754 readers."""

MAX_DEPTH = 64
"""Arrays and objects inside each other; more is refused, so that no reader runs out of stack."""

_encoder = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


def _encode(plain: dict[str, Any]) -> str:
    return "".join(_chunks(plain))


def _c_chunks() -> Callable[[dict[str, Any]], Iterable[str]]:
    """Return `JSONEncoder.iterencode`, without the machinery that it sets up anew for each text."""
    make = getattr(json_encoder, "c_make_encoder", None)
    if make is None:
        return _encoder.iterencode
    encode = make(None, _encoder.default, encode_basestring, None, ":", ",", True, False, False)
    return lambda plain: encode(plain, 0)


_chunks = _c_chunks()

quote: Callable[[str], str] = encode_basestring
"""Return the canonical JSON string of a text (RFC 8785 section 3.2.2.2), in its quotation marks."""


class CanonicalError(ValueError):
    """A value has no canonical form, or a text is not in it."""


def _integer(text: str) -> int:
    number = int(text)
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        raise CanonicalError(f"integer beyond 2^53 - 1: {text}")
    return number


def _no_float(text: str) -> float:
    raise CanonicalError(f"floats are not allowed: {text}")


_decode = json.JSONDecoder(parse_int=_integer, parse_float=_no_float, parse_constant=_no_float).raw_decode


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
    walk = _Plain()
    plain = walk.members(value, depth)
    try:
        text = rfc8785.dumps(plain).decode() if walk.foreign_names else _encode(plain)
        if not text.isascii():
            text.encode()
    except (UnicodeEncodeError, rfc8785.CanonicalizationError) as error:
        raise CanonicalError(f"text that is not Unicode: {error}") from error
    return text, plain


def parse_canonical(text: str) -> dict[str, Any]:
    """
    Return the object that `text` spells, if and only if `text` is its canonical spelling.

    Raises `CanonicalError` otherwise: not JSON, not an object, or another spelling of one.
    """
    if text.isascii() and text.count("{") + text.count("[") <= MAX_DEPTH:
        # Nearly every entry: what the C decoder reads from it and the C encoder spells alike is canonical, if it has no
        # floats and no large numbers. Names are in order then, there are no two alike, and no surrogates.
        try:
            value, _ = _decode(text)
            if type(value) is dict and _encode(value) == text:
                return value
        except (ValueError, RecursionError):
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
