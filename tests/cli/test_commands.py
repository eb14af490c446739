"""The command line as a person uses it: real processes, real ledgers, sentences and exit codes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.servers import audited_server, clean_environment, make_home

from jupyter_audit.ledger.damage import exit_code


def audit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `jupyter audit …` on the home in `folder`."""
    home = [] if "--ledger" in arguments else ["--home", str(folder / "audit")]
    return subprocess.run(
        [sys.executable, "-P", "-m", "jupyter_audit.cli.main", *arguments, *home],
        env=clean_environment(folder), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def told(folder: Path, *arguments: str) -> dict[str, object]:
    """Run a command that must succeed and return the first JSON document it prints."""
    done = audit(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    loaded: dict[str, object] = json.loads(done.stdout.splitlines()[0])
    return loaded


def test_the_way_of_a_grant_on_the_command_line(tmp_path: Path) -> None:
    assert audit(tmp_path, "init").returncode == 0
    assert audit(tmp_path, "init").returncode == 4
    asked = told(tmp_path, "request", "--reason", "customers are waiting", "--ticket", "T-1")
    assert told(tmp_path, "requests")["id"] == asked["id"]
    granted = told(tmp_path, "approve", str(asked["id"]))
    assert granted["self_approved"] is True
    assert audit(tmp_path, "approve", str(asked["id"])).returncode == 6
    assert told(tmp_path, "revoke", str(granted["id"]), "--reason", "done with it")["state"] == "revoked"
    assert told(tmp_path, "grants")["state"] == "revoked"
    second = told(tmp_path, "request", "--reason", "customers are waiting", "--ticket", "T-2")
    assert told(tmp_path, "deny", str(second["id"]), "--reason", "not now")["state"] == "denied"
    assert told(tmp_path, "verify")["entries"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["request", "--reason", "x", "--ticket", "T-1"], 2),
        (["request", "--reason", "long enough a reason", "--ticket", "two words"], 2),
        (["request", "--reason", "long enough a reason", "--ticket", "T-1", "--minutes", "9999"], 2),
        (["request", "--reason", "long enough a reason", "--ticket", "T-1", "--profile", "no-such"], 6),
        (["approve", "r-000000000000"], 6),
        (["run", "no-such.ipynb"], 2),
        (["no-such-command"], 2),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path: Path, arguments: list[str], code: int) -> None:
    make_home(tmp_path)
    done = audit(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_without_a_home_every_command_says_how_to_make_one(tmp_path: Path) -> None:
    for command in (["grants"], ["log"], ["doctor"], ["verify"]):
        done = audit(tmp_path, *command)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr


def test_an_auditor_verifies_with_the_file_and_the_public_key_alone(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    key = home.verifier_key.read_text().strip()
    good = audit(tmp_path, "verify", "--ledger", str(home.ledger), "--key", key)
    assert good.returncode == 0, good.stderr
    assert "WHOLE" in good.stdout
    connection = sqlite3.connect(home.ledger)
    connection.execute("DROP TRIGGER entry_unchanged")
    connection.execute("UPDATE entry SET raw = replace(raw, 'os-account', 'os-accounT') WHERE seq = 0")
    connection.commit()
    connection.close()
    bad = audit(tmp_path, "verify", "--ledger", str(home.ledger), "--key", key)
    assert bad.returncode == exit_code("entry_changed")
    assert "ntry 0" in bad.stdout + bad.stderr


def test_a_runbook_is_run_under_a_grant_and_refused_without_one(tmp_path: Path) -> None:
    notebook = tmp_path / "runbook.ipynb"
    cells = [
        {"cell_type": "code", "id": f"c{n}", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
        for n, source in enumerate(("print(6 * 7)", "1 / 0", "print('never')"))
    ]
    notebook.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    output = tmp_path / "out.ipynb"
    with audited_server(tmp_path) as server:
        refused = audit(tmp_path, "run", str(notebook), "--output", str(output))
        assert refused.returncode == 6, refused.stderr
        assert "No active grant" in refused.stderr + refused.stdout
        server.grant()
        failed = audit(tmp_path, "run", str(notebook), "--output", str(output))
        assert failed.returncode == 9, failed.stderr
        done = json.loads(output.read_text())["cells"]
        assert "".join(done[0]["outputs"][0]["text"]) == "42\n"
        assert done[1]["outputs"][0]["ename"] == "ZeroDivisionError"
        assert done[2]["outputs"] == []
        assert len([e for e in server.entries("cell.admitted") if not e.body["canary"]]) == 2
