"""
Running a notebook's cells over a kernel's websocket, and collecting what they put out as front ends do.

Speaks the default wire protocol (JSON in text frames). Needs what comes with jupyter-server.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from nbformat.v4 import output_from_msg
from tornado.httpclient import HTTPError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from jupyter_audit.cli.remote import RemoteServer
from jupyter_audit.errors import ServerUnreachableError
from jupyter_audit.gate.holding import HELD_KEY

LARGEST_MESSAGE = 1 << 30
REFUSALS = frozenset(
    {
        *("NoActiveGrant", "GrantEnded", "GrantExpired", "GrantRevoked", "GrantTakenOver"),
        *("SessionEnded", "NotRecorded", "Refused", "CellDenied", "CellNotApproved"),
    }
)
"""The error names under which the gate answers in a kernel's place."""

SHOWN = ("stream", "display_data", "execute_result", "error")


class CellRunner:
    """One websocket to one kernel. Cells are run one after the other."""

    def __init__(self, socket: WebSocketClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._displays: dict[str, list[Any]] = {}

    @classmethod
    @asynccontextmanager
    async def connect(cls, server: RemoteServer, kernel: str) -> AsyncIterator[CellRunner]:
        """Open the websocket for the time of a block. Raises `ServerUnreachableError`."""
        session = uuid.uuid4().hex
        path = f"/api/kernels/{quote(kernel, safe='')}/channels?session_id={session}"
        asked = HTTPRequest(server.url.replace("http", "ws", 1) + path, headers={"Authorization": f"token {server.token}"})
        try:
            socket = await websocket_connect(asked, max_message_size=LARGEST_MESSAGE)
        except (HTTPError, OSError) as error:
            raise ServerUnreachableError(f"The kernel's websocket could not be opened: {error}.") from error
        try:
            yield cls(socket, session)
        finally:
            socket.close()

    async def run(self, cell: Any, seconds: float, waits: Callable[[str], None]) -> Mapping[str, Any]:
        """
        Run one cell, put its outputs into it as they come, and return the content of its reply.

        `waits` is told the id of a cell that waits for somebody's approval; that time does not count. Raises
        `ServerUnreachableError` if the websocket closes before the reply has come, `TimeoutError` after `seconds`.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds) as limit:

            def held(hold_id: str) -> None:
                limit.reschedule(None if hold_id else loop.time() + seconds)
                if hold_id:
                    waits(hold_id)

            return await self._run(cell, held)

    async def _run(self, cell: Any, held: Callable[[str], None]) -> Mapping[str, Any]:
        msg_id = uuid.uuid4().hex
        await self._send(msg_id, cell)
        collected = Collector(cell, self._displays)
        reply: Mapping[str, Any] | None = None
        refusal: Mapping[str, Any] | None = None
        idle = False
        while reply is None or not idle:
            message = await self._receive()
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "dead":
                ended = {"status": "error", "ename": "SessionEnded", "evalue": "The session was ended."}
                return refusal or reply or ended
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            if HELD_KEY in message["metadata"]:
                held(str(message["metadata"][HELD_KEY]))
            if kind == "execute_reply":
                reply = content
                cell.execution_count = content.get("execution_count")
            elif kind == "status":
                idle = content["execution_state"] == "idle"
            else:
                collected.take(kind, message)
                if kind == "error" and content.get("ename") in REFUSALS:
                    # The gate ends what runs under an ended grant; the kernel only says that it was interrupted.
                    refusal = {"status": "error", "ename": content["ename"], "evalue": content["evalue"]}
        return refusal or reply

    async def _send(self, msg_id: str, cell: Any) -> None:
        header = {
            "msg_id": msg_id,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "",
            "date": "",
            "version": "5.4",
        }
        content = {
            "code": cell.source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = {
            "channel": "shell",
            "header": header,
            "parent_header": {},
            "metadata": {"cellId": cell.get("id", "")},
            "content": content,
            "buffers": [],
        }
        try:
            await self._socket.write_message(json.dumps(message))
        except WebSocketClosedError as error:
            raise _closed() from error

    async def _receive(self) -> dict[str, Any]:
        while True:
            raw = await self._socket.read_message()
            if raw is None:
                raise _closed()
            if isinstance(raw, str):
                message: dict[str, Any] = json.loads(raw)
                return message
            # Binary frames carry buffers (widgets), which a notebook file does not hold.


def _closed() -> ServerUnreachableError:
    return ServerUnreachableError("The server closed the kernel's websocket.", advice="Its log says why.")


class Collector:
    """Puts one cell's outputs into it; `displays` are those that later cells may update, by display id."""

    def __init__(self, cell: Any, displays: dict[str, list[Any]]) -> None:
        self._outputs: list[Any] = []
        cell.outputs = self._outputs
        self._displays = displays
        self._clear_next = False

    def take(self, kind: str, message: dict[str, Any]) -> None:
        """Take in one iopub message of the cell."""
        content = message["content"]
        if kind == "clear_output":
            self._clear_next = True
            if not content.get("wait"):
                self._clear()
        elif kind == "update_display_data":
            for output in self._displays.get(_display_id(content), ()):
                output.data, output.metadata = content["data"], content["metadata"]
        elif kind in SHOWN:
            self._clear()
            self._add(kind, message)

    def _add(self, kind: str, message: dict[str, Any]) -> None:
        last = self._outputs[-1] if self._outputs else None
        content = message["content"]
        if kind == "stream" and last is not None and last.get("name") == content["name"]:
            last.text += content["text"]
            return
        output = output_from_msg(message)
        self._outputs.append(output)
        if display := _display_id(content):
            self._displays.setdefault(display, []).append(output)

    def _clear(self) -> None:
        if self._clear_next:
            self._outputs.clear()
            self._clear_next = False


def _display_id(content: Mapping[str, Any]) -> str:
    transient = content.get("transient")
    return str(transient.get("display_id") or "") if isinstance(transient, dict) else ""
