"""Other code under the id of a message that was sent before, so that the one's entry stands for the other."""

from __future__ import annotations

import uuid

from attack_house import Client, cell

REFUSED = "message_id_reused"


def prepare(client: Client, code: str) -> None:
    client.notes["id"] = uuid.uuid4().hex
    client.wait(client.send("execute_request", cell("1"), header={"msg_id": client.notes["id"]}))


def strike(client: Client, code: str) -> str:
    msg_id = client.notes.get("id", uuid.uuid4().hex)
    return client.send("execute_request", cell(code), header={"msg_id": msg_id})
