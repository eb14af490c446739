"""Configuration of the front end, which the server keeps and everybody's pages read."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"closed"}


def strike(person: Attacker, mark: Path) -> bool:
    status, _ = person.request("PUT", "/api/config/notebook", {"load_extensions": {"trap": True}})
    return status < 300
