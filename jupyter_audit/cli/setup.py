"""`jupyter audit init`: the audit home, its key and an empty ledger. Never overwrites."""

from __future__ import annotations

import argparse
from typing import Any

from jupyter_audit.access.principals import os_account
from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_json
from jupyter_audit.ledger import create_ledger
from jupyter_audit.model import Actor


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    add_command(
        commands,
        "init",
        init,
        "create the audit home: a key and an empty ledger",
        about="Once for each home. Exits with 4 and changes nothing if there is one already.",
        examples="  jupyter audit init\n  jupyter audit init --home /var/lib/jupyter-audit",
    )


def init(options: argparse.Namespace) -> int:
    """Create key and ledger."""
    context = context_of(options)
    home = context.home
    create_ledger(home, clock=context.clock, actor=Actor.of(os_account()))
    key = home.verifier_key.read_text(encoding="utf-8").strip()
    if options.json:
        print_json({"home": str(home.path), "ledger": str(home.ledger), "verifier_key": key})
        return 0
    named = f" --home {home.path}" if options.home else ""
    named += f" --config {options.config}" if options.config else ""
    print(f"Created the audit home {home.path}. Back it up, and let nobody else into it.")
    print(f"Auditors verify with this public key. Give it to them by another way than this machine:\n  {key}")
    solo = " --solo" if context.policy.solo else ""
    print(f"Next: jupyter audit doctor{named}, then jupyter audit lab{named}{solo}")
    return 0
