"""A session of one's own that is pointed at somebody else's kernel: when it is made, and when it is changed."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

NEEDS = ("own", "victim")
CAUSES = {"not_owner"}


def strike(person: Attacker, mark: Path, own: str, victim: str) -> bool:
    path = f"{mark.name}.ipynb"
    body = {"path": f"new-{path}", "type": "notebook", "name": "x", "kernel": {"id": victim}}
    made = person.request("POST", "/api/sessions", body)[0]
    status, session = person.request("POST", "/api/sessions", {**body, "path": path, "kernel": {"id": own}})
    assert status == 201, session
    changed = person.request("PATCH", f"/api/sessions/{session['id']}", {"kernel": {"id": victim}})[0]
    assert (made < 300) == (changed < 300), (made, changed)
    return made < 300
