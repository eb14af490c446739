"""`jupyter audit request | approve | deny | withdraw | revoke`: acts of access, here or through a server."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.access.profiles import DEFAULT_PROFILE
from jupyter_audit.access.service import AccessService
from jupyter_audit.access.views import grant_view, request_view
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean, print_json
from jupyter_audit.cli.remote import find_server
from jupyter_audit.model import Principal

Act = Callable[[AccessService, Principal], Request | Grant]


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "request",
        request,
        "ask for access",
        about="The request waits for an answer, at most as long as the profile says.",
        examples='  jupyter audit request --reason "orders are stuck in state new" --ticket SHOP-1042\n'
        '  jupyter audit request --reason "find slow query" --ticket SHOP-7 --minutes 90 --profile reporting',
        server=True,
    )
    add_wishes(command, required=True)
    command = add_command(commands, "approve", approve, "say yes to a request; the grant begins now", server=True)
    command.add_argument("request", metavar="REQUEST", help="the request's id (r-…)")
    command = add_command(commands, "deny", deny, "say no to a request", server=True)
    command.add_argument("request", metavar="REQUEST", help="the request's id (r-…)")
    command.add_argument("--reason", required=True, metavar="TEXT", help="why")
    command = add_command(commands, "withdraw", withdraw, "take back a request of one's own", server=True)
    command.add_argument("request", metavar="REQUEST", help="the request's id (r-…)")
    command = add_command(
        commands,
        "revoke",
        revoke,
        "end a grant now, with everything that runs under it",
        about="A running server ends its sessions within seconds, kernels and all that they started.",
        server=True,
    )
    command.add_argument("grant", metavar="GRANT", help="the grant's id (g-…)")
    command.add_argument("--reason", required=True, metavar="TEXT", help="why")


def add_wishes(command: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that say what is asked for."""
    command.add_argument("--reason", required=required, metavar="TEXT", help="why access is needed; others will read it")
    command.add_argument("--ticket", required=required, metavar="ID", help="the ticket that it is for")
    command.add_argument("--minutes", type=int, metavar="N", help="for how long (default: the profile's)")
    command.add_argument("--profile", default=DEFAULT_PROFILE, metavar="NAME", help="what for (default: %(default)s)")


def request(options: argparse.Namespace) -> int:
    """Ask for access."""
    wish = {name: getattr(options, name) for name in ("profile", "reason", "ticket", "minutes")}
    context, made = _do(options, "requests", wish, lambda access, me: access.request(me, **wish))
    if options.json:
        print_json(made)
        return 0
    print(f"Request {made['id']} waits for an answer until {made['lapses']}.")
    alone = context.policy.solo and not options.server
    who = "You answer it yourself, on purpose" if alone else "An approver answers it"
    where = f" --server {options.server}" if options.server else f" --home {options.home}" if options.home else ""
    print(f"{who}: jupyter audit approve {made['id']}{where}")
    return 0


def approve(options: argparse.Namespace) -> int:
    """Say yes."""
    wanted = options.request
    _, made = _do(options, f"requests/{wanted}/approve", {}, lambda access, me: access.approve(me, wanted))
    if options.json:
        print_json(made)
        return 0
    if "lapses" in made:
        print(f"You said yes to {made['id']}. It needs {made['approvals']}, and has {len(made['endorsers'])}.")
        return 0
    own = " You approved your own request; the ledger says so." if made["self_approved"] else ""
    print(f"Grant {made['id']} is in force for {clean(made['principal'])} until {made['not_after']}.{own}")
    return 0


def deny(options: argparse.Namespace) -> int:
    """Say no."""
    wanted, reason = options.request, options.reason
    path = f"requests/{wanted}/deny"
    return _say(options, path, {"reason": reason}, lambda access, me: access.deny(me, wanted, reason))


def withdraw(options: argparse.Namespace) -> int:
    """Take a request back."""
    wanted = options.request
    return _say(options, f"requests/{wanted}/withdraw", {}, lambda access, me: access.withdraw(me, wanted))


def revoke(options: argparse.Namespace) -> int:
    """End a grant."""
    grant, reason = options.grant, options.reason
    path = f"grants/{grant}/revoke"
    return _say(options, path, {"reason": reason}, lambda access, me: access.revoke(me, grant, reason))


def _say(options: argparse.Namespace, path: str, body: dict[str, Any], act: Act) -> int:
    """Do an act and say in which state its target is now."""
    _, made = _do(options, path, body, act)
    if options.json:
        print_json(made)
    else:
        what = "Grant" if "request" in made else "Request"
        print(f"{what} {made['id']} is {made['state']}.")
    return 0


def _do(options: argparse.Namespace, path: str, body: dict[str, Any], act: Act) -> tuple[Context, dict[str, Any]]:
    """Do an act through the server that is named, or else here; return what came of it."""
    context = context_of(options)
    if options.server:
        made: dict[str, Any] = find_server(context.home, options.server).api("POST", path, body)
        return context, made
    with context.access() as access:
        done = act(access, context.principal)
    now = context.clock.now()
    return context, request_view(done, now) if isinstance(done, Request) else grant_view(done, now)
