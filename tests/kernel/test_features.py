"""What engineers use of a kernel works in the audit kernel, and none of it by messages that nobody sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.kernels import AuditedKernel, Terms, connect, start, wait_until

RUN_TYPES = ("execute_input", "execute_result")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedKernel]:
    terms = Terms()
    manager = start(tmp_path_factory.mktemp("features"), terms)
    client = connect(manager, terms)
    yield AuditedKernel(client, terms, manager)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(kernel: AuditedKernel, code: str, **options: Any) -> list[dict[str, Any]]:
    """Run a cell that must succeed; return what it published."""
    heard: list[dict[str, Any]] = []
    answer = kernel.client.execute_interactive(code, timeout=60, output_hook=heard.append, **options)
    assert answer["content"]["status"] == "ok", answer["content"]
    return heard


def ask(kernel: AuditedKernel, msg_type: str, content: dict[str, Any], channel: str = "control",
        subshell: str | None = None) -> dict[str, Any]:
    """Send a request and return the content of its answer."""
    message = kernel.client.session.msg(msg_type, content=content)
    if subshell is not None:
        message["header"]["subshell_id"] = subshell
    kernel.client.session.send(getattr(kernel.client, f"{channel}_channel").socket, message)
    get = kernel.client.get_control_msg if channel == "control" else kernel.client.get_shell_msg
    while True:
        answer = get(timeout=60)
        if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return dict(answer["content"])


def test_the_debugger_stops_at_a_breakpoint_without_a_cell_that_nobody_sent(kernel: AuditedKernel) -> None:
    pytest.importorskip("debugpy")
    run(kernel, "1")
    seq = iter(range(1, 100))

    def debug(command: str, **arguments: Any) -> dict[str, Any]:
        answer = ask(kernel, "debug_request", {"type": "request", "seq": next(seq), "command": command, "arguments": arguments})
        assert answer.get("success"), answer
        return dict(answer.get("body") or {})

    def events(kind: str) -> dict[str, Any]:
        while True:
            message = kernel.client.get_iopub_msg(timeout=60)
            parents.append(message["parent_header"])
            if message["header"]["msg_type"] == "debug_event" and message["content"].get("event") == kind:
                return dict(message["content"]["body"])

    parents: list[dict[str, Any]] = []
    debug("initialize", clientID="test", adapterID="python", pathFormat="path", linesStartAt1=True, columnsStartAt1=True,
          supportsVariableType=True)
    debug("attach", justMyCode=False)
    code = "def broken(x):\n    y = x + 1\n    return y\n\nfound = broken(41)\n"
    path = debug("dumpCell", code=code)["sourcePath"]
    debug("setBreakpoints", breakpoints=[{"line": 3}], source={"path": path}, sourceModified=False)
    debug("configurationDone")
    cell = kernel.client.execute(code)
    stopped = events("stopped")
    frame = debug("stackTrace", threadId=stopped.get("threadId", 1))["stackFrames"][0]
    assert (frame["name"], frame["line"]) == ("broken", 3)
    assert debug("evaluate", expression="y", frameId=frame["id"])["result"] == "42"
    debug("continue", threadId=stopped.get("threadId", 1))
    answer = kernel.client.get_shell_msg(timeout=60)
    assert answer["content"]["status"] == "ok"
    debug("disconnect", restart=False, terminateDebuggee=False)
    ran = {parent.get("msg_id") for parent in parents if parent.get("msg_type") == "execute_request"}
    assert ran <= {cell}


def test_an_interrupt_ends_a_cell(kernel: AuditedKernel) -> None:
    # An error aborts what comes right after it, and that would be the next test's cell.
    sent = kernel.client.execute("import time\nprint('begun')\nwhile True: time.sleep(0.1)", stop_on_error=False)
    while kernel.client.get_iopub_msg(timeout=20)["header"]["msg_type"] != "stream":
        pass
    kernel.manager.interrupt_kernel()
    answer = kernel.client.get_shell_msg(timeout=20)
    assert answer["parent_header"]["msg_id"] == sent
    assert answer["content"]["ename"] == "KeyboardInterrupt"


def test_input_and_the_debugger_of_the_prompt_get_their_answers(kernel: AuditedKernel) -> None:
    answers = iter(["a", "!y = x * 2", "c"])
    run(kernel, "x = input('? ')\nimport pdb; pdb.set_trace()\nassert (x, y) == ('a', 'aa')", allow_stdin=True,
        stdin_hook=lambda message: kernel.client.input(next(answers)))
    assert list(answers) == []


def test_a_subshell_serves_while_the_main_shell_is_busy_and_asks_for_permits_too(
    kernel: AuditedKernel, tmp_path: Path
) -> None:
    subshell = ask(kernel, "create_subshell_request", {})["subshell_id"]
    gate = tmp_path / "gate"
    waiting = kernel.client.execute(f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)")
    cell = {"code": "import threading; name = threading.current_thread().name", "silent": False,
            "user_expressions": {"n": "name"}}
    answer = ask(kernel, "execute_request", cell, "shell", subshell)
    assert "subshell" in answer["user_expressions"]["n"]["data"]["text/plain"]
    trace = tmp_path / "ran"
    kernel.client.session.terms, kept = None, kernel.client.session.terms
    try:
        answer = ask(kernel, "execute_request", {"code": f"open({str(trace)!r}, 'w')"}, "shell", subshell)
    finally:
        kernel.client.session.terms = kept
    assert answer["ename"] == "PermitRefused"
    gate.touch()
    while kernel.client.get_shell_msg(timeout=20)["parent_header"]["msg_id"] != waiting:
        pass
    assert not trace.exists()
    assert ask(kernel, "delete_subshell_request", {"subshell_id": subshell})["status"] == "ok"


def test_widgets_get_their_messages_even_while_a_cell_waits_for_them(kernel: AuditedKernel) -> None:
    pytest.importorskip("ipywidgets")
    heard = run(kernel, "import ipywidgets\nslider = ipywidgets.IntSlider(value=1)\nslider")
    opened = [m["content"]["comm_id"] for m in heard if m["header"]["msg_type"] == "comm_open"]
    [view] = [m["content"]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"] for m in heard
              if m["header"]["msg_type"] in ("display_data", "execute_result")]
    assert view in opened
    run(kernel, "moved = []\nslider.observe(lambda change: moved.append(change['new']), 'value')")
    waiting = kernel.client.execute("import asyncio\nwhile not moved: await asyncio.sleep(0.01)\nassert moved == [7]")
    update = {"comm_id": view, "data": {"method": "update", "state": {"value": 7}, "buffer_paths": []}}
    kernel.client.session.terms, kept = None, kernel.client.session.terms
    stray = {"comm_id": view, "data": {"method": "update", "state": {"value": 5}, "buffer_paths": []}}
    kernel.client.session.send(kernel.client.shell_channel.socket, "comm_msg", stray)
    kernel.client.session.terms = kept
    kernel.client.session.send(kernel.client.shell_channel.socket, "comm_msg", update)
    answer = kernel.client.get_shell_msg(timeout=20)
    assert answer["parent_header"]["msg_id"] == waiting
    assert answer["content"]["status"] == "ok", answer["content"]


def test_pictures_are_drawn_into_the_notebook(kernel: AuditedKernel) -> None:
    heard = run(kernel, "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()")
    assert [m for m in heard if "image/png" in m["content"].get("data", {})]


def test_the_kernel_of_the_notebook_is_an_ordinary_ipython(kernel: AuditedKernel) -> None:
    heard = run(kernel, "%timeit -n1 -r1 1\n!echo from-the-shell\nimport sys; print(sys.executable)")
    text = "".join(m["content"]["text"] for m in heard if m["header"]["msg_type"] == "stream")
    assert "from-the-shell" in text
    assert sys.executable in text


def test_files_are_not_left_behind_by_history(kernel: AuditedKernel) -> None:
    run(kernel, "kept = 'in memory'")
    kernel.client.history(hist_access_type="tail", n=5)
    wait_until(lambda: kernel.client.get_shell_msg(timeout=20)["header"]["msg_type"] == "history_reply", "the history")
    find = "import pathlib, IPython.paths as p; print([str(f) for f in pathlib.Path(p.get_ipython_dir()).rglob('history.sqlite*')])"
    heard = run(kernel, find)
    assert [m["content"]["text"] for m in heard if m["header"]["msg_type"] == "stream"] == ["[]\n"]
