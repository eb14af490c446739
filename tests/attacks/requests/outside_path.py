"""A kernel that is to start in a folder outside the notebook folder, where it would import what lies there."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"outside"}


def strike(person: Attacker, mark: Path) -> bool:
    status, model = person.request("POST", "/api/kernels", {"name": person.kernel_name, "path": "../../.."})
    if status != 201:
        return False
    person.request("DELETE", f"/api/kernels/{model['id']}")
    return True
