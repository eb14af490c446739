"""
The admin's configuration file: found in the system's folders or named, read only if nobody else can write it.

A configuration file is code in the server process, so whoever can write it can do what the server can. A
user's own Jupyter configuration is never read here.
"""

from __future__ import annotations

import ast
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

from jupyter_audit.errors import ConfigError
from jupyter_audit.settings import JupyterAudit

NAME = "jupyter_server_config"
SYSTEM_FOLDERS = (Path("/usr/local/etc/jupyter"), Path("/etc/jupyter"))


def load_admin_config(explicit: Path | None) -> Config:
    """
    Return the admin's configuration: of the file named, or of the system's folders (the first one wins).

    Raises `ConfigError` if the file is missing, can be written by others, or does not read.
    """
    if explicit is not None:
        path = explicit.expanduser().absolute()
        if not path.is_file():
            raise ConfigError(f"There is no configuration file {path}.", advice="Check the path given with --config.")
        return _load(path)
    config = Config()
    for path in _system_files():
        config.merge(_load(path))
    return config


def _system_files() -> list[Path]:
    """Return the configuration files of the system's folders; what a later one says counts."""
    named = (folder / f"{NAME}{suffix}" for folder in reversed(SYSTEM_FOLDERS) for suffix in (".json", ".py"))
    return [path for path in named if path.is_file()]


def load_settings(config: Config) -> JupyterAudit:
    """Return the settings in a configuration. Raises `ConfigError` naming one that is wrong or unknown."""
    known = JupyterAudit.class_trait_names(config=True)
    for name, value in config.JupyterAudit.items():
        if name not in known:
            raise ConfigError(
                f"c.JupyterAudit.{name} is not a setting.",
                advice=f"Known: {', '.join(sorted(known))}.",
                setting=(str(name),),
            )
        try:
            JupyterAudit(config=Config(JupyterAudit={name: value}))
        except TraitError as error:
            raise ConfigError(f"c.JupyterAudit.{name} cannot be used: {error}", setting=(str(name),)) from error
    return JupyterAudit(config=config)


@contextmanager
def naming_lines(explicit: Path | None) -> Iterator[None]:
    """Have a `ConfigError` about a setting say on which line of which file the setting stands, where that can be found."""
    try:
        yield
    except ConfigError as error:
        files = _system_files() if explicit is None else [explicit.expanduser().absolute()]
        for path in reversed(files):
            line = line_of(path, error.setting)
            if line is not None:
                told = f"{path}, line {line}: {error}"
                raise ConfigError(told, advice=error.advice, setting=error.setting) from error
        raise


def line_of(path: Path, setting: tuple[str, ...]) -> int | None:
    """Return the line of a Python configuration file on which a setting stands, or as near to it as can be seen."""
    if not setting or path.suffix != ".py":
        return None
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError):
        return None
    best: tuple[int, int] | None = None
    for node in ast.walk(module):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            way = _way(target)
            if way[:1] == ("JupyterAudit",) and way[1:] == setting[: len(way) - 1] and isinstance(node, ast.Assign):
                found = _within(node.value, setting[len(way) - 1 :], (len(way) - 1, node.lineno))
                best = found if best is None or found[0] >= best[0] else best
    return None if best is None else best[1]


def _way(target: ast.expr) -> tuple[str, ...]:
    """Return the names of `c.JupyterAudit.profiles["x"]`, after the `c`; nothing for another kind of target."""
    if isinstance(target, ast.Attribute):
        return () if isinstance(target.value, ast.Name) and target.attr != "JupyterAudit" else (*_way(target.value), target.attr)
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return (*_way(target.value), str(target.slice.value))
    return ()


def _within(value: ast.expr, rest: tuple[str, ...], found: tuple[int, int]) -> tuple[int, int]:
    """Return how far the way leads into a literal dictionary, and the line where it ends."""
    if rest and isinstance(value, ast.Dict):
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and str(key.value) == rest[0]:
                return _within(item, rest[1:], (found[0] + 1, key.lineno))
    return found


def check_owner_and_modes(path: Path) -> None:
    """Raise `ConfigError` unless only root and this account can change the file, and all that leads to it."""
    trusted = {0, os.geteuid()}
    seen: set[Path] = set()
    waiting = [path.absolute()]
    while waiting:
        step = waiting.pop()
        if step in seen:
            continue
        seen.add(step)
        status = step.lstat()
        waiting.append(step.parent)
        if stat.S_ISLNK(status.st_mode):
            # A link has no modes of its own; its folder is looked at, and so is what it points to.
            waiting.append(step.parent / step.readlink())
            others_write = False
        else:
            # In a sticky folder (/tmp) others can add files, but not replace this one.
            sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
            others_write = bool(status.st_mode & 0o022 and not sticky)
        if status.st_uid not in trusted or others_write:
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
    except (Exception, SystemExit) as error:
        # A Python file can raise anything, and try to leave; half a configuration must not be served.
        raise ConfigError(
            f"The configuration file {path} could not be read: {type(error).__name__}: {error}.",
            advice="Mend the file; nothing is started with a part of it.",
        ) from error
