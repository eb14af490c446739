"""
A server extension that runs code past websocket and Authorizer, as jupyter-server-nbmodel does: by a kernel client
of its own, or by that one's. `ExecuteHandler` stands for one that an admin has opened, `HiddenHandler` for one that nobody has
looked at.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server_nbmodel.execution_stack import ExecutionStack
from tornado import web

CLIENTS: list[Any] = []
"""Kept: what a client that is thrown away has not sent yet is not sent."""


class ExecuteHandler(APIHandler):
    """POST {kernel_id, code, by}: runs the code, with nothing but a login asked for."""

    @web.authenticated
    async def post(self) -> None:
        body: Any = self.get_json_body()
        if body.get("by") == "nbmodel":
            stack = ExecutionStack(self.kernel_manager, None)
            stack.put(body["kernel_id"], body["code"], {})
            CLIENTS.append(stack)
        else:
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
    app.web_app.add_handlers(".*$", [(f"{base}/rogue/execute", ExecuteHandler), (f"{base}/rogue/hidden", HiddenHandler)])
