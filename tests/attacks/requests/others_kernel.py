"""Interrupt, restart and shutdown of a kernel that is somebody else's."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

NEEDS = ("victim",)
CAUSES = {"not_owner"}


def strike(person: Attacker, mark: Path, victim: str) -> bool:
    answers = [
        person.request("POST", f"/api/kernels/{victim}/interrupt")[0],
        person.request("POST", f"/api/kernels/{victim}/restart")[0],
        person.request("DELETE", f"/api/kernels/{victim}")[0],
    ]
    assert len({answer < 300 for answer in answers}) == 1, answers
    return answers[0] < 300
