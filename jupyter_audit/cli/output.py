"""
How commands print: plain tables for people, JSON lines for programs.

What the ledger holds, and what a server answers, is hostile input to a terminal: no control character of it
ever reaches one. JSON has its own escapes and is passed on whole.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO


def print_json(value: Any, file: TextIO | None = None) -> None:
    """Print one JSON document on one line."""
    print(json.dumps(value, ensure_ascii=False), file=file)


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str, *, as_json: bool) -> None:
    """Print rows as JSON lines, or as a table whose columns are `columns`: keys and headings."""
    if as_json:
        for row in rows:
            print_json(row)
    elif not rows:
        print(empty, file=sys.stderr)
    else:
        _print_table(rows, columns)


def _print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    lines = [list(columns.values()), *([clean(row.get(key)) for key in columns] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())


def clean(value: Any) -> str:
    """Return a value as terminal-safe text on one line."""
    if value is None:
        return ""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "\ufffd" for c in str(value))


def clean_block(text: str, indent: str = "    ") -> str:
    """Return text of several lines, terminal-safe and indented."""
    return "\n".join(indent + clean(line) for line in text.split("\n"))


def short(value: object, most: int = 60) -> str:
    """Return a value as one line of at most `most` characters."""
    text = clean(json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _width(text: str) -> int:
    """Return how many columns a terminal gives to a text."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
