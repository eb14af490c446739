"""`jupyter audit run NOTEBOOK`: execute a notebook under a grant through a running server, for runbooks."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.remote import RemoteServer, find_server
from jupyter_audit.errors import ConfigError, ServerUnreachableError, UsageError

CELL_ERROR = 9
REFUSED = 6
REFUSALS = frozenset({"NoActiveGrant", "GrantEnded", "GrantExpired", "GrantRevoked", "SessionEnded", "NotRecorded", "Refused"})


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command of this module."""
    command = commands.add_parser("run", parents=[common], help="execute a notebook under a grant, through a running server")
    command.add_argument("notebook", help="the notebook's file")
    command.add_argument("--output", help="where to write it with its outputs (default: NAME.out.ipynb beside it)")
    command.add_argument("--kernel", default="audit", help="the kernel to run it in (default: %(default)s)")
    command.add_argument("--timeout", type=float, default=600, help="seconds that one cell may take (default: %(default)s)")
    command.add_argument("--allow-errors", action="store_true", help="go on after a cell that raises")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Execute the notebook; the exit code is 0, 6 after a refusal, 9 after an error in a cell."""
    try:
        import nbformat
    except ImportError as error:
        raise ConfigError("`jupyter audit run` needs nbformat.", advice="pip install 'jupyter-audit[server]'") from error
    path = Path(options.notebook)
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise UsageError(f"{path} is not a notebook that can be read: {error}.") from error
    server = find_server(context_of(options).home, options.server)
    kernel = server.request("POST", "/api/kernels", {"name": options.kernel})["id"]
    try:
        outcome = asyncio.run(_run_cells(server, kernel, notebook, options))
    finally:
        server.request("DELETE", f"/api/kernels/{kernel}")
        output = Path(options.output) if options.output else path.with_suffix(".out.ipynb")
        nbformat.write(notebook, output)
    if options.json:
        print(json.dumps({**outcome, "output": str(output)}))
    else:
        print(f"{outcome['ran']} cells ran, {outcome['failed']} failed. Written to {output}.")
    return int(outcome["exit"])


async def _run_cells(server: RemoteServer, kernel: str, notebook: Any, options: argparse.Namespace) -> dict[str, Any]:
    from tornado.httpclient import HTTPError, HTTPRequest
    from tornado.websocket import websocket_connect

    session = uuid.uuid4().hex
    url = f"{server.url.replace('http', 'ws', 1)}/api/kernels/{quote(kernel)}/channels?session_id={session}"
    asked = HTTPRequest(url, headers={"Authorization": f"token {server.token}"})
    try:
        socket = await websocket_connect(asked, max_message_size=1 << 30)
    except (HTTPError, OSError) as error:
        raise ServerUnreachableError(f"The kernel's websocket could not be opened: {error}.") from error
    outcome = {"ran": 0, "failed": 0, "exit": 0}
    try:
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
        for number, cell in enumerate(cells, 1):
            reply = await asyncio.wait_for(_run_cell(socket, session, cell), options.timeout)
            refused = reply.get("ename") in REFUSALS
            outcome["ran"] += 0 if refused else 1
            if not options.json:
                print(f"[{number}/{len(cells)}] {reply['status']}", file=sys.stderr)
            if reply["status"] == "ok":
                continue
            outcome["failed"] += 1
            print(f"{reply.get('ename')}: {reply.get('evalue')}", file=sys.stderr)
            outcome["exit"] = REFUSED if refused else outcome["exit"] or CELL_ERROR
            if refused or not options.allow_errors:
                break
    except TimeoutError:
        outcome["exit"] = CELL_ERROR
        outcome["failed"] += 1
        print(f"A cell took longer than {options.timeout:g} seconds; the kernel was ended.", file=sys.stderr)
    finally:
        socket.close()
    return outcome


async def _run_cell(socket: Any, session: str, cell: Any) -> dict[str, Any]:
    """Run one cell, collect its outputs into it, and return its reply."""
    from nbformat.v4 import output_from_msg

    msg_id = uuid.uuid4().hex
    header = {"msg_id": msg_id, "msg_type": "execute_request", "username": "", "session": session, "date": "", "version": "5.4"}
    content = {"code": cell.source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
               "stop_on_error": True}
    await socket.write_message(
        json.dumps({"channel": "shell", "header": header, "parent_header": {}, "metadata": {"cellId": cell.get("id", "")},
                    "content": content, "buffers": []})
    )
    cell.outputs, reply, idle = [], None, False
    while reply is None or not idle:
        raw = await socket.read_message()
        if raw is None:
            raise ServerUnreachableError("The server closed the kernel's websocket.", advice="Its log says why.")
        if isinstance(raw, bytes):
            # Binary frames carry buffers (widgets), which a notebook file does not hold.
            continue
        message = json.loads(raw)
        kind = message["header"]["msg_type"]
        if kind == "status" and message["content"]["execution_state"] == "dead":
            return reply or {"status": "error", "ename": "SessionEnded", "evalue": "The session was ended."}
        if message["parent_header"].get("msg_id") != msg_id:
            continue
        if kind == "execute_reply":
            reply = message["content"]
            cell.execution_count = reply.get("execution_count")
        elif kind == "status":
            idle = message["content"]["execution_state"] == "idle"
        elif kind in ("stream", "display_data", "execute_result", "error"):
            cell.outputs.append(output_from_msg(message))
    assert reply is not None
    return reply
