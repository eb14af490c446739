"""
Where the code in a message is. Pure.

An execute_request carries code twice (`code` and `user_expressions`), a debugger message can evaluate
expressions, and what is typed at an input prompt may be run by a debugger. All of it is code that a person
sent, so all of it is read. Content may have been purged, cut or be any bytes at all: then there is less to
read, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_SOURCES = 100
"""Pieces of code read from one message; a message with more is a trick, and its rest is read as one text."""


def sources_of(msg_type: str, content: bytes | None) -> tuple[str, ...]:
    """
    Return the pieces of code in a message of `msg_type`, whose content as JSON is `content`.

    `content` is None where it was purged.
    """
    if content is None:
        return ()
    try:
        message = json.loads(content.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return ()
    if not isinstance(message, Mapping):
        return ()
    found = [text for text in _pieces(msg_type, message) if isinstance(text, str) and text.strip()]
    if len(found) > MOST_SOURCES:
        found = [*found[:MOST_SOURCES], "\n".join(found[MOST_SOURCES:])]
    return tuple(found)


def _pieces(msg_type: str, message: Mapping[str, Any]) -> Iterator[object]:
    if message.get("cut") is True:
        yield message.get("head")
        return
    match msg_type:
        case "execute_request":
            yield message.get("code")
            expressions = message.get("user_expressions")
            if isinstance(expressions, Mapping):
                yield from expressions.values()
        case "debug_request":
            arguments = message.get("arguments")
            if isinstance(arguments, Mapping):
                yield arguments.get("expression")
                yield arguments.get("value")
                yield from _breakpoints(arguments.get("breakpoints"))
        case "input_reply":
            yield message.get("value")


def _breakpoints(breakpoints: object) -> Iterator[object]:
    """The conditions and log messages of breakpoints, which the debugger evaluates."""
    if not isinstance(breakpoints, Sequence) or isinstance(breakpoints, str):
        return
    for point in breakpoints:
        if isinstance(point, Mapping):
            yield point.get("condition")
            yield point.get("hitCondition")
            yield point.get("logMessage")
