"""A comm that is opened: the target that an earlier cell registered is called."""

from __future__ import annotations

from attack_house import Client


def prepare(client: Client, code: str) -> None:
    client.run(f"get_ipython().kernel.comm_manager.register_target('opened', lambda comm, message: exec({code!r}))")


def strike(client: Client, code: str) -> str:
    return client.send("comm_open", {"comm_id": "c-opened", "target_name": "opened", "data": {}})
