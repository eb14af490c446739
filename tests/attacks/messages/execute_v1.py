"""A cell, over v1.kernel.websocket.jupyter.org: header, parent, metadata and content are bytes there."""

from __future__ import annotations

from attack_house import Client
from support.servers import V1

SUBPROTOCOL = V1


def strike(client: Client, code: str) -> str:
    return client.execute(code)
