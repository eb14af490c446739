"""The file in the audit home that says where its server is, for `jupyter audit run` and others of this account."""

from __future__ import annotations

import json
import os
from pathlib import Path

from jupyter_audit.home import Home


def server_file(home: Home) -> Path:
    """Return where a running server says how it can be reached, for `jupyter audit run` and others."""
    return home.run / "server.json"


def write_private(path: Path, text: str) -> None:
    """Write a file that only this account can read, in one piece."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    unfinished.replace(path)


def remove_own(path: Path) -> None:
    """Remove the file that says where this server is, unless another server's has taken its place."""
    try:
        if json.loads(path.read_text()).get("pid") == os.getpid():
            path.unlink()
    except (OSError, ValueError):
        return
