"""The options by which commands narrow what they read: a person, a session, types, a span of time."""

from __future__ import annotations

import argparse
from datetime import datetime

from jupyter_audit.cli.entries import parse_since
from jupyter_audit.model import Json
from jupyter_audit.review.filters import Filters


def add_filters(command: argparse.ArgumentParser) -> None:
    """Add the options to a command."""
    command.add_argument("--person", metavar="NAME", help="only what this person did, or what happened in their sessions")
    command.add_argument("--session", metavar="ID", help="only this session (s-…)")
    command.add_argument(
        "--type", action="append", metavar="TYPE", help="only this type, or prefix that ends in a dot (repeatable)"
    )
    command.add_argument("--from", dest="since", metavar="TIME", help="only from then on: 2026-11-24T09:00, or 30m, 2h, 7d ago")
    command.add_argument("--to", dest="until", metavar="TIME", help="only before then")


def filters_of(options: argparse.Namespace, now: datetime) -> Filters:
    """Return what the options ask for. Raises `UsageError` for a time that is none."""
    return Filters(
        types=options.type,
        session=options.session,
        person=options.person,
        since=parse_since(options.since, now) if options.since else None,
        until=parse_since(options.until, now) if options.until else None,
    )


def filters_said(options: argparse.Namespace) -> dict[str, Json]:
    """Return the options that were given, for the entry that says so."""
    given: dict[str, Json] = {
        "types": options.type,
        "session": options.session,
        "person": options.person,
        "from": options.since,
        "to": options.until,
    }
    return {name: value for name, value in given.items() if value}
