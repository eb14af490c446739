"""`jupyter audit request | approve | deny | withdraw | revoke | requests | grants`."""

from __future__ import annotations

import argparse
from typing import Any

from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.clock import format_time
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.output import print_json, print_table
from jupyter_audit.cli.remote import find_server

REQUEST_COLUMNS = {"id": "REQUEST", "principal": "WHO", "profile": "PROFILE", "ticket": "TICKET", "minutes": "MIN",
                   "state": "STATE", "asked": "ASKED", "reason": "REASON"}
GRANT_COLUMNS = {"id": "GRANT", "principal": "WHO", "profile": "PROFILE", "ticket": "TICKET", "state": "STATE",
                 "not_after": "UNTIL", "approver": "APPROVER", "reason": "REASON"}


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this module."""
    command = commands.add_parser("request", parents=[common], help="ask for access")
    command.add_argument("--reason", required=True, help="why access is needed; others will read it")
    command.add_argument("--ticket", required=True, help="the ticket that it is for")
    command.add_argument("--minutes", type=int, help="for how long (default: the profile's)")
    command.add_argument("--profile", default="production-debug", help="what for (default: %(default)s)")
    command.set_defaults(run=request)
    for name, text, run in (
        ("approve", "say yes to a request; the grant begins now", approve),
        ("deny", "say no to a request", deny),
        ("withdraw", "take back a request of one's own", withdraw),
    ):
        command = commands.add_parser(name, parents=[common], help=text)
        command.add_argument("request", help="the request's id (r-…)")
        if name == "deny":
            command.add_argument("--reason", required=True, help="why")
        command.set_defaults(run=run)
    command = commands.add_parser("revoke", parents=[common], help="end a grant now, with everything that runs under it")
    command.add_argument("grant", help="the grant's id (g-…)")
    command.add_argument("--reason", required=True, help="why")
    command.set_defaults(run=revoke)
    command = commands.add_parser("requests", parents=[common], help="list the requests that wait for an answer")
    command.set_defaults(run=requests)
    command = commands.add_parser("grants", parents=[common], help="list grants, newest first")
    command.add_argument("--live", action="store_true", help="only those in force")
    command.set_defaults(run=grants)


def request(options: argparse.Namespace) -> int:
    """Ask for access."""
    asked = {"profile": options.profile, "reason": options.reason, "ticket": options.ticket}
    context = context_of(options)
    if options.server:
        made = find_server(context.home, options.server).api("POST", "requests", {**asked, "minutes": options.minutes})
    else:
        with context.access() as access:
            made = _request(access.request(context.principal, **asked, minutes=options.minutes), context)
    if options.json:
        print_json(made)
    else:
        print(f"Request {made['id']} waits for an answer until {made['lapses']}.")
        print(f"An approver answers with: jupyter audit approve {made['id']}")
    return 0


def approve(options: argparse.Namespace) -> int:
    """Say yes."""
    context = context_of(options)
    if options.server:
        made = find_server(context.home, options.server).api("POST", f"requests/{options.request}/approve", {})
    else:
        with context.access() as access:
            made = _grant(access.approve(context.principal, options.request), context)
    if options.json:
        print_json(made)
    else:
        own = " You approved your own request; the ledger says so." if made["self_approved"] else ""
        print(f"Grant {made['id']} is in force for {made['principal']} until {made['not_after']}.{own}")
    return 0


def deny(options: argparse.Namespace) -> int:
    """Say no."""
    return _answer(options, "deny", {"reason": options.reason})


def withdraw(options: argparse.Namespace) -> int:
    """Take a request back."""
    return _answer(options, "withdraw", {})


def _answer(options: argparse.Namespace, act: str, body: dict[str, str]) -> int:
    context = context_of(options)
    if options.server:
        made = find_server(context.home, options.server).api("POST", f"requests/{options.request}/{act}", body)
    else:
        with context.access() as access:
            done = (
                access.deny(context.principal, options.request, body["reason"])
                if act == "deny"
                else access.withdraw(context.principal, options.request)
            )
            made = _request(done, context)
    if options.json:
        print_json(made)
    else:
        print(f"Request {made['id']} is {made['state']}.")
    return 0


def revoke(options: argparse.Namespace) -> int:
    """End a grant."""
    context = context_of(options)
    if options.server:
        made = find_server(context.home, options.server).api("POST", f"grants/{options.grant}/revoke", {"reason": options.reason})
    else:
        with context.access() as access:
            made = _grant(access.revoke(context.principal, options.grant, options.reason), context)
    if options.json:
        print_json(made)
    else:
        print(f"Grant {made['id']} is revoked. A running server ends what it started within seconds.")
    return 0


def requests(options: argparse.Namespace) -> int:
    """List waiting requests."""
    context = context_of(options)
    if options.server:
        rows = find_server(context.home, options.server).api("GET", "requests")["requests"]
    else:
        with context.reader() as reader:
            book = context.book(reader)
            rows = [_request(found, context) for found in book.requests(book.now(context.clock.now()))]
    _print(rows, REQUEST_COLUMNS, "No request is waiting.", as_json=options.json)
    return 0


def grants(options: argparse.Namespace) -> int:
    """List grants."""
    context = context_of(options)
    if options.server:
        rows = find_server(context.home, options.server).api("GET", "grants")["grants"]
    else:
        context.note_read("grants")
        with context.reader() as reader:
            rows = [_grant(found, context) for found in context.book(reader).grants()]
    if options.live:
        rows = [row for row in rows if row["state"] == "active"]
    _print(rows, GRANT_COLUMNS, "There are no grants.", as_json=options.json)
    return 0


def _print(rows: list[dict[str, Any]], columns: dict[str, str], empty: str, *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print_json(row)
    else:
        print_table(rows, columns, empty)


def _request(found: Request, context: Context) -> dict[str, Any]:
    return {
        "id": found.id,
        "principal": found.principal,
        "profile": found.profile,
        "reason": found.reason,
        "ticket": found.ticket,
        "minutes": int(found.duration.total_seconds() // 60),
        "asked": format_time(found.asked),
        "lapses": format_time(found.lapses),
        "state": found.state(context.clock.now()).value,
    }


def _grant(found: Grant, context: Context) -> dict[str, Any]:
    return {
        "id": found.id,
        "request": found.request,
        "principal": found.principal,
        "profile": found.profile,
        "reason": found.reason,
        "ticket": found.ticket,
        "approver": found.approver,
        "self_approved": found.self_approved,
        "not_before": format_time(found.not_before),
        "not_after": format_time(found.not_after),
        "state": found.state(context.clock.now()).value,
    }
