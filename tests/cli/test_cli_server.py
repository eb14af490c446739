"""The same commands through a running server, and runbooks executed on it; and servers that are none."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import nbformat
import pytest
from cli_house import CommandLine
from support.servers import AuditedServer, audited_server, wait_for

from jupyter_audit.access.principals import os_account

ASK = ("--reason", "orders are stuck", "--ticket", "OPS-12")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with audited_server(Path(tmp_path_factory.mktemp("cli-server"))) as running:
        yield running


@pytest.fixture
def cli(empty: CommandLine, server: AuditedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """The command line on the running server's home."""
    empty.folder = server.folder
    yield empty
    for grant in server.api("GET", "grants?live=true")["grants"]:
        server.revoke(grant["id"])
    for asked in server.api("GET", "requests")["requests"]:
        server.api("POST", f"requests/{asked['id']}/withdraw", {})


@pytest.fixture
def far(cli: CommandLine, server: AuditedServer, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The options that reach the server from elsewhere."""
    monkeypatch.setenv("JUPYTER_AUDIT_TOKEN", server.token)
    return ("--server", server.url)


def notebook(folder: Path, *cells: str) -> Path:
    path = folder / "runbook.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.cells.insert(1, nbformat.v4.new_markdown_cell("# What this is for"))
    nbformat.write(made, path)
    return path


def printed(path: Path) -> list[str]:
    """Return what each code cell of a notebook put out."""
    texts = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            shown = [o.get("text") or o.get("data", {}).get("text/plain") or o.get("ename") for o in cell.outputs]
            texts.append("|".join(shown))
    return texts


def test_every_act_goes_through_the_server(cli: CommandLine, far: tuple[str, str], server: AuditedServer) -> None:
    asked = cli.json("request", *ASK, "--minutes", "5", *far)
    (waiting,) = cli.good("requests", "--json", *far).rows()
    assert waiting == asked
    grant = cli.json("approve", asked["id"], *far)
    assert [row["id"] for row in cli.good("grants", "--live", "--json", *far).rows()] == [grant["id"]]
    assert cli.json("revoke", grant["id"], "--reason", "done", *far)["state"] == "revoked"
    assert cli.json("deny", cli.json("request", *ASK, *far)["id"], "--reason", "no", *far)["state"] == "denied"
    assert cli.json("withdraw", cli.json("request", *ASK, *far)["id"], *far)["state"] == "withdrawn"
    again = cli("approve", asked["id"], *far)
    assert again.code == 6
    assert "approved already" in again.err
    assert cli("request", "--reason", "x", "--ticket", "T", *far).code == 2


def test_more_time_and_the_end_of_everything_through_the_server(cli: CommandLine, far: tuple[str, str]) -> None:
    grant = cli.json("approve", cli.json("request", *ASK, *far)["id"], *far)["id"]
    more = cli.json("extend", grant, "--minutes", "5", "--reason", "it takes longer", *far)
    assert cli.json("approve", more["id"], *far)["extensions"] == 1
    starts = ("--starts", "2100-01-01T00:00Z")
    assert "cannot begin" in cli("request", *ASK, *starts, *far).err
    assert "no glass to break" in cli("break-glass", *ASK, *far).err
    assert "only a broken glass is reviewed" in cli("review", grant, "--justified", "--comment", "it was", *far).err
    assert grant in [row["id"] for row in cli.good("revoke", "--everyone", "--reason", "stop", "--json", *far).rows()]
    assert cli.good("grants", "--live", "--json", *far).rows() == []
    assert cli.good("grants", "--unreviewed", "--json", *far).rows() == []


def test_local_and_remote_rows_have_the_same_keys(cli: CommandLine, far: tuple[str, str]) -> None:
    cli.granted()
    near, remote = cli.good("grants", "--json").rows()[0], cli.good("grants", "--json", *far).rows()[0]
    assert near.keys() == remote.keys()
    near, remote = cli.good("requests", "--all", "--json").rows()[0], cli.good("requests", "--all", "--json", *far).rows()[0]
    assert near == remote


def test_log_and_tail_through_the_server(cli: CommandLine, far: tuple[str, str], server: AuditedServer) -> None:
    for _ in range(3):
        cli.granted()
    remote = cli.good("log", "--type", "access.", "--limit", "5", "--json", *far).rows()
    near = cli.good("log", "--type", "access.", "--limit", "5", "--json").rows()
    assert [row["seq"] for row in remote] == [row["seq"] for row in near]
    assert len(cli.good("log", "--limit", "100000", "--json", *far).rows()) >= 100 or server.reader.size() < 100
    assert cli("log", "--content", *far).code == 2
    following = cli.start("tail", "--type", "access.requested", "--json", *far, env={"JUPYTER_AUDIT_TOKEN": server.token})
    try:
        asked = cli.json("request", *ASK)
        assert following.stdout is not None
        while json.loads(following.stdout.readline())["body"]["request"] != asked["id"]:
            pass
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=20) == 0
    finally:
        following.kill()
        following.communicate()


def test_a_runbook_runs_under_a_grant_and_keeps_what_came_out(cli: CommandLine, tmp_path: Path) -> None:
    cli.granted()
    path = notebook(
        tmp_path,
        "print('one')\nprint('two')",
        "6 * 7",
        "from IPython.display import display, clear_output\nshown = display('old', display_id=True)",
        "shown.update('new')\nprint('away'); clear_output(); print('stays')",
    )
    done = cli.good("run", str(path), "--json")
    output = path.with_name("runbook.out.ipynb")
    assert done.rows() == [{"cells": 4, "ran": 4, "failed": 0, "skipped": 0, "exit": 0, "output": str(output)}]
    assert printed(output) == ["one\ntwo\n", "42", "'new'", "stays\n"]
    assert printed(path) == [""] * 4


def test_a_runbook_without_a_grant_is_refused_and_recorded(cli: CommandLine, server: AuditedServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print(1)", "print(2)")
    before = len(server.entries("cell.refused"))
    done = cli("run", str(path), "--output", str(tmp_path / "out.ipynb"))
    assert done.code == 6
    assert "No active grant" in done.err
    assert printed(tmp_path / "out.ipynb") == ["NoActiveGrant", ""]
    wait_for(lambda: len(server.entries("cell.refused")) == before + 1, "the refusal")


def test_a_runbook_stops_at_the_first_error_unless_told_to_go_on(cli: CommandLine, tmp_path: Path) -> None:
    cli.granted()
    path = notebook(tmp_path, "1 / 0", "print('after')")
    stopped = cli("run", str(path))
    assert stopped.code == 9
    assert "ZeroDivisionError" in stopped.err
    assert printed(tmp_path / "runbook.out.ipynb") == ["ZeroDivisionError", ""]
    assert cli("run", str(path), "--allow-errors").code == 9
    assert printed(tmp_path / "runbook.out.ipynb") == ["ZeroDivisionError", "after\n"]


def tagged(path: Path, **tags: str) -> Path:
    """Tag code cells of a notebook: `c1="skip-execution"` the second one."""
    read = nbformat.read(path, as_version=4)
    code = [cell for cell in read.cells if cell.cell_type == "code"]
    for number, tag in tags.items():
        code[int(number[1:])].metadata["tags"] = [tag]
    nbformat.write(read, path)
    return path


def test_a_cell_that_is_tagged_to_be_skipped_is_not_run_and_one_that_may_raise_stops_nothing(
    cli: CommandLine, server: AuditedServer, tmp_path: Path
) -> None:
    cli.granted()
    before = server.reader.size()
    path = tagged(notebook(tmp_path, "1 / 0", "print('not on production')", "print('after')"), c0="raises-exception", c1="skip-execution")
    done = cli.good("run", str(path))
    assert "2 of 2 cells ran, 0 failed, 1 skipped." in done.out
    assert printed(tmp_path / "runbook.out.ipynb") == ["ZeroDivisionError", "", "after\n"]
    admitted = [e for e in server.entries("cell.admitted", start=before) if not e.body.get("canary")]
    assert len(admitted) == 2


def test_parameters_are_set_in_a_cell_that_is_recorded_after_the_one_with_their_defaults(
    cli: CommandLine, server: AuditedServer, tmp_path: Path
) -> None:
    cli.granted()
    before = server.reader.size()
    path = tagged(notebook(tmp_path, "queue, limit, dry = 'none', 1, None", "print(repr((queue, limit, dry)))"), c0="parameters")
    given = ("-p", "queue", "it's; 1/0", "-p", "limit", "50", "-p", "dry", "True")
    done = cli.json("run", str(path), *given)
    assert (done["cells"], done["ran"], done["exit"]) == (3, 3, 0)
    output = tmp_path / "runbook.out.ipynb"
    assert printed(output) == ["", "", repr(("it's; 1/0", 50, True)) + "\n"]
    assert [e.body.get("canary", False) for e in server.entries("cell.admitted", start=before)].count(False) == 3
    # Run once more, what was put there is replaced.
    cli.good("run", str(output), "-p", "limit", "7", "--output", str(output))
    assert printed(output) == ["", "", repr(("none", 7, None)) + "\n"]
    assert cli("run", str(path), "-p", "not a name", "1").code == 2


def test_a_cell_that_takes_too_long_is_ended_with_its_session(cli: CommandLine, server: AuditedServer, tmp_path: Path) -> None:
    cli.granted()
    path = notebook(tmp_path, "import time\nprint('begun', flush=True)\ntime.sleep(600)")
    done = cli("run", str(path), "--timeout", "3")
    assert done.code == 9
    assert "longer than 3 seconds" in done.err
    assert printed(tmp_path / "runbook.out.ipynb") == ["begun\n"]
    assert server.request("GET", "/api/sessions") == (200, [])


def test_a_runbook_asks_for_its_own_grant_and_approves_it_on_purpose(cli: CommandLine, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('ran')")
    cli.good("run", str(path), *ASK, "--minutes", "5", "--approve")
    assert printed(tmp_path / "runbook.out.ipynb") == ["ran\n"]
    newest = cli.entries("access.approved")[-1]
    assert newest.body["self_approved"] is True
    for words in (("--approve",), ("--ticket", "T-1"), ("--reason", "orders are stuck")):
        assert cli("run", str(path), *words).code == 2


def test_a_runbook_waits_for_its_approver(cli: CommandLine, server: AuditedServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('ran')")
    running = cli.start("run", str(path), *ASK)
    try:
        (asked,) = wait_for(lambda: server.api("GET", "requests")["requests"], "the request")
        server.api("POST", f"requests/{asked['id']}/approve", {})
        assert running.wait(timeout=60) == 0
    finally:
        running.kill()
        running.communicate()
    assert printed(tmp_path / "runbook.out.ipynb") == ["ran\n"]


def test_a_runbook_that_is_denied_does_not_run(cli: CommandLine, server: AuditedServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('ran')")
    running = cli.start("run", str(path), *ASK)
    (asked,) = wait_for(lambda: server.api("GET", "requests")["requests"], "the request")
    server.api("POST", f"requests/{asked['id']}/deny", {"reason": "not in working hours"})
    _, err = running.communicate(timeout=60)
    assert running.returncode == 6
    assert "not in working hours" in err
    assert not (tmp_path / "runbook.out.ipynb").exists()


def test_ctrl_c_while_waiting_is_an_exit_code_and_no_traceback(cli: CommandLine, server: AuditedServer, tmp_path: Path) -> None:
    running = cli.start("run", str(notebook(tmp_path, "1")), *ASK)
    (asked,) = wait_for(lambda: server.api("GET", "requests")["requests"], "the request")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in err) == (130, False)
    server.api("POST", f"requests/{asked['id']}/withdraw", {})


def test_ctrl_c_during_a_cell_ends_the_session_and_keeps_what_came_out(
    cli: CommandLine, server: AuditedServer, tmp_path: Path
) -> None:
    cli.granted()
    path = notebook(tmp_path, "import time\nprint('begun', flush=True)\ntime.sleep(600)")
    admitted = len(server.entries("cell.admitted"))
    running = cli.start("run", str(path))
    wait_for(lambda: [e for e in server.entries("cell.admitted")[admitted:] if not e.body["canary"]], "the cell")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in err) == (130, False)
    assert (tmp_path / "runbook.out.ipynb").is_file()
    wait_for(lambda: server.request("GET", "/api/sessions")[1] == [], "the end of the session")


def test_a_revocation_ends_a_runbook_mid_cell(cli: CommandLine, server: AuditedServer, tmp_path: Path) -> None:
    grant = cli.granted()
    path = notebook(tmp_path, "import time\ntime.sleep(600)", "print('never')")
    admitted = len(server.entries("cell.admitted"))
    running = cli.start("run", str(path))
    wait_for(lambda: [e for e in server.entries("cell.admitted")[admitted:] if not e.body["canary"]], "the cell")
    cli.good("revoke", grant, "--reason", "enough")
    _, err = running.communicate(timeout=60)
    assert running.returncode == 6
    assert "revoked" in err


def test_what_is_no_notebook_is_said_before_anything_starts(cli: CommandLine, tmp_path: Path) -> None:
    for name, text in (("a.ipynb", "{}"), ("b.ipynb", "not json"), ("c.ipynb", '{"nbformat": 4, "cells": 3}')):
        (tmp_path / name).write_text(text)
        done = cli("run", str(tmp_path / name))
        assert (done.code, "Traceback" in done.err) == (2, False)
    assert cli("run", str(tmp_path / "missing.ipynb")).code == 2


def test_doctor_asks_the_running_server(cli: CommandLine) -> None:
    rows = [row for row in cli.good("doctor", "--json").rows() if row["check"] == "running server"]
    assert [row["level"] for row in rows] == ["ok"]


def test_a_wrong_token_is_said_to_be_one(cli: CommandLine, server: AuditedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_TOKEN", "wrong")
    done = cli("grants", "--server", server.url)
    assert done.code == 6
    assert "$JUPYTER_AUDIT_TOKEN" in done.err
    assert os_account().name not in done.out


class Stranger(BaseHTTPRequestHandler):
    """A server that is none of ours, and would like the token."""

    heard: list[str] = []  # noqa: RUF012 (what every request of this class adds to)

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello" if self.path.startswith("/html") else b"[]")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    Stranger.heard.clear()
    yield f"http://127.0.0.1:{made.server_address[1]}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_the_token_goes_to_nobody_that_the_server_points_to(
    empty: CommandLine, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_AUDIT_TOKEN", "secret")
    assert empty("grants", "--server", f"{stranger}/moved").code == 6
    assert Stranger.heard == ["token secret"]


@pytest.mark.parametrize(
    ("where", "code"),
    [("/html", 8), ("/list", 8), ("ftp://host/", 2), ("file:///etc/passwd", 2), ("http://127.0.0.1:9", 8), ("nonsense", 2)],
)
def test_what_is_no_audited_server_is_said_to_be_none(empty: CommandLine, stranger: str, where: str, code: int) -> None:
    url = stranger + where if where.startswith("/") else where
    done = empty("grants", "--server", url)
    assert done.code == code
    assert done.err
    assert "Traceback" not in done.err


def test_without_a_server_running_it_is_said_how_to_start_one(empty: CommandLine, tmp_path: Path) -> None:
    empty.good("init")
    done = empty("run", str(notebook(tmp_path, "1")))
    assert done.code == 8
    assert "jupyter audit lab" in done.err
