"""
Files that run when a kernel starts, without any message: written through the Contents API, or by whoever can.

Starting a kernel needs no grant, because nothing of the user's runs in it until the first message.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attack_house import Attacker, Team, await_mark, touch

SHADOWS = ("ipykernel_launcher", "sitecustomize", "usercustomize", "jupyter_audit_kernel", "ipykernel", "IPython", "zmq")
"""Modules beside the notebook that a kernel imports while it starts."""

AT_HOME = {
    "startup file": ".ipython/profile_default/startup/00-trap.py",
    "IPython's configuration": ".ipython/profile_default/ipython_config.py",
    "ipykernel's configuration": ".ipython/profile_default/ipython_kernel_config.py",
}
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


def test_on_a_plain_server_a_kernelspec_at_home_is_a_command_to_run(plain: Attacker) -> None:
    mark = plain.work / "plain-kernelspec"
    assert write(plain, KERNELSPEC, kernelspec(mark)) == 201
    plain.request("POST", "/api/kernels", {"name": "trap"})
    await_mark(mark, "the command of a kernelspec")


@pytest.mark.parametrize("name", ["nora", "gina"])
def test_modules_beside_the_notebook_are_not_run_when_a_kernel_starts(team: Team, name: str, kernels: Any) -> None:
    person = team.person(name)
    marks = {module: team.server.work / f"{name}-shadow-{module}" for module in SHADOWS}
    for module, mark in marks.items():
        assert write(person, f"{name}-shadow/{module}.py", touch(mark)) == 201
    kernel = person.kernel(person.start_kernel(path=f"{name}-shadow"))
    canary = team.server.await_entry("session.canary", lambda e: e.body["kernel_id"] == kernel.kernel_id)
    assert canary.body["passed"] is True
    assert [module for module, mark in marks.items() if mark.exists()] == []
    person.request("DELETE", f"/api/kernels/{kernel.kernel_id}")


def test_files_at_home_cannot_be_written_through_the_server(team: Team) -> None:
    for path in (*AT_HOME.values(), KERNELSPEC, ".jupyter/jupyter_server_config.py", "../.ipython/x.py", "%2e%2e/x.pth"):
        assert write(team.person("gina"), path, "x = 1") >= 400, path


def test_files_at_home_are_not_run_whoever_wrote_them(team: Team) -> None:
    """As somebody would who has the account's files, but not the audit home."""
    home = team.server.folder
    marks = {which: team.server.work / f"home-{which}" for which in AT_HOME}
    for which, mark in marks.items():
        path = home / AT_HOME[which]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(touch(mark))
    spec = home / KERNELSPEC
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.write_text(kernelspec(team.server.work / "home-kernelspec"))
    gina = team.person("gina")
    kernel = gina.kernel()
    assert kernel.printed("print('ready')") == "ready\n"
    assert gina.request("POST", "/api/kernels", {"name": "trap"})[0] == 403
    refused = team.server.await_entry("request.refused", lambda e: e.body["cause"] == "kernel_not_allowed")
    assert refused.actor.name == "gina"
    assert [which for which, mark in marks.items() if mark.exists()] == []
    assert not (team.server.work / "home-kernelspec").exists()
    gina.request("DELETE", f"/api/kernels/{kernel.kernel_id}")


def test_what_a_request_says_of_the_environment_does_not_reach_the_kernel(team: Team) -> None:
    gina = team.person("gina")
    kernel = gina.kernel(gina.start_kernel(env={"TRAP": "1", "PYTHONSTARTUP": "/tmp/x"}))
    assert kernel.printed("import os; print(os.environ.get('TRAP'), os.environ.get('PYTHONSTARTUP'))") == "None None\n"
    gina.request("DELETE", f"/api/kernels/{kernel.kernel_id}")
