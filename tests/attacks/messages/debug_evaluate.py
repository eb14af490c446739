"""An expression for the debugger, on the control channel."""

from __future__ import annotations

from attack_house import Client
from support.servers import reply_of


def ask(client: Client, command: str, **arguments: object) -> str:
    content = {"type": "request", "seq": 1, "command": command, "arguments": arguments}
    return client.send("debug_request", content, channel="control")


def prepare(client: Client, code: str) -> None:
    for command, arguments in (
        ("initialize", {"clientID": "x", "adapterID": "x", "pathFormat": "path", "linesStartAt1": True,
                        "columnsStartAt1": True, "supportsVariableType": True}),
        ("attach", {}),
    ):  # fmt: skip
        assert reply_of(client.wait(ask(client, command, **arguments)))["success"]


def strike(client: Client, code: str) -> str:
    return ask(client, "evaluate", expression=code, context="repl")


def clean_up(client: Client) -> None:
    client.wait(ask(client, "disconnect", restart=False, terminateDebuggee=False))
