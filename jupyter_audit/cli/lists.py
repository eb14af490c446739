"""`jupyter audit requests | grants`: who may do what, and who asks to."""

from __future__ import annotations

import argparse
from typing import Any

from jupyter_audit.access.views import grant_view, request_view
from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_rows
from jupyter_audit.cli.remote import find_server

REQUEST_COLUMNS = {
    "id": "REQUEST",
    "principal": "WHO",
    "profile": "PROFILE",
    "ticket": "TICKET",
    "minutes": "MIN",
    "state": "STATE",
    "lapses": "LAPSES",
    "reason": "REASON",
}
GRANT_COLUMNS = {
    "id": "GRANT",
    "principal": "WHO",
    "profile": "PROFILE",
    "ticket": "TICKET",
    "state": "STATE",
    "not_after": "UNTIL",
    "approver": "APPROVER",
    "reason": "REASON",
}
MOST_ROWS = 500


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(commands, "requests", requests, "list the requests that wait for an answer, oldest first", server=True)
    command.add_argument("--all", action="store_true", help="all there ever were, newest first")
    command = add_command(commands, "grants", grants, "list grants, newest first", server=True)
    command.add_argument("--live", action="store_true", help="only those in force")


def requests(options: argparse.Namespace) -> int:
    """List requests."""
    context = context_of(options)
    if options.server:
        query = f"?state=all&limit={MOST_ROWS}" if options.all else f"?limit={MOST_ROWS}"
        rows = find_server(context.home, options.server).api("GET", f"requests{query}")["requests"]
    else:
        with context.reader() as reader:
            book = context.book(reader)
            now = book.now(context.clock.now())
            found = book.all_requests() if options.all else book.requests(now)
            rows = [request_view(each, now) for each in found]
        if any(row["principal"] != context.principal.name for row in rows):
            context.note_read("requests")
    empty = "There are no requests." if options.all else "No request is waiting."
    print_rows(rows, REQUEST_COLUMNS, empty, as_json=options.json)
    return 0


def grants(options: argparse.Namespace) -> int:
    """List grants."""
    context = context_of(options)
    if options.server:
        query = f"?live=true&limit={MOST_ROWS}" if options.live else f"?limit={MOST_ROWS}"
        rows = find_server(context.home, options.server).api("GET", f"grants{query}")["grants"]
    else:
        with context.reader() as reader:
            book = context.book(reader)
            now = book.now(context.clock.now())
            rows = [grant_view(each, now) for each in book.grants() if each.is_live(now) or not options.live]
        if any(row["principal"] != context.principal.name for row in rows):
            context.note_read("grants")
    empty = "No grant is in force." if options.live else "There are no grants."
    print_rows(rows, GRANT_COLUMNS, empty, as_json=options.json)
    return 0
