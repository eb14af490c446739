"""A cell for a subshell, which runs beside a busy shell, in a thread of its own."""

from __future__ import annotations

from attack_house import Client, cell
from support.servers import reply_of


def prepare(client: Client, code: str) -> None:
    made = reply_of(client.wait(client.send("create_subshell_request", {}, channel="control")))
    client.notes["subshell"] = made["subshell_id"]


def strike(client: Client, code: str) -> str:
    return client.send("execute_request", cell(code), header={"subshell_id": client.notes.get("subshell", "none")})
