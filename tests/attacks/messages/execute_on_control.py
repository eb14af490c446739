"""A cell on the control channel, which a kernel serves past a busy shell."""

from __future__ import annotations

from attack_house import Client


def strike(client: Client, code: str) -> str:
    return client.execute(code, channel="control")
