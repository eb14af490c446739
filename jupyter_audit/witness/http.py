"""
The witness on HTTP: bounded requests, no traceback to anybody, one request decided at a time.

Anybody may ask: what is cosigned carries the ledger's own signature. TLS is left to a proxy; a cosignature cannot be
forged on the way, but answers can be held back.
"""

from __future__ import annotations

import asyncio
import http
import logging
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

from jupyter_audit.ledger.tlog_witness import ADD_CHECKPOINT, ADD_KEY_CHANGE, MOST_BYTES, SIZE_TYPE, RefusedError
from jupyter_audit.witness.service import Witness

HEADER_BYTES = 16 * 1024
IDLE_S = 30.0
"""How long a connection may be silent between requests, or take for the headers of one."""
BODY_S = 10.0


class _Handler(RequestHandler):
    def initialize(self, witness: Witness, log: logging.Logger) -> None:
        self.witness = witness
        self.log = log

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def answer(self, act: Callable[[], str]) -> None:
        """Answer with what `act` returns, or with what it refuses."""
        try:
            text = act()
        except RefusedError as refused:
            self.set_status(refused.status)
            if refused.known is not None:
                self.set_header("Content-Type", SIZE_TYPE)
                text = f"{refused.known}\n"
            else:
                text = f"{refused}\n"
        except sqlite3.Error:
            # A full disk, or another process that holds the file: nothing was cosigned.
            self.log.exception("the memory could not be read or written; nothing was cosigned")
            self.set_status(503)
            text = "the witness cannot write now\n"
        self.finish(text)

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish(f"{http.HTTPStatus(status_code).phrase}\n")

    def log_exception(self, kind: Any, error: Any, traceback: Any) -> None:
        if not isinstance(error, HTTPError):
            self.log.error("a request failed", exc_info=(kind, error, traceback))

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        raise NotImplementedError


class _AddCheckpoint(_Handler):
    def post(self) -> None:
        self.answer(lambda: self.witness.add_checkpoint(self.request.body))


class _AddKeyChange(_Handler):
    def post(self) -> None:
        self.answer(self._added)

    def _added(self) -> str:
        self.witness.add_key_change(self.request.body)
        return ""


class _Newest(_Handler):
    def get(self, origin: str) -> None:
        self.answer(lambda: self.witness.newest(unquote(origin)))


class _Nothing(_Handler):
    def prepare(self) -> None:
        raise HTTPError(404)


def make_application(witness: Witness, log: logging.Logger) -> Application:
    """Return the witness's three addresses: its two write calls, and the last cosigned checkpoint of each ledger."""
    parts = {"witness": witness, "log": log}
    return Application(
        [
            (rf"/{ADD_CHECKPOINT}", _AddCheckpoint, parts),
            (rf"/{ADD_KEY_CHANGE}", _AddKeyChange, parts),
            (r"/([^/]+)/checkpoint", _Newest, parts),
        ],
        default_handler_class=_Nothing,
        default_handler_args=parts,
        log_function=lambda handler: None,
    )


async def serve(application: Application, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Answer until SIGTERM or SIGINT; `ready` is told the address once connections are taken. Raises `OSError`."""
    server = HTTPServer(
        application,
        max_body_size=MOST_BYTES,
        max_header_size=HEADER_BYTES,
        max_buffer_size=MOST_BYTES + HEADER_BYTES,
        idle_connection_timeout=IDLE_S,
        body_timeout=BODY_S,
    )
    sockets = bind_sockets(port, host)
    server.add_sockets(sockets)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{sockets[0].getsockname()[1]}")
    await stop.wait()
    server.stop()
    await server.close_all_connections()
