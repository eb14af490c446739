"""Every route that the extension adds, in one place."""

from __future__ import annotations

from typing import Any

from jupyter_audit.server.api import ROUTES, SESSION_ID
from jupyter_audit.server.panel import PanelHandler, WatchHandler

PANEL = "/audit/panel"
API = "/audit/api/v1/"


def handlers_for(name: str) -> list[tuple[Any, ...]]:
    """Return the routes of the extension called `name`; Jupyter puts the base URL in front."""
    del name  # what the routes need they find in the application's settings
    pages = [(f"{PANEL}/?", PanelHandler), (f"{PANEL}/watch/({SESSION_ID})", WatchHandler)]
    return [*pages, *((API + route, handler) for route, handler in ROUTES)]
