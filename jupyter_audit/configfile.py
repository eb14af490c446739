"""
The admin's configuration file: found in the system's folders or named, and read only if nobody else can write it.

A configuration file is code in the server process, so whoever can write it can do what the server can. A
user's own Jupyter configuration is never read here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from traitlets.config import Config
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

from jupyter_audit.errors import ConfigError

NAME = "jupyter_server_config"
SYSTEM_FOLDERS = (Path("/usr/local/etc/jupyter"), Path("/etc/jupyter"))


def load_admin_config(explicit: Path | None) -> Config:
    """
    Return the admin's configuration: of the file named, or of the system's folders (the first one wins a conflict).

    Raises `ConfigError` if the file is missing, can be written by others, or does not read.
    """
    if explicit is not None:
        path = explicit.expanduser().absolute()
        if not path.is_file():
            raise ConfigError(f"There is no configuration file {path}.", advice="Check the path given with --config.")
        return _load(path)
    config = Config()
    for folder in reversed(SYSTEM_FOLDERS):
        for suffix in (".json", ".py"):
            path = folder / f"{NAME}{suffix}"
            if path.is_file():
                config.merge(_load(path))
    return config


def check_owner_and_modes(path: Path) -> None:
    """Raise `ConfigError` unless only root and this account can change the file, or put another in its place."""
    real = path.resolve()
    trusted = {0, os.geteuid()}
    for step in (real, *real.parents):
        status = step.stat()
        # In a sticky folder (/tmp) others can add files, but not replace this one.
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_uid not in trusted or (status.st_mode & 0o022 and not sticky):
            raise ConfigError(
                f"The configuration file {path} is not safe: {step} can be changed by other accounts "
                f"(owner uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}).",
                advice=f"Configuration is code in the server. Run `chown root {step}; chmod go-w {step}`.",
            )


def _load(path: Path) -> Config:
    check_owner_and_modes(path)
    loader = PyFileConfigLoader if path.suffix == ".py" else JSONFileConfigLoader
    try:
        return loader(path.name, path=str(path.parent)).load_config()
    except Exception as error:
        # A Python file can raise anything; half a configuration must not be served.
        raise ConfigError(
            f"The configuration file {path} could not be read: {type(error).__name__}: {error}.",
            advice="Mend the file; nothing is started with a part of it.",
        ) from error
