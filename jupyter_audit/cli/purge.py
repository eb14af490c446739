"""`jupyter audit purge`: code and output that must not be kept any longer go; entries and proofs stay."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from typing import Any

from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.entries import parse_since
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_json
from jupyter_audit.errors import NotPermittedError, UsageError
from jupyter_audit.ledger.purging import Extent, Wanted, measure, purge
from jupyter_audit.model import Actor, Role

RETENTION = "retention"


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
    command.add_argument("--actor", metavar="NAME", help="of entries about this person")
    command.add_argument("--names", metavar="NAME,…", help="contents of these names only: message (code), outputs")
    command.add_argument("--retention", action="store_true", help="what c.JupyterAudit.retention_days no longer keeps")
    command.add_argument("--reason", default="", help="why; the ledger keeps it")
    command.add_argument("--dry-run", action="store_true", help="say how much would go, and take nothing")


def run_purge(options: argparse.Namespace) -> int:
    """Take what was named, or say how much that is."""
    context = context_of(options)
    wanted = _wanted(options, context, context.clock.now())
    if options.dry_run:
        with context.reader() as reader:
            _tell(options, measure(reader, wanted), "would go; nothing was taken")
        return 0
    if Role.ADMIN not in context.principal.roles:
        raise NotPermittedError("Only an admin may purge.", advice="Ask somebody in c.JupyterAudit.roles['admin'].")
    reason = options.reason or (RETENTION if options.retention else "")
    with context.ledger() as ledger:
        done = purge(ledger, wanted, actor=Actor.of(context.principal), reason=reason)
    if done.entry is None:
        _tell(options, done.extent, "to take: there is nothing that fits")
    else:
        more = {"overwritten": done.overwritten, "caches_dropped": done.caches_dropped}
        _tell(options, done.extent, f"gone; entry {done.entry.seq} says so", seq=done.entry.seq, **more)
    if not done.overwritten and not options.json:
        print("A reader still holds the old bytes in ledger.db-wal. Run this again when it has finished.")
    if not done.caches_dropped and not options.json:
        print("Somebody searches at this moment; the index of their search goes as soon as they have their answer.")
    return 0


def _wanted(options: argparse.Namespace, context: Context, now: datetime) -> Wanted:
    before = parse_since(options.before, now) if options.before else None
    if options.retention:
        days = context.settings.retention_days
        if before is not None or days <= 0:
            raise UsageError(
                "--retention goes by c.JupyterAudit.retention_days, which must be set, and not with --before."
            )
        before = now - timedelta(days=days)
    if before is None and options.session is None and options.actor is None:
        raise UsageError("Say what is to go: --before, --session, --actor or --retention.")
    names = [name.strip() for name in options.names.split(",") if name.strip()] if options.names else []
    return Wanted(before=before, session=options.session, actor=options.actor, names=names)


def _tell(options: argparse.Namespace, extent: Extent, what: str, **more: object) -> None:
    if options.json:
        print_json({"contents": extent.contents, "bytes": extent.bytes, "dry_run": options.dry_run, **more})
    else:
        print(f"{extent.contents} contents ({extent.bytes} bytes as stored) {what}.")
