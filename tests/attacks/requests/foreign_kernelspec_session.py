"""A kernelspec outside the list of allowed ones, named in a request for a session, as front ends make it."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"kernel_not_allowed"}


def strike(person: Attacker, mark: Path) -> bool:
    body = {"path": f"{mark.name}.ipynb", "type": "notebook", "name": "x", "kernel": {"name": "python3"}}
    status, model = person.request("POST", "/api/sessions", body)
    if status != 201:
        return False
    person.request("DELETE", f"/api/sessions/{model['id']}")
    return True
