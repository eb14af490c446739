"""A cell that names no channel: Jupyter Server takes it for shell."""

from __future__ import annotations

from attack_house import Client, cell


def strike(client: Client, code: str) -> str:
    return client.send_raw(content=cell(code), channel=None)
