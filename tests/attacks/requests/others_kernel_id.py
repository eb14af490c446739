"""A kernel that is started under the id of somebody else's: Jupyter then gives out the one that is there."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

NEEDS = ("victim",)
CAUSES = {"not_owner"}


def strike(person: Attacker, mark: Path, victim: str) -> bool:
    status, model = person.request("POST", "/api/kernels", {"name": person.kernel_name, "kernel_id": victim})
    return status == 201 and model["id"] == victim
