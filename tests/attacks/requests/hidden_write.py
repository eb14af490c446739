"""A startup file in a hidden folder, written through the Contents API: at home it would run in the next kernel."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"hidden"}


def strike(person: Attacker, mark: Path) -> bool:
    folder = f"/api/contents/.{mark.name}"
    person.request("PUT", folder, {"type": "directory"})
    status, _ = person.request("PUT", f"{folder}/x.py", {"type": "file", "format": "text", "content": "x = 1\n"})
    return status == 201 or (person.work / f".{mark.name}").exists()
