"""What nobody's configuration, environment or folder changes on a server that the launcher starts."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.servers import (
    AuditedServer,
    LedgerReader,
    audited_server,
    clean_environment,
    free_port,
    launch_command,
    make_home,
    run_to_its_end,
    wait_for,
)
from traitlets.config import Config

from jupyter_audit.errors import AuditError, ConfigError
from jupyter_audit.home import Home
from jupyter_audit.server.launcher import option_value
from jupyter_audit.server.pins import PINNED
from jupyter_audit.server.preflight import UNSAFE, check_writable, refuse_pinned_options, refuse_unsafe

KERNELS = "jupyter_server.services.kernels.kernelmanager"


def admin_file(folder: Path, text: str) -> str:
    """Write an admin's configuration file and return the option that names it."""
    path = folder / "admin_config.py"
    path.write_text(text)
    path.chmod(0o600)
    return f"--config={path}"


@contextmanager
def started(
    folder: Path, *options: str, environment: dict[str, str], before: tuple[str, ...] = ()
) -> Iterator[AuditedServer]:
    """A server in an environment of the test's choice; `before` is put in front of the command."""
    command = [*before, *launch_command(folder, "lab", "--solo", f"--port={free_port()}",
                                        "--JupyterAudit.free_space_floor=0", *options)]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    home = Home(folder / "audit")
    try:

        def serving() -> bool:
            assert process.poll() is None, (folder / "server.log").read_text()
            return (home.run / "server.json").exists()

        wait_for(serving, "the server to serve")
        info = json.loads((home.run / "server.json").read_text())
        assert (home.run / "server.json").stat().st_mode & 0o777 == 0o600
        yield AuditedServer(folder, info["url"], info["token"], process, LedgerReader.open(home.ledger))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert process.returncode == 0
    assert not (home.run / "server.json").exists()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    """A server whose user's folders and environment try everything to decide something."""
    folder = Path(tmp_path_factory.mktemp("hostile"))
    make_home(folder)
    marks = folder / "marks"
    marks.mkdir()
    traps = folder / "traps"
    spec = {"argv": ["touch", str(marks / "kernelspec")], "display_name": "audit", "language": "python"}
    for place in (folder / ".local/share/jupyter", folder / ".ipython", traps / "data"):
        (place / "kernels" / "audit").mkdir(parents=True)
        (place / "kernels" / "audit" / "kernel.json").write_text(json.dumps(spec))
        (place / "labextensions" / "trap" / "static").mkdir(parents=True)
        (place / "labextensions" / "trap" / "package.json").write_text(json.dumps(
            {"name": "trap", "version": "1.0.0",
             "jupyterlab": {"_build": {"load": "static/trap.js", "extension": "./x"}}}
        ))  # fmt: skip
    loosen = (
        f"open({str(marks / 'config')!r}, 'w').close()\n"
        "import jupyter_server.serverapp as s\n"
        "s.ServerApp.init_webapp = None\n"
        "c.ServerApp.authorizer_class = 'jupyter_server.auth.authorizer.AllowAllAuthorizer'\n"
        "c.LabApp.extension_manager = 'pypi'\n"
    )
    for place in (folder / ".jupyter", traps / "config", folder / "work", folder / ".config" / "jupyter"):
        place.mkdir(parents=True, exist_ok=True)
        for name in (
            "jupyter_server_config.py",
            "jupyter_config.py",
            "jupyter_lab_config.py",
            "jupyter_jupyter_audit_config.py",
        ):
            (place / name).write_text(loosen)
        (place / "jupyter_server_config.json").write_text(
            '{"ServerApp": {"terminals_enabled": true, "extra_services": ["x"]}}'
        )
        (place / "jupyter_server_config.d").mkdir()
        (place / "jupyter_server_config.d" / "z.json").write_text(
            '{"ServerApp": {"jpserver_extensions": {"jupyter_audit": false, "jupyter_lsp": true}}}'
        )
    (traps / "python").mkdir()
    (traps / "python" / "sitecustomize.py").write_text(
        f"open({str(marks / 'sitecustomize')!r}, 'w').close()\n"
    )
    (folder / "jupyter_server.py").write_text(f"open({str(marks / 'cwd')!r}, 'w').close()\n")
    environment = clean_environment(folder) | {
        "JUPYTER_CONFIG_DIR": str(traps / "config"),
        "JUPYTER_CONFIG_PATH": str(traps / "config"),
        "JUPYTER_PATH": str(traps / "data"),
        "JUPYTER_DATA_DIR": str(traps / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(traps / "config"),
        "JUPYTERLAB_DIR": str(traps / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "work"),
        "JUPYTER_DEFAULT_PROVISIONER_NAME": "local-provisioner",
        "JUPYTER_SERVER_ALLOW_UNAUTHENTICATED_ACCESS": "1",
        "JUPYTER_TOKEN": "the-token-of-the-environment",
        "PYTHONPATH": str(traps / "python"),
        "PYTHONSTARTUP": str(traps / "python" / "sitecustomize.py"),
    }
    with started(folder, environment=environment) as running:
        yield running


def test_nothing_of_the_users_ran_or_decided_anything(hostile: AuditedServer) -> None:
    status = hostile.api("GET", "status")
    assert status["unassured"] == []
    # Python reads its own variables before anything of ours runs; the command line starts it isolated.
    assert {path.name for path in (hostile.folder / "marks").iterdir()} <= {"sitecustomize"}


def test_no_kernelspec_of_the_users_is_found(hostile: AuditedServer) -> None:
    specs = hostile.request("GET", "/api/kernelspecs")[1]["kernelspecs"]
    assert list(specs) == ["audit"]
    assert "touch" not in str(specs)


def test_no_extension_of_the_users_runs_in_the_browser(hostile: AuditedServer) -> None:
    status, page = hostile.request("GET", "/lab")
    assert status == 200
    assert "trap" not in page.partition("jupyter-config-data")[2].partition("</script>")[0].replace(
        str(hostile.folder), ""
    )
    assert hostile.request("GET", "/lab/extensions/trap/static/trap.js")[0] == 404


def test_the_token_is_not_in_the_servers_environment(hostile: AuditedServer) -> None:
    assert hostile.token == "the-token-of-the-environment"
    assert hostile.request("GET", "/api/status")[0] == 200
    processes = subprocess.run(
        ["ps", "eww", "-p", str(hostile.process.pid)], capture_output=True, text=True, check=False
    )
    shown = processes.stdout + (
        Path(f"/proc/{hostile.process.pid}/environ").read_text() if sys.platform == "linux" else ""
    )
    assert "audit" in shown
    assert hostile.token not in shown


def test_what_tells_the_token_lies_in_the_audit_home(hostile: AuditedServer) -> None:
    outside = [
        path
        for path in hostile.folder.rglob("*")
        if path.is_file() and hostile.home.path not in path.parents and "server.log" not in path.name
        and hostile.token.encode() in path.read_bytes()
    ]  # fmt: skip
    assert outside == []
    assert list((hostile.home.run / "jupyter").glob("jpserver-*.json"))


@pytest.mark.parametrize(
    "pinned", [f"{section}.{trait}" for section, traits in PINNED.items() for trait in traits]
)
def test_an_option_for_what_is_pinned_is_refused_by_name(pinned: str) -> None:
    for option in (f"--{pinned}=x", f"--{pinned}"):
        with pytest.raises(AuditError, match=pinned.replace(".", r"\.")):
            refuse_pinned_options([option])


@pytest.mark.parametrize(
    "option",
    ["--ServerApp.authorizer_class=x", "--NotebookApp.allow_origin=*", "--FileContentsManager.allow_hidden=1",
     "--MappingKernelManager.kernel_manager_class=x", "--generate-config", "--ServerApp.config_file=x"],
)  # fmt: skip
def test_other_names_of_the_same_are_refused_too(option: str) -> None:
    with pytest.raises(AuditError):
        refuse_pinned_options([option])


def test_the_last_of_several_options_counts() -> None:
    assert option_value(["--home", "a", "--home=b"], "--home") == "b"
    assert option_value(["--home"], "--home") is None
    assert option_value([], "--home") is None


def test_an_admins_file_cannot_loosen_what_is_pinned_even_for_the_classes_in_use(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    loose = "".join(
        f"c.{section}.authorizer_class = 'jupyter_server.auth.authorizer.AllowAllAuthorizer'\n"
        f"c.{section}.kernel_manager_class = '{KERNELS}.AsyncMappingKernelManager'\n"
        f"c.{section}.reraise_server_extension_failures = False\n"
        f"c.{section}.terminals_enabled = True\n"
        for section in ("ServerApp", "AuditServerApp", "NotebookApp")
    ) + "".join(
        f"c.{section}.allow_hidden = True\nc.{section}.root_dir = {str(elsewhere)!r}\n"
        for section in ("ContentsManager", "FileContentsManager", "LargeFileManager", "AuditContentsManager")
    )
    loose += (
        f"c.MappingKernelManager.root_dir = {str(elsewhere)!r}\n"
        "c.LabApp.extension_manager = 'pypi'\nc.LabApp.dev_mode = True\n"
        "c.ExecutePreprocessor.enabled = True\n"
        "c.ServerApp.jpserver_extensions = {'jupyter_lsp': True, 'jupyter_audit': False}\n"
        f"c.AuditMappingKernelManager.kernel_manager_class = '{KERNELS}.ServerKernelManager'\n"
        "c.KernelSpecManager.ensure_native_kernel = True\n"
        "c.KernelSpecManager.allowed_kernelspecs = {'python3'}\n"
    )
    with audited_server(tmp_path, admin_file(tmp_path, loose), face="lab") as server:
        assert server.api("GET", "status")["unassured"] == []
        assert list(server.request("GET", "/api/kernelspecs")[1]["kernelspecs"]) == ["audit"]
        assert server.request("GET", "/api/contents/.x")[0] == 404
        (server.work / "here.txt").write_text("here")
        assert "here.txt" in str(server.request("GET", "/api/contents")[1])
        assert server.request("POST", "/api/terminals", {})[0] in (403, 404)
        assert "readonly" in server.log


UNSAFE_VALUES = {
    "disable_check_xsrf": True,
    "allow_unauthenticated_access": True,
    "allow_origin": "*",
    "allow_origin_pat": ".*",
    "allow_external_kernels": True,
    "extra_services": ["os"],
}


@pytest.mark.parametrize("trait", UNSAFE)
def test_an_admins_unsafe_wish_is_answered_by_name(trait: str) -> None:
    for section in ("ServerApp", "AuditServerApp"):
        with pytest.raises(ConfigError, match=rf"c\.{section}\.{trait} "):
            refuse_unsafe(Config({section: {trait: UNSAFE_VALUES[trait]}}))
    refuse_unsafe(Config({"ServerApp": {trait: type(UNSAFE_VALUES[trait])()}}))


CONNECTION_CLASS = "kernel_websocket_connection_class"
CONTENTS_MANAGER = "jupyter_server.services.contents.filemanager.AsyncFileContentsManager"
BROKEN = {
    "c.ServerApp.allow_origin": "c.ServerApp.allow_origin = '*'",
    "c.IdentityProvider.token": "c.IdentityProvider.token = ''",
    "c.ServerApp.disable_check_xsrf": "c.ServerApp.tornado_settings = {'disable_check_xsrf': True}",
    f"c.ServerApp.{CONNECTION_CLASS}": f"c.ServerApp.tornado_settings = {{{CONNECTION_CLASS!r}: None}}",
    "c.ServerApp.contents_manager_class": f"c.ServerApp.contents_manager_class = {CONTENTS_MANAGER!r}",
    "c.JupyterAudit.sweep_seconds": "c.JupyterAudit.sweep_seconds = 3600",
    "c.JupyterAudit.kernel_writable": f"c.JupyterAudit.kernel_writable = [{sys.prefix!r}]",
    "no_such_port": "c.ServerApp.port = 'no_such_port'",
    "does_not_exist": "c.JupyterAudit.home = '/does_not_exist/audit'",
}


@pytest.mark.parametrize("named", BROKEN)
def test_settings_that_are_not_safe_are_not_served_with(tmp_path: Path, named: str) -> None:
    make_home(tmp_path)
    options = [admin_file(tmp_path, BROKEN[named])]
    if named == "does_not_exist":
        command = [arg for arg in launch_command(tmp_path, "server", *options) if "--home" not in arg]
        ended = subprocess.run(command, env=clean_environment(tmp_path), cwd=tmp_path,
                               capture_output=True, text=True,
                               timeout=60, check=False)  # fmt: skip
    else:
        ended = run_to_its_end(tmp_path, "--solo", *options)
    assert ended.returncode != 0
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "audit" / "run" / "server.json").exists()


def test_no_folder_is_writable_in_which_the_servers_account_finds_what_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, env, settings, work = (tmp_path / name for name in ("login", "env", "settings", "work"))
    work.mkdir()
    entry = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd([*entry[:5], str(login), *entry[6:]]))
    monkeypatch.setenv("HOME", str(env))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(settings))
    monkeypatch.setenv("PATH", f"/usr/bin::{work / 'tools' / 'bin'}")
    for folder in (login, env, settings, tmp_path):
        with pytest.raises(ConfigError, match="home folder of the server's account"):
            check_writable(folder, tmp_path / "audit", "")
    with pytest.raises(ConfigError, match=r"\$PATH"):
        check_writable(work, tmp_path / "audit", "")
    monkeypatch.setenv("PATH", "/usr/bin")
    check_writable(work, tmp_path / "audit", "")
    check_writable(login / "notebooks", tmp_path / "audit", "")


def test_no_program_is_taken_from_the_folder_in_which_the_server_was_started(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    ran = tmp_path / "ran"
    for place in (tmp_path, tmp_path / "tools"):
        for name in ("bwrap", "node", "git"):
            place.mkdir(exist_ok=True)
            (place / name).write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
            (place / name).chmod(0o755)
    environment = clean_environment(tmp_path)
    environment["PATH"] = f":.:tools:{environment['PATH']}"
    assert subprocess.run("git", cwd=tmp_path, env=environment, check=False).returncode == 0, "a shell would find it there"
    ran.unlink()
    home.remembered_checkpoint.write_text("so that it does not serve in the end")
    ended = run_to_its_end(tmp_path, "--solo", environment=environment, face="lab")
    assert "No server was started" in ended.stderr
    assert not ran.exists(), ran.read_text()


def test_a_gateway_of_the_environment_is_refused(tmp_path: Path) -> None:
    make_home(tmp_path)
    environment = clean_environment(tmp_path) | {"JUPYTER_GATEWAY_URL": "http://127.0.0.1:1"}
    ended = run_to_its_end(tmp_path, "--solo", environment=environment)
    assert ended.returncode == 3
    assert "JUPYTER_GATEWAY_URL" in ended.stderr


def test_the_home_that_the_configuration_names_holds_the_servers_own_files(tmp_path: Path) -> None:
    """A token in the default home would lie where the sandbox hides nothing."""
    home = make_home(tmp_path)
    option = admin_file(tmp_path, f"c.JupyterAudit.home = {str(home.path)!r}\nc.JupyterAudit.solo = True\n")
    command = [
        arg
        for arg in launch_command(tmp_path, "server", option, f"--port={free_port()}")
        if "--home" not in arg
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=clean_environment(tmp_path), cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: (home.run / "server.json").exists(), "the server to serve")
        assert list((home.run / "jupyter").glob("jpserver-*.json"))
        assert not (tmp_path / ".local").exists()
        assert not (tmp_path / ".jupyter").exists()
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="becoming somebody else needs root"
)
def test_an_ordinary_account_starts_it_as_well_as_root(tmp_path: Path) -> None:
    before = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    again = (
        f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'import jupyter_audit'], check=True)"
    )
    if subprocess.run(
        [*before, sys.executable, "-c", again], cwd="/", capture_output=True, check=False
    ).returncode:
        pytest.skip("this Python lies where no other account can start it")
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(0o755)
    folder = tmp_path / "ordinary"
    folder.mkdir()
    make_home(folder)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534)
    with started(folder, environment=clean_environment(folder), before=before) as server:
        assert server.request("GET", "/api/me")[1]["identity"]["username"] in ("nobody", "uid-65534")
        status, answer = server.request("POST", "/api/kernels", {"name": "audit"})
        assert status == 201, answer


def test_a_second_server_on_the_same_home_does_not_take_the_first_ones_place_away(tmp_path: Path) -> None:
    make_home(tmp_path)
    environment: dict[str, Any] = clean_environment(tmp_path)
    with started(tmp_path, environment=environment) as first:
        mine = first.process.pid
        command = launch_command(tmp_path, "server", "--solo", f"--port={free_port()}")
        second = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        file = first.home.run / "server.json"
        wait_for(lambda: json.loads(file.read_text())["pid"] == second.pid, "the second server")
        first.process.terminate()
        first.process.wait(timeout=30)
        assert json.loads(file.read_text())["pid"] == second.pid != mine
        second.terminate()
        second.wait(timeout=30)


def test_a_stop_that_hangs_is_cut_short_after_the_ledger_was_closed_and_says_where(tmp_path: Path) -> None:
    config = tmp_path / "admin.py"
    config.write_text(
        "import atexit, ctypes, sys\n"
        # The launcher is the main module of its process.
        "sys.modules['__main__'].LONGEST_STOP_S = 5.0\nc.JupyterAudit.grace_seconds = 1.0\n"
        # `PyDLL` keeps the interpreter for as long as the call takes: no other thread runs, and no handler of a signal.
        "atexit.register(ctypes.PyDLL(None).sleep, 1000)\n"
    )
    with audited_server(tmp_path, f"--config={config}") as server:
        server.process.terminate()
        assert server.process.wait(timeout=60) == 1
    assert "Timeout (" in server.log
    assert "most recent call first" in server.log
    assert [entry.type for entry in LedgerReader.open(server.home.ledger).entries(newest_first=True, limit=1)] == ["server.stopped"]


def test_a_request_that_is_cut_off_does_not_keep_the_stopped_server_alive(tmp_path: Path) -> None:
    config = tmp_path / "admin.py"
    config.write_text(
        "import asyncio\nfrom anyio.to_thread import run_sync\nfrom tornado.ioloop import IOLoop\n"
        "async def request():\n    await run_sync(int)\n"
        # As a websocket does whose kernel has not answered yet.
        "    try:\n        await asyncio.Event().wait()\n    except asyncio.CancelledError:\n        await asyncio.Event().wait()\n"
        "IOLoop.current().add_callback(request)\n"
    )
    with audited_server(tmp_path, f"--config={config}") as server:
        process = server.process
    assert process.returncode == 0


def test_a_kernel_that_cannot_be_ended_in_order_does_not_keep_a_stopped_server(tmp_path: Path) -> None:
    config = tmp_path / "admin.py"
    config.write_text(
        "from jupyter_server.serverapp import ServerApp\n"
        "async def fails(self):\n    raise RuntimeError('no such kernel')\n"
        "ServerApp.cleanup_kernels = fails\n"
    )
    with audited_server(tmp_path, f"--config={config}") as server:
        process = server.process
    assert process.returncode == 0
    assert "not every kernel could be ended in order" in server.log
