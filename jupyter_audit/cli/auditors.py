"""`jupyter audit auditor-key`: the keys of auditors, to whom contents can be sealed. For the auditor's machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_json
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger.auditorfile import load_auditor_secret, write_auditor_secret
from jupyter_audit.ledger.auditors import AuditorKeyError, AuditorSecret
from jupyter_audit.ledger.passphrase import AUDITOR_KEY, confirm


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "auditor-key",
        auditor_key,
        "make an auditor's key, to which contents can be sealed",
        about="Run it on the auditor's machine. The secret stays there, in FILE; the public line goes into "
        "c.JupyterAudit.sealed_to of the server, which then cannot read back what it recorded. Whoever loses the secret "
        "can no longer read it either: seal to two auditors. See docs/keys.md.",
        examples="  jupyter audit auditor-key create anna --output anna.auditor\n  jupyter audit auditor-key show anna.auditor",
    )
    command.add_argument("action", choices=["create", "show"], help="make a key, or print the public line of one")
    command.add_argument("name", metavar="NAME|FILE", help="create: the auditor's name; show: the file of the secret key")
    command.add_argument("--output", metavar="FILE", help="create: write the secret key here, readable by this account alone")
    command.add_argument("--protect", action="store_true", help="create: put it under a passphrase")


def auditor_key(options: argparse.Namespace) -> int:
    """Make a key, or show the public half of one."""
    if options.action == "show":
        if options.output or options.protect:
            raise UsageError("--output and --protect are for create.")
        public = load_auditor_secret(Path(options.name)).public
    else:
        if not options.output:
            raise UsageError("Name the file for the secret key: --output FILE.")
        try:
            secret = AuditorSecret.generate(options.name)
        except AuditorKeyError as error:
            raise UsageError(f"{options.name!r} cannot be an auditor's name: {error}.") from error
        if options.protect:
            confirm(AUDITOR_KEY)
        write_auditor_secret(Path(options.output), secret, protected=options.protect)
        public = secret.public
    if options.json:
        print_json({"name": public.name, "id": public.id, "public": str(public)})
    else:
        print(public)
    return 0
