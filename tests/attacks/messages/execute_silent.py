"""A cell that says `silent`: no listener on iopub sees its code."""

from __future__ import annotations

from attack_house import Client


def strike(client: Client, code: str) -> str:
    return client.execute(code, silent=True)
