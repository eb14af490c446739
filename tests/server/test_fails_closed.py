"""A server that cannot record does not serve kernels, and says why in words that name the setting."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import audited_server, clean_environment, make_home, run_to_its_end, wait_for

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.ledger.auditors import AuditorSecret
from jupyter_audit.model import Draft


def config(folder: Path, text: str) -> str:
    """Write an admin's configuration file and return the option that names it."""
    path = folder / "jupyter_server_config.py"
    path.write_text(text)
    path.chmod(0o600)
    return f"--config={path}"


def no_home(folder: Path) -> list[str]:
    shutil.rmtree(folder / "audit")
    return ["--solo"]


def no_ledger(folder: Path) -> list[str]:
    for path in (folder / "audit").glob("ledger.db*"):
        path.unlink()
    return ["--solo"]


def home_open_to_others(folder: Path) -> list[str]:
    (folder / "audit").chmod(0o755)
    return ["--solo"]


def key_open_to_others(folder: Path) -> list[str]:
    Home(folder / "audit").signing_key.chmod(0o644)
    return ["--solo"]


def no_key(folder: Path) -> list[str]:
    Home(folder / "audit").signing_key.unlink()
    return ["--solo"]


def not_a_database(folder: Path) -> list[str]:
    for path in (folder / "audit").glob("ledger.db-*"):
        path.unlink()
    Home(folder / "audit").ledger.write_bytes(b"something else entirely" * 500)
    return ["--solo"]


def ledger_of_an_earlier_day(folder: Path) -> list[str]:
    home = Home(folder / "audit")
    remembered = home.remembered_checkpoint.read_text()
    lines = remembered.split("\n")
    lines[1] = str(int(lines[1]) + 5)
    home.remembered_checkpoint.write_text("\n".join(lines))
    return ["--solo"]


def with_newer_entries(home: Home) -> None:
    """Append, with a journal that is not written into the file before the end."""
    with open_ledger(home, clock=SystemClock()) as ledger:
        ledger.connection.execute("PRAGMA wal_autocheckpoint = 0")
        ledger.append([Draft("server.stopped", {}) for _ in range(3)])
        for suffix in ("", "-wal"):
            shutil.copy(home.path / f"ledger.db{suffix}", home.path / f"killed{suffix}")


def an_old_copy_put_back(folder: Path) -> list[str]:
    home = Home(folder / "audit")
    shutil.copy(home.ledger, folder / "old.db")
    with_newer_entries(home)
    for path in home.path.glob("ledger.db*"):
        path.unlink()
    shutil.copy(folder / "old.db", home.ledger)
    return ["--solo"]


def a_journal_that_is_gone(folder: Path) -> list[str]:
    """What a killed server left, without the -wal in which its newest entries are."""
    home = Home(folder / "audit")
    with_newer_entries(home)
    for path in home.path.glob("ledger.db*"):
        path.unlink()
    (home.path / "killed").rename(home.ledger)
    return ["--solo"]


def a_journal_of_another_ledger(folder: Path) -> list[str]:
    home, other = Home(folder / "audit"), make_home(folder / "other")
    for each in (home, other):
        with_newer_entries(each)
    for path in home.path.glob("ledger.db*"):
        path.unlink()
    (home.path / "killed").rename(home.ledger)
    shutil.copy(other.path / "killed-wal", home.path / "ledger.db-wal")
    return ["--solo"]


def newest_entry_edited(folder: Path) -> list[str]:
    connection = sqlite3.connect(Home(folder / "audit").ledger)
    [(sql,)] = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry_unchanged'").fetchall()
    connection.execute("DROP TRIGGER entry_unchanged")
    connection.execute("UPDATE entry SET raw = replace(raw, '\"epoch\":0', '\"epoch\":1') WHERE seq = 0")
    connection.execute(sql)
    connection.commit()
    connection.close()
    return ["--solo"]


def nobody_can_be_named(folder: Path) -> list[str]:
    return []


def a_profile_beyond_all_limits(folder: Path) -> list[str]:
    return ["--solo", config(folder, "c.JupyterAudit.profiles = {'x': {'longest_minutes': 9999}}")]


def a_misspelt_profile(folder: Path) -> list[str]:
    return ["--solo", config(folder, "c.JupyterAudit.profiles = {'x': {'longest': 5}}")]


def configuration_that_raises(folder: Path) -> list[str]:
    return ["--solo", config(folder, "c.JupyterAudit.solo = True\nraise ValueError('half-way')")]


def configuration_that_others_can_write(folder: Path) -> list[str]:
    option = config(folder, "")
    Path(option.partition("=")[2]).chmod(0o666)
    return ["--solo", option]


def notebooks_around_the_home(folder: Path) -> list[str]:
    (folder / "both").mkdir()
    (folder / "audit").rename(folder / "both" / "audit")
    return ["--solo", f"--home={folder / 'both' / 'audit'}", f"--root-dir={folder / 'both'}"]


def notebooks_in_the_accounts_own_folder(folder: Path) -> list[str]:
    """Found by trial: a ~/.yarnrc.yml that a cell had written ran in the server's account when JupyterLab next started."""
    return ["--solo", f"--root-dir={folder}"]


def notebooks_around_the_accounts_own_folder_by_a_link(folder: Path) -> list[str]:
    (folder.parent / f"{folder.name}-link").symlink_to(folder.parent)
    return ["--solo", f"--root-dir={folder.parent / f'{folder.name}-link'}"]


def packages_in_the_accounts_own_folder(folder: Path) -> list[str]:
    return ["--solo", config(folder, "c.JupyterAudit.kernel_packages = '~'")]


def a_pinned_class(folder: Path) -> list[str]:
    return ["--solo", "--ServerApp.authorizer_class=jupyter_server.auth.authorizer.AllowAllAuthorizer"]


def a_gateway(folder: Path) -> list[str]:
    return ["--solo", config(folder, "c.GatewayClient.url = 'http://127.0.0.1:1'")]


def seals_that_do_not_open(folder: Path) -> list[str]:
    broken = "from jupyter_audit.ledger import sealing\nsealing.seal = lambda inner, auditors: inner\n"
    return ["--solo", config(folder, f"{broken}c.JupyterAudit.sealed_to = [{str(AuditorSecret.generate('anna').public)!r}]")]


BROKEN: dict[Callable[[Path], list[str]], str] = {
    no_home: "jupyter audit init",
    no_ledger: "jupyter audit init",
    home_open_to_others: "chmod 700",
    key_open_to_others: "ledger.key",
    no_key: "ledger.key",
    not_a_database: "ledger",
    ledger_of_an_earlier_day: "rolled back",
    an_old_copy_put_back: "rolled back",
    a_journal_that_is_gone: "rolled back",
    a_journal_of_another_ledger: "ledger",
    newest_entry_edited: "entr",
    nobody_can_be_named: "c.ServerApp.identity_provider_class",
    a_profile_beyond_all_limits: "c.JupyterAudit.profiles['x']['longest_minutes']",
    a_misspelt_profile: "c.JupyterAudit.profiles['x']['longest']",
    configuration_that_raises: "half-way",
    configuration_that_others_can_write: "can be changed by other accounts",
    notebooks_around_the_home: "root_dir",
    notebooks_in_the_accounts_own_folder: "mkdir notebooks",
    notebooks_around_the_accounts_own_folder_by_a_link: "home folder of the server's account",
    packages_in_the_accounts_own_folder: "kernel_packages",
    a_pinned_class: "ServerApp.authorizer_class",
    a_gateway: "c.GatewayClient.url",
    seals_that_do_not_open: "Contents cannot be sealed here",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_server_that_could_not_be_trusted_does_not_start_and_says_why(
    tmp_path: Path, broken: Callable[[Path], list[str]]
) -> None:
    make_home(tmp_path)
    ended = run_to_its_end(tmp_path, *broken(tmp_path))
    assert ended.returncode != 0
    said = ended.stderr.strip().splitlines()
    paragraph = "\n".join(said[next(i for i, line in enumerate(said) if "No server was started" in line):])
    assert BROKEN[broken] in paragraph
    assert "Traceback" not in paragraph
    assert not (tmp_path / "audit" / "run" / "server.json").exists()


def test_the_users_own_configuration_decides_nothing(tmp_path: Path) -> None:
    home = tmp_path / ".jupyter"
    home.mkdir()
    for name in ("jupyter_server_config.py", "jupyter_config.py"):
        (home / name).write_text(
            f"open({str(tmp_path / 'it-ran')!r}, 'w').close()\n"
            "c.ServerApp.authorizer_class = 'jupyter_server.auth.authorizer.AllowAllAuthorizer'\n"
        )
    (home / "jupyter_server_config.d").mkdir()
    (home / "jupyter_server_config.d" / "no.json").write_text('{"ServerApp": {"jpserver_extensions": {"jupyter_audit": false}}}')
    with audited_server(tmp_path) as server:
        assert server.api("GET", "status")["unassured"] == []
        assert not (tmp_path / "it-ran").exists()


def test_below_the_floor_no_session_starts_but_an_admins_recovery_does(tmp_path: Path) -> None:
    with audited_server(tmp_path, "--JupyterAudit.free_space_floor=4611686018427387904") as server:
        status, answer = server.request("POST", "/api/kernels", {"name": "audit"})
        assert status == 403
        assert "c.JupyterAudit.free_space_floor" in answer["message"]
        assert server.await_entry("session.refused")
        server.grant(minutes=15, profile="recovery")
        assert server.kernel().printed("print('making room')") == "making room\n"


def test_while_the_ledger_is_locked_no_cell_runs_and_afterwards_they_do(tmp_path: Path) -> None:
    with audited_server(tmp_path) as server:
        server.grant()
        client = server.kernel()
        trace = server.work / "locked"
        other = sqlite3.connect(server.home.ledger, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        reply = client.run(f"open({str(trace)!r}, 'w').close()")
        assert reply["ename"] == "NotRecorded"
        assert "locked" in reply["evalue"]
        assert not trace.exists()
        other.execute("ROLLBACK")
        other.close()
        assert client.printed("print('again')") == "again\n"


def test_when_the_ledger_is_taken_away_no_cell_runs(tmp_path: Path) -> None:
    with audited_server(tmp_path) as server:
        server.grant()
        client = server.kernel()
        trace = server.work / "gone"
        moved = server.home.ledger.with_name("moved.db")
        server.home.ledger.rename(moved)
        reply = client.run(f"open({str(trace)!r}, 'w').close()")
        assert reply["ename"] == "NotRecorded"
        assert not trace.exists()
        moved.rename(server.home.ledger)


def test_a_full_disk_stops_work_and_loses_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small disk of its own needs root and mount")
    disk = tmp_path / "audit"
    make_home(tmp_path)
    kept = tmp_path / "kept"
    disk.rename(kept)
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine mounts no tmpfs")
    try:
        shutil.copytree(kept, disk, dirs_exist_ok=True)
        with audited_server(tmp_path) as server:
            server.grant()
            client = server.kernel()
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(b"\0" * 4096):
                        pass
                except OSError:
                    pass
            trace = server.work / "full"
            reply = wait_for(lambda: (lambda r: r if r["status"] == "error" else None)(client.run("'x' * 10000")), "the disk to be full")
            assert reply["ename"] == "NotRecorded"
            assert client.run(f"open({str(trace)!r}, 'w').close()")["ename"] == "NotRecorded"
            assert not trace.exists()
            filler.unlink()
            assert client.printed("print('room')") == "room\n"
            server.verify()
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_a_plain_server_with_the_product_installed_is_gated_or_does_not_serve(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("jupyter-server")), "--no-browser", "--allow-root", "--port=0"]
    environment = clean_environment(tmp_path) | {"JUPYTER_AUDIT_HOME": str(tmp_path / "audit")}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "Jupyter Audit does not serve kernels" in ended.stderr
