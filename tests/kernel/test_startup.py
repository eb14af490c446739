"""No code of the user's runs in an audit kernel before the first permitted cell."""

from __future__ import annotations

from pathlib import Path

from support.kernels import Terms, connect, start


def test_nothing_that_a_user_can_write_is_run_at_start(tmp_path: Path) -> None:
    folder, trace = tmp_path / "kernel", tmp_path / "ran"
    folder.mkdir()
    note = f"open({str(trace)!r}, 'a').write(__file__ + chr(10))\n"
    shadows = ["ipykernel", "IPython", "jupyter_audit_kernel", "nacl", "zmq", "random", "sitecustomize", "usercustomize",
               "ipython_config", "ipython_kernel_config", "matplotlib_inline", "psutil", "debugpy"]
    for name in shadows:
        (folder / f"{name}.py").write_text(note)
    home = tmp_path / "home"
    startup = home / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    for path in (startup / "00.py", startup.parent / "ipython_config.py", startup.parent / "ipython_kernel_config.py",
                 home / "startup.py", home / "sitecustomize.py"):
        path.write_text(note)
    terms = Terms()
    manager = start(folder, terms, HOME=str(home), PYTHONSTARTUP=str(home / "startup.py"), PYTHONPATH=str(home))
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
