"""No code at all, but an expression that the kernel evaluates afterwards."""

from __future__ import annotations

from attack_house import Client


def strike(client: Client, code: str) -> str:
    return client.execute("", silent=True, user_expressions={"x": code})
