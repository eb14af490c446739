"""A message on an open comm: the handler that an earlier cell set is called."""

from __future__ import annotations

from attack_house import Client


def prepare(client: Client, code: str) -> None:
    client.run(
        f"from comm import create_comm\nasked = create_comm(target_name='asked', comm_id='c-asked')\n"
        f"asked.on_msg(lambda message: exec({code!r}))"
    )


def strike(client: Client, code: str) -> str:
    return client.send("comm_msg", {"comm_id": "c-asked", "data": {}})
