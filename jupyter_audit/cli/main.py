"""
`jupyter audit …`. Finds the command, runs it, and turns what goes wrong into a sentence and an exit code.

Exit codes: 0 done; 1 a check failed; 2 bad usage; 3 settings or audit home; 4 ledger or recording; 5 the ledger is damaged
or rolled back; 6 a rule of access or the gate said no; 7 a server or kernel may not start; 8 no server answers;
9 a cell raised an error; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys

from jupyter_audit_kernel.version import __version__

from jupyter_audit.cli import access, evidence, launch, run, setup
from jupyter_audit.errors import AuditError

LAUNCHED = ("lab", "server")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="jupyter audit",
        description="Debug production from a notebook, and be able to answer for it.",
        epilog="The commands are described in docs/cli.md.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--home", help="the audit home (default: $JUPYTER_AUDIT_HOME, or this account's data folder)")
    common.add_argument("--config", help="the admin's configuration file (default: the system's folders)")
    common.add_argument("--solo", action="store_true", help="one person holds every role (default where no roles are set)")
    common.add_argument("--server", help="act through this running server; its token is taken from $JUPYTER_AUDIT_TOKEN")
    common.add_argument("--json", action="store_true", help="print JSON instead of text")
    setup.add_commands(commands, common)
    launch.add_commands(commands)
    access.add_commands(commands, common)
    evidence.add_commands(commands, common)
    run.add_commands(commands, common)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if argv is None else argv
    # What follows `lab` and `server` is for the launcher and for Jupyter, whose options are not known here.
    own, rest = (given[:1], given[1:]) if given[:1] and given[0] in LAUNCHED and not {"-h", "--help"} & set(given) else (given, [])
    options = build_parser().parse_args(own)
    options.rest = rest
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except AuditError as error:
        print(error.explain(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain again when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
