"""docs/team-server.md: its configuration serves its people, its commands are commands, and systemd understands its unit."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest
from support.servers import audited_server, make_home

from jupyter_audit.access.principals import os_account
from jupyter_audit.cli.main import EXIT_CODES, build_parser, main
from jupyter_audit.server.launcher import LONGEST_STOP_S
from jupyter_audit.settings import JupyterAudit

PAGE = (Path(__file__).parents[2] / "docs" / "team-server.md").read_text(encoding="utf-8")
[CONFIGURATION] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[UNIT] = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    words
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if (found := re.search(r"(?:audit-admin|jupyter audit) ([a-z].*)", line))
    if (words := shlex.split(re.split(r" [<>] ", found[1])[0], comments=True))
]


def test_every_command_of_the_page_is_one() -> None:
    assert len(COMMANDS) > 12
    for words in COMMANDS:
        build_parser().parse_args(words)


def test_the_servers_configuration_lets_its_people_in_and_has_them_answer_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, config = make_home(tmp_path), tmp_path / "jupyter_server_config.py"
    here = {"/var/lib/jupyter-audit": home.path, "/srv/notebooks": tmp_path / "work", "/mnt/elsewhere": tmp_path}
    text = CONFIGURATION.replace('"admin": ["audit"]', f'"admin": [{os_account().name!r}]')
    for place, there in here.items():
        assert place in text
        text = text.replace(place, str(there))
    config.write_text(text)
    config.chmod(0o600)
    tokens = {}
    for words in COMMANDS:
        if words[:2] == ["people", "add"]:
            assert main([*(word for word in words if word != "--password"), f"--config={config}"]) == 0
            tokens[words[2]] = capsys.readouterr().out.split()[-1]
    with audited_server(tmp_path, f"--config={config}", solo=False) as server:

        def ask(name: str, path: str, body: dict[str, object]) -> tuple[int, dict[str, str]]:
            return server.request("POST", f"/audit/api/v1/{path}", body, token=tokens[name])

        wanted = {"profile": "production-debug", "reason": "the page says that it works", "ticket": "OPS-1", "minutes": 30}
        assert ask("ida", "requests", wanted)[0] == 403
        status, request = ask("ben", "requests", wanted)
        assert status < 300, request
        assert ask("ben", f"requests/{request['id']}/approve", {})[0] == 403
        assert ask("ada", f"requests/{request['id']}/approve", {})[0] < 300
        assert server.request("GET", "/audit/api/v1/entries", token=tokens["ida"])[0] == 200
    assert (tmp_path / "checkpoints.jsonl").stat().st_size > 0


def unit() -> RawConfigParser:
    """Return the unit; no key stands in it twice."""
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT)
    return parser


def test_the_unit_gives_a_stop_its_time_and_does_not_start_again_what_an_admin_must_mend() -> None:
    service = unit()["Service"]
    assert int(service["TimeoutStopSec"]) > JupyterAudit().grace_seconds + LONGEST_STOP_S
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} <= EXIT_CODES.keys()
    assert service["KillMode"] == "mixed"
    kept_from_bubblewrap = {"ProcSubset", "ProtectKernelTunables", "ProtectProc", "PrivateNetwork"}
    assert not kept_from_bubblewrap & set(service)
    assert {"user", "mnt", "pid", "ipc", "net"} <= set(service["RestrictNamespaces"].split())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    file = tmp_path / "jupyter-audit.service"
    file.write_text(re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", UNIT, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False)
    assert "jupyter-audit.service" not in done.stderr, done.stderr
    file.write_text(UNIT.replace("TasksMax", "TasksMost"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False)
    assert "TasksMost" in done.stderr, "a key that there is not would be seen"
