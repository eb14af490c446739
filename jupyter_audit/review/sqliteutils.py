"""The one way to sqlite-utils, by which everything is made that nobody signed: indexes, exports. An extra brings it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_audit.errors import ConfigError

if TYPE_CHECKING:
    from sqlite_utils import Database


def database_class() -> type[Database]:
    """Return sqlite-utils' `Database`. Raises `ConfigError` if it is not installed."""
    try:
        from sqlite_utils import Database
    except ImportError as error:
        raise ConfigError(
            "This needs the package sqlite-utils, which is not installed.",
            advice="Run `pip install 'jupyter-audit[review]'`. `search --scan` and `export` of JSON lines do without.",
        ) from error
    return Database
