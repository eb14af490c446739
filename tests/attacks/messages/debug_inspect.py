"""All variables, listed by the debugger: whose own `__repr__` runs, with nothing stopped and no debugger begun."""

from __future__ import annotations

from attack_house import Client, ask_debugger


def prepare(client: Client, code: str) -> None:
    client.run(f"class Listed:\n    def __repr__(self):\n        exec({code!r})\n        return ''\nlisted = Listed()")


def strike(client: Client, code: str) -> str:
    return ask_debugger(client, "inspectVariables")


def clean_up(client: Client) -> None:
    client.run("del listed")
