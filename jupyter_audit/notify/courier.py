"""
The courier: sends messages by Apprise, in a process of its own that lives for one round.

Apart from the server, so that a service that hangs can be ended, and loading a hundred services costs no cell anything.
Reads one JSON object from standard input, `{"seconds", "messages": [{"id", "url", "title", "body"}]}`, sends them side by
side, and writes a JSON line for each as it is known: `{"id", "ok", "error"}`. A message without a body is only checked:
whether its URL is one of a service. No error that it tells holds a part of the URL.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

MOST_AT_ONCE = 8
LONGEST_ERROR = 300
KEPT = frozenset({"http", "https", "json", "jsons", "mailto", "mailtos", "html", "text", "markdown", "true", "false", "post"})
"""Pieces of a URL that say nothing."""

_said: ContextVar[list[str] | None] = ContextVar("said", default=None)


class _Listener(logging.Handler):
    """Keeps what Apprise says went wrong, with the message that it was about: its threads carry our context."""

    def emit(self, record: logging.LogRecord) -> None:
        said = _said.get()
        if said is not None:
            said.append(record.getMessage())


def main() -> None:
    """Send one round of messages."""
    with suppress(OSError):
        os.nice(5)
    # Whatever a service's library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    given = json.load(sys.stdin)
    # The server ends a courier that takes too long; where there is no server any more, it ends itself.
    end = threading.Timer(float(given["seconds"]), os._exit, (1,))
    end.daemon = True
    end.start()
    lock = threading.Lock()

    def serve(message: dict[str, str]) -> None:
        error = send(message)
        with lock:
            answers.write(json.dumps({"id": message["id"], "ok": not error, "error": error}) + "\n")
            answers.flush()

    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        list(pool.map(serve, given["messages"]))


def send(message: dict[str, str]) -> str:
    """Send one message; return what went wrong, or nothing."""
    try:
        from apprise import Apprise, NotifyFormat
    except ImportError as error:
        return f"a package that alerts need is not installed: {error}. pip install 'jupyter-audit[server]'"
    said: list[str] = []
    _said.set(said)
    try:
        service: Any = Apprise()
        if not service.add(message["url"]):
            return "its URL is none that Apprise knows"
        if not message.get("body"):
            return ""
        taken = service.notify(body=message["body"], title=message["title"], body_format=NotifyFormat.TEXT)
    except Exception as error:  # whatever a service's own code does, the others go on
        return scrub(f"{type(error).__name__}: {error}", message["url"])
    return "" if taken else scrub("; ".join(said[-3:]) or "the service did not take it", message["url"])


def scrub(text: str, url: str) -> str:
    """Return an error's text without anything that stands in the URL, on one line."""
    rest = url.partition("://")[2]
    # Whatever of it could be a secret: each piece between the signs that part a URL, as it stands and decoded.
    pieces = {piece for whole in (rest, unquote(rest)) for piece in re.split(r"[/?&=#:@,;+\s]+", whole)}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) > 2 and piece.lower() not in KEPT:
            text = re.sub(re.escape(piece), "…", text, flags=re.IGNORECASE)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_ERROR]


if __name__ == "__main__":
    logging.getLogger("apprise").addHandler(_Listener())
    main()
