"""A kernelspec outside the list of allowed ones, named in a request for a kernel."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"kernel_not_allowed"}


def strike(person: Attacker, mark: Path) -> bool:
    status, model = person.request("POST", "/api/kernels", {"name": "python3"})
    if status != 201:
        return False
    person.request("DELETE", f"/api/kernels/{model['id']}")
    return True
