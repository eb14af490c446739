"""
Files that run when a kernel starts, without any message: written through the Contents API, or by whoever can.

Starting a kernel needs no grant, because nothing of the user's runs in it until the first message.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from attack_house import Attacker, Team, await_mark, plain_server, touch
from support.servers import clean_environment

SHADOWS = ("ipykernel_launcher", "sitecustomize", "usercustomize", "jupyter_audit_kernel", "ipykernel", "IPython", "zmq")
"""Modules beside the notebook that a kernel imports while it starts."""

AT_HOME = {
    "startup file": ".ipython/profile_default/startup/00-trap.py",
    "IPython's configuration": ".ipython/profile_default/ipython_config.py",
    "ipykernel's configuration": ".ipython/profile_default/ipython_kernel_config.py",
}
BY_ENVIRONMENT = {"PYTHONSTARTUP": "startup.py", "PYTHONPATH": "on-path/sitecustomize.py"}
"""Where the server's environment leads to (`python_environment`)."""

KERNELSPEC = ".local/share/jupyter/kernels/trap/kernel.json"


def write(person: Attacker, path: str, text: str) -> int:
    """Write a file through the Contents API, the folders above it first; return the status of the last answer."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        status = person.request("PUT", f"/api/contents/{'/'.join(parts[:depth])}", {"type": "directory"})[0]
        if status >= 400:
            return status
    return person.request("PUT", f"/api/contents/{path}", {"type": "file", "format": "text", "content": text})[0]


def kernelspec(mark: Path) -> str:
    return json.dumps({"argv": ["touch", str(mark)], "display_name": "trap", "language": "python"})


def test_on_a_plain_server_a_module_beside_the_notebook_runs_in_the_kernels_place(plain: Attacker) -> None:
    mark = plain.work / "plain-shadow"
    assert write(plain, "shadow/ipykernel_launcher.py", touch(mark)) == 201
    plain.start_kernel(path="shadow")
    await_mark(mark, "the shadow of a module")


@pytest.mark.parametrize("which", AT_HOME)
def test_on_a_plain_server_files_at_home_run_in_every_kernel(plain: Attacker, which: str) -> None:
    mark = plain.work / f"plain-{which}"
    assert write(plain, AT_HOME[which], touch(mark)) == 201
    kernel = plain.start_kernel()
    await_mark(mark, which)
    plain.request("DELETE", f"/api/contents/{AT_HOME[which]}")
    plain.request("DELETE", f"/api/kernels/{kernel}")


@pytest.mark.parametrize("variable", BY_ENVIRONMENT)
def test_on_a_plain_server_files_that_its_environment_leads_to_run_in_every_kernel(plain: Attacker, variable: str) -> None:
    mark, path = plain.work / f"plain-{variable}", plain.server.folder / BY_ENVIRONMENT[variable]
    path.parent.mkdir(exist_ok=True)
    path.write_text(touch(mark))
    kernel = plain.start_kernel()
    await_mark(mark, variable)
    path.unlink()
    plain.request("DELETE", f"/api/kernels/{kernel}")


def test_on_a_plain_server_a_kernelspec_at_home_is_a_command_to_run(plain: Attacker) -> None:
    mark = plain.work / "plain-kernelspec"
    assert write(plain, KERNELSPEC, kernelspec(mark)) == 201
    plain.request("POST", "/api/kernels", {"name": "trap"})
    await_mark(mark, "the command of a kernelspec")


def test_on_a_plain_server_a_cell_in_somebodys_home_leaves_what_runs_at_the_next_start_and_login(plain: Attacker) -> None:
    login, start = plain.work / "plain-login", plain.work / "plain-start"
    settings, program = plain.work / ".yarnrc.yml", plain.work / "trap.cjs"
    kernel = plain.kernel()
    kernel.run(
        f"from pathlib import Path\nPath('~/.profile').expanduser().write_text('touch {login}')\n"
        f"Path({str(settings)!r}).write_text('yarnPath: ./trap.cjs')\n"
        f"Path({str(program)!r}).write_text('require(\"fs\").writeFileSync({json.dumps(str(start))}, \"\")')"
    )
    environment = clean_environment(plain.work)
    asks_yarn = "from jupyterlab.commands import AppOptions; AppOptions().registry"  # as JupyterLab does when it starts
    for command in (["bash", "-lc", ":"], [sys.executable, "-I", "-c", asks_yarn]):
        subprocess.run(command, env=environment, cwd="/", check=True)
    assert login.exists()
    assert start.exists() or shutil.which("node") is None
    for path in (settings, program, plain.work / ".profile"):
        path.unlink()
    plain.request("DELETE", f"/api/kernels/{kernel.kernel_id}")


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_neither_modules_beside_the_notebook_nor_files_at_home_are_run_when_a_kernel_starts(
    team: Team, name: str, ended: Any
) -> None:
    """Nobody's grant is asked for when a kernel starts, so nothing of anybody's may run."""
    person = team.person(name)
    marks = {module: team.server.work / f"{name}-shadow-{module}" for module in (*SHADOWS, *AT_HOME, *BY_ENVIRONMENT)}
    for module in SHADOWS:
        assert write(person, f"{name}-shadow/{module}.py", touch(marks[module])) == 201
    for which, where in (AT_HOME | BY_ENVIRONMENT).items():
        path = team.server.folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(touch(marks[which]))
    kernel = person.kernel(person.start_kernel(path=f"{name}-shadow"))
    canary = team.server.await_entry("session.canary", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    assert canary.body["passed"] is True
    assert [module for module, mark in marks.items() if mark.exists()] == []
    person.request("DELETE", f"/api/kernels/{kernel.kernel_id}")


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_files_at_home_cannot_be_written_through_the_server(team: Team, name: str, ended: Any) -> None:
    person = team.person(name)
    paths = (*AT_HOME.values(), KERNELSPEC, ".jupyter/jupyter_server_config.py", "../.ipython/x.py", "%2e%2e/x.pth")
    for path in paths:
        after = team.server.reader.size()
        body = {"type": "file", "format": "text", "content": "x = 1"}
        assert person.request("PUT", f"/api/contents/{path}", body)[0] == 403, path
        refused = team.server.await_entry("request.refused", lambda e, after=after: e.seq >= after and e.actor.name == name)
        assert refused.body["path"] == f"/api/contents/{unquote(path)}"
        assert refused.body["cause"] == ("outside" if unquote(path).startswith("..") else "hidden")


def test_nothing_hidden_or_outside_is_copied_deleted_restored_or_made_under_another_ending(team: Team) -> None:
    gina = team.person("gina")
    (team.server.work / ".kept.py").write_text("x = 1\n")
    for method, address, body in (
        ("POST", "", {"copy_from": ".kept.py"}),
        ("POST", "", {"copy_from": "../config.py"}),
        ("POST", "", {"type": "file", "ext": "/../.trap.py"}),
        ("DELETE", "/.kept.py", None),
        ("POST", "/.kept.py/checkpoints", None),
        ("POST", "/.kept.py/checkpoints/checkpoint", None),
    ):
        after = team.server.reader.size()
        assert gina.request(method, f"/api/contents{address}", body)[0] == 403, (method, address, body)
        team.server.await_entry("request.refused", lambda e, after=after: e.seq >= after and e.body["cause"] in ("hidden", "outside"))
    for path in (5, "\x00", "\ud800"):
        assert gina.request("POST", "/api/kernels", {"name": "audit", "path": path})[0] == 400
    assert (team.server.work / ".kept.py").exists()


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_a_kernelspec_at_home_starts_nothing_whoever_asks(team: Team, name: str, ended: Any) -> None:
    """As somebody would put it there who has the account's files, but not the audit home."""
    spec, after = team.server.folder / KERNELSPEC, team.server.reader.size()
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(kernelspec(team.server.work / "home-kernelspec"))
    assert team.person(name).request("POST", "/api/kernels", {"name": "trap"})[0] == 403
    refused = team.server.await_entry("request.refused", lambda e: e.seq >= after and e.actor.name == name)
    assert refused.body["cause"] == "kernel_not_allowed"
    assert not (team.server.work / "home-kernelspec").exists()


def test_what_a_request_says_of_the_environment_does_not_reach_the_kernel(team: Team) -> None:
    gina = team.person("gina")
    kernel = gina.kernel(gina.start_kernel(env={"TRAP": "1", "PYTHONSTARTUP": "/tmp/x"}))
    assert kernel.printed("import os; print(os.environ.get('TRAP'), os.environ.get('PYTHONSTARTUP'))") == "None None\n"
    gina.request("DELETE", f"/api/kernels/{kernel.kernel_id}")


def test_a_plain_server_runs_the_configuration_of_whoever_starts_it_and_takes_kernels_from_any_gateway(tmp_path: Path) -> None:
    """What runs behind a gateway passes nothing of the server's own."""
    asked: list[str] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    mark, own = tmp_path / "it-ran", tmp_path / ".jupyter" / "jupyter_config.py"
    own.parent.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        own.write_text(f"{touch(mark)}\nc.GatewayClient.url = 'http://127.0.0.1:{gateway.server_port}'\n")
        with plain_server(tmp_path) as server:
            person = Attacker(server, "anybody", server.token, "python3", tmp_path)
            assert person.request("GET", "/api/kernels") == (200, [])
        gateway.shutdown()
    assert mark.exists()
    assert "/api/kernels" in asked
