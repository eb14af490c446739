"""`jupyter audit lab | server`: hand over to the launcher, in an isolated interpreter."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import Any

from jupyter_audit.errors import ConfigError


def add_commands(commands: Any) -> None:
    """Add the commands of this module. Their options are the launcher's and Jupyter's own."""
    for name, text in (("lab", "open an audited JupyterLab"), ("server", "start an audited Jupyter server without a page")):
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}. Takes --home DIR, --solo, --config FILE, --root-dir DIR, --port N, "
            "--no-browser, and any option of jupyter_server that does not touch what recording depends on.",
        )
        command.set_defaults(run=launch, face=name)


def launch(options: argparse.Namespace) -> int:
    """Replace this process by the launcher's."""
    if find_spec("jupyter_server") is None or (options.face == "lab" and find_spec("jupyterlab") is None):
        raise ConfigError(
            f"`jupyter audit {options.face}` needs more than is installed here.",
            advice="pip install 'jupyter-audit[lab]'",
        )
    # Nothing that a user's shell exports may put code into the server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-I", "-m", "jupyter_audit.server.launcher", options.face, *options.rest]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606 (this is the point)
