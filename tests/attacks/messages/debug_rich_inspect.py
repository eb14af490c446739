"""A variable shown by the debugger, whose own display method runs."""

from __future__ import annotations

from attack_house import Client, ask_debugger


def prepare(client: Client, code: str) -> None:
    client.run(f"class Shown:\n    def _repr_html_(self):\n        exec({code!r})\n        return ''\nshown = Shown()")


def strike(client: Client, code: str) -> str:
    return ask_debugger(client, "richInspectVariables", variableName="shown")
