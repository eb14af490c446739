"""
Hands messages to a courier, a process that lives for one round and is ended when it takes too long.

The secrets in URLs go through a pipe, never over a command line or through the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

COURIER = (sys.executable, "-I", "-m", "jupyter_audit.notify.courier")
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")

DEADLINE_S = 15.0
"""How long a service may take with a message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one service; without a body its URL is only checked. `id` is for whoever sends it."""

    id: str
    url: str
    title: str
    body: str


Outcome = Callable[[str, str], None]
"""Called with a message's id and what went wrong (nothing: it was taken)."""


class Post:
    """Sends rounds of messages. `started` and `ended` are told the process id of each courier."""

    def __init__(
        self,
        deadline_s: float = DEADLINE_S,
        started: Callable[[int], None] = lambda _: None,
        ended: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._deadline_s = deadline_s
        self._started, self._ended = started, ended
        self._lock = threading.Lock()
        self._couriers: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def send(self, messages: Sequence[Message], outcome: Outcome) -> None:
        """Send messages side by side; call `outcome` once for each, as it is known. Returns when all are."""
        waiting = {message.id for message in messages}

        def settle(name: str, error: str) -> None:
            if name in waiting:
                waiting.discard(name)
                outcome(name, error)

        try:
            self._round(messages, settle)
            why = f"no answer within {self._deadline_s:g} seconds"
        except OSError as error:
            why = f"the courier could not be started: {error.strerror}"
        for name in sorted(waiting):
            settle(name, why)

    def _round(self, messages: Sequence[Message], settle: Outcome) -> None:
        environment = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.upper() in PROXIES}
        with self._lock:
            if self._closed:
                return
            courier = subprocess.Popen(
                COURIER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
                start_new_session=True, cwd="/",
            )  # fmt: skip
            self._couriers.add(courier)
        self._started(courier.pid)
        timer = threading.Timer(self._deadline_s, _kill, (courier,))
        timer.daemon = True
        timer.start()
        assert courier.stdin is not None
        assert courier.stdout is not None
        try:
            with contextlib.suppress(OSError), courier.stdin as words:
                given = [{"id": m.id, "url": m.url, "title": m.title, "body": m.body} for m in messages]
                words.write(json.dumps({"seconds": self._deadline_s * 2, "messages": given}).encode())
            for line in courier.stdout:
                said = json.loads(line)
                settle(str(said["id"]), "" if said["ok"] is True else str(said["error"]) or "it was not taken")
        except (ValueError, KeyError, TypeError):
            pass  # a line that was cut off as the courier was ended
        finally:
            timer.cancel()
            _kill(courier)
            courier.stdout.close()
            courier.wait()
            with self._lock:
                self._couriers.discard(courier)
            self._ended(courier.pid)

    def close(self) -> None:
        """End what is under way, and send nothing more."""
        with self._lock:
            self._closed = True
            under_way = list(self._couriers)
        for courier in under_way:
            _kill(courier)


def _kill(courier: subprocess.Popen[bytes]) -> None:
    """End a courier and whatever it started."""
    if courier.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(courier.pid, signal.SIGKILL)
