"""A file that the Contents API writes in sight, and is then asked to rename to where it runs by itself."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"hidden"}


def strike(person: Attacker, mark: Path) -> bool:
    body = {"type": "file", "format": "text", "content": "x = 1\n"}
    person.request("PUT", f"/api/contents/{mark.name}.txt", body)
    status, _ = person.request("PATCH", f"/api/contents/{mark.name}.txt", {"path": f".{mark.name}.pth"})
    return status == 200 or (person.work / f".{mark.name}.pth").exists()
