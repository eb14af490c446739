"""`jupyter audit replay SESSION`: a terminal's session as a file that plays, with its times."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_auditor_key, add_command, auditors_of
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.record import kinds
from jupyter_audit.review.asciicast import asciicast


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "replay",
        replay,
        "write a terminal's session as an asciicast, to be played",
        about="What was typed and what came out, with its times, as an asciicast of version 2: `asciinema play FILE`. Reading "
        "somebody else's session is put down. A player obeys what the terminal's programs put out; play it in a terminal "
        "that may be written to by them.",
        examples="  jupyter audit log --type session.started\n"
        "  jupyter audit replay s-0123456789ab --asciicast session.cast",
    )
    command.add_argument("session", metavar="SESSION", help="the terminal's session (s-…)")
    command.add_argument("--asciicast", required=True, metavar="FILE", help="write here, readable by this account alone")
    command.add_argument("--ledger", metavar="FILE", help="read this file instead of the home's ledger")
    add_auditor_key(command)


def replay(options: argparse.Namespace) -> int:
    """Write the asciicast."""
    context = context_of(options)
    path = Path(options.ledger) if options.ledger else context.home.ledger
    if not options.ledger:
        context.home.check()
    with closing(LedgerReader.open(path, auditors=auditors_of(options))) as reader:
        started = next(reader.entries(session=options.session, types=(kinds.SessionStarted.TYPE,), limit=1), None)
        lines = asciicast(options.session, reader.entries(session=options.session), reader.content)
        text = "".join(lines)
        if not options.ledger and started is not None and started.actor.name != context.principal.name:
            context.note_read("replay", {"session": options.session})
    # It can hold what production said: not for other accounts, and never over another file.
    try:
        descriptor = os.open(options.asciicast, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{options.asciicast} is there already. Name another file.") from error
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    print(f"Written: {options.asciicast}. Play it with `asciinema play {options.asciicast}`.", file=sys.stderr)
    return 0
