"""What the launcher refuses before anything starts: options and settings that would undo the gate, and folders that hold it."""

from __future__ import annotations

import contextlib
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from traitlets.config import Config

import jupyter_audit
from jupyter_audit.errors import ConfigError, UsageError
from jupyter_audit.gate.isolation import check_folders, lies_in
from jupyter_audit.server.pins import pinned_trait


def refuse_pinned_options(options: Sequence[str]) -> None:
    """Raise `ConfigError` if an option would change what is pinned, or start something that is no server."""
    for option in options:
        name = option.lstrip("-").partition("=")[0]
        section, _, trait = name.partition(".")
        if not option.startswith("--"):
            continue
        if name == "generate-config" or trait in ("generate_config", "config_file", "config_file_name"):
            raise UsageError(
                f"--{name} is not for an audited server.", advice="Name the admin's file with --config FILE."
            )
        if trait and pinned_trait(section, trait):
            raise ConfigError(
                f"--{name} cannot be set on an audited server: recording hangs on it.",
                advice="Leave it out. A plain server is `jupyter lab` where Jupyter Audit is not installed.",
            )


UNSAFE: Mapping[str, str] = {
    "disable_check_xsrf": "any web page that the user opens could use the server in their name",
    "allow_unauthenticated_access": "handlers that forget to ask would be open to anybody",
    "allow_origin": "pages of other origins could use the server in the user's name",
    "allow_origin_pat": "pages of other origins could use the server in the user's name",
    "allow_external_kernels": "kernels from elsewhere were not started by the gate",
    "extra_services": "their handlers come before the gate's",
}
"""Settings of `ServerApp` that are pinned; an admin's wish for them is answered, not passed over."""


def refuse_unsafe(config: Config) -> None:
    """Raise `ConfigError` if the configuration wants what an audited server cannot be."""
    for section in ("ServerApp", "AuditServerApp"):
        for trait, reason in UNSAFE.items():
            if config.get(section, {}).get(trait):
                raise ConfigError(
                    f"c.{section}.{trait} is set, but then {reason}.",
                    advice="Take it out of the configuration.",
                )


def check_writable(folder: Path, home: Path, config_file: str) -> None:
    """
    Raise `ConfigError` if a folder that kernels may write to holds what the server is made of, or its account runs.

    `folder` is the notebook folder, one of `c.JupyterAudit.kernel_writable`, or where a person's packages go; `config_file`
    may be empty.
    """
    for own in account_folders():
        if lies_in(own, folder):
            raise ConfigError(
                f"Kernels may write to {folder}, which is or holds the home folder of the server's account, or its settings "
                f"({own}): what a cell leaves there runs outside of its sandbox, at the next start or login.",
                advice="Make a folder for notebooks and name it: `mkdir notebooks`, then --root-dir notebooks "
                "(c.ServerApp.root_dir; other folders are in c.JupyterAudit.kernel_writable and kernel_packages).",
            )
    check_folders(home, folder)
    code = [
        ("the server's Python environment", Path(sys.prefix)),
        ("Jupyter Audit itself", Path(jupyter_audit.__file__)),
        *(("a folder of $PATH", Path(place)) for place in os.get_exec_path()),  # of git and node
    ]
    if config_file:
        code.append(("the admin's configuration", Path(config_file)))
    for what, where in code:
        if lies_in(where, folder):
            raise ConfigError(
                f"Kernels may write to {folder}, and in it lies {what} ({where}): cells could change it.",
                advice="Choose another notebook folder with --root-dir (c.ServerApp.root_dir), or other "
                "folders in c.JupyterAudit.kernel_writable.",
            )


def account_folders() -> set[Path]:
    """Return where programs of this account look for what to do: its home folder, by its environment and by its login."""
    folders = {Path(os.environ[name]) for name in ("HOME", "XDG_CONFIG_HOME") if os.environ.get(name)}
    with contextlib.suppress(KeyError):  # in a container it may have no entry
        folders.add(Path(pwd.getpwuid(os.geteuid()).pw_dir))
    return folders
