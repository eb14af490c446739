"""
Hints of commands in sentences for people, such as "`jupyter audit requests` lists them".

A sentence names a command as whoever sits beside the audit home types it. Who reads it in the browser of a server that a
team shares, or asked that server with `--server`, sits elsewhere: there the same command must name the server, too.
"""

from __future__ import annotations

import re
import shlex

ANY_SERVER = "URL"
"""Stands for the address of a server that does not know its own."""

THROUGH_A_SERVER = (
    "alerts", "approve", "approve-cell", "break-glass", "console", "deny", "deny-cell", "extend", "feedback", "grants", "held",
    "keys mine register", "keys mine vouch", "keys mine withdraw", "keys people", "log", "request", "requests", "review",
    "revoke", "rules", "run", "stats", "tail", "withdraw",
)  # fmt: skip
"""The commands that can act through a running server."""

_COMMANDS = "|".join(sorted(map(re.escape, THROUGH_A_SERVER), reverse=True))
_HINT = re.compile(
    rf"(?m)`jupyter audit (?:{_COMMANDS})(?![\w-])[^`\n]*(?=`)"  # in a sentence
    rf"|^ +jupyter audit (?:{_COMMANDS})(?![\w-]).*$"  # on a line of its own
    rf"|jupyter audit (?:{_COMMANDS}) [rhg]-[0-9a-f]+$"  # what to answer with, at the end of a line
)
_SERVER = re.compile(r"--server(?:[ =]|$)")


def through_server(text: str, url: str) -> str:
    """Return `text` with the server at `url` in every hint of a command that can act through one and names none yet."""

    def named(found: re.Match[str]) -> str:
        hint = found[0].replace(f"--server {ANY_SERVER}", f"--server {shlex.quote(url)}")
        return hint if _SERVER.search(hint) else f"{hint} --server {shlex.quote(url)}"

    return _HINT.sub(named, text)
