"""Completion on a live object, whose `__dir__` runs."""

from __future__ import annotations

from attack_house import Client


def prepare(client: Client, code: str) -> None:
    client.run(f"class Trap:\n    def __dir__(self):\n        exec({code!r})\n        return []\ncompleted = Trap()")


def strike(client: Client, code: str) -> str:
    return client.send("complete_request", {"code": "completed.", "cursor_pos": 10})
