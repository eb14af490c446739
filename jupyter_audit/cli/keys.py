"""`jupyter audit keys`: which keys the ledger was and is signed with, and how it gets a new one."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from jupyter_audit.cli import ownkeys
from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.entries import parse_since
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_json, print_rows
from jupyter_audit.clock import format_time
from jupyter_audit.errors import NotPermittedError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.envelope import CREATED, KEY_ROTATED
from jupyter_audit.ledger.passphrase import confirm
from jupyter_audit.model import Actor, Entry, Role

COLUMNS = {"epoch": "EPOCH", "since_entry": "SINCE ENTRY", "since": "SINCE", "key": "KEY"}


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "keys",
        keys,
        "list the ledger's keys, or give it a new one",
        about="`rotate` makes a new key, has the old one sign it in, and destroys the old secret: whoever steals the new "
        "one cannot sign the past anew. Running servers go on with it by themselves. See docs/keys.md. `mine` is about the key "
        "that an approver signs with, on the approver's own machine: `create` makes it, `register` tells the ledger (also of one "
        "that replaces yours), `show` prints its public half, `vouch` signs in a passkey that you made in the panel, `withdraw` "
        "ends a key or a passkey. See docs/signed-approvals.md.",
        examples="  jupyter audit keys\n  jupyter audit keys rotate --reason 'yearly'\n"
        "  jupyter audit keys rotate --if-older-than 90d --if-entries 1000000 --reason 'by timer'\n"
        "  jupyter audit keys mine create\n  jupyter audit keys mine register --server https://debug.example/",
        server=True,
    )
    command.add_argument(
        "action",
        nargs="?",
        choices=["rotate", "protect", "unprotect", "mine", "people"],
        help="make a new key; put the key file under a passphrase; or take the passphrase away; `mine`: the key that you sign "
        "approvals with; `people`: everybody's keys and passkeys",
    )
    ownkeys.add_options(command)
    command.add_argument("--reason", default="", help="why; the ledger keeps it")
    command.add_argument("--if-older-than", metavar="AGE", help="rotate only if the key is older than this, such as 90d")
    command.add_argument("--if-entries", metavar="N", type=int, help="… or has signed at least this many entries")


def keys(options: argparse.Namespace) -> int:
    """List the keys, or rotate."""
    if options.action in ("mine", "people"):
        return ownkeys.own_keys(options)
    ownkeys.refuse_options(options)
    context = context_of(options)
    if options.action is None:
        with context.reader() as reader:
            rows = [_row(epoch, entry) for epoch, entry in enumerate(_introductions(reader))]
        print_rows(rows, COLUMNS, "", as_json=options.json)
        return 0
    if Role.ADMIN not in context.principal.roles:
        raise NotPermittedError("Only an admin may change the key.", advice="Ask somebody in c.JupyterAudit.roles['admin'].")
    if options.action != "rotate":
        protect = options.action == "protect"
        with context.ledger() as ledger:
            if protect:
                confirm()
            ledger.protect_key(protected=protect)
        print("The key file needs the passphrase now." if protect else "The key file is plain now.")
        return 0
    with context.ledger() as ledger:
        newest = _introductions(ledger)[-1]
        now = context.clock.now()
        age = now - parse_since(options.if_older_than, now) if options.if_older_than else None
        if not is_due(ledger.size() - newest.seq, now - newest.time, age, options.if_entries):
            if options.json:
                print_json({"rotated": False})
            else:
                print(f"The key of entry {newest.seq} is not due yet; nothing was done.")
            return 0
        entry = ledger.rotate_key(actor=Actor.of(context.principal), reason=options.reason)
    if options.json:
        print_json({"rotated": True, **_row(int(str(entry.body["epoch"])), entry)})
    else:
        print(f"Entry {entry.seq} names the new key; the old secret is destroyed. Auditors' first key proves it.")
    return 0


def is_due(signed: int, age: timedelta, most_age: timedelta | None, most_signed: int | None) -> bool:
    """Say whether a key of this age, that signed so many entries, is to be changed: always, where no limit is given."""
    if most_age is None and most_signed is None:
        return True
    too_old = most_age is not None and age >= most_age
    return too_old or (most_signed is not None and signed >= most_signed)


def _introductions(reader: LedgerReader) -> list[Entry]:
    return list(reader.entries(types=[CREATED, KEY_ROTATED]))


def _row(epoch: int, entry: Entry) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "since_entry": entry.seq,
        "since": format_time(entry.time),
        "key": str(entry.body.get("verifier_key")),
    }
