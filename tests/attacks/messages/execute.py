"""A cell, over the default websocket protocol."""

from __future__ import annotations

from attack_house import Client


def strike(client: Client, code: str) -> str:
    return client.execute(code)
