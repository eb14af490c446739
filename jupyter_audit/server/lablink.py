"""
The way from JupyterLab to the audit panel, without an extension of JupyterLab: settings laid over Lab's own.

Three places, all with a command that Lab has (`help:open`): a menu of its own, the Help menu, and a button in
each notebook's toolbar, where somebody stands whose cell was just refused. They open a browser tab: inside
itself Lab shows such pages only in a sandboxed frame of no origin, from which the panel could ask nothing.

The settings hold the server's base URL, so they are written for each start, into the audit home.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jupyter_server.utils import url_path_join

TITLE = "Audit Panel"

LEFT_OUT = (
    "@datalayer/jupyter-server-nbmodel",
    "@jupyterlab/fileeditor-extension:language-server",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/notebook-extension:language-server",
)
"""
Plugins of JupyterLab that could only fail: they talk to what the server does not serve. The first, where it is installed, would
send every notebook's cells to jupyter-server-nbmodel, in the place of JupyterLab's own executor.
"""

TERMINALS = "@jupyterlab/terminal-extension"
"""Left out, too, where no profile allows terminals."""


def lab_settings_overrides(base_url: str) -> dict[str, Any]:
    """Return settings of JupyterLab's plugins, by plugin, for a server at `base_url`."""
    args = {"url": url_path_join(base_url, "audit/panel"), "text": TITLE, "newBrowserTab": True}
    item = {"command": "help:open", "args": args, "rank": 0}
    button = {
        "name": "audit-panel",
        "command": "help:open",
        "args": args,
        "label": "Audit",
        "caption": "Your access, requests, latest cells and findings",
        "rank": 900,
    }
    return {
        "@jupyterlab/mainmenu-extension:plugin": {
            "menus": [
                {"id": "jp-mainmenu-audit", "label": "Audit", "rank": 900, "items": [item]},
                {"id": "jp-mainmenu-help", "items": [item]},
            ]
        },
        "@jupyterlab/notebook-extension:panel": {"toolbar": [button]},
        # Lab would ask whether it may fetch news and updates; an audited server tells nobody that it exists.
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    }


def write_lab_settings(folder: Path, base_url: str) -> Path:
    """Write Lab's settings overrides into `folder` and return it, to be `LabApp.app_settings_dir`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps(lab_settings_overrides(base_url), indent=2)
    (folder / "overrides.json").write_text(text, encoding="utf-8")
    return folder


def write_left_out(configuration: Path, *, terminals: bool) -> None:
    """Put down in the folder of Jupyter's configuration what the pages of JupyterLab and of Notebook 7 do not load."""
    folder = configuration / "labconfig"  # Notebook 7 looks here only, not in its app_settings_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    left_out = {"disabledExtensions": dict.fromkeys(LEFT_OUT if terminals else (*LEFT_OUT, TERMINALS), True)}
    (folder / "page_config.json").write_text(json.dumps(left_out, indent=2), encoding="utf-8")
