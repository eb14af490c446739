"""
Bounds: what an entry's body takes in, and how it says that something was cut. Pure; nothing is cut silently.

A text that is too long ends in an ellipsis. A body that is too large keeps a part of its largest fields and says in `cut`
which; all of it is kept in the content `whole`, to which the entry commits.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from jupyter_audit.model import Content, Draft, Json

ENTRY_CAP = 100 * 1024
"""Bytes of a body's JSON."""

WHOLE = "whole"
_KEPT_TEXT = 1000
_KEPT_ITEMS = 20


def bounded(text: str, most: int) -> str:
    """Return `text` with at most `most` characters, the last of them … where it was cut, and without lone surrogates."""
    shown = text if len(text) <= most else text[: most - 1] + "…"
    return shown.encode("utf-8", "replace").decode("utf-8")


def cap(draft: Draft) -> Draft:
    """Return `draft` with a body of `ENTRY_CAP` bytes at most; where it had more, the content `whole` holds all of it."""
    if _quick_size(draft.body) <= ENTRY_CAP // 8:
        return draft
    text = _json(draft.body)
    if len(text) <= ENTRY_CAP:
        return draft
    body: dict[str, Json] = dict(draft.body)
    cut: list[str] = []
    for name in sorted(body, key=lambda field: -len(_json(body[field]))):
        if len(_json(body)) + 2000 <= ENTRY_CAP:
            break
        body[name] = _shortened(body[name])
        cut.append(name)
    body["cut"] = sorted(cut)
    return dataclasses.replace(draft, body=body, contents={**draft.contents, WHOLE: Content(text, "application/json")})


def _shortened(value: Json) -> Json:
    if isinstance(value, str):
        return bounded(value, _KEPT_TEXT)
    if isinstance(value, Mapping):
        return {}
    if isinstance(value, list | tuple):
        kept = list(value[:_KEPT_ITEMS])
        return kept if len(_json(kept)) <= ENTRY_CAP // 4 else []
    return value


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain).encode("utf-8", "replace")


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _quick_size(value: object) -> int:
    """A lower bound of how long a value is written down, cheaper than writing it: most bodies are small."""
    if isinstance(value, str):
        return len(value)
    size = 8
    if isinstance(value, Mapping):
        for name, item in value.items():
            kind = type(item)
            size += len(name) + (len(item) if kind is str else 8 if kind is int or kind is bool else _quick_size(item))
    elif isinstance(value, list | tuple):
        for item in value:
            size += _quick_size(item)
    return size
