"""What may start and cannot is answered at once, says what to mend, and its session has an end in the ledger."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import AuditedServer, KernelClient, audited_server, wait_for

from jupyter_audit.model import Entry

ARGVS = {
    "missing": ["no-such-kernel", "-f", "{connection_file}"],
    "not-a-program": ["/etc/passwd", "-f", "{connection_file}"],
}
VANISHING = "vanishing"
"""A kernel whose program can be taken away."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("not-started"))
    for name, argv in ARGVS.items():
        spec = folder / "share" / "kernels" / name
        spec.mkdir(parents=True)
        (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "python"}))
    # Where kernels see it: bubblewrap puts an empty folder over /tmp.
    program = folder / "work" / VANISHING
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    spec = folder / "share" / "kernels" / VANISHING
    spec.mkdir()
    argv = [str(program), "-I", "-m", "jupyter_audit_kernel", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    config = folder / "admin.py"
    config.write_text(
        f"import jupyter_audit.server.kernelspecs as specs\nspecs.ENV_JUPYTER_PATH.append({str(folder / 'share')!r})\n"
        f"c.JupyterAudit.allowed_kernels = {['audit', VANISHING, *ARGVS]!r}\n"
        f"c.JupyterAudit.profiles = {{'production-debug': {{'terminals': True, 'kernels': {['audit', VANISHING]!r}}}}}\n"
        "c.KernelRestarter.time_to_dead = 0.3\n"
        "c.JupyterAudit.terminal_command = ['no-such-shell']\n"
    )
    with audited_server(folder, f"--config={config}") as running:
        yield running


def ended(server: AuditedServer, after: int) -> Entry:
    """Return the end of the only session that began after an entry."""
    [started] = server.entries("session.started", start=after)
    found = server.await_entry("session.ended", lambda e: e.session == started.session)
    assert found.body["cause"] == "not_started"
    return found


@pytest.mark.parametrize("name", ARGVS)
@pytest.mark.parametrize("road", ["kernels", "sessions"])
def test_a_kernelspec_whose_program_cannot_be_run_is_an_error_at_once(server: AuditedServer, name: str, road: str) -> None:
    after = server.reader.size()
    asked: dict[str, Any] = {"name": name} if road == "kernels" else {
        "path": "a.ipynb", "name": "a.ipynb", "type": "notebook", "kernel": {"name": name},
    }  # fmt: skip
    status, answer = server.request("POST", f"/api/{road}", asked)
    assert status == 500
    assert f"{ARGVS[name][0]} could not be run: {'No such file' if name == 'missing' else 'Permission denied'}" in answer["message"]
    assert "Mend the `argv`" in answer["message"]
    assert "Traceback" not in json.dumps(answer)
    ended(server, after)
    assert server.request("GET", "/api/kernels") == (200, [])
    assert server.request("GET", "/api/sessions") == (200, [])
    assert not list((server.home.run / "sessions").iterdir())


def test_a_terminal_whose_program_is_missing_is_an_error_at_once(server: AuditedServer) -> None:
    server.grant()
    after = server.reader.size()
    status, answer = server.request("POST", "/api/terminals", {})
    assert status == 500
    assert "no-such-shell could not be run: No such file or directory" in answer["message"]
    assert "c.JupyterAudit.terminal_command" in answer["message"]
    ended(server, after)
    assert server.request("GET", "/api/terminals") == (200, [])


def test_the_next_kernel_starts_as_ever(server: AuditedServer) -> None:
    status, model = server.request("POST", "/api/kernels", {"name": "audit"})
    assert (status, model["name"]) == (201, "audit")


def test_a_kernel_that_died_and_whose_program_is_gone_is_given_up_and_each_attempt_has_an_end(server: AuditedServer) -> None:
    """What starts kernels again tries five times. Nothing runs in any of its sessions, and none is left open."""
    server.grant()
    status, model = server.request("POST", "/api/kernels", {"name": VANISHING})
    assert status == 201, model
    kernel = KernelClient(server, model["id"])
    kernel.run("1")
    (server.work / VANISHING).unlink()
    kernel.execute("import os; os._exit(3)")
    while kernel.receive()["content"].get("execution_state") != "dead":
        pass
    first, *later = [e.session for e in server.entries("session.started") if e.body["kernel_id"] == kernel.kernel_id]
    causes = [server.await_entry("session.ended", lambda e, s=s: e.session == s).body["cause"] for s in (first, *later)]  # type: ignore[misc]
    assert causes == ["died", *["not_started"] * 5]
    assert not [e for e in server.entries("session.canary", "cell.admitted") if e.session in later]
    sent = kernel.execute("1")
    refused = server.await_entry("cell.refused", lambda e: e.body["msg_id"] == sent)
    assert (refused.body["cause"], refused.session) == ("session_ended", None)
    wait_for(lambda: not (server.home.run / "sessions" / str(later[-1])).exists(), "the last session's folder to be gone")
