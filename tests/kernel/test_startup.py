"""No code of the user's runs in an audit kernel before the first permitted cell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import get_kernel_spec
from support.kernels import PLAIN, Terms, connect, start

SHADOWS = ("ipykernel", "IPython", "jupyter_audit_kernel", "nacl", "zmq", "random", "sitecustomize", "usercustomize",
           "ipython_config", "ipython_kernel_config", "matplotlib_inline", "psutil", "debugpy")  # fmt: skip


def lay_traps(folder: Path, home: Path, trace: Path) -> dict[str, str]:
    """Put what would note that it ran beside the notebook and at home; return the environment that leads there."""
    note = f"open({str(trace)!r}, 'a').write(__file__ + chr(10))\n"
    startup = home / ".ipython" / "profile_default" / "startup"
    for place in (folder, startup):
        place.mkdir(parents=True, exist_ok=True)
    for path in (*(folder / f"{name}.py" for name in SHADOWS), startup / "00.py", startup.parent / "ipython_config.py",
                 startup.parent / "ipython_kernel_config.py", home / "startup.py", home / "sitecustomize.py"):  # fmt: skip
        path.write_text(note)
    return {"HOME": str(home), "PYTHONSTARTUP": str(home / "startup.py"), "PYTHONPATH": str(home)}


def test_a_plain_kernel_runs_what_a_user_can_write(tmp_path: Path) -> None:
    trace, home = tmp_path / "ran", tmp_path / "home"
    environment = lay_traps(tmp_path / "traps", home, trace)
    manager = start(tmp_path / "kernel", Terms(), PLAIN, **environment, IPYTHONDIR=str(home / ".ipython"))
    client = connect(manager, None)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    ran = {Path(line).name for line in trace.read_text().splitlines()}
    assert ran >= {"sitecustomize.py", "startup.py", "00.py", "ipython_config.py", "ipython_kernel_config.py"}


def test_nothing_that_a_user_can_write_is_run_at_start(tmp_path: Path) -> None:
    folder, trace = tmp_path / "kernel", tmp_path / "ran"
    terms = Terms()
    manager = start(folder, terms, **lay_traps(folder, tmp_path / "home", trace))
    client = connect(manager, terms)
    try:
        assert not trace.exists(), trace.read_text()
        answer = client.execute_interactive("x = 1", timeout=20)
        assert answer["content"]["status"] == "ok"
        assert not trace.exists(), trace.read_text()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_module_beside_the_notebook_can_be_imported(tmp_path: Path) -> None:
    folder = tmp_path / "kernel"
    folder.mkdir()
    (folder / "shop_helpers.py").write_text("answer = 42\n")
    terms = Terms()
    manager = start(folder, terms)
    client = connect(manager, terms)
    try:
        answer = client.execute_interactive("import shop_helpers; assert shop_helpers.answer == 42", timeout=20)
        assert answer["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_commands_leave_no_history_file(tmp_path: Path) -> None:
    terms = Terms()
    manager = start(tmp_path / "kernel", terms)
    client = connect(manager, terms)
    try:
        client.execute_interactive("secret = 'not in a file'", timeout=20)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert list((tmp_path / "kernel").rglob("*.sqlite")) == []


def test_the_debugger_has_nothing_to_warn_of_under_nobodys_name_when_a_kernel_starts() -> None:
    """It does where Python's own modules are frozen; and it then misses breakpoints in them."""
    pytest.importorskip("debugpy")
    command = get_kernel_spec("audit").argv
    options = command[1 : command.index("-m")]
    importing = [sys.executable, *options, "-c", "import debugpy.server.api"]
    done = subprocess.run(importing, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
