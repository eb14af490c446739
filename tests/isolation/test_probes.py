"""What code in a cell can reach, rung by rung; the table is the one in docs/threat-model.md."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from isolation_house import House
from probe_table import PROBES, Result
from support.servers import wait_for

from jupyter_audit.access.terms import Rung
from jupyter_audit.errors import ConfigError
from jupyter_audit.gate.bubblewrap import View, command_prefix
from jupyter_audit.gate.isolation import allowed_paths, check_folders, clear_of, probe


def test_a_cell_reaches_what_the_table_says_and_nothing_else(house: House) -> None:
    server = house.server
    grant = server.grant()
    other, client = server.kernel(), server.kernel()
    house.tell(client, other)
    wrong = []
    for attempt in PROBES:
        reply = client.run(attempt.code)
        came_to_something = not attempt.leaves or (server.folder / attempt.leaves).exists()
        result = Result.SUCCEEDS if reply["status"] == "ok" and came_to_something else Result.REFUSED
        if attempt.on(house.rung) not in (Result.DEPENDS, result):
            wrong.append((attempt.name, result.value, reply.get("ename"), reply.get("evalue")))
    assert not wrong, "\n".join(map(str, wrong))
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


START = """
import asyncio, os, subprocess, sys, threading, time
job = [sys.executable, "-c", "import time; time.sleep(600)", MARK]
subprocess.Popen(job)
subprocess.Popen(job, start_new_session=True)
subprocess.Popen(job, start_new_session=True, env={})
subprocess.run(["sh", "-c", f"nohup setsid {sys.executable} -c 'import time; time.sleep(600)' {MARK} >/dev/null 2>&1 &"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, job, {})
    os._exit(0)
def beat(name):
    while True:
        open(name, "w").close(); time.sleep(0.02)
async def beat_too(name):
    while True:
        open(name, "w").close(); await asyncio.sleep(0.02)
threading.Thread(target=beat, args=("thread-" + MARK,)).start()
task = asyncio.get_running_loop().create_task(beat_too("task-" + MARK))
"""


def test_revocation_ends_threads_tasks_children_and_daemons_whatever_they_did_to_hide(house: House) -> None:
    server = house.server
    grant = server.grant()
    client = server.kernel()
    mark = f"mark-{uuid.uuid4().hex}"
    assert client.run(f"MARK = {mark!r}\n{START}")["status"] == "ok"
    beats = [server.work / f"{kind}-{mark}" for kind in ("thread", "task")]

    def bearing() -> list[bytes]:
        return subprocess.run(["pgrep", "-f", mark], capture_output=True, check=False).stdout.split()

    wait_for(lambda: len(bearing()) >= 5 and all(beat.exists() for beat in beats), "everything to run")
    server.revoke(grant)
    ended = server.await_entry("session.ended", lambda e: e.body["kernel_id"] == client.kernel_id)
    assert (ended.body["cause"], ended.body["clean"]) == ("revoked", True)
    assert ended.body["processes"] >= 4  # type: ignore[operator]
    assert bearing() == []
    for beat in beats:
        beat.unlink()
    # A thread or task that lived on would put its file back fifty times a second.
    again = server.await_entry("access.revoked", lambda e: e.grant == grant)
    assert again
    assert not any(beat.exists() for beat in beats)


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


def test_doctor_and_sessions_name_the_rung_in_force() -> None:
    report = probe("auto")
    assert report.why
    assert all(missing.why and missing.rung.height > report.rung.height for missing in report.missing)
    assert probe("none").rung is Rung.NONE
    assert probe("none").advice


def test_each_rung_that_is_missing_is_named_with_its_reason_and_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_audit.gate.isolation.abi_version", lambda: 0)
    monkeypatch.setattr("jupyter_audit.gate.bubblewrap.failure", lambda account=None: ("bubblewrap is not installed", "Install it."))
    report = probe("auto")
    assert report.rung is Rung.NONE
    assert report.advice
    assert [missing.rung for missing in report.missing] == list(Rung)[1:]
    assert all(missing.why and missing.advice for missing in report.missing)
    for rung in ("landlock", "bubblewrap", "bubblewrap+landlock"):
        with pytest.raises(ConfigError, match=f"demands {re.escape(rung)}") as caught:
            probe(rung)
        assert caught.value.advice


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
