"""
`jupyter audit …`: finds the command, runs it, and turns what goes wrong into a sentence and an exit code.

Expected trouble never shows as a traceback, and no sentence carries control characters to the terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Mapping

from jupyter_audit_kernel.version import __version__

from jupyter_audit.cli import (
    access,
    alerts,
    anchor,
    auditors,
    console,
    doctor,
    entries,
    export,
    heldcells,
    keys,
    launch,
    lists,
    people,
    policy,
    prove,
    purge,
    replay,
    run,
    search,
    setup,
    verify,
    witness,
    words,
)
from jupyter_audit.cli.output import clean_block
from jupyter_audit.errors import AuditError
from jupyter_audit.hints import through_server
from jupyter_audit.ledger.damage import DAMAGES, exit_code

INTERRUPTED = 128 + signal.SIGINT

EXIT_CODES: Mapping[int, str] = {
    0: "done; for `verify`: the ledger is whole",
    1: "a check of `doctor`, a case of `policy test` or an alert of `alerts test` failed, a content that `prove` was to show is "
    "purged, or a file could not be read or written",
    2: "the command line cannot be used, or a value in it",
    3: "a setting or the audit home is missing, wrong or unsafe",
    4: "the ledger or its key cannot be opened, read or written; nothing was done",
    5: "the ledger was rolled back, replaced, or changed while it was read; or a proof does not hold",
    6: "a rule of access or the gate said no",
    7: "a server, kernel or session may not start",
    8: "no server answers",
    9: "a cell of `run` raised an error, or took too long",
    verify.FORGED_APPROVALS: "the ledger is whole, but an approval or a key in it is not its approver's",
    **{exit_code(damage): f"damage `{damage}`: {meaning}" for damage, meaning in DAMAGES.items()},
    INTERRUPTED: "interrupted with Ctrl-C",
}
"""What every exit code means (docs/cli.md is made from it)."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="jupyter audit",
        description="Debug production from a notebook, and be able to answer for it.",
        epilog="`jupyter audit COMMAND --help` says more; docs/cli.md describes every command and exit code.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    setup.add_commands(commands)
    doctor.add_commands(commands)
    launch.add_commands(commands)
    access.add_commands(commands)
    lists.add_commands(commands)
    heldcells.add_commands(commands)
    policy.add_commands(commands)
    alerts.add_commands(commands)
    words.add_commands(commands)
    run.add_commands(commands)
    console.add_commands(commands)
    entries.add_commands(commands)
    search.add_commands(commands)
    export.add_commands(commands)
    verify.add_commands(commands)
    keys.add_commands(commands)
    auditors.add_commands(commands)
    people.add_commands(commands)
    anchor.add_commands(commands)
    witness.add_commands(commands)
    prove.add_commands(commands)
    purge.add_commands(commands)
    replay.add_commands(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code (`EXIT_CODES`). Raises `SystemExit` for help and bad usage."""
    given = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal of another encoding shows an escape; it does not end the command.
            stream.reconfigure(errors="backslashreplace")
    # What follows `lab` and `server` is for the launcher and for Jupyter, whose options are not known here.
    handed_on = bool(given) and given[0] in launch.FACES and not {"-h", "--help"} & set(given)
    options = build_parser().parse_args(given[:1] if handed_on else given)
    options.rest = given[1:] if handed_on else []
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except AuditError as error:
        server = getattr(options, "server", None)
        told = through_server(error.explain(), server) if server else error.explain()
        print(clean_block(told, indent=""), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain again when it closes it.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(clean_block(f"{error.strerror or error}: {error.filename or ''}", indent=""), file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
