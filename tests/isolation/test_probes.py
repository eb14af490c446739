"""What code in a cell can reach, rung by rung; the table is the one in docs/threat-model.md."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from isolation_house import FLOOR, House
from probe_table import DISK_PROBES, LEFT, PROBES, RUN, Probe, Result
from support.beats import assert_within_grace
from support.servers import KernelClient, make_home, wait_for

from jupyter_audit.access.terms import Rung
from jupyter_audit.cli.main import main
from jupyter_audit.errors import ConfigError
from jupyter_audit.gate import isolation, seccomp
from jupyter_audit.gate.bubblewrap import View, command_prefix
from jupyter_audit.gate.isolation import allowed_paths, check_folders, clear_of
from jupyter_audit.settings import JupyterAudit


@dataclass
class Cell:
    """A kernel that tries the probes, and what an ordinary process of the server's account would come to."""

    client: KernelClient
    plain: dict[str, bool]


@pytest.fixture(scope="module")
def cell(house: House) -> Iterator[Cell]:
    grant = house.server.grant()
    other, client = house.server.kernel(), house.server.kernel()
    names = house.names(client, other)
    assert client.run(assignments(names))["status"] == "ok"
    yield Cell(client, tried_without_a_kernel(names))
    house.server.revoke(grant)


def assignments(names: Mapping[str, object]) -> str:
    return "\n".join(f"{name} = {value!r}" for name, value in names.items())


def tried_without_a_kernel(names: Mapping[str, object]) -> dict[str, bool]:
    """Return for each probe whose answer is the system's to give whether a process of this account, which nothing fences in, comes through."""
    codes = {probe.name: probe.code for probe in PROBES if Result.DEPENDS in probe.expected}
    script = (
        f"import json, os, sys\nresults = {{}}\nfor name, code in {codes!r}.items():\n"
        f"    try:\n        exec(code, dict({dict(names)!r}))\n        results[name] = True\n"
        "    except Exception:\n        results[name] = False\n"
        "print(json.dumps(results))"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-I", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, bool] = json.loads(done.stdout)
    return found


def test_a_folder_of_the_audit_home_that_a_cell_opens_is_closed_at_once_and_the_finding_names_the_cell(house: House, cell: Cell) -> None:
    keys = house.server.home.path / "keys"
    reply = cell.client.run(
        f"import os, time\nos.chmod({str(keys)!r}, 0o755)\nend = time.time() + 10\n"
        f"while os.stat({str(keys)!r}).st_mode & 0o77:\n    assert time.time() < end\n    time.sleep(0.001)"
    )
    assert keys.stat().st_mode & 0o777 == 0o700
    assert reply["status"] == ("ok" if house.rung in (Rung.NONE, Rung.LANDLOCK) else "error"), reply
    if reply["status"] == "ok":
        found = house.server.await_entry("finding.raised", lambda e: f"{keys.resolve()} (mode 0755, put" in str(e.body["explanation"]))
        admitted = house.server.await_entry("cell.admitted", lambda e: e.session == house.session_of(cell.client))
        assert (found.body["rule"], found.body["entries"]) == ("home-modes", [admitted.seq])


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_cell_reaches_what_the_table_says_and_nothing_else(house: House, cell: Cell, probe: Probe) -> None:
    expected = probe.on(house.rung)
    if probe.asks_a_daemon and house.lacks_daemons:
        pytest.skip(f"NOT AVAILABLE HERE: {house.lacks_daemons}")
    if probe.filtered and not seccomp.available():
        pytest.skip("NOT AVAILABLE HERE: the filter of system calls is not written for this processor")
    if probe.on(Rung.NONE) is Result.DEPENDS and not cell.plain[probe.name] and expected is Result.REFUSED:
        pytest.skip("NOT AVAILABLE HERE: no process of this account may do that, with or without a sandbox")
    if expected is Result.DEPENDS:
        if house.rung is not Rung.NONE:
            pytest.skip("the system's answer for another account, which says nothing about this rung")
        expected = Result.SUCCEEDS if cell.plain[probe.name] else Result.REFUSED
    trace = house.server.folder / probe.leaves
    reply = cell.client.run(probe.code)
    came_to_something = not probe.leaves or trace.exists()
    if probe.leaves:
        trace.unlink(missing_ok=True)
    result = Result.SUCCEEDS if reply["status"] == "ok" and came_to_something else Result.REFUSED
    assert result is expected, (reply.get("ename"), reply.get("evalue"))


def test_what_a_kernel_writes_into_the_servers_log_bears_its_sessions_name(house: House, cell: Cell) -> None:
    """Its own descriptors are ipykernel's to publish; the pipe that it was started with is still there, behind other numbers."""
    forged = "[C 2026-01-01 00:00:00.000 AuditServerApp] all is well\x1b[2J"
    code = (
        "import contextlib, os\nfor n in os.listdir('/proc/self/fd'):\n"
        "    with contextlib.suppress(OSError):\n"
        "        if os.readlink(f'/proc/self/fd/{n}').startswith('pipe:'):\n"
        f"            os.write(int(n), {forged.encode() + bytes([10])!r})"
    )
    reply = cell.client.run(code)
    assert reply["status"] == "ok", reply
    session = house.session_of(cell.client)
    line = f"[{session}] {forged[:-4]}\\x1b[2J"
    wait_for(lambda: line in house.server.log.split("\n"), "the line in the log")
    assert not any(text.startswith(forged[:20]) for text in house.server.log.split("\n"))


def test_a_cell_that_fills_the_disk_stops_itself_and_not_the_recording(house: House) -> None:
    if house.lacks_a_disk:
        pytest.skip(f"NOT AVAILABLE HERE: {house.lacks_a_disk}")
    server = house.server
    grant = server.grant()
    client = server.kernel()
    filler = server.work / "filler"
    fill, go_on, fill_up = DISK_PROBES
    assert fill.on(house.rung) is Result.SUCCEEDS
    assert {go_on.on(house.rung), fill_up.on(house.rung)} == {Result.REFUSED}

    def room(floor: int) -> str:
        return f"ROOM = {shutil.disk_usage(server.folder).free + (filler.stat().st_size if filler.exists() else 0) - floor}\n"

    assert client.run(room(FLOOR * 3 // 4) + fill.code)["status"] == "ok"
    wait_for(lambda: client.run("1")["status"] == "error", "cells to be refused")
    reply = client.run(go_on.code)
    assert reply["status"] == "error"
    assert "Make room" in reply["evalue"]
    refused = server.await_entry("cell.refused", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert refused.body["cause"] == "no_room"
    assert not (server.folder / go_on.leaves).exists()
    filler.unlink()
    wait_for(lambda: client.run("1")["status"] == "ok", "cells to run again")
    client.execute(room(FLOOR // 4) + fill_up.code)
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.body["cause"], ended.body["clean"]) == ("no_room", True)
    filler.unlink()
    wait_for(lambda: server.request("POST", "/api/kernels", {"name": "audit"})[0] == 201, "kernels to start again")
    server.revoke(grant)


def test_killing_the_supervisor_is_refused_or_what_it_guarded_is_killed_by_the_server(house: House) -> None:
    """On rung `none` nothing refuses it; what the kernel started ends all the same, though it hid from every list."""
    server = house.server
    grant = server.grant()
    client = server.kernel()
    mark = f"mark-{uuid.uuid4().hex}"
    job = [sys.executable, "-c", "import time; time.sleep(600)", mark]
    client.run(f"import os, subprocess, signal; subprocess.Popen({job!r}, start_new_session=True, env={{}})")
    supervisor = house.supervisor_of(client)
    client.execute(f"os.kill({supervisor}, signal.SIGKILL)")
    if house.rung is not Rung.NONE:
        attempt = server.await_entry("cell.admitted", lambda e: b"SIGKILL" in (server.reader.content(e.seq, "message") or b""))
        assert server.finished(attempt.seq).body["error"] in ("PermissionError", "ProcessLookupError")
        server.revoke(grant)
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert ended.body["clean"] is True
    assert subprocess.run(["pgrep", "-f", mark], capture_output=True, check=False).stdout == b""
    if house.rung is Rung.NONE:
        server.revoke(grant)


def test_revocation_ends_threads_tasks_children_and_daemons_whatever_they_did_to_hide(house: House) -> None:
    """Threads, tasks, children and daemons, whatever they did to hide: each is seen to live, and then to be gone."""
    server = house.server
    grant = server.grant()
    client = server.kernel()
    marks = {left: f"mark-{uuid.uuid4().hex}" for left in LEFT}
    beats = {left: server.work / marks[left] for left in LEFT if left.beats}
    for left, mark in marks.items():
        reply = client.run(f"MARK = {mark!r}\n{RUN}{left.code}")
        assert reply["status"] == "ok", (left.name, reply)

    def alive() -> set[str]:
        shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return {left.name for left in LEFT if (beats[left].exists() if left.beats else marks[left] in shown)}

    wait_for(lambda: alive() == {left.name for left in LEFT}, "everything to run")
    server.revoke(grant)
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.body["cause"], ended.body["clean"]) == ("revoked", True)
    assert_within_grace(server, ended, JupyterAudit().grace_seconds)
    assert ended.body["processes"] >= len(LEFT) - len(beats)  # type: ignore[operator]
    for beat in beats.values():
        beat.unlink()
    # A thread or task that lived on would put its file back fifty times a second.
    assert server.await_entry("access.revoked", lambda e: e.grant == grant)
    assert alive() == {left.name for left in LEFT if left.on(house.rung) is Result.LIVES}


def test_an_interrupt_reaches_the_cell_and_what_it_runs_and_not_the_kernel(house: House) -> None:
    server = house.server
    grant = server.grant()
    client = server.kernel()
    cell = client.execute("import subprocess\nprint('begun', flush=True)\nsubprocess.run(['sleep', '600'])")
    while client.receive()["header"]["msg_type"] != "stream":
        pass
    status, answer = server.request("POST", f"/api/kernels/{client.kernel_id}/interrupt")
    assert status == 204, answer
    [reply] = [m["content"] for m in client.wait(cell) if m["header"]["msg_type"] == "execute_reply"]
    assert reply["ename"] == "KeyboardInterrupt"
    assert client.printed("print('alive')") == "alive\n"
    server.revoke(grant)


def isolation_by_doctor(home: Path, rung: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """Return what `doctor` says of isolation where a rung (or `auto`) is configured, by what it looked at."""
    settings = home.parent / "doctor_config.py"
    settings.write_text(f"c.JupyterAudit.isolation = {rung!r}\nc.JupyterAudit.solo = True\n")
    settings.chmod(0o600)
    capsys.readouterr()
    main(["doctor", "--json", "--home", str(home), "--config", str(settings)])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {row["check"]: row for row in rows if row["check"].startswith("isolation")}


def test_doctor_names_the_rung_that_sessions_are_on_and_why_it_is_no_higher(house: House, cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    if house.rung is Rung.ACCOUNT:
        pytest.skip("its server sees another interpreter, in a mount namespace of its own")
    assert house.session_of(cell.client)  # whose start says that it is on this rung
    said = isolation_by_doctor(house.server.home.path, house.rung.value, capsys)["isolation"]
    assert said["result"].startswith(f"{house.rung.value}: ")
    best = isolation.probe("auto").rung
    assert (f"though {best.value} can be had" in said["result"]) == (best is not house.rung)
    assert (said["level"], bool(said["advice"])) == (("warn", True) if house.rung in (Rung.NONE, Rung.LANDLOCK) else ("ok", False))


def test_each_rung_that_is_missing_is_named_by_doctor_with_its_reason_and_its_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jupyter_audit.gate.isolation.abi_version", lambda: 0)
    monkeypatch.setattr("jupyter_audit.gate.bubblewrap.failure", lambda account=None: ("bubblewrap is not installed", "Install it."))
    said = isolation_by_doctor(make_home(tmp_path).path, "auto", capsys)
    assert list(said) == ["isolation", *(f"isolation {rung.value}" for rung in list(Rung)[1:])]
    assert said["isolation"]["result"].startswith("none: ")
    assert "bubblewrap is not installed" in said["isolation"]["result"]
    assert "bubblewrap is not installed" in said["isolation bubblewrap"]["result"]
    assert said["isolation bubblewrap"]["advice"] == "Install it."
    assert all(row["result"] and row["advice"] for row in said.values())
    for rung in ("landlock", "bubblewrap", "bubblewrap+landlock"):
        said = isolation_by_doctor(tmp_path / "audit", rung, capsys)
        assert (said["isolation"]["level"], bool(said["isolation"]["advice"])) == ("fail", True)
        assert f"demands {rung}" in said["isolation"]["result"]
        with pytest.raises(ConfigError, match=f"demands {re.escape(rung)}"):
            isolation.probe(rung)


def test_a_notebook_folder_around_the_home_is_refused(tmp_path: Path) -> None:
    for home, root in ((tmp_path / "a", tmp_path), (tmp_path, tmp_path), (tmp_path, tmp_path / "b")):
        with pytest.raises(ConfigError, match="lie in one another"):
            check_folders(home, root)
    check_folders(tmp_path / "a", tmp_path / "b")


def test_a_link_to_the_home_does_not_make_it_writable(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.symlink_to(home)
    with pytest.raises(ConfigError):
        check_folders(home, work)


def test_a_second_name_of_the_home_does_not_make_it_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a folder is mounted twice, or upper and lower case are one."""
    home = tmp_path / "audit"
    home.mkdir()
    (tmp_path / "Audit").mkdir()
    monkeypatch.setattr(Path, "samefile", lambda one, other: str(one).lower() == str(other).lower())
    with pytest.raises(ConfigError):
        check_folders(home, tmp_path / "Audit")


def test_a_link_beside_the_home_does_not_open_what_it_leads_to(tmp_path: Path) -> None:
    """Found by trial: a rule on a link opens its target, here a folder above the home."""
    home = tmp_path / "above" / "home"
    home.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "above")
    readable, _ = allowed_paths([home], [], home / "run")
    assert str(tmp_path / "link") not in readable
    assert not {str(Path(path).resolve()) for path in readable} & {str(home), *(str(p) for p in home.parents)}


def test_what_may_be_read_holds_neither_the_home_nor_a_folder_above_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "neighbour").mkdir()
    readable, writable = allowed_paths([home], [tmp_path, tmp_path / "neighbour"], home / "run")
    assert str(tmp_path / "neighbour") in readable
    hidden = {str(home), *(str(parent) for parent in home.parents)}
    assert not hidden & set(readable)
    assert not hidden & set(writable)


def test_a_writable_folder_that_holds_the_home_is_not_given_to_a_kernel(tmp_path: Path) -> None:
    """Given to bubblewrap it would be put over the empty folder that stands where the home is."""
    home, beside = tmp_path / "home", tmp_path / "beside"
    for folder in (home, beside):
        folder.mkdir()
    assert clear_of([tmp_path, home / "run", beside, tmp_path / "missing"], [home]) == [beside]


def test_capabilities_over_the_network_are_kept_from_a_second_user_namespace(tmp_path: Path) -> None:
    """Found by trial: for a /dev with terminals bwrap makes one, if it is not root, and then port 443 cannot be offered."""
    views = [View(tmp_path, "/", [], [], shares_network=False, capabilities=given, as_root=root)
             for given in ((), ("CAP_NET_ADMIN",)) for root in (False, True)]  # fmt: skip
    assert ["--dev" in command_prefix(view) for view in views] == [True, True, False, True]
