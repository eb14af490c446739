"""
JupyterLab's link to the audit panel, without an extension of JupyterLab: settings that the server lays over Lab's own.

The entry stands in the Help menu and uses a command that Lab has (`help:open`). The settings need the server's
base URL, so they are written for each start, into the audit home.
"""

from __future__ import annotations

import json
from pathlib import Path

from jupyter_server.utils import url_path_join


def write_lab_settings(folder: Path, base_url: str) -> Path:
    """Write Lab's settings overrides into `folder` and return it, to be Lab's `app_settings_dir`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    panel = {
        "command": "help:open",
        "rank": 0,
        "args": {
            "url": url_path_join(base_url, "audit/panel"),
            "text": "Audit panel",
            "newBrowserTab": False,
        },
    }
    overrides = {
        "@jupyterlab/mainmenu-extension:plugin": {
            "menus": [{"id": "jp-mainmenu-help", "items": [panel]}]
        },
        # Lab would ask whether it may fetch news and updates; an audited server tells nobody that it is there.
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    (folder / "overrides.json").write_text(json.dumps(overrides, indent=2), encoding="utf-8")
    return folder
