"""Every route that the extension adds, in one place."""

from __future__ import annotations

from typing import Any

from jupyter_server.utils import url_path_join

from jupyter_audit.server.api import API_ROUTES
from jupyter_audit.server.panel import PanelHandler

API = r"audit/api/v1/"


def handlers_for(name: str) -> list[tuple[Any, ...]]:
    """Return the routes of the extension called `name`; Jupyter puts the base URL in front."""
    panel = (url_path_join("/", "audit/panel") + "/?", PanelHandler, {"name": name})
    return [panel, *((url_path_join("/", API) + route, handler) for route, handler in API_ROUTES)]
