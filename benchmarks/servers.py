"""Starts the two servers that are compared, and talks to their kernels the way a browser does."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websocket

BIN = Path(sys.executable).parent

NO_RATE_LIMIT = "--ZMQChannelsWebsocketConnection.limit_rate=False"
"""Jupyter Server withholds outputs beyond 1,000 messages a second, which would be all that is measured."""


@dataclass(frozen=True)
class Server:
    """A running server: where it is, and the kernel that it starts."""

    url: str
    token: str
    kernel: str

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON answer of a REST call."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(asked, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Client:
    """
    One websocket to one kernel, in the default protocol.

    `printed` is what the last cell printed, in `streams` messages.
    """

    printed: list[str]
    streams = 0

    def __init__(self, server: Server, kernel_id: str) -> None:
        self.session = uuid.uuid4().hex
        self.printed = []
        url = server.url.replace("http", "ws", 1) + f"/api/kernels/{kernel_id}/channels?session_id={self.session}"
        self.socket = websocket.create_connection(
            url,
            header=[f"Authorization: token {server.token}"],
            timeout=120,
            sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            skip_utf8_validation=True,
        )

    def send(self, msg_type: str, content: dict[str, Any]) -> str:
        """Send a message on the shell channel and return its id."""
        msg_id = uuid.uuid4().hex
        header = {"msg_id": msg_id, "msg_type": msg_type, "username": "", "session": self.session,
                  "date": "2026-01-01T00:00:00Z", "version": "5.4"}
        self.socket.send(
            json.dumps(
                {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell",
                 "buffers": []}
            )
        )
        return msg_id

    def wait(self, msg_id: str) -> dict[str, Any]:
        """Return the reply to a message, once the kernel is idle after it."""
        reply: dict[str, Any] | None = None
        idle = False
        while reply is None or not idle:
            # Without this the client's kernel holds acknowledgements back for 40 ms, which would drown what is compared.
            if hasattr(socket, "TCP_QUICKACK"):
                self.socket.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            message = json.loads(self.socket.recv())
            if message.get("parent_header", {}).get("msg_id") != msg_id:
                continue
            if message["header"]["msg_type"] == "stream":
                self.printed.append(message["content"]["text"])
                self.streams += 1
            elif message["header"]["msg_type"].endswith("_reply"):
                reply = message["content"]
            elif message["header"]["msg_type"] == "status":
                idle = message["content"]["execution_state"] == "idle"
        return reply

    def run(self, code: str) -> float:
        """Run a cell to its end and return the seconds that it took."""
        self.printed, self.streams = [], 0
        began = time.perf_counter()
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {},
                   "allow_stdin": False, "stop_on_error": True}
        reply = self.wait(self.send("execute_request", content))
        took = time.perf_counter() - began
        if reply["status"] != "ok":
            raise RuntimeError(f"the cell did not run: {reply}")
        return took


def start_kernel(server: Server) -> tuple[str, Client, float]:
    """Start a kernel; return its id, a client, and the seconds until the client knows that it is ready."""
    began = time.perf_counter()
    kernel_id = server.request("POST", "/api/kernels", {"name": server.kernel})["id"]
    client = Client(server, kernel_id)
    client.wait(client.send("kernel_info_request", {}))
    return kernel_id, client, time.perf_counter() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(command: list[str], environment: dict[str, str], url: str, token: str, kernel: str, log: Path
             ) -> Iterator[Server]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    server = Server(url, token, kernel)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                server.request("GET", "/api/status")
                break
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()}") from error
                time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _environment(folder: Path) -> dict[str, str]:
    # A server that is told nothing of this account's Jupyter: both sides start from the same emptiness.
    keep = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON"))}
    return keep | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


@contextmanager
def plain_server(folder: Path) -> Iterator[Server]:
    """A stock Jupyter Server with the stock kernel."""
    folder.mkdir(parents=True)
    token, port = secrets.token_hex(16), _free_port()
    command = [
        str(BIN / "jupyter-server"), "--no-browser", "--allow-root", f"--port={port}",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        # The wheel's configuration would gate this server too; here it is the one that is not gated.
        "--ServerApp.jpserver_extensions={'jupyter_audit': False, 'jupyter_server_nbmodel': False}",
        "--ServerApp.kernel_manager_class=jupyter_server.services.kernels.kernelmanager.AsyncMappingKernelManager",
        "--ServerApp.kernel_websocket_connection_class="
        "jupyter_server.services.kernels.connection.channels.ZMQChannelsWebsocketConnection",
        "--ServerApp.authorizer_class=jupyter_server.auth.authorizer.AllowAllAuthorizer",
        NO_RATE_LIMIT,
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with _running(command, _environment(folder), url, token, "python3", folder / "log") as server:
        yield server


@contextmanager
def audited_server(folder: Path, *options: str) -> Iterator[Server]:
    """The product, in solo mode, with a live grant of eight hours; `options` are added to its command line."""
    folder.mkdir(parents=True)
    home, work, port = folder / "audit", folder / "work", _free_port()
    work.mkdir()
    audit = str(BIN / "jupyter-audit")
    environment = _environment(folder)
    token = secrets.token_hex(16)
    subprocess.run([audit, "init", "--home", str(home)], check=True, env=environment, stdout=subprocess.DEVNULL)
    command = [
        audit, "server", "--solo", "--home", str(home), "--no-browser", f"--port={port}", f"--root-dir={work}",
        f"--IdentityProvider.token={token}", "--JupyterAudit.free_space_floor=0",
        NO_RATE_LIMIT, *options,
    ]  # fmt: skip
    with _running(command, environment, f"http://127.0.0.1:{port}", token, "audit", folder / "log") as server:
        body = {"profile": "production-debug", "reason": "measuring latency", "ticket": "BENCH-1", "minutes": 480}
        asked = server.request("POST", "/audit/api/v1/requests", body)
        server.request("POST", f"/audit/api/v1/requests/{asked['id']}/approve", {})
        yield server
