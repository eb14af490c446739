"""
Which files a piece of code names: texts that look like paths, and paths put together from parts. Pure.

`"~/.aws/credentials"`, `os.path.join(home, ".ssh", "id_rsa")` and `Path.home() / ".netrc"` are read alike; a part that
only the running program knows is `?`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence

from jupyter_audit.detect.fold import HOLE

LONGEST = 300
MOST_DEPTH = 20

_LIKE_A_PATH = re.compile(r"[^\n]*[/\\][^\n]*|[.~][^\n]+|[\w.-]+\.\w{1,8}")
_JOINERS = frozenset({"os.path.join", "pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.PurePosixPath"})
_JOIN_METHODS = frozenset({"joinpath", "with_name"})


def like_a_path(text: str) -> str:
    """Return a text as a word of the field `paths` if it may name a file, else nothing."""
    text = text.strip()
    if not 1 < len(text) <= LONGEST or text.count(" ") > 3 or not _LIKE_A_PATH.fullmatch(text):
        return ""
    return re.sub(r"\s", "_", text.replace(HOLE, "?"))


def joined(
    node: ast.expr, text: Callable[[ast.expr], str | None], resolve: Callable[[ast.expr], Sequence[str]], depth: int = 0
) -> str | None:
    """Return the path that an expression puts together from parts, of which `text` knows some; None if it is none."""
    if depth > MOST_DEPTH:
        return None
    parts: list[ast.expr]
    match node:
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            parts = [left, right]
        case ast.Call(func=ast.Attribute(value=start, attr=method), args=args) if method in _JOIN_METHODS:
            parts = [start, *args]
        case ast.Call(func=function, args=args) if args and not _JOINERS.isdisjoint(resolve(function)):
            parts = args
        case _:
            return None
    told = [text(part) or joined(part, text, resolve, depth + 1) or "?" for part in parts]
    return "/".join(told)[:LONGEST]
