"""A plain server and an audited one with several people at it, and what every attack on them is judged by."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from support.servers import (
    AuditedServer,
    KernelClient,
    audited_server,
    clean_environment,
    free_port,
    wait_for,
)

from jupyter_audit.access.grants import Grant
from jupyter_audit.model import Principal, Role

HERE = Path(__file__).parent

SOON_BACK = "c.KernelRestarter.time_to_dead = 0.3\n"
"""Have a server look every 0.3 seconds, not every three, whether a kernel has died and must be started again."""

ENGINEERS = ("nora", "ella", "otto", "gina", "rita")
"""
nora never had a grant; ella's has ended; otto has one, for kernels of his own; gina has a good one. rita's begin and end
within a test.
"""
WATCHERS = ("vera", "will")
"""Engineers who are auditors, too, and may watch other people's kernels. vera never had a grant; will's begin and end in a test."""
TOKENS = {name: f"the-token-of-{name}" for name in (*ENGINEERS, *WATCHERS, "ana")}


@dataclass
class Attacker:
    """Somebody at a server, plain or audited. `kernel_name` is what they start there, `work` where they may write."""

    server: Any
    name: str
    token: str
    kernel_name: str
    work: Path

    @property
    def url(self) -> str:
        return str(self.server.url)

    def request(self, method: str, path: str, body: object = None, **options: Any) -> tuple[int, Any]:
        """Return status and answer of a request."""
        answer: tuple[int, Any] = AuditedServer.request(self, method, path, body, **options)  # type: ignore[arg-type]
        return answer

    def start_kernel(self, **body: Any) -> str:
        """Start a kernel; return its id."""
        status, model = self.request("POST", "/api/kernels", {"name": self.kernel_name, **body})
        assert status == 201, model
        return str(model["id"])

    def kernel(self, kernel_id: str = "", subprotocol: str | None = None) -> Client:
        """Connect to a kernel, a new one if none is named."""
        return Client(self, kernel_id or self.start_kernel(), subprotocol)  # type: ignore[arg-type]


@dataclass
class Client(KernelClient):
    """A client that remembers what it sent."""

    sent: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def send(self, msg_type: str, content: Any, **options: Any) -> str:
        msg_id = super().send(msg_type, content, **options)
        self.sent[msg_id] = content
        return msg_id

    def send_raw(self, **parts: Any) -> str:
        """Send an execute_request of the default protocol as it stands; return its id."""
        header = self.execute_header()
        whole = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell", "buffers": [], **parts}
        self.socket.send(json.dumps({key: value for key, value in whole.items() if value is not None}))
        return str(header["msg_id"])

    def execute_header(self, **parts: Any) -> dict[str, Any]:
        """Return the header of an execute_request of this client's."""
        return {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": self.session,
                "date": "2026-01-01T00:00:00Z", "version": "5.4", **parts}


def cell(code: str, **changes: Any) -> dict[str, Any]:
    """Return the content of an execute_request."""
    return {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
            "stop_on_error": True, **changes}


def touch(mark: Path) -> str:
    """Return code that leaves a mark."""
    return f"open({str(mark)!r}, 'w').close()"


def trap(client: Client, msg_type: str, code: str, channel: str) -> None:
    """Have the kernel run `code` when a message of a type comes: what no check of types in the kernel itself can stop."""
    client.run(
        f"async def trap(socket, ident, parent): exec({code!r})\n"
        f"handlers = get_ipython().kernel.{channel}_handlers\n"
        f"kept = globals().setdefault('kept', {{}}); kept.setdefault({msg_type!r}, handlers.get({msg_type!r}))\n"
        f"handlers[{msg_type!r}] = trap"
    )


def untrap(client: Client, msg_type: str, channel: str) -> None:
    """Put back what was there before."""
    client.run(
        f"handlers, before = get_ipython().kernel.{channel}_handlers, kept.pop({msg_type!r}, None)\n"
        f"handlers.pop({msg_type!r}, None) if before is None else handlers.__setitem__({msg_type!r}, before)"
    )


def ask_debugger(client: Client, command: str, **arguments: object) -> str:
    """Send a command to a kernel's debugger; return the message's id."""
    content = {"type": "request", "seq": 1, "command": command, "arguments": arguments}
    return client.send("debug_request", content, channel="control")


def await_mark(mark: Path, what: str) -> None:
    """Return once an attack has left its mark."""
    wait_for(mark.exists, f"{what} to run")


# --- roads, one a file ------------------------------------------------------------------------------------


def roads(folder: str) -> list[str]:
    """Return the names of the roads in a folder."""
    return sorted(path.stem for path in (HERE / folder).glob("*.py"))


def load(folder: str, name: str) -> ModuleType:
    """Return the module of one road."""
    spec = importlib.util.spec_from_file_location(f"attacks_{folder}_{name}", HERE / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the plain server -------------------------------------------------------------------------------------


@dataclass
class PlainServer:
    """A JupyterLab as anybody has it."""

    folder: Path
    url: str
    token: str
    runtime: Path


def python_environment(folder: Path) -> dict[str, str]:
    """Return what both servers have in their environment, as somebody's login may have set it; the files are a test's to make."""
    return {"PYTHONSTARTUP": str(folder / "startup.py"), "PYTHONPATH": str(folder / "on-path")}


@contextmanager
def plain_server(folder: Path, *options: str, config: str = "") -> Iterator[PlainServer]:
    """A stock JupyterLab, in the same environment, without the product."""
    token, port = secrets.token_hex(16), free_port()
    written = folder / "plain_config.py"
    # What its plugin manager turns off would else be off in the environment that all tests share.
    written.write_text(f"c.PluginManager.level = 'user'\n{config}")
    command = [
        str(Path(sys.executable).with_name("jupyter-lab")), "--no-browser", "--allow-root", f"--port={port}",
        f"--config={written}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        # The wheel's configuration would gate this server too.
        "--ServerApp.jpserver_extensions={'jupyter_audit': False, 'rogue': True, 'early': True}", *options,
    ]  # fmt: skip
    # What its extension installer finds lies in a folder of the test's.
    environment = clean_environment(folder) | python_environment(folder) | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder / "packages")}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    server = PlainServer(folder, f"http://127.0.0.1:{port}", token, folder / ".local" / "share" / "jupyter" / "runtime")
    person = Attacker(server, "anybody", token, "python3", folder)

    def serves() -> bool:
        assert process.poll() is None, (folder / "server.log").read_text()
        try:
            return person.request("GET", "/api/status")[0] == 200
        except OSError:
            return False

    try:
        wait_for(serves, "the plain server to serve", 90)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            # With some of the attacks' marks on it a stock server does not get to its end; nobody's test is about that.
            process.kill()
            process.wait()


# --- the audited one --------------------------------------------------------------------------------------

ROGUE = HERE / "rogue"
"""A server extension that runs code by itself; both servers load it, as if an admin had been talked into it."""

EXTENSIONS = ("jupyter_audit", "jupyterlab", "notebook_shim", "jupyter_server_nbmodel", "rogue")


@dataclass
class Team:
    """An audited server, the people at it, and the grants that they hold."""

    server: AuditedServer
    grants: dict[str, str] = field(default_factory=dict)

    def person(self, name: str) -> Attacker:
        """Return somebody."""
        return Attacker(self.server, name, TOKENS[name], "audit", self.server.work)

    def _api(self, name: str, path: str, body: object) -> Any:
        status, answer = self.server.request("POST", f"/audit/api/v1/{path}", body, token=TOKENS[name])
        assert status < 300, answer
        return answer

    def grant(self, name: str) -> str:
        """Give somebody a grant; return its id."""
        asked = self._api(name, "requests", {"profile": "production-debug", "reason": "to be attacked", "ticket": "T-1"})
        granted: str = self._api("ana", f"requests/{asked['id']}/approve", {})["id"]
        self.grants[name] = granted
        return granted

    def short_grant(self, name: str, seconds: float) -> Grant:
        """Give somebody a grant that runs out by itself."""
        return self.server.short_grant(seconds, holder=Principal(name, "UserTokensIdentityProvider", frozenset({Role.ENGINEER})))

    def revoke(self, name: str) -> None:
        """End somebody's grant at once."""
        self._api("ana", f"grants/{self.grants.pop(name)}/revoke", {"reason": "the test is over"})

    def revoke_elsewhere(self, name: str) -> None:
        """End somebody's grant as another process does: the server notices when it next looks."""
        self.server.revoke_elsewhere(self.grants.pop(name), "ana")


@contextmanager
def team_server(folder: Path, face: str = "lab", *, also: Sequence[str] = ()) -> Iterator[Team]:
    """
    An audited JupyterLab that tells people apart by their tokens; on the home in `folder`, if there is one.

    `also` are extensions that are loaded besides.
    """
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
    config = folder / "config.py"
    config.write_text(
        f"import os, sys; sys.path.insert(0, {str(ROGUE)!r}); os.environ.update({python_environment(folder)!r})\n"
        "c.ServerApp.identity_provider_class = 'jupyter_audit.server.identity.UserTokensIdentityProvider'\n"
        f"c.UserTokensIdentityProvider.digests = {digests!r}\n"
        f"c.JupyterAudit.roles = {{'engineer': {[*ENGINEERS, *WATCHERS]!r}, 'approver': ['ana'], 'auditor': {list(WATCHERS)!r}}}\n"
        f"c.JupyterAudit.allowed_extensions = {[*EXTENSIONS, *also]!r}\n"
        "c.JupyterAudit.allowed_handlers = {'rogue.ExecuteHandler': ['POST']}\n"
        "c.JupyterAudit.sweep_seconds = 2.0\n"
        f"{SOON_BACK}"
    )
    # Started among the notebooks, as people do: what the server looks up in its working folder, cells can write.
    with audited_server(folder, f"--config={config}", face=face, solo=False, started_in="work") as server:
        yield Team(server)


def settle(seconds: float, what: str) -> None:
    """Give something that must not happen its chance to."""
    deadline = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > deadline, what)
