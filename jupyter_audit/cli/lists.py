"""`jupyter audit requests | grants`: who may do what, and who asks to."""

from __future__ import annotations

import argparse
from typing import Any

from jupyter_audit.access.views import View, grant_view, request_view
from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_rows
from jupyter_audit.cli.remote import RemoteServer, find_server

REQUEST_COLUMNS = {
    "id": "REQUEST",
    "principal": "WHO",
    "profile": "PROFILE",
    "ticket": "TICKET",
    "minutes": "MIN",
    "state": "STATE",
    "lapses": "LAPSES",
    "yeses": "YES",
    "reason": "REASON",
    "notes": "NOTES",
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
    "notes": "NOTES",
}
MOST_ROWS = 500


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(commands, "requests", requests, "list the requests that wait for an answer, oldest first", server=True)
    command.add_argument("--all", action="store_true", help="all there ever were, newest first")
    command = add_command(commands, "grants", grants, "list grants, newest first", server=True)
    which = command.add_mutually_exclusive_group()
    which.add_argument("--live", action="store_true", help="only those in force")
    which.add_argument(
        "--unreviewed", action="store_true", help="only the broken glasses that ended and wait for `jupyter audit review`"
    )


def requests(options: argparse.Namespace) -> int:
    """List requests."""
    context = context_of(options)
    if options.server:
        rows = all_pages(find_server(context.home, options.server), "requests", "state=all" if options.all else "")
        if not options.all:
            rows.reverse()
    else:
        with context.reader() as reader:
            book = context.book(reader)
            now = book.now(context.clock.now())
            found = book.all_requests() if options.all else book.requests(now)
            rows = [request_view(each, now) for each in found]
        if any(row["principal"] != context.principal.name for row in rows):
            context.note_read("requests")
    empty = "There are no requests." if options.all else "No request is waiting."
    print_rows(rows if options.json else [_told_request(row) for row in rows], REQUEST_COLUMNS, empty, as_json=options.json)
    return 0


def grants(options: argparse.Namespace) -> int:
    """List grants."""
    context = context_of(options)
    if options.server:
        query = "live=true" if options.live else "unreviewed=true" if options.unreviewed else ""
        rows = all_pages(find_server(context.home, options.server), "grants", query)
    else:
        with context.reader() as reader:
            book = context.book(reader)
            now = book.now(context.clock.now())
            found = [grant for grant in book.grants() if grant.waits_for_review(now) or not options.unreviewed]
            rows = [grant_view(each, now) for each in found if each.is_live(now) or not options.live]
        if any(row["principal"] != context.principal.name for row in rows):
            context.note_read("grants")
    empty = "There are no grants."
    if options.live or options.unreviewed:
        empty = "No grant is in force." if options.live else "No broken glass waits for a review."
    print_rows(rows if options.json else [_told_grant(row) for row in rows], GRANT_COLUMNS, empty, as_json=options.json)
    return 0


def all_pages(server: RemoteServer, listing: str, query: str, member: str = "") -> list[View]:
    """Return the rows of every page of a listing, which stand in `member` of the answer (default: the listing's name)."""
    rows: list[View] = []
    after: int | None = None
    while True:
        asked = [f"limit={MOST_ROWS}", *([query] if query else []), *([] if after is None else [f"after={after}"])]
        page = server.api("GET", f"{listing}?{'&'.join(asked)}")
        rows += page[member or listing]
        after = page["next"]
        if after is None:
            return rows


def _told_request(row: View) -> View:
    """Return a request with what there is to say beside its columns: how many said yes, and what it is for."""
    notes = [f"more time for {row['extends']}"] if row["extends"] else []
    notes += [f"takes over {row['takes_over']}"] if row["takes_over"] else []
    notes += [f"from {row['starts']}"] if row["starts"] else []
    notes += [f"for {row['target']}"] if row["target"] else []
    yeses = len(row["endorsers"]) + (row["state"] == "approved")
    return {**row, "yeses": f"{yeses}/{row['approvals']}", "notes": "; ".join(notes)}


def _told_grant(row: View) -> View:
    """Return a grant with what there is to say beside its columns: how it came about, and what became of it."""
    notes = []
    if row["break_glass"]:
        judged = "justified" if row["justified"] else "not justified"
        review = f"{judged}, says {row['reviewed_by']}" if row["reviewed_by"] else "not reviewed yet"
        notes.append(f"broken glass, {review}")
    notes += [f"from {row['not_before']}"] if row["state"] == "approved" else []
    notes += [f"extended {row['extensions']}x"] if row["extensions"] else []
    notes += [f"carried on by {row['successor']}"] if row["successor"] else []
    notes += [f"for {row['target']}"] if row["target"] else []
    approver = "(nobody)" if row["break_glass"] else row["approver"]
    return {**row, "approver": approver, "notes": "; ".join(notes)}
