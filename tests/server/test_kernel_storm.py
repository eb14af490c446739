"""Many clients that start, restart, interrupt, end, open and leave the same few kernels at random, all at once."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import websocket
from support.processes import bearing
from support.servers import AuditedServer, KernelClient, audited_server, wait_for

SECONDS = 90.0
CLIENTS = 5
MOST_KERNELS = 5


class Storm:
    """What the clients do, and the kernels that they know."""

    def __init__(self, server: AuditedServer) -> None:
        self.server = server
        self.until = time.monotonic() + SECONDS
        self.kernels: list[str] = []
        self.errors: Counter[str] = Counter()
        self._lock = threading.Lock()

    def client(self, seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < self.until:
            with self._lock:
                kernel = rng.choice(self.kernels) if self.kernels else ""
            act = rng.choice([self.start, self.restart, self.restart, self.interrupt, self.end, self.open, self.leave])
            if not kernel or (act == self.start and len(self.kernels) < MOST_KERNELS):
                self.start("")
            elif act != self.start:
                act(kernel)

    def ask(self, method: str, path: str, body: object = None) -> object:
        status, answer = self.server.request(method, path, body)
        if status >= 500 and answer["message"] != "Exception restarting kernel":  # it was ended meanwhile
            self.errors[f"{method} {path}: {answer}"] += 1
        return answer["id"] if status == 201 else None

    def start(self, _: str) -> None:
        kernel = self.ask("POST", "/api/kernels", {"name": "audit"})
        assert kernel is not None
        with self._lock:
            self.kernels.append(str(kernel))

    def restart(self, kernel: str) -> None:
        self.ask("POST", f"/api/kernels/{kernel}/restart")

    def interrupt(self, kernel: str) -> None:
        self.ask("POST", f"/api/kernels/{kernel}/interrupt")
        self.ask("GET", "/api/kernels")

    def end(self, kernel: str) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self.kernels.remove(kernel)
        self.ask("DELETE", f"/api/kernels/{kernel}")

    def open(self, kernel: str) -> None:
        """Connect, and leave at once."""
        self.connect(kernel, seconds=10)

    def leave(self, kernel: str) -> None:
        """Leave, most of the time before being connected."""
        self.connect(kernel, seconds=0.1)

    def connect(self, kernel: str, *, seconds: float) -> None:
        url = f"{self.server.url.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels?session_id={random.getrandbits(64):x}"
        with contextlib.suppress(websocket.WebSocketException, OSError):
            websocket.create_connection(url, header=[f"Authorization: token {self.server.token}"], timeout=seconds).close()


@pytest.mark.soak
def test_whatever_clients_do_at_once_each_life_of_a_kernel_begins_once_ends_once_and_leaves_nothing(tmp_path: Path) -> None:
    with audited_server(tmp_path) as server:
        server.grant()
        storm = Storm(server)
        clients = [threading.Thread(target=storm.client, args=(seed,)) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert storm.errors == {}
        for kernel in server.request("GET", "/api/kernels")[1]:
            # It can be used, whatever was done with it; then it ends.
            assert KernelClient(server, kernel["id"]).printed("print(6 * 7)") == "42\n"
            assert server.request("DELETE", f"/api/kernels/{kernel['id']}")[0] == 204
        started = [str(entry.session) for entry in server.entries("session.started")]
        assert len(started) > 20
        wait_for(lambda: len(server.entries("session.ended")) >= len(started), "all sessions to end")
        ended = server.entries("session.ended")
        assert sorted(started) == sorted(str(entry.session) for entry in ended)
        assert {entry.body["cause"] for entry in ended} <= {"restart", "shutdown"}
        assert all(entry.body["clean"] for entry in ended)
        assert [entry for entry in server.entries("session.canary") if not entry.body["passed"]] == []
        assert server.entries("gap.recorded") == []
        assert [process for session in started for process in bearing(f"{session}/connection.json")] == []
    server.verify()
