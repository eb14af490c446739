"""A server tells people: also what one that was killed did not, and it says where nobody would hear."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.receivers import Receiver, http_receiver
from support.servers import AuditedServer, audited_server, free_port, make_home, wait_for

GLASS = {"profile": "production-debug", "reason": "the shop is down", "ticket": "SHOP-9"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("alerting")
    make_home(made)
    return made


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def config(folder: Path, port: int) -> Path:
    held = folder / "audit" / "alerts" / "oncall"
    held.parent.mkdir(mode=0o700)
    held.write_text(f"json://127.0.0.1:{port}/s3cret-token")
    held.chmod(0o600)
    path = folder / "config.py"
    path.write_text(
        "c.JupyterAudit.solo = True\n"
        "c.JupyterAudit.profiles = {'production-debug': {'break_glass': True}}\n"
        "c.JupyterAudit.alert_targets = {'oncall': 'file:oncall'}\n"
        "c.JupyterAudit.public_url = 'https://debug.example.org/'\n"
    )
    return path


@pytest.fixture(scope="module")
def killed(folder: Path, config: Path) -> str:
    """A server on which a glass was broken while the service was down, and which was killed then."""
    with audited_server(folder, f"--config={config}") as server:
        grant: str = server.api("POST", "break-glass", GLASS)["id"]
        failed = server.await_entry("alert.failed")
        assert (failed.body["event"], failed.body["target"]) == ("break_glass", "oncall")
        assert "Alerts do not reach oncall" in str(server.request("GET", "/audit/panel")[1])
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        (folder / "audit" / "run" / "server.json").unlink()
    return grant


@pytest.fixture(scope="module")
def server(folder: Path, config: Path, killed: str, receiver: Receiver) -> Iterator[AuditedServer]:
    with audited_server(folder, f"--config={config}") as running:
        yield running


@pytest.fixture(scope="module")
def receiver(killed: str, port: int) -> Iterator[Receiver]:
    """The service, up again after the first server was killed."""
    with http_receiver(port) as running:
        yield running


def audit(server: AuditedServer, config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jupyter_audit.cli.main", *words, "--home", str(server.home.path), "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_a_killed_server_owed_the_next_one_tells(server: AuditedServer, killed: str, receiver: Receiver) -> None:
    message = receiver.wait()
    assert "broke the glass of production-debug" in message["title"]
    assert f"Grant: {killed}" in message["message"]
    assert "Panel: https://debug.example.org/audit/panel" in message["message"]
    server.await_entry("alert.sent", lambda e: e.body["event"] == "break_glass")


def test_a_test_message_says_whether_it_arrives(server: AuditedServer, config: Path, receiver: Receiver) -> None:
    tried = audit(server, config, "alerts", "test")
    assert (tried.returncode, tried.stdout) == (0, "oncall: the service took it\n")
    assert receiver.titles[-1] == "[Jupyter Audit] Test message"
    shown = audit(server, config, "alerts", "show", "--json")
    [row] = json.loads(shown.stdout)["targets"]
    assert (row["target"], row["service"], row["failing_since"]) == ("oncall", "json", "")
    receiver.status = 503
    [outcome] = server.api("POST", "alerts/test", {"targets": "oncall"})["outcomes"]
    assert "503" in outcome["error"]
    wait_for(lambda: server.api("GET", "alerts")["targets"][0]["failing_since"], "the trial that failed to show")
    told = audit(server, config, "doctor").stdout
    assert "fail  alerts to oncall: json: failing since" in told
    assert "s3cret" not in told


def test_a_glass_that_nobody_would_hear_is_said_on_the_command_line(
    server: AuditedServer, config: Path, tmp_path: Path
) -> None:
    deaf = tmp_path / "deaf.py"
    deaf.write_text("c.JupyterAudit.solo = True\nc.JupyterAudit.profiles = {'emergency': {'break_glass': True}}\n")
    shown = audit(server, deaf, "alerts", "show").stdout
    assert "WARNING: Whoever breaks the glass of the profile emergency alerts nobody" in shown


def test_no_page_no_policy_and_no_entry_shows_the_address_of_a_target(server: AuditedServer, config: Path) -> None:
    pages = [str(server.request("GET", path)[1]) for path in ("/audit/panel", "/audit/api/v1/alerts", "/audit/api/v1/status")]
    pages += [audit(server, config, *words).stdout for words in (("policy", "show"), ("alerts", "show"))]
    pages += [entry.raw for entry in server.reader.entries()]
    pages.append((server.folder / "server.log").read_text())
    assert not [page for page in pages if "s3cret" in page]
