"""
`jupyter audit console`: a console in the terminal, on a kernel of a running server.

`jupyter console` itself talks to a kernel's own sockets, which only the server reaches. This is Konsole of
jupyter-kernel-client, the same console over the server's REST API and websocket, with the URL and token of the home: what is
typed goes through the gate as any other cell.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean
from jupyter_audit.cli.remote import RemoteServer, find_server
from jupyter_audit.errors import AuditError, ConfigError, ServerUnreachableError, UsageError


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "console",
        run,
        "work on a kernel of a running server from the terminal",
        about="What is typed is gated and recorded as a cell of a notebook is. A kernel "
        "that the console has started is ended with it.",
        examples="  jupyter audit console\n  jupyter audit console --existing 5e1a4c1e-0f6c-4b43-a9f8-2f1b7c9d8e11",
        server=True,
    )
    command.add_argument("--kernel", default="audit", metavar="NAME", help="the kernel to start (default: %(default)s)")
    command.add_argument("--existing", default="", metavar="ID", help="a kernel of one's own that runs already, by its id")
    command.add_argument("--simple-prompt", action="store_true", help="read plain lines, for terminals that can do no more")


def run(options: argparse.Namespace) -> int:
    """Run the console until its user leaves it."""
    try:
        from jupyter_kernel_client.konsoleapp import KonsoleApp
    except ImportError as error:
        raise ConfigError(
            f"`jupyter audit console` needs {error.name}.", advice="pip install 'jupyter-audit[console]'"
        ) from error
    server = find_server(context_of(options).home, options.server)
    _check_named(server, options.kernel, options.existing)

    class Console(KonsoleApp):  # type: ignore[misc]  # its package has no types
        """Konsole without configuration files: one in the folder where it is started would be run as its user."""

        def load_config_file(self, *_: Any, **__: Any) -> None:
            pass

        def start(self) -> None:
            try:
                if self.shell is not None:
                    self.shell.mainloop()
            finally:
                if not options.existing and self.kernel_client.kernel:
                    with contextlib.suppress(AuditError):
                        # Gone, the server closes the websocket at once; else Konsole waits for that for ten seconds.
                        server.request("DELETE", f"/api/kernels/{self.kernel_client.kernel['id']}")
                self.kernel_client.client.stop_channels()

    # The token goes this way and not on a command line, which every account of the machine could read.
    app = Console(server_url=server.url, token=server.token, kernel_name=options.kernel, existing=options.existing)
    try:
        app.initialize(["--simple-prompt"] if options.simple_prompt else [])
    except (OSError, RuntimeError) as error:
        told = f"The console got no kernel: {clean(str(error))}"
        raise ServerUnreachableError(told, advice="The server's log says why.") from error
    app.start()
    return 0


def _check_named(server: RemoteServer, kernel: str, existing: str) -> None:
    """Raise `UsageError` for a kernel that the server does not have, or whatever keeps the server from saying so."""
    if existing:
        if existing not in {each["id"] for each in server.request("GET", "/api/kernels")}:
            raise UsageError(f"No kernel {clean(existing)} runs there.", advice="Leave --existing out to start one.")
    elif kernel not in (known := server.request("GET", "/api/kernelspecs")["kernelspecs"]):
        raise UsageError(f"The server has no kernel {clean(kernel)}.", advice=f"It has: {clean(', '.join(sorted(known)))}.")
