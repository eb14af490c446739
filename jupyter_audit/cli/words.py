"""`jupyter audit rules | feedback | stats`: what holds, what got in the way, and how access goes."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from jupyter_audit.access import stats as numbers
from jupyter_audit.access.inwords import rules_in_words, version
from jupyter_audit.access.profiles import DEFAULT_PROFILE
from jupyter_audit.access.rules import SHORTEST_VERSION
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.entries import parse_since
from jupyter_audit.cli.options import add_command, here_again
from jupyter_audit.cli.output import clean, print_json
from jupyter_audit.cli.remote import find_server
from jupyter_audit.errors import NotFoundError, NotPermittedError
from jupyter_audit.model import Role


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "rules",
        rules,
        "show the rules of a profile in plain words, and acknowledge them",
        about="An acknowledgement is of the rules as they are: when they change it is asked for anew. A profile can demand it "
        "(`acknowledge`).",
        examples="  jupyter audit rules production-debug\n  jupyter audit rules production-debug --acknowledge 0123456789ab",
        server=True,
    )
    command.add_argument("profile", nargs="?", default=DEFAULT_PROFILE, metavar="PROFILE", help="(default: %(default)s)")
    command.add_argument("--acknowledge", metavar="VERSION", help="say that you have read them; VERSION stands above them")
    command = add_command(
        commands,
        "feedback",
        feedback,
        "say what got in your way",
        about="It becomes an entry, tied to the refusal or wait that it is about: by default your newest one of the last hour.",
        examples="  jupyter audit feedback 'nobody answers at night'\n"
        "  jupyter audit feedback --about 1042 'this kernel is allowed elsewhere'",
        server=True,
    )
    command.add_argument("text", metavar="TEXT", help="what got in your way; others will read it")
    command.add_argument("--about", type=int, metavar="ENTRY", help="the number of an entry of yours that it is about")
    command = add_command(
        commands,
        "stats",
        stats,
        "count waits, refusals and requests that were given up",
        about="For admins and auditors. From entries alone: time from request to approval, refusals by cause, requests that were "
        "withdrawn or lapsed, grants under which nothing ran, feedback.",
        examples="  jupyter audit stats --since 7d\n  jupyter audit stats --json",
        server=True,
    )
    command.add_argument("--since", metavar="TIME", help="only what came since, such as 7d or 2026-11-01T00:00:00Z")


def rules(options: argparse.Namespace) -> int:
    """Show or acknowledge rules."""
    context = context_of(options)
    if options.acknowledge:
        told = _acknowledge(context, options)
        if options.json:
            print_json({"profile": options.profile, "version": told})
        else:
            print(f"Acknowledged: the rules of {clean(options.profile)}, version {told[:SHORTEST_VERSION]}.")
        return 0
    row = _rules(context, options)
    if options.json:
        print_json({key: row[key] for key in ("name", "version", "acknowledge", "acknowledged", "rules")})
        return 0
    print("\n".join(_page(row, here_again(options))))
    return 0


def show_before_request(options: argparse.Namespace) -> None:
    """Show the rules to whoever is about to ask and has not acknowledged them; not in solo mode, unless they must be."""
    context = context_of(options)
    if options.json or (context.policy.solo and not options.server and not _demanded(context, options.profile)):
        return
    try:
        row = _rules(context, options)
    except (NotFoundError, NotPermittedError):
        # The request itself is refused, in the words of the rule that it breaks.
        return
    if not row["acknowledged"]:
        print("\n".join(_page(row, here_again(options))), file=sys.stderr)


def _demanded(context: Context, name: str) -> bool:
    profile = context.policy.profiles.get(name)
    return profile is not None and profile.acknowledge


def _page(row: dict[str, Any], where: str) -> list[str]:
    name, version = clean(row["name"]), row["version"][:SHORTEST_VERSION]
    acknowledge = f"Acknowledge them once: jupyter audit rules {name} --acknowledge {version}{where}"
    known = "You have acknowledged them." if row["acknowledged"] else acknowledge
    return [
        f"The rules of {name}, version {version}:",
        *(f"- {clean(line)}" for line in row["rules"]),
        known,
    ]


def _rules(context: Context, options: argparse.Namespace) -> dict[str, Any]:
    if options.server:
        rows = find_server(context.home, options.server).api("GET", "profiles")["profiles"]
        for row in rows:
            if row["name"] == options.profile:
                return dict(row)
        raise NotFoundError(f"The server has no profile {options.profile!r}.")
    profile = context.policy.profile(options.profile)
    told = version(profile)
    with context.reader() as reader:
        known = context.book(reader).acknowledged(context.principal.name, profile.name, told)
    return {
        "name": profile.name,
        "version": told,
        "acknowledge": profile.acknowledge,
        "acknowledged": known,
        "rules": rules_in_words(profile),
    }


def _acknowledge(context: Context, options: argparse.Namespace) -> str:
    if options.server:
        body = {"profile": options.profile, "version": options.acknowledge}
        return str(find_server(context.home, options.server).api("POST", "acknowledgements", body)["version"])
    with context.access() as access:
        return access.acknowledge(context.principal, options.profile, options.acknowledge)


def feedback(options: argparse.Namespace) -> int:
    """Put feedback down."""
    context = context_of(options)
    if options.server:
        body = {"text": options.text, "about": options.about}
        about = find_server(context.home, options.server).api("POST", "feedback", body)["about"]
    else:
        with context.access() as access:
            found = access.say(context.principal, options.text, options.about)
        about = None if found < 0 else found
    if options.json:
        print_json({"about": about})
    else:
        print("Recorded." if about is None else f"Recorded, about entry {about}.")
    return 0


def stats(options: argparse.Namespace) -> int:
    """Count."""
    context = context_of(options)
    if options.server and not options.since:
        row = find_server(context.home, options.server).api("GET", "stats")
    else:
        if not {Role.ADMIN, Role.AUDITOR} & context.principal.roles:
            raise NotPermittedError("Only admins and auditors see everybody's numbers.")
        since = parse_since(options.since, context.clock.now()) if options.since else None
        with context.reader() as reader:
            entries = reader.entries(types=numbers.TYPES)
            row = numbers.count(entry for entry in entries if since is None or entry.time >= since).to_json()
        context.note_read("stats")
    if options.json:
        print_json(row)
        return 0
    waits = row["approval_seconds"]
    print(f"requests          {row['requests']}, of which {row['waiting']} unanswered")
    half, nearly_all = _seconds(waits["median"]), _seconds(waits["p95"])
    print(f"approved          {row['approved']}: half within {half}, 95 of 100 within {nearly_all}")
    print(f"denied            {row['denied']}")
    print(f"abandoned         {row['abandoned']} withdrawn or lapsed; {row['unused_grants']} grants under which nothing ran")
    print(f"feedback          {row['feedback']}")
    print(f"refusals          {sum(row['refusals'].values())}")
    for cause, number in row["refusals"].items():
        print(f"  {number:>6}  {clean(cause)}")
    return 0


def _seconds(value: float | None) -> str:
    return "no time known" if value is None else f"{value:.0f} s"
