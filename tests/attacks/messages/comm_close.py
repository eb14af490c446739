"""A comm that is closed: the handler that an earlier cell set is called."""

from __future__ import annotations

from attack_house import Client


def prepare(client: Client, code: str) -> None:
    client.run(
        f"from comm import create_comm\nclosed = create_comm(target_name='closed', comm_id='c-closed')\n"
        f"closed.on_close(lambda message: exec({code!r}))"
    )


def strike(client: Client, code: str) -> str:
    return client.send("comm_close", {"comm_id": "c-closed", "data": {}})
