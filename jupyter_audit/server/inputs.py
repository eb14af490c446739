"""
What clients send, read strictly: a field that is missing, unknown, twice there or of another type is refused
in words. Pure. Must never guess what was meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_audit.errors import UsageError

LARGEST_BODY = 64 * 1024
LONGEST_TEXT = 16 * 1024
"""Of one field, in characters. The rules of access ask for much less; this keeps their errors readable."""

LARGEST_NUMBER = 2**53 - 1
"""The largest whole number that every JSON parser reads back as it was."""

WORDS = {str: "a text", int: "a whole number", bool: "true or false"}

JUPYTERS_OWN = frozenset({"token", "no_track_activity"})
"""Query parameters that Jupyter Server takes on every address."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body: its type, and whether it may be left out (or null)."""

    kind: type[str] | type[int] | type[bool]
    required: bool = True


def parse_body(data: bytes, fields: Mapping[str, Field]) -> dict[str, Any]:
    """
    Return the fields of a JSON body; those left out are None. An empty body is an empty object.

    Raises `UsageError` saying what is wrong with which field.
    """
    if len(data) > LARGEST_BODY:
        raise UsageError(f"The body is {len(data)} bytes long; {LARGEST_BODY} are allowed.")
    known = ", ".join(sorted(fields)) or "no fields at all"
    try:
        text = data.decode("utf-8") or "{}"
        given = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The body is not JSON: {error}.", advice=f"Send an object with {known}.") from error
    if not isinstance(given, dict):
        raise UsageError("The body is not a JSON object.", advice=f"Send an object with {known}.")
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise UsageError(f"Unknown fields: {_shown(', '.join(unknown))}.", advice=f"Known: {known}.")
    return {name: _value(name, given.get(name), field) for name, field in fields.items()}


def _value(name: str, value: Any, field: Field) -> Any:
    if value is None:
        if field.required:
            raise UsageError(f"{name} is missing.", advice=f"Give it as {WORDS[field.kind]}.")
        return None
    if type(value) is not field.kind:
        raise UsageError(f"{name} is not {WORDS[field.kind]}.")
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise UsageError(f"{name} is {len(value)} characters long; {LONGEST_TEXT} are allowed.")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError(f"{name} holds half a character (a lone surrogate).")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        # Two parsers could read two different things from it.
        raise ValueError("a field is there twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:200])


class Query:
    """
    The query parameters of one request. Every name must be known, and stands there once unless it is a list.

    Each reader raises `UsageError` for a value that cannot be used.
    """

    def __init__(self, arguments: Mapping[str, Sequence[bytes]], *, known: Sequence[str]) -> None:
        self._given: dict[str, list[str]] = {}
        for name, values in arguments.items():
            if name in JUPYTERS_OWN:
                continue
            if name not in known:
                advice = f"Known: {', '.join(known) or 'none'}."
                raise UsageError(f"Unknown query parameter: {_shown(name)}.", advice=advice)
            try:
                self._given[name] = [value.decode("utf-8") for value in values]
            except UnicodeDecodeError as error:
                raise UsageError(f"{name} is not UTF-8.") from error

    def text(self, name: str, pattern: str) -> str | None:
        """Return a text that matches `pattern` as a whole; None if it was not given."""
        values = self._given.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise UsageError(f"{name} is given {len(values)} times; once is enough.")
        if not re.fullmatch(pattern, values[0]):
            raise UsageError(f"{name} cannot be {_shown(values[0])!r}.", advice=f"It must match {pattern}.")
        return values[0]

    def texts(self, name: str, pattern: str, *, most: int) -> list[str]:
        """Return a list, given by repeating the parameter."""
        values = self._given.get(name, [])
        if len(values) > most:
            raise UsageError(f"{name} is given {len(values)} times; {most} are allowed.")
        for value in values:
            if not re.fullmatch(pattern, value):
                raise UsageError(f"{name} cannot be {_shown(value)!r}.", advice=f"It must match {pattern}.")
        return list(values)

    def whole(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        """Return a whole number."""
        text = self.text(name, r"[0-9]{1,16}")
        if text is None:
            return default
        if not least <= int(text) <= most:
            raise UsageError(f"{name} must be from {least} to {most}, not {text}.")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return whether it is `true`; `false` if it was not given."""
        return self.text(name, "true|false") == "true"
