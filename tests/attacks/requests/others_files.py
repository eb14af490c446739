"""The question whether a file is there, asked of somebody else's kernel."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from attack_house import Attacker

NEEDS = ("victim",)
CAUSES = {"not_owner"}


def strike(person: Attacker, mark: Path, victim: str) -> bool:
    path = quote(str(person.work))
    status, answer = person.request("GET", f"/api/resolvePath?kernel={victim}&path={path}")
    return status == 200 and any(found["scope"] == "kernel" for found in answer["resolved"])
