"""Inspection of a live object, whose `__getattr__` runs."""

from __future__ import annotations

from attack_house import Client


def prepare(client: Client, code: str) -> None:
    client.run(f"class Trap:\n    def __getattr__(self, name): exec({code!r})\ninspected = Trap()")


def strike(client: Client, code: str) -> str:
    return client.send("inspect_request", {"code": "inspected.x", "cursor_pos": 11, "detail_level": 0})
