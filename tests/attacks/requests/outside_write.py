"""A write through the Contents API to a folder outside, by way of a link that a cell has left in the notebook folder."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"outside"}


def strike(person: Attacker, mark: Path) -> bool:
    outside = person.work.parent / f"outside-{mark.name}"
    outside.mkdir()
    (person.work / f"link-{mark.name}").symlink_to(outside)
    body = {"type": "file", "format": "text", "content": "x = 1\n"}
    status, _ = person.request("PUT", f"/api/contents/link-{mark.name}/x.py", body)
    return status == 201 or (outside / "x.py").exists()
