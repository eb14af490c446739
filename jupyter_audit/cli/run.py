"""
`jupyter audit run NOTEBOOK`: execute a notebook under a grant through a running server, for runbooks.

Goes the way that a browser goes: REST, then the kernel's websocket, through the gate. Whatever happens, the
session is ended and what came out so far is written.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_audit.cli.access import WISHES, add_wishes
from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_command, here_again
from jupyter_audit.cli.output import clean, clean_block, print_json
from jupyter_audit.cli.remote import RemoteServer, find_server
from jupyter_audit.errors import AccessError, AuditError, ConfigError, UsageError

CELL_ERROR = 9
REFUSED = 6
POLL_S = 1.0


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "run",
        run,
        "execute a notebook under a grant, through a running server",
        about="Uses the grant that is in force, or asks for one with --reason and --ticket and waits for its "
        "approval. Stops at the first cell that fails or is refused: 9 or 6 is the exit code then. A cell tagged "
        "`skip-execution` is left out, and one tagged `raises-exception` may fail, as nbclient has it.",
        examples="  jupyter audit run drain-queue.ipynb\n"
        '  jupyter audit run drain-queue.ipynb --reason "queue is stuck" --ticket OPS-12 --minutes 10\n'
        "  jupyter audit run drain-queue.ipynb -p queue orders -p limit 50",
        server=True,
    )
    command.add_argument("notebook", metavar="NOTEBOOK", help="the notebook's file")
    command.add_argument(
        "--output",
        metavar="FILE",
        help="where to write it with its outputs (default: NAME.out.ipynb beside it)",
    )
    command.add_argument(
        "-p",
        "--parameter",
        action="append",
        nargs=2,
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter, as papermill does: in a cell of its own after the one tagged `parameters` (else first), which "
        "is recorded as any other; VALUE is True, False, None, a number, or text",
    )
    command.add_argument("--kernel", default="audit", metavar="NAME", help="the kernel to run it in (default: %(default)s)")
    command.add_argument(
        "--timeout",
        type=float,
        default=600,
        metavar="S",
        help="seconds a cell may take, but for waiting for an approval (default: %(default)s)",
    )
    command.add_argument(
        "--path",
        metavar="PATH",
        help="the notebook's path below the server's root, for profiles that are for certain notebooks; it must not be open "
        "there (default: a name of its own for each run)",
    )
    command.add_argument("--allow-errors", action="store_true", help="go on after a cell that raises")
    add_wishes(command, required=False)
    command.add_argument("--approve", action="store_true", help="approve one's own request, where that is allowed (solo mode)")


def run(options: argparse.Namespace) -> int:
    """Execute the notebook; the exit code is 0, 6 after a refusal, 9 after an error in a cell."""
    try:
        import nbformat
        import tornado  # noqa: F401 (needed a little later; say so before a grant is asked for)
    except ImportError as error:
        raise ConfigError(f"`jupyter audit run` needs {error.name}.", advice="pip install 'jupyter-audit[server]'") from error
    if (options.ticket or options.approve) and not options.reason:
        raise UsageError("--ticket and --approve go with --reason.")
    if options.reason and not options.ticket:
        raise UsageError("--reason goes with --ticket.")
    path = Path(options.notebook)
    output = Path(options.output) if options.output else path.with_suffix(".out.ipynb")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises whatever a malformed file makes it raise
        raise UsageError(f"{path} is not a notebook that can be read: {error}".split("\n")[0]) from error
    server = find_server(context_of(options).home, options.server)
    if options.parameter:
        _put_in_parameters(server, notebook, options)
    if options.reason:
        obtain_grant(server, options)
    session = _start(server, options.path, f"{path.stem} (run {secrets.token_hex(3)}).ipynb", options.kernel)
    try:
        outcome = asyncio.run(_run_cells(server, session["kernel"]["id"], notebook, options))
    finally:
        with contextlib.suppress(AuditError):
            # It may be gone already: the gate ends sessions whose grant has ended.
            server.request("DELETE", f"/api/sessions/{session['id']}")
        _write(output, nbformat.writes(notebook))
    if options.json:
        print_json({**outcome, "output": str(output)})
    else:
        skipped = f", {outcome['skipped']} skipped" if outcome["skipped"] else ""
        told = f"{outcome['ran']} of {outcome['cells']} cells ran, {outcome['failed']} failed{skipped}."
        print(f"{told} Written to {output}.")
    return int(outcome["exit"])


def _put_in_parameters(server: RemoteServer, notebook: Any, options: argparse.Namespace) -> None:
    from jupyter_audit.cli.runbooks import put_in

    known = server.request("GET", "/api/kernelspecs")["kernelspecs"]
    language = str(known[options.kernel]["spec"]["language"]) if options.kernel in known else ""
    if language.lower() != "python":
        told = clean(language) or "not known"
        raise UsageError(f"-p sets parameters in Python; the language of the kernel {clean(options.kernel)} is {told}.")
    put_in(notebook, options.parameter)


def obtain_grant(server: RemoteServer, options: argparse.Namespace) -> None:
    """Ask for a grant and wait until it is given. Raises `AccessError` if it is not."""
    wish = {name: getattr(options, name) for name in WISHES}
    request = server.api("POST", "requests", wish)["id"]
    if options.approve:
        answer = server.api("POST", f"requests/{request}/approve", {})
        if answer["id"] != request:
            return
        # It is the request still: other people must say yes, too.
    print(f"Waiting for an approver: jupyter audit approve {request}{here_again(options)}", file=sys.stderr)
    while True:
        asked = server.api("GET", "requests?state=all&limit=500")["requests"]
        found = next((each for each in asked if each["id"] == request), None)
        state = found["state"] if found else "gone"
        if found and state == "approved":
            return
        if state != "pending":
            why = f": {clean(found['answer'])}" if found and found.get("answer") else ""
            raise AccessError(f"The request {request} was not granted: it is {state}{why}.")
        time.sleep(POLL_S)


def _start(server: RemoteServer, path: str | None, name: str, kernel: str) -> dict[str, Any]:
    """
    Start a session of its own for this run; the name is what others see in their list of running ones.

    Raises `UsageError` if the path is open: Jupyter would hand out the kernel that somebody works in.
    """
    if path and any(each["path"] == path for each in server.request("GET", "/api/sessions")):
        raise UsageError(f"{path} is open on the server.", advice="Shut its kernel down there, then run it again.")
    wanted = {"path": path or name, "name": name, "type": "notebook", "kernel": {"name": kernel}}
    made: dict[str, Any] = server.request("POST", "/api/sessions", wanted)
    return made


async def _run_cells(server: RemoteServer, kernel: str, notebook: Any, options: argparse.Namespace) -> dict[str, Any]:
    # Imported here: only this command needs what comes with jupyter-server.
    from jupyter_audit.cli.cells import REFUSALS, CellRunner
    from jupyter_audit.cli.runbooks import MAY_RAISE, cells_to_run, is_tagged

    cells, skipped = cells_to_run(notebook)
    outcome = {"cells": len(cells), "ran": 0, "failed": 0, "skipped": skipped, "exit": 0}
    async with CellRunner.connect(server, kernel) as runner:
        where = here_again(options)
        for number, cell in enumerate(cells, 1):
            began = time.monotonic()
            try:
                reply = await runner.run(cell, options.timeout, functools.partial(_tell_wait, number, len(cells), where))
            except TimeoutError:
                evalue = f"It took longer than {options.timeout:g} seconds; the kernel was ended."
                reply = {"status": "error", "ename": "Timeout", "evalue": evalue}
            refused = reply["status"] == "error" and reply.get("ename") in REFUSALS
            word = "refused" if refused else clean(reply["status"])
            print(f"[{number}/{len(cells)}] {word} {time.monotonic() - began:.1f} s", file=sys.stderr)
            outcome["ran"] += not refused
            if reply["status"] == "ok":
                continue
            told = f"{reply.get('ename')}: {reply.get('evalue')}"
            print(clean_block(told, indent="  "), file=sys.stderr)
            ended = refused or reply.get("ename") == "Timeout"
            if is_tagged(cell, MAY_RAISE) and not ended:
                continue
            outcome["failed"] += 1
            outcome["exit"] = REFUSED if refused else outcome["exit"] or CELL_ERROR
            if ended or not options.allow_errors:
                break
    return outcome


def _tell_wait(number: int, count: int, where: str, hold_id: str) -> None:
    print(f"[{number}/{count}] waits for approval: jupyter audit approve-cell {clean(hold_id)}{where}", file=sys.stderr)


def _write(path: Path, text: str) -> None:
    """Write a file in one piece: it is the old one or the new one, never half of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
