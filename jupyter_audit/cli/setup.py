"""`jupyter audit init | doctor | checkpoint`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from jupyter_audit_kernel.version import __version__

from jupyter_audit.access.principals import os_account
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.output import print_json
from jupyter_audit.cli.remote import find_server
from jupyter_audit.errors import AuditError, ServerUnreachableError
from jupyter_audit.ledger import create_ledger
from jupyter_audit.model import Actor

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}
Finding = tuple[str, str, str, str]
"""Level, what was looked at, what was found, what to do."""


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this module."""
    command = commands.add_parser("init", parents=[common], help="create the audit home: keys and an empty ledger")
    command.set_defaults(run=init)
    command = commands.add_parser("doctor", parents=[common], help="check everything that recording depends on")
    command.set_defaults(run=doctor)
    command = commands.add_parser("checkpoint", parents=[common], help="print the newest checkpoint, for others to keep")
    command.set_defaults(run=checkpoint)


def init(options: argparse.Namespace) -> int:
    """Create keys and ledger. Never overwrites."""
    context = context_of(options)
    create_ledger(context.home, clock=context.clock, actor=Actor.of(os_account()))
    key = context.home.verifier_key.read_text().strip()
    if options.json:
        print_json({"home": str(context.home.path), "verifier_key": key})
        return 0
    print(f"Created the audit home {context.home.path}.")
    print(f"Auditors verify with this public key; give it to them by another way than this machine:\n  {key}")
    return 0


def checkpoint(options: argparse.Namespace) -> int:
    """Print the newest signed note."""
    with context_of(options).reader() as reader:
        print(reader.checkpoint_note(), end="")
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Look at everything; the exit code is 0 unless something fails."""
    found = list(_examine(context_of(options)))
    if options.json:
        for level, what, result, advice in found:
            print_json({"level": level, "check": what, "result": result, "advice": advice})
    else:
        for level, what, result, advice in found:
            print(f"{MARKS[level]}  {what}: {result}")
            if advice:
                print(f"      {advice}")
    return 1 if any(level == "fail" for level, *_ in found) else 0


def _examine(context: Context) -> Iterator[Finding]:
    yield "ok", "version", f"jupyter-audit {__version__}, Python {sys.version.split()[0]}", ""
    try:
        context.home.check()
        yield "ok", "audit home", f"{context.home.path}, private to this account", ""
        with context.ledger() as ledger:
            yield "ok", "ledger", f"{ledger.size()} entries, newest ones verified, extends what was remembered", ""
    except AuditError as error:
        yield "fail", "audit home and ledger", str(error), error.advice
        return
    yield from _space(context)
    if context.policy.solo:
        yield "ok", "policy", "solo mode: one person holds every role", ""
    elif not context.policy.roles_of("\0") and not any(context.policy.roles.values()):
        yield "warn", "policy", "nobody holds a role", "Name people in c.JupyterAudit.roles."
    else:
        yield "ok", "policy", f"{len(context.policy.profiles)} profiles", ""
    yield from _server_side(context)


def _space(context: Context) -> Iterator[Finding]:
    free, floor, mib = shutil.disk_usage(context.home.path).free, context.settings.free_space_floor, 1024 * 1024
    told = f"{free // mib} MiB free, the floor is {floor // mib} MiB"
    if free < floor:
        yield "fail", "space", told, "No new session starts. Make room, or lower c.JupyterAudit.free_space_floor."
    else:
        yield "ok", "space", told, ""


def _server_side(context: Context) -> Iterator[Finding]:
    if find_spec("jupyter_server") is None:
        yield "warn", "server", "jupyter-server is not installed here", "pip install 'jupyter-audit[lab]'"
        return
    # Only where the server's needs are installed: a kernel-only environment has no isolation to speak of.
    from jupyter_audit.gate.isolation import Rung, probe
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        report = probe(context.settings.isolation)
        level = "ok" if report.rung is not Rung.NONE and not report.advice else "warn"
        yield level, "isolation", f"{report.rung.value}: {report.why}", report.advice
    except AuditError as error:
        yield "fail", "isolation", str(error), error.advice
    for name in context.settings.allowed_kernels:
        try:
            spec = KernelSpecManager().get_kernel_spec(name)
            yield "ok", f"kernel {name}", spec.resource_dir, ""
        except NoSuchKernel:
            yield "fail", f"kernel {name}", "it is not installed", "pip install --force-reinstall jupyter-audit"
    try:
        status = find_server(context.home, None).api("GET", "status")
    except ServerUnreachableError:
        yield "ok", "running server", "none on this home", ""
        return
    except AuditError as error:
        yield "warn", "running server", str(error), error.advice
        return
    for assertion in status["unassured"]:
        yield "warn", "running server", f"could not assure that {assertion}", "Start it with `jupyter audit lab`."
    if not status["recording"]:
        yield "fail", "running server", "it cannot record, so nothing runs", "See its log."
    if not status["unassured"]:
        yield "ok", "running server", f"{status['mode']} mode, every assertion holds", ""
