"""Real services that take alerts: a web server for json:// targets, and a mail server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from support.servers import free_port, wait_for


class Receiver:
    """What a service was sent, with its port. `status` is what it answers; while `hold` is clear it does not answer at all."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.hold = threading.Event()
        self.hold.set()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook/s3cret-token"

    @property
    def titles(self) -> list[str]:
        return [str(message["title"]) for message in self.messages]

    def wait(self, count: int = 1) -> dict[str, Any]:
        """Return the newest message once so many came."""
        wait_for(lambda: len(self.messages) >= count, f"{count} alerts")
        return self.messages[-1]


@contextmanager
def http_receiver(port: int = 0) -> Iterator[Receiver]:
    """Serve for the time of a block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.hold.wait(60)
            if receiver.status == 200:
                receiver.messages.append(body)
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing: a courier that was ended is what some tests are about."""

    server = Server(("127.0.0.1", port), Handler)
    receiver = Receiver(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        server.server_close()


@contextmanager
def mail_receiver() -> Iterator[tuple[str, list[str]]]:
    """A mail server for the time of a block: the URL of a target, and the letters that came."""
    letters: list[str] = []

    class Keeper:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
            letters.append(envelope.content.decode("utf-8", "replace"))
            return "250 OK"

    port = free_port()
    controller = Controller(Keeper(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"mailto://127.0.0.1:{port}?from=audit@example.org&to=oncall@example.org&mode=insecure&format=text", letters
    finally:
        controller.stop()
