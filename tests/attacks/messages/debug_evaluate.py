"""An expression for the debugger, on the control channel."""

from __future__ import annotations

from attack_house import Client, ask_debugger
from support.servers import reply_of


def prepare(client: Client, code: str) -> None:
    for command, arguments in (
        ("initialize", {"clientID": "x", "adapterID": "x", "pathFormat": "path", "linesStartAt1": True,
                        "columnsStartAt1": True, "supportsVariableType": True}),
        ("attach", {}),
    ):  # fmt: skip
        assert reply_of(client.wait(ask_debugger(client, command, **arguments)))["success"]


def strike(client: Client, code: str) -> str:
    return ask_debugger(client, "evaluate", expression=code, context="repl")


def clean_up(client: Client) -> None:
    client.wait(ask_debugger(client, "disconnect", restart=False, terminateDebuggee=False))
