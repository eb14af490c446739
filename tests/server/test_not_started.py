"""What may start and cannot is answered at once, says what to mend, and its session has an end in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import AuditedServer, audited_server

from jupyter_audit.model import Entry

ARGVS = {
    "missing": ["no-such-kernel", "-f", "{connection_file}"],
    "not-a-program": ["/etc/passwd", "-f", "{connection_file}"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("not-started"))
    for name, argv in ARGVS.items():
        spec = folder / "share" / "kernels" / name
        spec.mkdir(parents=True)
        (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": "python"}))
    config = folder / "admin.py"
    config.write_text(
        f"import jupyter_audit.server.kernelspecs as specs\nspecs.ENV_JUPYTER_PATH.append({str(folder / 'share')!r})\n"
        f"c.JupyterAudit.allowed_kernels = {['audit', *ARGVS]!r}\n"
        "c.JupyterAudit.profiles = {'production-debug': {'terminals': True, 'kernels': ['*']}}\n"
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
