"""A small tracker of tickets: a real HTTP server, and a real command, that answer as docs/policy.md agrees."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMAND = """\
#!{python}
import json, sys
folder, ticket, user = sys.argv[1:]
with open(folder + "/asked", "a") as asked:
    asked.write(json.dumps([ticket, user]) + "\\n")
try:
    with open(folder + "/" + ticket.replace("/", "_")) as answer:
        text = answer.read()
except FileNotFoundError:
    sys.exit(1)
if text.startswith("exit "):
    sys.exit(int(text[5:]))
exec(text[5:]) if text.startswith("exec ") else print(text)
"""


class Tracker:
    """What the tracker says of each ticket (`tickets`), and the addresses and headers that it was asked with."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tickets: dict[str, Any] = {}
        self.down = False
        self.raw: bytes | None = None
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.hold = threading.Event()
        self.hold.set()

    @property
    def template(self) -> str:
        return f"http://127.0.0.1:{self.port}/tickets/{{ticket}}?user={{user}}"


@contextmanager
def http_tracker() -> Iterator[Tracker]:
    """Serve a tracker for the time of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tracker.asked.append(self.path)
            tracker.tokens.append(self.headers.get("Authorization"))
            tracker.hold.wait(60)
            answer = tracker.tickets.get(unquote(urlsplit(self.path).path.removeprefix("/tickets/")))
            status = 503 if tracker.down else 404 if answer is None else 200
            body = tracker.raw if tracker.raw is not None else json.dumps(answer).encode()
            self.send_response(302 if answer == "elsewhere" else status)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    tracker = Tracker(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield tracker
    finally:
        tracker.hold.set()
        server.shutdown()
        server.server_close()


def command_tracker(folder: Path) -> list[str]:
    """Write a command that answers from the files in `folder`, and return it as a profile names it."""
    folder.mkdir(exist_ok=True)
    path = folder / "tracker"
    path.write_text(COMMAND.format(python=sys.executable))
    path.chmod(0o755)
    return [str(path), str(folder), "{ticket}", "{user}"]
