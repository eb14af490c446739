"""`jupyter audit alerts`: who is told of what, how each target stands, and whether a message arrives."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean, print_json
from jupyter_audit.cli.remote import find_server
from jupyter_audit.errors import NotPermittedError
from jupyter_audit.model import Role
from jupyter_audit.notify.routes import Routes
from jupyter_audit.notify.standing import UNHEARD_ADVICE, glasses_unheard, standings, unheard_sentence
from jupyter_audit.notify.trial import try_targets


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "alerts",
        alerts,
        "show who is told of what, or send a test message",
        about="For admins. `show` lists targets (never their addresses), how each stands, and what goes where. `test` sends a "
        "message to each target, or to those named, and exits with 1 if one does not take it; the ledger says that it was tried.",
        examples="  jupyter audit alerts show --config /etc/jupyter/jupyter_server_config.py\n"
        "  jupyter audit alerts test oncall --config /etc/jupyter/jupyter_server_config.py",
        server=True,
    )
    command.add_argument("action", choices=["show", "test"], help="what to do")
    command.add_argument("target", nargs="*", metavar="TARGET", help="a target's name")


def alerts(options: argparse.Namespace) -> int:
    """Show or try alerts."""
    context = context_of(options)
    if not options.server and Role.ADMIN not in context.principal.roles:
        raise NotPermittedError("Only admins look after alerts.")
    return _test(context, options) if options.action == "test" else _show(context, options)


def _show(context: Context, options: argparse.Namespace) -> int:
    if options.server:
        row = find_server(context.home, options.server).api("GET", "alerts")
    else:
        routes = Routes.from_settings(context.settings, context.home)
        with context.reader() as reader:
            targets = [asdict(one) for one in standings(reader, routes)]
        row = {
            "targets": targets,
            "routes": {event: list(named) for event, named in routes.routes.items()},
            "unheard": glasses_unheard(routes, context.policy),
        }
    if options.json:
        print_json(row)
        return 0
    for one in row["targets"]:
        standing = f"fails since {one['failing_since']}: {one['error']}" if one["failing_since"] else (
            f"last took a message {one['last_sent']}" if one["last_sent"] else "nothing was sent yet"
        )  # fmt: skip
        lost = f"; {one['given_up']} things were given up" if one["given_up"] else ""
        print(f"{clean(one['target'])} ({clean(one['service'])}): {clean(standing)}{lost}")
    for event, named in row["routes"].items():
        print(f"  {event:<18} {', '.join(map(clean, named)) or 'nobody'}")
    if not row["targets"]:
        print("There is no alert target (c.JupyterAudit.alert_targets): nobody is told anything.")
    if row["unheard"]:
        print(f"WARNING: {unheard_sentence(row['unheard'])}. {UNHEARD_ADVICE}")
    return 0


def _test(context: Context, options: argparse.Namespace) -> int:
    if options.server:
        body = {"targets": " ".join(options.target)} if options.target else {}
        outcomes = find_server(context.home, options.server).api("POST", "alerts/test", body)["outcomes"]
    else:
        routes = Routes.from_settings(context.settings, context.home)
        outcomes = try_targets(routes, options.target, context.principal)
        for outcome in outcomes:
            context.put_down(outcome.kind())
        outcomes = [{"target": outcome.target, "error": outcome.error} for outcome in outcomes]
    if options.json:
        print_json({"outcomes": outcomes})
    else:
        for one in outcomes:
            print(f"{clean(one['target'])}: {clean(one['error']) if one['error'] else 'the service took it'}")
    return 1 if any(one["error"] for one in outcomes) else 0
