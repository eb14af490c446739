"""Terminals: off by default; under a grant alone; put down before they are typed; ended with the grant."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import websocket
from support.servers import PATIENCE_S, AuditedServer, audited_server, wait_for

PROFILES = "--JupyterAudit.profiles={'production-debug': {}, 'shell': {'terminals': True}}"


class Terminal:
    """One terminal, as a browser sees it."""

    def __init__(self, server: AuditedServer, name: str) -> None:
        self.server, self.name = server, name
        self.shown = ""
        self.socket = websocket.create_connection(
            f"{server.url.replace('http', 'ws', 1)}/terminals/websocket/{name}",
            header=[f"Authorization: token {server.token}"],
            timeout=0.2,
        )

    def type(self, text: str) -> None:
        self.socket.send(json.dumps(["stdin", text]))

    def read(self) -> bool:
        """Take in one message; False once the terminal is gone."""
        try:
            raw = self.socket.recv()
        except websocket.WebSocketTimeoutException:
            return True
        except (websocket.WebSocketConnectionClosedException, OSError):
            return False
        if not raw:
            return False
        kind, *given = json.loads(raw)
        if kind == "stdout":
            self.shown += given[0]
        return bool(kind != "disconnect")

    def until(self, text: str) -> str:
        """Read until `text` has been shown."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.shown[-100_000:]:
            assert self.read(), f"the terminal ended before {text!r}; shown was {self.shown[-2000:]!r}"
            assert time.monotonic() < deadline, f"waited in vain for {text!r}; shown was {self.shown[-2000:]!r}"
        return self.shown

    def until_gone(self) -> None:
        """Read until the terminal is gone."""
        wait_for(lambda: not self.read(), "the terminal to be gone")

    @property
    def session(self) -> str:
        started = self.server.await_entry("session.started", lambda e: e.body["kernel_name"] == "(terminal)")
        return str(started.session)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with audited_server(Path(tmp_path_factory.mktemp("terminals")), PROFILES, "--JupyterAudit.grace_seconds=2") as running:
        yield running


@pytest.fixture
def grant(server: AuditedServer) -> str:
    return server.grant(profile="shell")


@pytest.fixture
def terminal(server: AuditedServer, grant: str) -> Iterator[Terminal]:
    status, model = server.request("POST", "/api/terminals", {})
    assert status == 200, model
    yield Terminal(server, model["name"])
    if any(g["id"] == grant and g["state"] == "active" for g in server.api("GET", "grants")["grants"]):
        server.revoke(grant)


def contents(server: AuditedServer, session: str, kind: str, name: str) -> list[Any]:
    entries = server.entries(kind, session=session)
    return [json.loads(server.reader.content(entry.seq, name) or b"null") for entry in entries]


def typed(server: AuditedServer, session: str) -> str:
    return "".join(content["text"] for content in contents(server, session, "terminal.input", "input"))


def recorded(server: AuditedServer, session: str) -> str:
    found = contents(server, session, "terminal.output", "output")
    return "".join(text for content in found for _, kind, text in content["events"] if kind == "o")


def alive(mark: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if mark in " ".join(p.info["cmdline"] or [])]


def test_no_terminal_opens_without_a_grant_or_under_one_that_allows_none(server: AuditedServer) -> None:
    status, answer = server.request("POST", "/api/terminals", {})
    assert status == 403
    assert "grant" in str(answer)
    plain = server.grant()
    status, answer = server.request("POST", "/api/terminals", {})
    assert status == 403
    assert "shell" in str(answer)
    server.revoke(plain)
    causes = [e.body["cause"] for e in server.entries("session.refused")]
    assert causes[-2:] == ["no_grant", "terminal_not_covered"]
    assert server.request("GET", "/api/terminals")[1] == []


def test_what_is_typed_and_shown_is_in_the_ledger(server: AuditedServer, terminal: Terminal, grant: str) -> None:
    terminal.type("echo one-$((40 + 2))\r")
    terminal.until("one-42")
    session = terminal.session
    assert typed(server, session) == "echo one-$((40 + 2))\r"
    wait_for(lambda: "one-42" in recorded(server, session), "the output to be put down")
    for entry in server.entries("terminal.input", "terminal.output", "session.started", "session.bound", session=session):
        assert entry.grant == grant


def test_nothing_is_typed_that_is_not_in_the_ledger_first(server: AuditedServer, terminal: Terminal) -> None:
    """What the shell shows of its input is there because it has it; the entry was there before."""
    for number in range(20):
        terminal.type(f"echo token-{number}-$((1000 + {number}))\r")
        terminal.until(f"token-{number}-")
        assert f"token-{number}-" in typed(server, terminal.session)


def test_a_password_is_not_kept_and_what_follows_it_is(server: AuditedServer, terminal: Terminal) -> None:
    terminal.type("read -rs -p 'Password: ' secret; echo; echo length:${#secret}\r")
    terminal.until("\rPassword: ")
    terminal.type("hunter2-hunter2\recho after\r")
    terminal.until("length:15")
    terminal.until("\rafter")
    session = terminal.session
    server.await_entry("terminal.input", lambda e: e.session == session and e.body["masked"])
    wait_for(lambda: "length:15" in recorded(server, session), "the output to be put down")
    everything = json.dumps([contents(server, session, kind, name) for kind, name in
                             (("terminal.input", "input"), ("terminal.output", "output"))])  # fmt: skip
    assert "hunter2" not in everything
    assert typed(server, session).endswith("\recho after\r")


def test_commands_cannot_hide_as_passwords(server: AuditedServer, terminal: Terminal) -> None:
    terminal.type("stty -echo; PS1='hid''den% ' sh\r")
    terminal.until("hidden% ")
    for number in range(9):
        terminal.type(f": hidden-{number}; echo shown-{number}-$((7 * 6))\r")
        terminal.until(f"shown-{number}-42")
    kept = typed(server, terminal.session)
    assert "hidden-8" in kept
    terminal.type("exit\r")
    terminal.type(": " + "x" * 300 + "\r")
    server.await_entry("terminal.input", lambda e: e.body["bytes"] == 303)


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_the_end_of_the_grant_ends_the_terminal_and_all_that_it_started(server: AuditedServer, how: str) -> None:
    grant = server.grant(profile="shell") if how == "revoked" else server.short_grant(4, profile="shell").id
    status, model = server.request("POST", "/api/terminals", {})
    assert status == 200, model
    terminal = Terminal(server, model["name"])
    mark = f"31{time.time_ns() % 10**9}"
    terminal.type(f"(setsid sleep {mark} &) ; nohup sleep {mark} >/dev/null 2>&1 & python3 -c 'import os,time\n"
                  f"if os.fork() == 0:\n os.setsid()\n if os.fork() == 0: os.execvp(\"sleep\", [\"sleep\", \"{mark}\"])\n' ; sleep {mark}\r")
    wait_for(lambda: len([p for p in alive(mark) if p.info["cmdline"][0] == "sleep"]) >= 4, "the processes to run")
    session = terminal.session
    if how == "revoked":
        server.revoke(grant)
    ended = server.await_entry("session.ended", lambda e: e.session == session)
    assert (ended.body["cause"], ended.body["clean"]) == (how, True)
    assert alive(mark) == []
    terminal.until_gone()
    assert "grant" in terminal.shown
    assert server.request("GET", "/api/terminals")[1] == []


def test_a_shell_that_exits_leaves_nothing_behind(server: AuditedServer, terminal: Terminal) -> None:
    mark = f"32{time.time_ns() % 10**9}"
    terminal.type(f"nohup sleep {mark} >/dev/null 2>&1 & echo started; exit\r")
    session = terminal.session
    ended = server.await_entry("session.ended", lambda e: e.session == session)
    assert (ended.body["cause"], ended.body["clean"]) == ("exited", True)
    # In a process tree of its own the rest goes with the shell, and nobody is left to count.
    assert alive(mark) == []


def test_a_terminal_cannot_reach_the_key_where_there_is_a_sandbox(server: AuditedServer, terminal: Terminal) -> None:
    if server.entries("server.started")[-1].body["isolation"] == "none":
        pytest.skip("there is no sandbox on this machine")
    terminal.type(f"cat {server.home.signing_key} {server.home.run}/server.json {server.home.ledger} && echo rea''ched\r")
    terminal.type("echo do''ne\r")
    shown = terminal.until("done")
    assert "Permission denied" in shown or "No such file" in shown
    assert "reached" not in shown
    assert server.token not in shown


def test_startup_files_that_a_cell_could_write_are_not_read(server: AuditedServer, grant: str) -> None:
    for name in (".bashrc", ".bash_profile", ".profile", ".inputrc"):
        (server.folder / name).write_text("echo planted-$((1 + 1))\n")
    status, model = server.request("POST", "/api/terminals", {"cwd": ""})
    assert status == 200
    terminal = Terminal(server, model["name"])
    terminal.type("echo re''ady\r")
    assert "planted-2" not in terminal.until("ready")
    server.revoke(grant)
    terminal.until_gone()


@pytest.mark.parametrize("body", [
    {"shell_command": ["sh", "-c", "touch pwned"]}, {"extra_env": {"BASH_ENV": "x"}}, {"cwd": "/"}, {"cwd": "../.."}],
    ids=lambda body: next(iter(body)))  # fmt: skip
def test_who_asks_for_a_terminal_does_not_choose_what_it_runs_or_where(
    server: AuditedServer, grant: str, body: dict[str, Any]
) -> None:
    status, model = server.request("POST", "/api/terminals", body)
    assert status == 200
    terminal = Terminal(server, model["name"])
    terminal.type("pwd; env | grep -c BASH_ENV; echo re''ady\r")
    shown = terminal.until("ready")
    assert str(server.work) in shown
    assert "\n0\r" in shown
    assert not list(server.folder.rglob("pwned"))
    assert server.request("DELETE", f"/api/terminals/{model['name']}")[0] == 204
    server.revoke(grant)


@pytest.mark.parametrize("body", [{"name": "a/b"}, {"name": 3}, {"cwd": ["x"]}, []], ids=str)
def test_a_request_that_cannot_be_is_answered_and_opens_nothing(server: AuditedServer, grant: str, body: object) -> None:
    before = server.request("GET", "/api/terminals")[1]
    status, answer = server.request("POST", "/api/terminals", body)
    assert status == 400 or (body == [] and status == 200), answer
    assert body == [] or server.request("GET", "/api/terminals")[1] == before
    server.revoke(grant)


def test_a_name_that_is_taken_does_not_replace_the_terminal(server: AuditedServer, terminal: Terminal) -> None:
    assert server.request("POST", "/api/terminals", {"name": terminal.name})[0] == 400
    terminal.type("echo still-$((1 + 1))\r")
    terminal.until("still-2")


def test_output_without_end_is_counted_and_not_all_kept(server: AuditedServer, terminal: Terminal) -> None:
    session = terminal.session
    terminal.type("head -c 1500000 /dev/zero | tr '\\0' 'y'; echo; echo do''ne\r")
    terminal.until("done")
    kept = lambda: sum(e.body["bytes"] for e in server.entries("terminal.output", session=session))  # noqa: E731
    terminal.type("\r")
    wait_for(lambda: kept() > 1_500_000, "the output to be counted")
    assert any(e.body["cut"] for e in server.entries("terminal.output", session=session))
    assert len(recorded(server, session)) < 1_000_000


def test_malformed_messages_reach_nothing_and_break_nothing(server: AuditedServer, terminal: Terminal) -> None:
    for message in ("", "{}", "[]", '["stdin"]', '["stdin", 7]', '["stdin", "x", "y"]', '["set_size", -1, 5]', '["set_size"]',
                    '["set_size", 1e9, 4]', '["exec", "id"]', "nonsense"):  # fmt: skip
        terminal.socket.send(message)
    terminal.type("echo still-$((1 + 1))\r")
    terminal.until("still-2")
    assert typed(server, terminal.session) == "echo still-$((1 + 1))\r"


def test_an_owner_that_reconnects_sees_what_was_shown(server: AuditedServer, terminal: Terminal) -> None:
    terminal.type("echo earlier-$((1 + 1))\r")
    terminal.until("earlier-2")
    terminal.socket.close()
    again = Terminal(server, terminal.name)
    again.until("earlier-2")
    again.type("echo later-$((1 + 1))\r")
    again.until("later-2")


def test_where_the_ledger_cannot_be_written_nothing_is_typed(tmp_path: Path) -> None:
    options = (PROFILES, "--JupyterAudit.record_timeout_seconds=1", "--JupyterAudit.sweep_seconds=10")
    with audited_server(tmp_path, *options) as server:
        server.grant(profile="shell")
        terminal = Terminal(server, server.request("POST", "/api/terminals", {})[1]["name"])
        terminal.type("echo re''ady\r")
        terminal.until("ready")
        import sqlite3

        blocker = sqlite3.connect(server.home.ledger, timeout=30, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        terminal.type(f"touch {server.work}/never\r")
        terminal.until("Not typed")
        blocker.execute("ROLLBACK")
        blocker.close()
        assert not (server.work / "never").exists()


def test_a_session_can_be_replayed_as_an_asciicast(server: AuditedServer, terminal: Terminal, tmp_path: Path) -> None:
    terminal.socket.send(json.dumps(["set_size", 30, 100, 600, 800]))
    terminal.type("stty -echo; echo played-$((1 + 1)); read -r secret\r")  # what is echoed no more when the word is seen
    terminal.until("played-2")
    terminal.type("hunter2\r")
    session = terminal.session
    terminal.type("exit\r")
    server.await_entry("session.ended", lambda e: e.session == session)
    file = tmp_path / "session.cast"
    command = [sys.executable, "-P", "-m", "jupyter_audit.cli.main", "replay", session, "--asciicast", str(file)]
    done = subprocess.run([*command, "--home", str(server.home.path), "--solo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    header, *events = [json.loads(line) for line in file.read_text().splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert all(a[0] <= b[0] for a, b in itertools.pairwise(events))
    assert "played-2" in "".join(data for _, kind, data in events if kind == "o")
    assert "echo played-" in "".join(data for _, kind, data in events if kind == "i")
    assert [data for _, kind, data in events if kind == "r"] == ["100x30"]
    assert any("without echo" in data for _, kind, data in events if kind == "m")
    assert "hunter2" not in file.read_text()
    again = subprocess.run([*command, "--home", str(server.home.path), "--solo"], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "is there already" in again.stderr
