"""
`jupyter audit log | tail`: reading the ledger, here or through a server.

Reading other people's entries is put down before the first one is shown (P9); if it cannot be, nothing is
shown. `--ledger FILE` is for an auditor with a copy and without the key, who can put nothing down.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_auditor_key, add_command, auditors_of
from jupyter_audit.cli.output import clean, clean_block, print_json, short
from jupyter_audit.cli.remote import find_server
from jupyter_audit.cli.sources import LocalEntries, RemoteEntries, Row
from jupyter_audit.clock import format_time
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Json

POLL_S = 0.25
SHOWN_FIRST = 10
CLOCK_SLACK = timedelta(days=1)
"""An entry this much too old ends the search; less, and it may be one of a clock that was set back."""

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "log",
        log,
        "show the newest entries, oldest of them first",
        examples="  jupyter audit log --type cell. --content\n  jupyter audit log --since 2h --grant g-0123456789ab --json",
        server=True,
    )
    _add_filters(command)
    command.add_argument(
        "--since",
        metavar="WHEN",
        help="only from then on: a time such as 2026-11-24T09:00, or 30m, 2h, 7d ago",
    )
    command.add_argument("--limit", type=int, default=50, metavar="N", help="at most (default: %(default)s)")
    command = add_command(commands, "tail", tail, "show entries as they are appended, until Ctrl-C", server=True)
    _add_filters(command)


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--ledger", metavar="FILE", help="read this file instead of the home's ledger")
    command.add_argument(
        "--type",
        action="append",
        metavar="TYPE",
        help="only this type, or prefix that ends in a dot (repeatable)",
    )
    command.add_argument("--session", metavar="ID", help="only this session (s-…)")
    command.add_argument("--grant", metavar="ID", help="only this grant (g-…)")
    command.add_argument("--content", action="store_true", help="show code and outputs too (not with --server)")
    add_auditor_key(command)


def log(options: argparse.Namespace) -> int:
    """Show the newest entries."""
    if options.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {options.limit}.")
    since = parse_since(options.since, datetime.now(UTC)) if options.since else None
    with closing(_open(options, "log")) as source:
        found: list[Row] = []
        for row in source.newest_first():
            if since is None or row["time"] >= format_time(since):
                found.append(row)
            elif row["time"] < format_time(since - CLOCK_SLACK):
                break
            if len(found) >= options.limit:
                break
        for row in reversed(found):
            _show(source, row, options)
    if not found:
        print("No entry matches.", file=sys.stderr)
    return 0


def tail(options: argparse.Namespace) -> int:
    """Follow the ledger until interrupted."""
    with closing(_open(options, "tail")) as source:
        following = max(0, source.size() - SHOWN_FIRST)
        try:
            while True:
                size = source.size()
                if size > following:
                    for row in source.between(following, size):
                        _show(source, row, options)
                    sys.stdout.flush()
                    following = size
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            return 0


def parse_since(text: str, now: datetime) -> datetime:
    """Return the moment that `--since` names. Times without a zone are UTC. Raises `UsageError`."""
    ago = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    try:
        if ago:
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text} is not a time.", advice="Such as 2026-11-24, 2026-11-24T09:30+01:00, 45m, 2h or 7d.") from error


def _open(options: argparse.Namespace, view: str) -> LocalEntries | RemoteEntries:
    filters = {"types": options.type, "session": options.session, "grant": options.grant}
    if options.ledger:
        return LocalEntries(LedgerReader.open(Path(options.ledger), auditors=auditors_of(options)), filters)
    context = context_of(options)
    if options.server:
        if options.content:
            raise UsageError("--content does not go with --server.", advice="The audit panel shows code.")
        return RemoteEntries(find_server(context.home, options.server), filters)
    detail = {name: value for name, value in filters.items() if value}
    auditors = auditors_of(options)
    opened_with: dict[str, Json] = {"auditors": [secret.public.label for secret in auditors]} if auditors else {}
    context.note_read(view, {**detail, "content": options.content, **opened_with})
    return LocalEntries(LedgerReader.open(context.home.ledger, auditors=auditors), filters)


# --- how they are shown -------------------------------------------------------------------------


def _show(source: LocalEntries | RemoteEntries, row: Row, options: argparse.Namespace) -> None:
    content = source.content(row) if options.content else {}
    if options.json:
        print_json({**row, "content": content} if options.content else row)
        return
    print(describe(row))
    for name, text in content.items():
        if isinstance(text, str):
            print(clean_block(_readable(name, text)))
        else:
            absent = "was purged" if text is None else f"is sealed for {', '.join(text['sealed_for'])}"
            print(clean_block(f"({name} {absent})"))


def describe(row: Row) -> str:
    """Return an entry on one line, terminal-safe."""
    who = clean(row["actor"]["name"])
    where = " ".join(filter(None, (row.get("grant"), row.get("session"))))
    facts = ", ".join(f"{clean(key)}={short(value)}" for key, value in row["body"].items())
    return f"{row['seq']:>6}  {row['time'][:23]}Z  {row['type']:<18} {who}  {where}  {facts}".rstrip()


def _readable(name: str, text: str) -> str:
    """Return code as code, outputs as their first part, anything else as it is."""
    try:
        value = json.loads(text)
        if name == "message":
            return value["code"] if isinstance(value["code"], str) else text
        if name == "outputs":
            return "\n".join(f"[{o['output']} {o['mime']}] {o['preview']}" for o in value["outputs"])
    except (ValueError, KeyError, TypeError):
        return text
    return text
