"""`jupyter audit profile`: what somebody could do under a profile, and why."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from jupyter_audit.access.explain import explain
from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean, print_json
from jupyter_audit.errors import UsageError
from jupyter_audit.model import Principal


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "profile",
        profile,
        "say what somebody could do under a profile, and why",
        about="Asks the rules that judge requests themselves, with the configuration and the ledger as they are now. The "
        "groups of a person are known to the server's IdentityProvider alone: name them with --group.",
        examples="  jupyter audit profile explain ada production-debug\n"
        "  jupyter audit profile explain ada production-debug --group dba --at 2026-11-28T23:00:00Z --json",
    )
    command.add_argument("action", choices=["explain"], help="what to do")
    command.add_argument("user", metavar="USER", help="the person's name, as the server knows it")
    command.add_argument("profile", metavar="PROFILE", help="the profile's name")
    command.add_argument("--group", action="append", default=[], metavar="NAME", help="a group that they are in (repeatable)")
    command.add_argument("--at", metavar="TIME", help="a moment in RFC 3339 (default: now)")


def profile(options: argparse.Namespace) -> int:
    """Explain a profile for one person."""
    context = context_of(options)
    wanted = context.policy.profile(options.profile)
    groups = frozenset(options.group)
    person = Principal(options.user, "command line", context.policy.roles_of(options.user, groups), groups)
    with context.reader() as reader:
        book = context.book(reader)
        now = moment(options.at) if options.at else book.now(context.clock.now())
        told = explain(context.policy, book, person, wanted, now)
    if options.json:
        print_json(told.to_json())
    else:
        print("\n".join(map(clean, told.lines())))
    if options.user != context.principal.name:
        context.note_read("profile", {"user": options.user, "profile": wanted.name})
    return 0


def moment(text: str) -> datetime:
    """Return the moment that a text names. Raises `UsageError`."""
    try:
        made = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time.", advice="Write it such as 2026-11-28T23:00:00Z.") from error
    if made.tzinfo is None:
        raise UsageError(f"{text!r} names no time zone.", advice="Write it such as 2026-11-28T23:00:00Z.")
    return made
