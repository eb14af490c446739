"""
A session for a notebook behind a link that leads out of the notebook folder, in the older form of the request: its
kernel would start there.
"""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"outside"}


def strike(person: Attacker, mark: Path) -> bool:
    outside = person.work.parent / f"outside-{mark.name}"
    outside.mkdir()
    (person.work / f"link-{mark.name}").symlink_to(outside)
    notebook = {"path": f"link-{mark.name}/x.ipynb"}
    body = {"path": "x.ipynb", "notebook": notebook, "type": "notebook", "name": "x", "kernel": {"name": person.kernel_name}}
    status, model = person.request("POST", "/api/sessions", body)
    if status != 201:
        return False
    person.request("DELETE", f"/api/sessions/{model['id']}")
    return True
