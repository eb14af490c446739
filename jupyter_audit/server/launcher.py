"""
The launcher: starts a Jupyter server that can be trusted to record, or says in one paragraph why it does not
(P1, P2).

    python -I -m jupyter_audit.server.launcher lab|notebook|server [--config FILE] [--home DIR] [--solo] [jupyter's own
    options]

Configuration is the admin's; what the gate hangs on is pinned above it and above the command line; extensions
are those on a list; and before anything is listened to, and again once everything has started, every class
and setting that counts is looked at. It must never read a user's Jupyter configuration, and never serve with
a part of its own.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from jupyter_server.serverapp import ServerApp, aliases, flags
from traitlets import Dict, Instance
from traitlets.config import Config

from jupyter_audit.access.policy import Policy
from jupyter_audit.configfile import load_admin_config, naming_lines
from jupyter_audit.errors import AuditError, ConfigError, GateError, LedgerMissingError, UsageError
from jupyter_audit.gate.isolation import probe
from jupyter_audit.home import HOME_VARIABLE, Home, default_home
from jupyter_audit.server import guard
from jupyter_audit.server.assertions import assess
from jupyter_audit.server.lablink import write_lab_settings, write_left_out
from jupyter_audit.server.pins import CLASSES, PINNED, SOLO_IDENTITY
from jupyter_audit.server.preflight import check_writable, refuse_pinned_options, refuse_unsafe
from jupyter_audit.server.services import find_services
from jupyter_audit.server.whereabouts import remove_own, server_file, write_private
from jupyter_audit.settings import JupyterAudit

__all__ = ["CLASSES", "AuditServerApp", "main"]

FACES: Mapping[str, tuple[str, str] | None] = {
    "lab": ("jupyterlab", "jupyterlab.labapp:LabApp"),
    "notebook": ("notebook", "notebook.app:JupyterNotebookApp"),
    "server": None,
}
"""What may be started: the server extension whose page it opens, and that extension's application."""

NOT_STARTED = GateError.exit_code
LONGEST_STOP_S = 18.0
"""Seconds that a stop may take besides the grace, until the process has ended; sinks alone are given most of it."""

TIMES_CANCELLED, CANCEL_S = 10, 0.2
"""How often what still runs after a stop is told to end, and how many seconds it has each time."""

TOKEN_VARIABLE = "JUPYTER_TOKEN"  # noqa: S105 (a name)
KEPT_VARIABLES = frozenset({"JUPYTER_TOKEN_FILE", HOME_VARIABLE})
"""Of Jupyter's own environment variables, those that a server of ours still heeds."""


class AuditServerApp(ServerApp):
    """Jupyter Server with the pins in place."""

    launched = True
    classes = [*ServerApp.classes, JupyterAudit]  # noqa: RUF012 (traitlets wants a list)
    aliases = Dict({**aliases, "home": "JupyterAudit.home", "root-dir": "ServerApp.root_dir"})
    flags = Dict(
        {**flags, "solo": ({"JupyterAudit": {"solo": True}}, "One person holds every role (see the README).")}
    )
    subcommands = Dict({})

    admin_config = Instance(Config, ())
    pinned = Instance(Config, ())
    home: Home
    failure: AuditError | None = None

    # --- configuration: the admin's, under the pins ---------------------------------------------------

    @property
    def config_file_paths(self) -> list[str]:
        """No folder is searched for configuration: neither for the server's, nor for an extension's."""
        return []

    def load_config_file(self, suppress_errors: bool = True) -> None:  # type: ignore[override]
        """Use the admin's configuration, which was read before anything else, and nobody else's."""
        self.update_config(self.admin_config)

    def migrate_config(self) -> None:
        """Leave other folders alone: Jupyter would copy an old user's configuration into the new one."""

    def _find_subcommand(self, name: str) -> str:
        """Start no other program in the place of the server: Jupyter looks for one on the path."""
        return ""

    def update_config(self, config: Config) -> None:
        """Merge `config`, then what is pinned over it: extensions bring configuration along, too."""
        super().update_config(config)
        if self.pinned:
            super().update_config(self.pinned)

    def find_server_extensions(self) -> None:
        """Pin what is pinned, now that the configuration is known, and list the extensions that may load."""
        settings = JupyterAudit(parent=self)
        self.home = Home(home_in(self.config))
        self._check(settings)
        installed = [name for name in settings.allowed_extensions if importlib.util.find_spec(name)]
        self.jpserver_extensions = dict.fromkeys({*installed, "jupyter_audit"}, True)
        pinned = Config(PINNED)
        pinned.JupyterAudit.home = str(self.home.path)
        if "contents_manager_class" in self.config.ServerApp:
            # An admin may keep notebooks elsewhere; the assertions see to it that it is not in files.
            del pinned.AuditServerApp.contents_manager_class
        pinned.AuditServerApp.jpserver_extensions = dict(self.jpserver_extensions)
        # Each manager would take a folder of its own from the configuration; this is the one checked.
        for section in (
            "AuditServerApp",
            "AuditContentsManager",
            "AuditCheckpoints",
            "AuditMappingKernelManager",
        ):
            pinned[section].root_dir = self.root_dir
        pinned.AuditMappingKernelManager.default_kernel_name = settings.allowed_kernels[0]
        if settings.solo:
            pinned.AuditServerApp.identity_provider_class = SOLO_IDENTITY
        lab_settings = write_lab_settings(self.home.jupyter_config / "lab-settings", self.base_url)
        write_left_out(self.home.jupyter_config, terminals=Policy.from_settings(settings).has_terminals)
        for section in ("LabApp", "JupyterNotebookApp"):
            pinned[section].app_settings_dir = str(lab_settings)
            pinned[section].user_settings_dir = str(self.home.jupyter_config / "lab" / "user-settings")
            pinned[section].workspaces_dir = str(self.home.jupyter_config / "lab" / "workspaces")
        self.pinned = pinned
        self.update_config(Config())

    def _check(self, settings: JupyterAudit) -> None:
        """Raise with a reason if the settings cannot be served with."""
        Policy.from_settings(settings)
        for name in ("grace_seconds", "sweep_seconds", "record_timeout_seconds", "preview_bytes"):
            if getattr(settings, name) <= 0:
                raise ConfigError(
                    f"c.JupyterAudit.{name} is {getattr(settings, name)}; it must be more than nothing.",
                    advice="Take it out of the configuration to get the default.",
                )
        if settings.sweep_seconds > 15:
            raise ConfigError(
                f"c.JupyterAudit.sweep_seconds is {settings.sweep_seconds}: grants would outlive their end.",
                advice="Set 15 seconds or fewer.",
            )
        if not settings.allowed_kernels:
            raise ConfigError(
                "c.JupyterAudit.allowed_kernels is empty, so no kernel could start.",
                advice="Name at least one kernelspec; the default is ['audit'].",
            )
        guard.parse_opened(settings.allowed_handlers)
        if self.config.GatewayClient.get("url"):
            raise ConfigError(
                "c.GatewayClient.url is set: kernels behind a gateway pass no gate of this server.",
                advice="Unset it here, and audit the gateway's own server instead.",
            )
        refuse_unsafe(self.config)
        self.home.check()
        if not self.home.ledger.is_file():
            raise LedgerMissingError(
                f"There is no ledger in {self.home.path}, and starting a server never makes one.",
                advice=f"Run `jupyter audit init --home {self.home.path}` once.",
            )
        packages = [settings.kernel_packages.replace("{user}", "x")] if settings.kernel_packages else []
        for folder in (self.root_dir, *settings.kernel_writable, *packages):
            check_writable(Path(folder).expanduser(), self.home.path, self.config_file)
        probe(settings.isolation, settings.kernel_account)

    # --- start, and the assertions ----------------------------------------------------------------------

    def load_server_extensions(self) -> None:
        """Load the extensions, with the guard in front of every handler that they add."""
        guard.install(self.web_app, JupyterAudit(parent=self).allowed_handlers)
        super().load_server_extensions()

    def init_httpserver(self) -> None:
        """Look at everything that counts before anything is listened to."""
        self._assert()
        super().init_httpserver()

    def _assert(self) -> None:
        unassured = assess(self).unassured
        if unassured:
            raise GateError(
                f"This server is not what an audited one must be. Not so is: {'; '.join(unassured)}.",
                advice="Each names the setting to look at.",
            )

    def start_ioloop(self) -> None:
        """Run until the server is stopped, then end what still runs, as `asyncio.run` does."""
        gc.freeze()
        gc.enable()
        super().start_ioloop()
        # A thread of anyio's lives until the request that began it is done, and the process until its threads are.
        loop = asyncio.get_event_loop()
        for _ in range(TIMES_CANCELLED):
            left = asyncio.all_tasks(loop)
            if not left:
                return
            for task in left:
                task.cancel()
            # Once is not enough: what a websocket that just opened waits for takes its being cancelled as an answer, and goes on.
            loop.run_until_complete(asyncio.wait(left, timeout=CANCEL_S))
        self.log.warning("jupyter-audit: stopped with %d tasks that do not end", len(asyncio.all_tasks(loop)))

    def stop(self, from_signal: bool = False) -> None:
        """
        Stop, and see to it that the process ends: whatever hangs is not waited for.

        Nothing is lost by it: entries are durable, and supervisors end their kernels when the server is gone.
        """
        begins = not self._stopping
        super().stop(from_signal)
        if begins:
            # It says on standard error where the process hangs. No thread of Python's could end one that holds the interpreter,
            # or whose interpreter is half taken down.
            longest = JupyterAudit(parent=self).grace_seconds + LONGEST_STOP_S
            faulthandler.dump_traceback_later(longest, exit=True)

    async def cleanup_kernels(self) -> None:
        """End the kernels as Jupyter does. One that cannot be ended in order does not keep the server: its supervisor ends it."""
        try:
            await super().cleanup_kernels()
        except Exception:
            self.log.exception("jupyter-audit: not every kernel could be ended in order")

    async def _post_start(self) -> None:
        await super()._post_start()  # type: ignore[no-untyped-call]
        services = find_services(self.web_app.settings)
        try:
            if services is None or not services.serving:
                raise GateError(
                    "Jupyter Audit was loaded, but did not start.", advice="The lines above say what failed."
                )
            self._assert()
        except GateError as error:
            self.failure = error
            self.stop()
            return
        write_private(
            server_file(self.home),
            json.dumps(
                {
                    "url": urlsplit(self.local_url)
                    ._replace(path=self.base_url.rstrip("/"), query="")
                    .geturl(),
                    "token": self.identity_provider.token,
                    "pid": os.getpid(),
                    "server": services.server_id,
                }
            ),
        )


# --- the process ----------------------------------------------------------------------------------------


def option_value(options: Sequence[str], *names: str) -> str | None:
    """Return the value of an option that must be known before Jupyter reads its own; the last one counts."""
    found = None
    for position, option in enumerate(options):
        name, equals, value = option.partition("=")
        if name in names:
            found = value if equals else next(iter(options[position + 1 :]), None)
    return found


def home_in(config: Config) -> Path:
    """Return the audit home that a configuration names, or the default one."""
    named = config.JupyterAudit.get("home")
    return Path(named).expanduser().absolute() if named else default_home()


def enter_clean_process(given: Sequence[str]) -> None:
    """
    Start over in an isolated interpreter, if this is not one, and without the server's token in the
    environment.

    A kernel of the same account can read /proc/<server>/environ as the process was started with, whatever is
    taken out of it later; so a token is handed on through a pipe.
    """
    token = os.environ.pop(TOKEN_VARIABLE, None)
    if sys.flags.isolated and token is None:
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if token:
        reading, writing = os.pipe()
        os.write(writing, token.encode())
        os.close(writing)
        os.set_inheritable(reading, True)
        environment["JUPYTER_TOKEN_FILE"] = f"/dev/fd/{reading}"
    sys.stdout.flush()
    command = [sys.executable, "-I", "-m", "jupyter_audit.server.launcher", *given]
    os.execve(sys.executable, command, environment)  # noqa: S606 (this is the point)


def prepare_environment(home: Path) -> None:
    """
    Point Jupyter's own folders into the audit home, out of the reach of kernels and of a user's
    configuration.

    Raises `ConfigError` if the environment wants a gateway. Every other variable of Jupyter's is dropped:
    they name folders for configuration, extensions and kernelspecs. Only absolute folders stay on `$PATH`.
    """
    if os.environ.get("JUPYTER_GATEWAY_URL"):
        raise ConfigError(
            "$JUPYTER_GATEWAY_URL is set (c.GatewayClient.url): such kernels pass no gate of this server.",
            advice="Unset it here, and audit the gateway's own server instead.",
        )
    for name in list(os.environ):
        if name.startswith(("JUPYTER_", "JUPYTERLAB_", "IPYTHON")) and name not in KEPT_VARIABLES:
            del os.environ[name]
    # The others lead into the folder in which the server was started, where cells can put programs.
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(place for place in path if Path(place).is_absolute())
    os.environ["JUPYTER_CONFIG_DIR"] = str(home / "jupyter")
    os.environ["JUPYTER_DATA_DIR"] = str(home / "jupyter" / "data")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(home / "run" / "jupyter")
    os.environ["IPYTHONDIR"] = str(home / "jupyter" / "ipython")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"


def serve(face: str, options: list[str]) -> int:
    """Start `face`; return the exit code once it has ended. Raises `AuditError` if it cannot start."""
    refuse_pinned_options(options)
    page = FACES[face]
    if page is not None and importlib.util.find_spec(page[0]) is None:
        raise ConfigError(f"{page[0]} is not installed here.", advice=f"pip install 'jupyter-audit[{face}]'")
    config_file = option_value(options, "--config")
    config = load_admin_config(Path(config_file) if config_file else None)
    named_home = option_value(options, "--home", "--JupyterAudit.home")
    home = Home(Path(named_home).expanduser().absolute() if named_home else home_in(config))
    # Checked before Jupyter makes its own folders in it: starting never creates a home.
    home.check()
    prepare_environment(home.path)
    # The recorder's thread must get its turn as soon as the disk has answered: cells wait for it.
    sys.setswitchinterval(0.0005)
    app = AuditServerApp.instance(admin_config=config, allow_root=True)
    starter = None
    if page is not None:
        extension, application = page
        if extension not in JupyterAudit(config=config).allowed_extensions:
            raise ConfigError(
                f"c.JupyterAudit.allowed_extensions does not name {extension}.",
                advice="Add it, or start `jupyter audit server`.",
            )
        # The page's options are options of the server's command line; what they must not do is pinned.
        module, _, name = application.partition(":")
        page_app = getattr(importlib.import_module(module), name)
        app.flags = {**page_app.flags, **app.flags}
        app.aliases = {**page_app.aliases, **app.aliases}
        starter = page_app.name
    with naming_lines(Path(config_file) if config_file else None):
        try:
            app.initialize(list(options), starter_extension=starter)
            app.start()
        finally:
            remove_own(server_file(home))
        if app.failure is not None:
            raise app.failure
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Start a face and return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        enter_clean_process(given)
    face, options = (given[0], given[1:]) if given else ("lab", [])
    try:
        if face not in FACES:
            raise UsageError(f"The launcher starts {', '.join(FACES)}, not {face!r}.")
        return serve(face, options)
    except AuditError as error:
        reason, status = " ".join(error.explain().split()), error.exit_code
    except Exception as error:
        # Whatever it is that an extension or a library raises while starting: there is no server, and this is
        # why.
        reason, status = f"{type(error).__name__}: {' '.join(str(error).split())}", NOT_STARTED
    print(f"No server was started. {reason}", file=sys.stderr)  # noqa: T201 (the reason, in one paragraph)
    return status


if __name__ == "__main__":
    # A second signal while stopping must not leave kernels behind: Jupyter's own handlers take over from
    # here.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # What is loaded while a server starts is kept, so looking for garbage in it finds none: six times over it took 0.3 seconds.
    # And it would be looked through again with each full collection later, 0.1 seconds in which every cell waits.
    gc.disable()
    status = main()
    # All is closed by now. The interpreter would look through every object once more, some of them several times, before it ends:
    # most of the time that a stop takes, and long where memory is short.
    gc.freeze()
    sys.exit(status)
