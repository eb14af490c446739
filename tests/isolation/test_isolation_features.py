"""What an engineer is used to still works on the default rung, through a real server."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import AuditedServer, KernelClient, audited_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    with audited_server(Path(tmp_path_factory.mktemp("f"))) as server:
        server.grant()
        yield server


@pytest.fixture(scope="module")
def client(server: AuditedServer) -> KernelClient:
    return server.kernel()


def test_the_debugger_stops_at_a_breakpoint_and_evaluates(client: KernelClient) -> None:
    client.debugger_on()
    code = "def broken(x):\n    y = x + 1\n    return y\n\nfound = broken(41)\n"
    path = client.debug("dumpCell", code=code)["sourcePath"]
    client.debug("setBreakpoints", breakpoints=[{"line": 3}], source={"path": path}, sourceModified=False)
    client.debug("configurationDone")
    cell = client.execute(code)

    def stop_of(message: dict[str, Any]) -> dict[str, Any] | None:
        event = message["header"]["msg_type"] == "debug_event" and message["content"].get("event") == "stopped"
        return dict(message["content"]["body"]) if event else None

    while not (stopped := stop_of(client.receive())):
        pass
    frame = client.debug("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
    assert (frame["name"], frame["line"]) == ("broken", 3)
    assert client.debug("evaluate", expression="y", frameId=frame["id"])["result"] == "42"
    client.debug("continue", threadId=stopped["threadId"])
    while not any(m["header"]["msg_type"] == "execute_reply" and m["parent_header"].get("msg_id") == cell for m in client.heard):
        client.receive()
    client.debugger_off()
    assert client.printed("print(found)") == "42\n"


def test_a_forked_child_of_a_debugged_cell_does_not_wait_at_a_breakpoint_for_ever(client: KernelClient) -> None:
    client.debugger_on()
    code = (
        "import os\ndef inner():\n    return 7\nr, w = os.pipe()\nif os.fork() == 0:\n    os.write(w, b'%d' % inner())\n    os._exit(0)\n"
        "os.close(w)\nprint(os.read(r, 9), os.wait()[1])\n"
    )
    path = client.debug("dumpCell", code=code)["sourcePath"]
    client.debug("setBreakpoints", breakpoints=[{"line": 3}], source={"path": path}, sourceModified=False)
    client.debug("configurationDone")
    assert client.printed(code) == "b'7' 0\n"
    client.debugger_off()


def test_input_is_asked_for_and_answered(client: KernelClient) -> None:
    cell = client.execute("print('you said', input('? '))", allow_stdin=True)
    while client.receive()["header"]["msg_type"] != "input_request":
        pass
    client.send("input_reply", {"value": "yes"}, channel="stdin")
    said = [m["content"]["text"] for m in client.wait(cell) if m["header"]["msg_type"] == "stream"]
    assert "".join(said) == "you said yes\n"


def test_a_widget_opens_its_comms_and_hears_of_a_change(client: KernelClient) -> None:
    pytest.importorskip("ipywidgets")
    heard = client.wait(client.execute("import ipywidgets\nw = ipywidgets.IntSlider(value=3)\nw"))
    assert any(m["header"]["msg_type"] == "comm_open" for m in heard)
    comm = client.printed("print(w.comm.comm_id, end='')")
    client.wait(client.send("comm_msg", {"comm_id": comm, "data": {"method": "update", "state": {"value": 8}}}), reply=False)
    assert client.printed("print(w.value)") == "8\n"


def test_a_frame_and_a_drawing_are_shown(client: KernelClient) -> None:
    heard = client.wait(client.execute("import pandas\npandas.DataFrame({'a': [1, 2]})"))
    [shown] = [m["content"]["data"] for m in heard if m["header"]["msg_type"] == "execute_result"]
    assert "<table" in shown["text/html"]
    heard = client.wait(client.execute("%matplotlib inline\nimport matplotlib.pyplot as p\np.plot([1, 2]); p.show()"))
    drawn = [m["content"]["data"] for m in heard if m["header"]["msg_type"] == "display_data"]
    assert any("image/png" in data for data in drawn)
    assert not [m for m in heard if m["header"]["msg_type"] == "stream" and m["content"]["name"] == "stderr"]


def make_wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    """Make a wheel of some files (https://packaging.python.org/en/latest/specifications/binary-distribution-format/)."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    listed = []
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            listed.append(f"{file},sha256={digest},{len(text.encode())}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*listed, f"{info}/RECORD,,"]) + "\n")
    return path


OWN = {"jaown.py": "ANSWER = 42\n", "sitecustomize.py": "open('ran-at-start', 'w').close()\n", "json.py": "raise RuntimeError('shadowed')\n"}
"""A package with two modules that would like to be run when a kernel starts."""
INSTALL = "%pip install --no-index --no-deps --disable-pip-version-check jaown-1.0-py3-none-any.whl"


def test_where_nothing_is_set_pip_installs_for_the_session_that_asked_and_no_other_kernel_sees_it(
    server: AuditedServer,
) -> None:
    client = server.kernel()
    make_wheel(server.work, "jaown", OWN)
    assert client.run(INSTALL)["status"] == "ok"
    asked = "import jaown, json, os, subprocess, sys\nchild = [sys.executable, '-S', '-c', 'import jaown; print(jaown.ANSWER)']\n"
    out = client.printed(f"{asked}print(jaown.ANSWER, json.dumps([1]), subprocess.check_output(child), os.environ['PIP_TARGET'])")
    assert out.startswith("42 [1] b'42\\n' ")
    folder = Path(out.split()[-1])
    assert (folder / "jaown.py").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    (server.work / "ran-at-start").unlink(missing_ok=True)  # pip's own process may have run it: it is no kernel
    other = server.kernel()
    assert other.run("import jaown")["ename"] == "ModuleNotFoundError"
    assert other.run(f"open({str(folder / 'jaown.py')!r}, 'a')")["ename"] in ("FileNotFoundError", "PermissionError")
    other.close()
    status, _ = server.request("POST", f"/api/kernels/{client.kernel_id}/restart")
    assert status == 200
    assert not folder.exists()
    assert KernelClient(server, client.kernel_id, None).run("import jaown")["ename"] == "ModuleNotFoundError"
    assert not (server.work / "ran-at-start").exists()


def test_pip_installs_into_the_persons_own_folder_for_this_kernel_and_the_next_but_runs_nothing_at_their_start(tmp_path: Path) -> None:
    with audited_server(tmp_path, f"--JupyterAudit.kernel_packages={tmp_path}/packages/{{user}}") as server:
        server.grant()
        check_a_persons_own_packages(server)


def check_a_persons_own_packages(server: AuditedServer) -> None:
    make_wheel(server.work, "jaown", OWN)
    client = server.kernel()
    assert client.run(INSTALL)["status"] == "ok"
    assert client.printed("import jaown; print(jaown.ANSWER)") == "42\n"
    (server.work / "ran-at-start").unlink(missing_ok=True)  # pip's own process may have run it: it is no kernel
    client.close()
    fresh = server.kernel()
    assert fresh.printed("import json, jaown; print(jaown.ANSWER, json.dumps([1]), jaown.__file__)").startswith("42 [1] ")
    assert not (server.work / "ran-at-start").exists()
    child = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-S', '-c', 'import jaown; print(jaown.ANSWER)']))"
    assert fresh.printed(child) == "b'42\\n'\n"
    [folder] = (server.folder / "packages").iterdir()
    assert (folder / "jaown.py").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    server.revoke(str(server.await_entry("access.approved").grant))
    late = server.kernel()
    assert server.await_entry("session.canary", lambda e: e.body["kernel_id"] == late.kernel_id).body["passed"] is True
    assert not (server.work / "ran-at-start").exists()


def test_no_kernel_is_started_with_a_folder_on_pythons_path(client: KernelClient) -> None:
    """Where no sandbox keeps it out, another session could put there what a kernel runs before its first cell."""
    started = client.printed("print(open('/proc/self/environ', 'rb').read().split(bytes(1)))")
    assert "IPYTHONDIR" in started
    assert "PYTHONPATH" not in started
