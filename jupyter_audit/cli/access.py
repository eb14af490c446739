"""
`jupyter audit request | extend | approve | deny | withdraw | revoke | break-glass | review`: acts of access, here or
through a server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from jupyter_audit.access import rules
from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.access.profiles import DEFAULT_PROFILE
from jupyter_audit.access.service import UNSIGNED, AccessService
from jupyter_audit.access.signing import Decision
from jupyter_audit.access.views import grant_view, request_view
from jupyter_audit.cli import ownkeys
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.options import add_command, here_again
from jupyter_audit.cli.output import clean, print_json
from jupyter_audit.cli.remote import find_server
from jupyter_audit.cli.words import show_before_request
from jupyter_audit.clock import format_time
from jupyter_audit.errors import UsageError
from jupyter_audit.model import Principal

Done = Request | Grant | list[Grant]
Act = Callable[[AccessService, Principal], Done]

WISHES = ("profile", "reason", "ticket", "minutes", "target")
"""The options that `add_wishes` adds, as the API calls them."""


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "request",
        request,
        "ask for access",
        about="The request waits for an answer, at most as long as the profile says.",
        examples='  jupyter audit request --reason "orders are stuck in state new" --ticket SHOP-1042\n'
        '  jupyter audit request --reason "find slow query" --ticket SHOP-7 --minutes 90 --profile reporting\n'
        '  jupyter audit request --reason "move the queue" --ticket OPS-3 --starts 2026-12-01T22:00+01:00',
        server=True,
    )
    add_wishes(command, required=True)
    command.add_argument(
        "--starts",
        metavar="WHEN",
        help="when the grant is to begin, for a maintenance window (RFC 3339; without an offset: this machine's time). "
        "Default: at its approval",
    )
    command.add_argument(
        "--takes-over", metavar="GRANT", default="", help="carry on this live grant of somebody else for the time it has left"
    )
    command = add_command(
        commands,
        "extend",
        extend,
        "ask for more time under a live grant of one's own",
        about="It waits for an answer as a request does, and the grant runs on meanwhile.",
        server=True,
    )
    command.add_argument("grant", metavar="GRANT", help="the grant's id (g-…)")
    command.add_argument("--minutes", type=int, metavar="N", help="how much more (default: the profile's)")
    command.add_argument("--reason", required=True, metavar="TEXT", help="why it takes longer")
    _add_approve(commands)
    command = add_command(commands, "deny", deny, "say no to a request", server=True)
    command.add_argument("request", metavar="REQUEST", help="the request's id (r-…)")
    command.add_argument("--reason", required=True, metavar="TEXT", help="why")
    ownkeys.add_signing(command)
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
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("grant", metavar="GRANT", nargs="?", help="the grant's id (g-…)")
    which.add_argument(
        "--everyone", action="store_true", help="every grant of everybody, those to come included: for an incident"
    )
    command.add_argument("--reason", required=True, metavar="TEXT", help="why")
    _add_glass(commands)


def _add_approve(commands: Any) -> None:
    command = add_command(
        commands,
        "approve",
        approve,
        "say yes to a request",
        about="With the last yes that its profile asks for the grant begins, or lasts longer.",
        server=True,
    )
    command.add_argument("request", metavar="REQUEST", help="the request's id (r-…)")
    ownkeys.add_signing(command)


def _add_glass(commands: Any) -> None:
    command = add_command(
        commands,
        "break-glass",
        break_glass,
        "take access at once, without asking, for an emergency",
        about="Where the profile allows it, for a few minutes. Everybody is told at once, and somebody else reviews afterwards "
        "what was done.",
        examples='  jupyter audit break-glass --reason "shop is down, nobody answers" --ticket SHOP-9',
        server=True,
    )
    add_wishes(command, required=True)
    command = add_command(
        commands,
        "review",
        review,
        "judge what was done under a broken glass, after it ended",
        about="For approvers, auditors and admins, but not for whoever broke it. `jupyter audit grants --unreviewed` lists what "
        "waits.",
        server=True,
    )
    command.add_argument("grant", metavar="GRANT", help="the grant's id (g-…)")
    judgement = command.add_mutually_exclusive_group(required=True)
    judgement.add_argument("--justified", action="store_true", help="it was right to break it")
    judgement.add_argument("--not-justified", action="store_true", help="it was not")
    command.add_argument("--comment", required=True, metavar="TEXT", help="what was found, and why that is the judgement")


def add_wishes(command: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that say what is asked for."""
    command.add_argument("--reason", required=required, metavar="TEXT", help="why access is needed; others will read it")
    command.add_argument("--ticket", required=required, metavar="ID", help="the ticket that it is for")
    command.add_argument("--minutes", type=int, metavar="N", help="for how long (default: the profile's)")
    command.add_argument("--profile", default=DEFAULT_PROFILE, metavar="NAME", help="what for (default: %(default)s)")
    command.add_argument("--target", default="", metavar="NAME", help="what is to be debugged, where the profile names targets")


def request(options: argparse.Namespace) -> int:
    """Ask for access."""
    starts = _moment(options.starts) if options.starts else None
    show_before_request(options)
    wish = {name: getattr(options, name) for name in WISHES} | {"takes_over": options.takes_over}
    sent = wish | {"starts": None if starts is None else format_time(starts)}
    context, made = _do(options, "requests", sent, lambda access, me: access.request(me, **wish, starts=starts))
    return _say_asked(options, context, made)


def extend(options: argparse.Namespace) -> int:
    """Ask for more time."""
    wish = {name: getattr(options, name) for name in ("minutes", "reason")}
    path = f"grants/{options.grant}/extend"
    context, made = _do(options, path, wish, lambda access, me: access.extend(me, options.grant, **wish))
    return _say_asked(options, context, made)


def _say_asked(options: argparse.Namespace, context: Context, made: dict[str, Any]) -> int:
    if options.json:
        print_json(made)
        return 0
    print(f"Request {made['id']} waits for an answer until {made['lapses']}.")
    alone = context.policy.solo and not options.server
    several = made["approvals"] > 1
    who = "You answer it yourself, on purpose" if alone else "Approvers answer it" if several else "An approver answers it"
    needed = f" ({made['approvals']} of them must say yes)" if several else ""
    print(f"{who}{needed}: jupyter audit approve {made['id']}{here_again(options)}")
    return 0


def _moment(text: str) -> datetime:
    """Return a moment that a person typed; without an offset it is this machine's time. Raises `UsageError`."""
    try:
        read = datetime.fromisoformat(text)
        return rules.moment(read.astimezone().isoformat())
    except (ValueError, OverflowError) as error:
        advice = "Such as 2026-12-01T22:00 or 2026-12-01T22:00+01:00."
        raise UsageError(f"--starts is no moment: {clean(text)}.", advice=advice) from error


def approve(options: argparse.Namespace) -> int:
    """Say yes."""
    wanted = options.request
    signed = ownkeys.sign_answer(options, wanted, Decision.APPROVE) if options.sign else UNSIGNED
    body = asdict(signed) if signed else {}
    _, made = _do(options, f"requests/{wanted}/approve", body, lambda access, me: access.approve(me, wanted, signed))
    if options.json:
        print_json(made)
        return 0
    if "lapses" in made:
        print(f"You said yes to {made['id']}. It needs {made['approvals']}, and has {len(made['endorsers'])}.")
        return 0
    own = " You approved your own request; the ledger says so." if made["self_approved"] else ""
    begins = f"from {made['not_before']} " if made["state"] == "approved" else ""
    print(f"Grant {made['id']} is in force for {clean(made['principal'])} {begins}until {made['not_after']}.{own}")
    return 0


def deny(options: argparse.Namespace) -> int:
    """Say no."""
    wanted, reason = options.request, options.reason.strip()
    signed = ownkeys.sign_answer(options, wanted, Decision.DENY, rules.reason(reason, 1)) if options.sign else UNSIGNED
    body = {"reason": reason, **(asdict(signed) if signed else {})}
    return _say(options, f"requests/{wanted}/deny", body, lambda access, me: access.deny(me, wanted, reason, signed))


def withdraw(options: argparse.Namespace) -> int:
    """Take a request back."""
    wanted = options.request
    return _say(options, f"requests/{wanted}/withdraw", {}, lambda access, me: access.withdraw(me, wanted))


def revoke(options: argparse.Namespace) -> int:
    """End a grant, or all of them."""
    grant, reason = options.grant, options.reason
    if not options.everyone:
        path = f"grants/{grant}/revoke"
        return _say(options, path, {"reason": reason}, lambda access, me: access.revoke(me, grant, reason))
    body = {"reason": reason}
    _, made = _do(options, "revoke-everyone", body, lambda access, me: access.revoke_everyone(me, reason))
    for ended in made["grants"]:
        if options.json:
            print_json(ended)
        else:
            print(f"Grant {ended['id']} of {clean(ended['principal'])} is {ended['state']}.")
    if not made["grants"]:
        print("No grant was in force or to come.", file=sys.stderr)
    return 0


def break_glass(options: argparse.Namespace) -> int:
    """Take access without asking."""
    wish = {name: getattr(options, name) for name in WISHES}
    _, made = _do(options, "break-glass", wish, lambda access, me: access.break_glass(me, **wish))
    if options.json:
        print_json(made)
        return 0
    print(f"You broke the glass: grant {made['id']} is in force until {made['not_after']}, and nobody approved it.")
    print("Everybody who watches is told. Somebody else will review what you did, and why.")
    return 0


def review(options: argparse.Namespace) -> int:
    """Judge a broken glass."""
    said = {"justified": bool(options.justified), "comment": options.comment}
    path = f"grants/{options.grant}/review"
    _, made = _do(options, path, said, lambda access, me: access.review(me, options.grant, **said))
    if options.json:
        print_json(made)
        return 0
    judged = "justified" if made["justified"] else "not justified"
    print(f"The broken glass {made['id']} of {clean(made['principal'])} is reviewed: {judged}.")
    return 0


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
    """Do an act through the server that is named, or else here; return what came of it, as the API tells it."""
    context = context_of(options)
    if options.server:
        made: dict[str, Any] = find_server(context.home, options.server).api("POST", path, body)
        return context, made
    with context.access() as access:
        done = act(access, context.principal)
    now = context.clock.now()
    if isinstance(done, list):
        return context, {"grants": [grant_view(grant, now) for grant in done]}
    return context, request_view(done, now) if isinstance(done, Request) else grant_view(done, now)
