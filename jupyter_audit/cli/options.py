"""The options that commands share, and the one way in which a command is added."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_audit.ledger.auditorfile import load_auditor_secret
from jupyter_audit.ledger.auditors import AuditorSecret

WIDTH = 100
"""Columns of a help text's prose; examples are printed as they are."""

Run = Callable[[argparse.Namespace], int]


def add_command(
    commands: Any,
    name: str,
    run: Run,
    summary: str,
    *,
    about: str = "",
    examples: str = "",
    server: bool = False,
    of_home: bool = True,
) -> argparse.ArgumentParser:
    """
    Add a command. `summary` is its line in the list, `about` says what else is to know.

    `server` adds the options of commands that can act through a running server; `of_home` is False for a command that
    has nothing to do with an audit home.
    """
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description(summary, about),
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(run=run)
    if of_home:
        made.add_argument(
            "--home",
            metavar="DIR",
            help="the audit home (default: the configuration's, else $JUPYTER_AUDIT_HOME, else this account's data folder)",
        )
        made.add_argument("--config", metavar="FILE", help="the admin's configuration file (default: the system's folders)")
        made.add_argument("--solo", action="store_true", help="one person holds every role (default where no roles are set)")
    made.add_argument("--json", action="store_true", help="print JSON instead of text")
    if server:
        made.add_argument(
            "--server",
            metavar="URL",
            help="act through this running server, as whoever the token in $JUPYTER_AUDIT_TOKEN names",
        )
    return made


def here_again(options: argparse.Namespace) -> str:
    """Return the options with which another command acts where this one did, to be put after it; they begin with a space."""
    given = {"--server": options.server} if options.server else {"--home": options.home, "--config": options.config}
    return "".join(f" {name} {shlex.quote(value)}" for name, value in given.items() if value)


def add_auditor_key(command: argparse.ArgumentParser) -> None:
    """Add the option that names auditors' secret keys."""
    command.add_argument(
        "--auditor-key",
        action="append",
        default=[],
        metavar="FILE",
        help="an auditor's secret key (`jupyter audit auditor-key`): opens what is sealed to it (repeatable)",
    )


def auditors_of(options: argparse.Namespace) -> tuple[AuditorSecret, ...]:
    """Return the auditors' secret keys that the options name. Raises `KeyFileError`."""
    return tuple(load_auditor_secret(Path(name)) for name in options.auditor_key)


def description(summary: str, about: str) -> str:
    """Return the prose of a command's help: its summary as a sentence, and what else is to know."""
    return textwrap.fill(f"{summary[0].upper()}{summary[1:]}. {about}", WIDTH)
