"""`jupyter audit lab | notebook | server`: hand over to the launcher, in an isolated interpreter."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import Any

from jupyter_audit.cli.options import description
from jupyter_audit.errors import ConfigError

FACES = {
    "lab": ("open an audited JupyterLab", "jupyterlab"),
    "notebook": ("open an audited Jupyter Notebook", "notebook"),
    "server": ("start an audited Jupyter server without a page of its own", "jupyter_server"),
}
"""Each command's summary, and what has to be installed for it."""

ABOUT = (
    "Takes --home DIR, --solo, --config FILE, --root-dir DIR, --port N, --no-browser, and any option of "
    "Jupyter Server that does not touch what recording depends on. Exits with 7 and a reason if the server "
    "could not be trusted."
)


def add_commands(commands: Any) -> None:
    """Add the commands of this module. Their options are the launcher's and Jupyter's own."""
    for name, (summary, _) in FACES.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=description(summary, ABOUT),
            epilog=f"examples:\n  jupyter audit {name} --solo\n"
            f"  jupyter audit {name} --config /etc/jupyter/audited.py --port 8890",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=launch, face=name)


def launch(options: argparse.Namespace) -> int:
    """Replace this process by the launcher's."""
    needed = ("jupyter_server", FACES[options.face][1])
    if any(find_spec(name) is None for name in needed):
        raise ConfigError(
            f"`jupyter audit {options.face}` needs more than is installed here.",
            advice=f"pip install 'jupyter-audit[{'notebook' if options.face == 'notebook' else 'lab'}]'",
        )
    # Nothing that a user's shell exports may put code into the server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-I", "-m", "jupyter_audit.server.launcher", options.face, *options.rest]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 (this is the point)
