"""How commands print: plain tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], empty: str) -> None:
    """Print rows as a table: `columns` maps keys to headings. Control characters never reach the terminal."""
    if not rows:
        print(empty)
        return
    cells = [[clean(row.get(key)) for key in columns] for row in rows]
    heads = list(columns.values())
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    for line in [heads, *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def clean(value: Any) -> str:
    """Return a value as terminal-safe text on one line: what the ledger holds is hostile input."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "".join(c if c.isprintable() else "�" if c != "\n" else " " for c in str(value))


def clean_block(text: str, indent: str = "    ") -> str:
    """Return text of several lines, terminal-safe and indented."""
    return "\n".join(indent + clean(line) for line in text.splitlines())
