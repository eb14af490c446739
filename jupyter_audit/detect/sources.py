"""
Where the code in a message is. Pure.

An execute_request carries code twice (`code` and `user_expressions`), a debugger message can evaluate
expressions, and what is typed at an input prompt may be run by a debugger. All of it is code that a person
sent, so all of it is read. Content may have been purged, cut or be any bytes at all: then there is less to
read, never an error.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_SOURCES = 100
"""Pieces of code read from one message; a message with more is a trick, and its rest is read as one text."""

MOST_TO_COMPLETE = 500
"""Characters before the cursor in which an expression to complete is looked for."""

_STARTS = re.compile(r"^|[(\[{,=:;!%\s]")

DEBUG_CODE = ("expression", "value", "code", "srcVariableName", "dstVariableName", "variableName")
"""The arguments of the debugger's commands that hold code, or a name that is evaluated."""


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
    return sources_of_message(msg_type, message)[0] if isinstance(message, Mapping) else ()


def sources_of_message(msg_type: str, message: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Return the pieces of code in a message's content, and whether anything stands where code belongs that is no text."""
    pieces = [piece for piece in _pieces(msg_type, message) if piece is not None]
    found = [text for text in pieces if isinstance(text, str) and text.strip()]
    if len(found) > MOST_SOURCES:
        found = [*found[:MOST_SOURCES], "\n".join(found[MOST_SOURCES:])]
    return tuple(found), not all(isinstance(piece, str) for piece in pieces)


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
                for name in DEBUG_CODE:
                    yield arguments.get(name)
                yield from _breakpoints(arguments.get("breakpoints"))
                yield from _breakpoints(arguments.get("filterOptions"))
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
            told = point.get("logMessage")
            yield from _braced(told) if isinstance(told, str) else [told]


def _braced(text: str) -> Iterator[str]:
    """The expressions in `{}` of a log message; the whole text where braces do not match."""
    depth, start = 0, 0
    for place, character in enumerate(text):
        if character == "{":
            depth += 1
            start = place + 1 if depth == 1 else start
        elif character == "}" and depth:
            depth -= 1
            if not depth:
                yield text[start:place]
    if depth:
        yield text


def to_complete(code: str, cursor: int) -> str:
    """
    Return the expression before the cursor that a completer may evaluate: what stands before its last dot or bracket.

    As IPython does it (`IPython.core.completer._trim_expr`): the longest end of the line that is an expression.
    """
    line = code[: max(0, cursor)].rpartition("\n")[2][-MOST_TO_COMPLETE:]
    head = line[: max(line.rfind("."), line.rfind("["))] if "." in line or "[" in line else ""
    for match in _STARTS.finditer(head):
        try:
            ast.parse(head[match.end() :].strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return head[match.end() :].strip()
    return ""
