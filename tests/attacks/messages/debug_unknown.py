"""A command of the debugger that nobody knows, after an earlier cell has replaced what answers it."""

from __future__ import annotations

from attack_house import Client, trap, untrap

REFUSED = "unknown_command"

def prepare(client: Client, code: str) -> None:
    trap(client, "debug_request", code, "control")


def strike(client: Client, code: str) -> str:
    return client.send("debug_request", {"type": "request", "seq": 1, "command": "runInTerminal", "arguments": {"args": ["true"]}}, channel="control")


def clean_up(client: Client) -> None:
    untrap(client, "debug_request", "control")
