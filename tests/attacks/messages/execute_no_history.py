"""A cell that says `store_history=False`: the kernel's own history does not have it."""

from __future__ import annotations

from attack_house import Client


def strike(client: Client, code: str) -> str:
    return client.execute(code, store_history=False)
