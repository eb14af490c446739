"""`jupyter audit purge`: code and output that must not be kept any longer go; entries and proofs stay."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.entries import parse_since
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_json
from jupyter_audit.errors import NotPermittedError, UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.purging import Extent, Purge, Wanted, measure, purge
from jupyter_audit.model import Actor, Role
from jupyter_audit.record.kinds import SessionStarted
from jupyter_audit.settings import JupyterAudit

RETENTION = "retention"
SESSIONS_AT_ONCE = 1000
"""Sessions of one person that one entry takes; more are purged in several."""


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "purge",
        run_purge,
        "take code and output out of the ledger for good",
        about="Entries stay, and so does every proof: what goes is what cells said and printed. The purge is an entry "
        "itself, with your name and reason. Admins only. Copies elsewhere (backups, snapshots, exports) are not reached.",
        examples="  jupyter audit purge --before 90d --reason 'retention of 90 days'\n"
        "  jupyter audit purge --session s-1f0c --names outputs --reason 'customer data, DPO-17' --dry-run",
    )
    command.add_argument("--before", metavar="TIME", help="of entries older than this: 90d, 2026-11-24, 2026-11-24T09:30+01:00")
    command.add_argument("--session", help="of this session's entries")
    command.add_argument("--actor", metavar="NAME", help="of entries about this person, and of every session that they began")
    command.add_argument("--names", metavar="NAME,…", help="contents of these names only: message (code), outputs")
    command.add_argument("--retention", action="store_true", help="what c.JupyterAudit.retention_days (and …_of) no longer keeps")
    command.add_argument("--reason", default="", help="why; the ledger keeps it")
    command.add_argument("--dry-run", action="store_true", help="say how much would go, and take nothing")


def run_purge(options: argparse.Namespace) -> int:
    """Take what was named, or say how much that is."""
    context = context_of(options)
    with context.reader() as reader:
        wanted = _wanted(options, context.settings, reader, context.clock.now())
        if options.dry_run:
            for one in wanted:
                _tell(options, one, measure(reader, one), "would go; nothing was taken")
            return 0
    if Role.ADMIN not in context.principal.roles:
        raise NotPermittedError("Only an admin may purge.", advice="Ask somebody in c.JupyterAudit.roles['admin'].")
    reason = options.reason or (RETENTION if options.retention else "")
    for one in wanted:
        with context.ledger() as ledger:
            done = purge(ledger, one, actor=Actor.of(context.principal), reason=reason)
        _tell_done(options, one, done)
    return 0


def _tell_done(options: argparse.Namespace, wanted: Wanted, done: Purge) -> None:
    if done.entry is None:
        _tell(options, wanted, done.extent, "to take: there is nothing that fits")
    else:
        more = {"overwritten": done.overwritten, "caches_dropped": done.caches_dropped}
        _tell(options, wanted, done.extent, f"gone; entry {done.entry.seq} says so", seq=done.entry.seq, **more)
    if not done.overwritten and not options.json:
        print("A reader still holds the old bytes in ledger.db-wal. Run this again when it has finished.")
    if not done.caches_dropped and not options.json:
        print("Somebody searches at this moment; the index of their search goes as soon as they have their answer.")


def sessions_begun_by(reader: LedgerReader, name: str) -> list[str]:
    """Return the sessions whose owner is or was called `name`, oldest first."""
    begun = reader.entries(types=(SessionStarted.TYPE,))
    return [entry.session for entry in begun if entry.actor.name == name and entry.session is not None]


def _wanted(options: argparse.Namespace, settings: JupyterAudit, reader: LedgerReader, now: datetime) -> list[Wanted]:
    names = [name.strip() for name in options.names.split(",") if name.strip()] if options.names else []
    theirs = [] if options.actor is None else sessions_begun_by(reader, options.actor)
    wanted = Wanted(session=options.session, actor=options.actor, names=names, sessions_of_actor=theirs)
    if options.retention:
        days = retained(settings, reader.content_names())
        if options.before or not any(days.values()):
            raise UsageError(
                "--retention goes by c.JupyterAudit.retention_days and retention_days_of, of which one must be set, and not with "
                "--before."
            )
        return [
            replace(wanted, before=now - timedelta(days=kept), names=those)
            for kept, those in sorted(by_days(days, names).items())
        ]
    if not options.before and options.session is None and options.actor is None:
        raise UsageError("Say what is to go: --before, --session, --actor or --retention.")
    wanted = replace(wanted, before=parse_since(options.before, now) if options.before else None)
    # Each session is named in the purge's entry, and an entry has its greatest size.
    parts = [theirs[first : first + SESSIONS_AT_ONCE] for first in range(0, len(theirs), SESSIONS_AT_ONCE)]
    return [replace(wanted, sessions_of_actor=part) for part in parts or [[]]]


def retained(settings: JupyterAudit, names: Iterable[str]) -> dict[str, int]:
    """Return for how many days contents of each of `names`, and of those that the settings name, are kept; 0 is for ever."""
    return {**dict.fromkeys(names, settings.retention_days), **settings.retention_days_of}


def by_days(days: Mapping[str, int], names: Collection[str]) -> dict[int, list[str]]:
    """Return which contents go after how many days; of `names` only, where there are any."""
    gathered: dict[int, list[str]] = {}
    for name, kept in sorted(days.items()):
        if kept and (not names or name in names):
            gathered.setdefault(kept, []).append(name)
    return gathered


def _tell(options: argparse.Namespace, wanted: Wanted, extent: Extent, what: str, **more: object) -> None:
    if options.json:
        taken = {"contents": extent.contents, "bytes": extent.bytes, "names": [*wanted.names]}
        print_json({**taken, "dry_run": options.dry_run, **more})
    else:
        named = f" named {', '.join(wanted.names)}" if wanted.names else ""
        print(f"{extent.contents} contents{named} ({extent.bytes} bytes as stored) {what}.")
