"""`jupyter audit anchor`: checkpoints go to the places that keep them, now."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import print_rows
from jupyter_audit.ledger.anchors import Anchors
from jupyter_audit.record.alarms import unsaid

COLUMNS = {"sink": "SINK", "delivered": "ENTRIES", "behind": "BEHIND", "failing_since": "FAILING SINCE", "error": "ERROR"}


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    add_command(
        commands,
        "anchor",
        anchor,
        "send checkpoints to the anchors now",
        about="The places are c.JupyterAudit.anchors; a running server sends by itself. Exits with 1 if one of them fails; "
        "it gets what it missed later. An alarm of a witness that begins or ends is put down in the ledger.",
        examples="  jupyter audit anchor\n  jupyter audit verify --key VKEY --since /mnt/elsewhere/checkpoints.jsonl",
    )


def anchor(options: argparse.Namespace) -> int:
    """Send, and show how far each sink is."""
    context = context_of(options)
    anchors = Anchors(context.home, context.settings.anchors, context.clock)
    with context.reader() as reader:
        standings = anchors.send(reader)
        alarms = unsaid(reader, standings)
    rows = [asdict(standing) for standing in standings]
    print_rows(rows, COLUMNS, "There are no anchors: set c.JupyterAudit.anchors.", as_json=options.json)
    if alarms:
        with context.ledger() as ledger:
            ledger.transact(lambda reader: unsaid(reader, standings))
    return 1 if any(standing.failing_since for standing in standings) else 0
