"""A profile for certain notebooks: no other gets a kernel, nor keeps one that it was moved away from. Real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import AuditedServer, KernelClient, audited_server

PROFILES = {
    "production-debug": {"notebooks": ["orders/**", "runbook.ipynb"]},
    "anything": {"notebooks": ["**"]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("notebooks"))
    config = folder / "jupyter_server_config.json"
    config.write_text(json.dumps({"JupyterAudit": {"profiles": PROFILES}}))
    with audited_server(folder, f"--config={config}") as running:
        (running.work / "orders").mkdir()
        (running.work / "private").mkdir()
        (running.work / "private" / "b.ipynb").write_text("{}")
        (running.work / "orders" / "link.ipynb").symlink_to("../private/b.ipynb")
        (running.work / "orders" / "away").symlink_to("/etc")
        (running.work / "orders" / "inside.ipynb").symlink_to("a.ipynb")
        yield running


def opened(server: AuditedServer, path: Any, **kernel: Any) -> tuple[int, Any]:
    wanted = {"path": path, "name": "a name", "type": "notebook", "kernel": {"name": "audit", **kernel}}
    return server.request("POST", "/api/sessions", wanted)


def session_at(server: AuditedServer, path: str) -> tuple[str, KernelClient]:
    status, model = opened(server, path)
    assert status == 201, model
    return model["id"], KernelClient(server, model["kernel"]["id"])


def newest(server: AuditedServer, kind: str) -> dict[str, Any]:
    return dict(server.await_entry(kind).body)


def test_the_path_that_a_client_names_is_put_down_and_the_folder_in_which_its_kernel_works(server: AuditedServer, grant: str) -> None:
    (server.work / "orders").mkdir(exist_ok=True)
    session, client = session_at(server, "orders/a.ipynb")
    assert newest(server, "session.started")["folder"] == str(server.work / "orders")
    assert client.printed("import os; print(os.getcwd())") == f"{server.work / 'orders'}\n"
    assert newest(server, "session.started")["notebook"] == "orders/a.ipynb"
    assert client.run("1 + 1")["status"] == "ok"
    live = server.api("GET", "sessions")["sessions"]
    assert [one["notebook"] for one in live if one["kernel_id"] == client.kernel_id] == ["orders/a.ipynb"]
    server.request("DELETE", f"/api/sessions/{session}")


@pytest.mark.parametrize(
    "path",
    ["private/b.ipynb", "orders/../private/b.ipynb", "/orders/a.ipynb", "S3:orders/a.ipynb", "Orders/a.ipynb", "", "orders/link.ipynb"],
)
def test_no_kernel_starts_for_what_the_grant_does_not_cover(server: AuditedServer, grant: str, path: str) -> None:
    before = len(server.entries("session.started"))
    status, answer = opened(server, path)
    assert status >= 400
    assert "certain notebooks" in answer["message"]
    assert newest(server, "session.refused")["cause"] == "notebook_not_covered"
    assert len(server.entries("session.started")) == before


def test_a_link_out_of_the_root_is_no_notebook_of_any_pattern(server: AuditedServer, grant: str) -> None:
    more = server.grant(profile="anything")
    before = len(server.entries("session.started"))
    assert opened(server, "orders/away/a.ipynb")[0] >= 400
    assert len(server.entries("session.started")) == before
    server.revoke(more)


@pytest.mark.parametrize("path", ["RTC:orders/a.ipynb", "orders/inside.ipynb", "runbook.ipynb"])
def test_the_same_file_under_a_name_that_is_covered_too_gets_a_kernel(server: AuditedServer, grant: str, path: str) -> None:
    session, client = session_at(server, path)
    assert client.run("1")["status"] == "ok"
    server.request("DELETE", f"/api/sessions/{session}")


def test_a_kernel_without_a_notebook_is_refused(server: AuditedServer, grant: str) -> None:
    status, answer = server.request("POST", "/api/kernels", {"name": "audit"})
    assert status == 403
    assert "a kernel without a notebook" in answer["message"]


def test_cells_are_refused_while_the_notebook_is_elsewhere_and_run_again_when_it_is_back(
    server: AuditedServer, grant: str
) -> None:
    session, client = session_at(server, "orders/a.ipynb")
    assert client.run("x = 5")["status"] == "ok"
    server.request("PATCH", f"/api/sessions/{session}", {"path": "private/a.ipynb"})
    moved = server.await_entry("session.moved", lambda entry: entry.body["kernel_id"] == client.kernel_id)
    assert (moved.body["notebook"], moved.body["previous"]) == ("private/a.ipynb", "orders/a.ipynb")
    refused = client.run("x")
    assert (refused["status"], "private/a.ipynb" in refused["evalue"]) == ("error", True)
    assert newest(server, "cell.refused")["cause"] == "notebook_not_covered"
    # A restart under the name that is not covered does not start it anew.
    assert server.request("POST", f"/api/kernels/{client.kernel_id}/interrupt")[0] == 204
    server.request("PATCH", f"/api/sessions/{session}", {"path": "orders/b.ipynb"})
    assert client.run("assert x == 5")["status"] == "ok"
    server.request("DELETE", f"/api/sessions/{session}")


def test_a_second_notebook_cannot_ride_on_the_kernel_of_one_that_is_covered(server: AuditedServer, grant: str) -> None:
    session, client = session_at(server, "orders/a.ipynb")
    status, _ = opened(server, "private/b.ipynb", id=client.kernel_id)
    assert status == 201
    joined = server.await_entry("session.moved", lambda entry: entry.body["kernel_id"] == client.kernel_id)
    assert (joined.body["notebook"], joined.body["previous"]) == ("private/b.ipynb", "")
    assert client.run("1")["ename"] == "Refused"
    server.request("DELETE", f"/api/sessions/{session}")


def test_another_kernel_for_the_session_begins_at_the_path_that_it_has_now(server: AuditedServer, grant: str) -> None:
    session, _ = session_at(server, "orders/a.ipynb")
    server.request("PATCH", f"/api/sessions/{session}", {"path": "private/a.ipynb"})
    status, answer = server.request("PATCH", f"/api/sessions/{session}", {"path": "orders/c.ipynb", "kernel": {"name": "audit"}})
    assert status >= 400, answer
    server.request("DELETE", f"/api/sessions/{session}")


def test_a_restart_does_not_begin_where_the_notebook_is_not_covered(server: AuditedServer, grant: str) -> None:
    session, client = session_at(server, "orders/a.ipynb")
    server.request("PATCH", f"/api/sessions/{session}", {"path": "private/a.ipynb"})
    before = len(server.entries("session.started"))
    assert server.request("POST", f"/api/kernels/{client.kernel_id}/restart")[0] >= 400
    assert newest(server, "session.refused")["cause"] == "notebook_not_covered"
    assert len(server.entries("session.started")) == before
    server.request("DELETE", f"/api/sessions/{session}")


def test_a_grant_that_covers_more_is_used_where_the_first_does_not(server: AuditedServer, grant: str) -> None:
    more = server.grant(profile="anything")
    session, client = session_at(server, "private/b.ipynb")
    assert client.run("1")["status"] == "ok"
    assert server.await_entry("session.bound", lambda entry: entry.body["kernel_id"] == client.kernel_id).grant == more
    server.request("DELETE", f"/api/sessions/{session}")
    server.revoke(more)


def test_a_notebook_without_a_path_that_means_anything_loses_no_server(server: AuditedServer, grant: str) -> None:
    for path in (None, 7, "a\u0000b", "\ud800", "x" * 5000):
        assert opened(server, path)[0] >= 400
    assert server.api("GET", "status")["recording"]
