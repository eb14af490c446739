"""
A regular expression in a request for JupyterLab's licenses: one that never comes to an end stops the whole server, and no grant
ends while it stands still. Here one that does.
"""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"pattern"}


def strike(person: Attacker, mark: Path) -> bool:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    asked = [
        person.request("GET", "/lab/api/licenses/?bundles=.*nbmodel"),
        person.request("GET", "/lab/api/licenses/", b"bundles=.*nbmodel", headers=headers),
    ]
    statuses = {status for status, _ in asked}
    assert len(statuses) == 1, asked
    return statuses == {200} and all(list(answer["bundles"]) == ["@datalayer/jupyter-server-nbmodel"] for _, answer in asked)
