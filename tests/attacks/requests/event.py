"""An event of any registered schema: forged, it tells every listener of a kernel that was never started."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"closed"}


def strike(person: Attacker, mark: Path) -> bool:
    body = {
        "schema_id": "https://events.jupyter.org/jupyter_server/kernel_actions/v1", "version": "1",
        "data": {"action": "start", "kernel_id": "forged", "kernel_name": "forged", "msg": "forged"},
    }  # fmt: skip
    status, _ = person.request("POST", "/api/events", body)
    return status < 300
