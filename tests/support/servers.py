"""Real audited servers, started as a user starts them, and what tests ask of them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import websocket

from jupyter_audit.access.grants import Grant
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import os_account
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import SystemClock, format_time
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, LedgerReport, create_ledger, open_ledger, verify_ledger
from jupyter_audit.model import Actor, Entry, Principal, Role
from jupyter_audit.record import kinds
from jupyter_audit.settings import JupyterAudit

V1 = "v1.kernel.websocket.jupyter.org"
PATIENCE_S = 60.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """Return what `condition` returns once it is true; fail, saying what was waited for, if it never is."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)


def free_port() -> int:
    """
    Return a port that was free a moment ago, and that no program gets which connects to something or asks for any port.

    Those are from 32768 on. Of two ports asked of the system one after the other, both may be the same one, or somebody else's by now.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_environment(folder: Path) -> dict[str, str]:
    """Return an environment that knows nothing of this account's Jupyter."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "IPYTHON", "PYTHON", "XDG", "PYTEST"))}
    return keep | {"HOME": str(folder)}


def make_home(folder: Path) -> Home:
    """Create keys and an empty ledger in `folder`/audit, and a notebook folder beside it."""
    home = Home(folder / "audit")
    create_ledger(home, clock=SystemClock(), actor=Actor.of(os_account()))
    (folder / "work").mkdir(exist_ok=True)
    return home


def launch_command(folder: Path, face: str, *options: str) -> list[str]:
    """Return the command that starts a server on the home in `folder`."""
    given = {option.partition("=")[0] for option in options}
    defaults = {"--home": folder / "audit", "--root-dir": folder / "work", "--JupyterAudit.free_space_floor": 0}
    filled = [f"{name}={value}" for name, value in defaults.items() if name not in given]
    return [sys.executable, "-I", "-m", "jupyter_audit.server.launcher", face, "--no-browser", *filled, *options]


def run_to_its_end(folder: Path, *options: str, face: str = "server", environment: dict[str, str] | None = None
                   ) -> subprocess.CompletedProcess[str]:
    """Start a server that is expected not to serve; return how it ended."""
    return subprocess.run(
        launch_command(folder, face, f"--port={free_port()}", *options),
        env=environment or clean_environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass
class AuditedServer:
    """A server that runs."""

    folder: Path
    url: str
    token: str
    process: subprocess.Popen[bytes]
    reader: LedgerReader

    @property
    def home(self) -> Home:
        return Home(self.folder / "audit")

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def request(self, method: str, path: str, body: object = None, *, token: str | None = None,
                headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Return status and answer (JSON where it is) of a request."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token != "":
            sent["Authorization"] = f"token {self.token if token is None else token}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data=data, method=method, headers=sent)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode(errors="replace")

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer of the audit API, which must be good."""
        status, answer = self.request(method, f"/audit/api/v1/{path}", body)
        assert status < 300, answer
        return answer

    def grant(self, minutes: int = 30, profile: str = "production-debug") -> str:
        """Ask for a grant and approve it; return its id."""
        asked = self.api("POST", "requests", {"profile": profile, "reason": "a test needs it", "ticket": "TEST-1", "minutes": minutes})
        granted: str = self.api("POST", f"requests/{asked['id']}/approve", {})["id"]
        return granted

    def short_grant(self, seconds: float, profile: str = "production-debug", holder: Principal | None = None) -> Grant:
        """Put a grant of a few seconds into the ledger, as another process would; for the account of the system, if for nobody else."""
        clock = SystemClock()
        holder = holder or os_account()
        settings = JupyterAudit()
        settings.solo = True
        settings.profiles = {profile: {}}
        ledger = open_ledger(self.home, clock=clock)
        try:
            service = AccessService(ledger.transact, Policy.from_settings(settings), clock)
            request = service.request(holder, profile=profile, reason="a short one", ticket="T-1", minutes=1)
            now = clock.now()
            kind = kinds.AccessApproved(
                request=request.id, principal=request.principal, vouched_by=request.vouched_by, profile=request.profile,
                not_before=format_time(now), not_after=format_time(now + timedelta(seconds=seconds)),
                self_approved=True, solo=True,
            )
            grant = f"g-{secrets.token_hex(6)}"
            ledger.append([kinds.draft(kind, actor=Actor.of(holder), grant=grant)])
            return service._newest(ledger)[0].grant(grant)  # type: ignore[return-value]
        finally:
            ledger.close()

    def revoke(self, grant: str) -> None:
        """End a grant."""
        self.api("POST", f"grants/{grant}/revoke", {"reason": "the test is over"})

    def revoke_elsewhere(self, grant: str, approver: str) -> None:
        """End a grant as another process does: the server notices when it next looks."""
        clock, settings = SystemClock(), JupyterAudit()
        settings.roles = {"approver": [approver]}
        with open_ledger(self.home, clock=clock) as ledger:
            service = AccessService(ledger.transact, Policy.from_settings(settings), clock)
            principal = Principal(approver, "UserTokensIdentityProvider", frozenset({Role.APPROVER}))
            service.revoke(principal, grant, "the test is over")

    def kernel(self, subprotocol: str | None = None, name: str = "audit") -> KernelClient:
        """Start a kernel and connect to it."""
        status, model = self.request("POST", "/api/kernels", {"name": name})
        assert status == 201, model
        return KernelClient(self, model["id"], subprotocol)

    def entries(self, *types: str, **filters: Any) -> list[Entry]:
        """Return the entries of some types."""
        return list(self.reader.entries(types=types or None, **filters))

    def await_entry(self, kind: str, matches: Callable[[Entry], bool] = lambda entry: True) -> Entry:
        """Return the newest entry of a type that matches, once there is one."""
        def find() -> Entry | None:
            return next((e for e in self.reader.entries(types=(kind,), newest_first=True) if matches(e)), None)

        found: Entry = wait_for(find, f"an entry {kind}")
        return found

    def finished(self, admitted: int) -> Entry:
        """Return how a cell ended, once it has."""
        return self.await_entry("cell.finished", lambda entry: entry.body["admitted"] == admitted)

    def verify(self) -> LedgerReport:
        """Verify the whole ledger with its public key; return the report."""
        return verify_ledger(self.home.ledger, verifier_keys=[self.home.verifier_key.read_text()])


@contextmanager
def audited_server(
    folder: Path, *options: str, face: str = "server", solo: bool = True, port: int = 0, started_in: str = "", before: Sequence[str] = ()
) -> Iterator[AuditedServer]:
    """
    A server on a new home in `folder`, stopped at the end; its ledger must then verify.

    `started_in` lies in `folder`. `before` is a command that becomes the server, whose own command line follows it.
    """
    if not (folder / "audit").exists():
        make_home(folder)
    token, port = secrets.token_hex(16), port or free_port()
    command = launch_command(
        folder, face, f"--port={port}", f"--IdentityProvider.token={token}",
        *(["--solo"] if solo else []), *options,
    )  # fmt: skip
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([*before, *command], env=clean_environment(folder), cwd=folder / started_in, stdout=log, stderr=log)
    home = Home(folder / "audit")
    try:
        def serving() -> bool:
            assert process.poll() is None, (folder / "server.log").read_text()
            return (home.run / "server.json").exists()

        wait_for(serving, "the server to serve")
        url = json.loads((home.run / "server.json").read_text())["url"].rstrip("/")
        reader = LedgerReader.open(home.ledger)
        server = AuditedServer(folder, url, token, process, reader)
        yield server
        reader.close()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            # A stop that hangs is cut short before that, and says in the log where it hung.
            assert process.wait(timeout=60) == 0, (folder / "server.log").read_text()[-8000:]
    server.verify()


@dataclass
class KernelClient:
    """One websocket to one kernel, in either wire protocol."""

    server: AuditedServer
    kernel_id: str
    subprotocol: str | None = None
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    heard: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connect()
        self.wait(self.send("kernel_info_request", {}))

    def connect(self) -> None:
        """Open the websocket (again)."""
        url = f"{self.server.url.replace('http', 'ws', 1)}/api/kernels/{self.kernel_id}/channels?session_id={self.session}"
        self.socket = websocket.create_connection(
            url,
            header=[f"Authorization: token {self.server.token}"],
            subprotocols=[self.subprotocol] if self.subprotocol else None,
            timeout=PATIENCE_S,
            skip_utf8_validation=True,  # in Python it takes 20 s for 100 MB; decoding finds what is no UTF-8, too
        )

    def send(self, msg_type: str, content: Any, *, channel: str = "shell", header: dict[str, Any] | None = None,
             metadata: dict[str, Any] | None = None) -> str:
        """Send a message; return its id."""
        head = {"msg_id": uuid.uuid4().hex, "msg_type": msg_type, "username": "", "session": self.session,
                "date": "2026-01-01T00:00:00Z", "version": "5.4", **(header or {})}
        if self.subprotocol == V1:
            frames = [json.dumps(part).encode() for part in (head, {}, metadata or {}, content)]
            self.socket.send_binary(frame_v1(channel, frames))
        else:
            whole = {"header": head, "parent_header": {}, "metadata": metadata or {}, "content": content,
                     "channel": channel, "buffers": []}
            self.socket.send(json.dumps(whole))
        return str(head["msg_id"])

    def receive(self) -> dict[str, Any]:
        """Return the next message."""
        raw = self.socket.recv()
        if isinstance(raw, bytes):
            channel, frames = unframe_v1(raw)
            names = ("header", "parent_header", "metadata", "content")
            message = {name: json.loads(frame) for name, frame in zip(names, frames[:4], strict=True)} | {"channel": channel}
        else:
            message = json.loads(raw)
        self.heard.append(message)
        return message

    def wait(self, msg_id: str, *, reply: bool = True) -> list[dict[str, Any]]:
        """Return everything about a message, once the kernel is idle after it and it was answered."""
        found: list[dict[str, Any]] = []
        idle = replied = False
        while not (idle and (replied or not reply)):
            message = self.receive()
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            found.append(message)
            kind = message["header"]["msg_type"]
            replied = replied or kind.endswith("_reply")
            idle = idle or (kind == "status" and message["content"]["execution_state"] == "idle")
        return found

    def execute(self, code: str, **options: Any) -> str:
        """Send a cell; return its message's id."""
        channel = options.pop("channel", "shell")
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
                   "stop_on_error": True, **options}
        return self.send("execute_request", content, channel=channel)

    def run(self, code: str, **options: Any) -> dict[str, Any]:
        """Run a cell to its end and return its reply."""
        return reply_of(self.wait(self.execute(code, **options)))

    def debug(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Ask the kernel's debugger something, as a front end does; return the body of its answer, which must be a good one."""
        content = {"type": "request", "seq": len(self.heard) + 1, "command": command, "arguments": arguments}
        answer = reply_of(self.wait(self.send("debug_request", content, channel="control")))
        assert answer.get("success"), answer
        return dict(answer.get("body") or {})

    def debugger_on(self, *, attached: bool = True) -> None:
        """Turn the kernel's debugger on."""
        self.debug("initialize", clientID="test", adapterID="python", pathFormat="path", linesStartAt1=True, columnsStartAt1=True,
                   supportsVariableType=True)  # fmt: skip
        if attached:
            self.debug("attach", justMyCode=False)

    def debugger_off(self) -> None:
        """Turn the kernel's debugger off."""
        self.debug("disconnect", restart=False, terminateDebuggee=False)

    def printed(self, code: str) -> str:
        """Run a cell that must succeed and return what it printed."""
        messages = self.wait(self.execute(code))
        assert reply_of(messages)["status"] == "ok", reply_of(messages)
        return "".join(m["content"]["text"] for m in messages if m["header"]["msg_type"] == "stream")

    def close(self) -> None:
        """Close the websocket; the kernel lives on."""
        self.socket.close()


def reply_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of the reply among some messages."""
    [content] = [m["content"] for m in messages if m["header"]["msg_type"].endswith("_reply")]
    return dict(content)


def frame_v1(channel: str, frames: list[bytes]) -> bytes:
    """Return frames as the v1 protocol packs them (Jupyter Server's documentation, `websocket kernel wire protocols`)."""
    name = channel.encode()
    count = len(frames) + 2
    offsets = [8 * (1 + count)]
    for part in (name, *frames):
        offsets.append(offsets[-1] + len(part))
    head = count.to_bytes(8, "little") + b"".join(offset.to_bytes(8, "little") for offset in offsets)
    return head + name + b"".join(frames)


def unframe_v1(raw: bytes) -> tuple[str, list[bytes]]:
    """Return channel and frames of a v1 message."""
    count = int.from_bytes(raw[:8], "little")
    offsets = [int.from_bytes(raw[8 * (i + 1) : 8 * (i + 2)], "little") for i in range(count)]
    return raw[offsets[0] : offsets[1]].decode(), [raw[offsets[i] : offsets[i + 1]] for i in range(1, count - 1)]
