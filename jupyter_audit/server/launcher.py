"""
The launcher: starts a Jupyter server that can be trusted to record, or says in one paragraph why it does not.

    python -I -m jupyter_audit.server.launcher lab|server [--config FILE] [--home DIR] [--solo] [jupyter's own options]

Configuration is the admin's; what the gate hangs on is pinned above it and above the command line; extensions are
those on a list; and once everything has started, every class and setting that counts is looked at again.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp, aliases, flags
from traitlets import Dict
from traitlets.config import Config

from jupyter_audit.access.policy import Policy
from jupyter_audit.configfile import load_admin_config
from jupyter_audit.errors import AuditError, ConfigError, LedgerMissingError
from jupyter_audit.gate.isolation import check_folders, probe
from jupyter_audit.home import Home, default_home
from jupyter_audit.server import guard
from jupyter_audit.server.lablink import write_lab_settings
from jupyter_audit.server.services import find_services
from jupyter_audit.settings import JupyterAudit

CLASSES = {
    "kernel_manager_class": "jupyter_audit.server.kernels.AuditMappingKernelManager",
    "kernel_websocket_connection_class": "jupyter_audit.server.websocket.AuditWebsocketConnection",
    "authorizer_class": "jupyter_audit.server.authorizer.AuditAuthorizer",
}
SOLO_IDENTITY = "jupyter_audit.server.identity.SoloIdentityProvider"

PINNED: dict[str, dict[str, Any]] = {
    "ServerApp": {
        **CLASSES,
        "terminals_enabled": False,
        "allow_external_kernels": False,
        "reraise_server_extension_failures": True,
        "disable_check_xsrf": False,
        "allow_origin": "",
        "allow_origin_pat": "",
    },
    "LabApp": {
        "extension_manager": "readonly",
        "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "news_url": None,
        "lock_all_plugins": True,
    },
    "ContentsManager": {"allow_hidden": False},
    "ExecutePreprocessor": {"enabled": False},
    "KernelSpecManager": {"ensure_native_kernel": False},
}
"""What no configuration file and no option changes."""

NOT_STARTED = 7


class AuditServerApp(ServerApp):  # type: ignore[misc]
    """Jupyter Server with the pins in place."""

    launched = True
    classes = [*ServerApp.classes, JupyterAudit]
    aliases = Dict({**aliases, "home": "JupyterAudit.home", "root-dir": "ServerApp.root_dir"})
    flags = Dict(
        {**flags, "solo": ({"JupyterAudit": {"solo": True}}, "One person holds every role (see the README).")}
    )
    exit_status = 0
    home: Home

    def load_config_file(self, suppress_errors: bool = True) -> None:
        """Load the admin's configuration, and nobody else's."""
        self.update_config(load_admin_config(Path(self.config_file) if self.config_file else None))

    def migrate_config(self) -> None:
        """Leave other folders alone: Jupyter would copy an old user's configuration into the new one."""

    def find_server_extensions(self) -> None:
        """Pin what is pinned, now that the whole configuration is known, and list the extensions that may load."""
        settings = JupyterAudit(parent=self)
        self.home = Home(Path(settings.home).expanduser().absolute() if settings.home else default_home())
        self._check(settings)
        extensions = [name for name in settings.allowed_extensions if importlib.util.find_spec(name)]
        self.jpserver_extensions = {name: True for name in {*extensions, "jupyter_audit"}}
        pinned = Config(PINNED)
        pinned.ServerApp.jpserver_extensions = dict(self.jpserver_extensions)
        pinned.KernelSpecManager.allowed_kernelspecs = set(settings.allowed_kernels)
        if "default_kernel_name" not in self.config.MappingKernelManager and settings.allowed_kernels:
            pinned.MappingKernelManager.default_kernel_name = settings.allowed_kernels[0]
        if settings.solo:
            pinned.ServerApp.identity_provider_class = SOLO_IDENTITY
        pinned.LabApp.app_settings_dir = str(write_lab_settings(self.home.jupyter_config / "lab-settings", self.base_url))
        self.update_config(pinned)

    def _check(self, settings: JupyterAudit) -> None:
        """Raise with a reason if the settings cannot be served with."""
        Policy.from_settings(settings)
        if settings.grace_seconds <= 0 or settings.sweep_seconds <= 0:
            raise ConfigError(
                "c.JupyterAudit.grace_seconds and c.JupyterAudit.sweep_seconds must be more than nothing, got "
                f"{settings.grace_seconds} and {settings.sweep_seconds}."
            )
        if self.config.GatewayClient.get("url") or os.environ.get("JUPYTER_GATEWAY_URL"):
            raise ConfigError(
                "c.GatewayClient.url is set: kernels behind a gateway pass no gate of this server.",
                advice="Unset it here, and audit the gateway's own server instead.",
            )
        self.home.check()
        if not self.home.ledger.is_file():
            raise LedgerMissingError(
                f"There is no ledger in {self.home.path}, and starting a server never makes one.",
                advice=f"Run `jupyter audit init --home {self.home.path}` once.",
            )
        probe(settings.isolation)
        check_folders(self.home.path, Path(self.root_dir))

    def load_server_extensions(self) -> None:
        """Load the extensions, then put the guard in front of every handler there is."""
        super().load_server_extensions()
        guard.install(self.web_app)

    async def _post_start(self) -> None:
        await super()._post_start()
        services = find_services(self.web_app.settings)
        if services is None or not services.serving:
            self._give_up("Jupyter Audit did not start; the lines above say why.")
        elif services.assessment.unassured:
            self._give_up("This server is not what it must be: not so is that " + "; that ".join(services.assessment.unassured) + ".")
        else:
            info = {"url": self.local_url.partition("?")[0], "token": self.identity_provider.token, "pid": os.getpid(),
                    "server": services.server_id}
            write_private(server_file(self.home), json.dumps(info))

    def _give_up(self, reason: str) -> None:
        self.exit_status = NOT_STARTED
        self.log.critical("%s It stops now.", reason)
        self.stop()


def server_file(home: Home) -> Path:
    """Return where a running server says how it can be reached, for `jupyter audit run` and others."""
    return home.run / "server.json"


def write_private(path: Path, text: str) -> None:
    """Write a file that only this account can read, in one piece."""
    unfinished = path.with_suffix(".new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def refuse_pinned_options(arguments: list[str]) -> None:
    """Raise `ConfigError` if an option would change what is pinned."""
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0]
        section, _, trait = name.partition(".")
        if trait and trait in PINNED.get(section, {}):
            raise ConfigError(
                f"--{name} cannot be set on an audited server: recording hangs on it.",
                advice="Leave it out. A plain server is started with `jupyter lab`.",
            )


def prepare_environment(home: Path) -> None:
    """Point Jupyter's own folders into the audit home, out of the reach of kernels and of a user's configuration."""
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "JUPYTER_NO_CONFIG", "JUPYTER_DEFAULT_PROVISIONER_NAME"):
        os.environ.pop(name, None)
    os.environ["JUPYTER_CONFIG_DIR"] = str(home / "jupyter")
    os.environ["JUPYTER_DATA_DIR"] = str(home / "jupyter" / "data")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(home / "run" / "jupyter")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["JUPYTER_PLATFORM_DIRS"] = "1"


def named_home(arguments: list[str]) -> Path:
    """Return the home that the options name; needed before Jupyter reads its own environment."""
    for position, argument in enumerate(arguments):
        for option in ("--home", "--JupyterAudit.home"):
            if argument.startswith(f"{option}="):
                return Path(argument.partition("=")[2]).expanduser().absolute()
            if argument == option and position + 1 < len(arguments):
                return Path(arguments[position + 1]).expanduser().absolute()
    return default_home()


def main(arguments: list[str] | None = None) -> int:
    """Start `lab` or `server` and return the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    face, options = (given[0], given[1:]) if given else ("lab", [])
    if face not in ("lab", "server"):
        print(f"usage: launcher lab|server [options], not {face!r}", file=sys.stderr)  # noqa: T201 (no log yet)
        return 2
    home: Home | None = None
    try:
        refuse_pinned_options(options)
        prepare_environment(named_home(options))
        # The recorder's thread must get its turn as soon as the disk has answered: cells wait for it.
        sys.setswitchinterval(0.0005)
        app = AuditServerApp.instance(allow_root=True)
        starter = "lab" if face == "lab" else None
        app.initialize(options, starter_extension=starter)
        home = app.home
        app.start()
    except AuditError as error:
        print(f"No server was started. {error.explain()}", file=sys.stderr)  # noqa: T201 (the reason, in one paragraph)
        return error.exit_code
    finally:
        if home is not None:
            server_file(home).unlink(missing_ok=True)
    return app.exit_status


if __name__ == "__main__":
    sys.exit(main())
