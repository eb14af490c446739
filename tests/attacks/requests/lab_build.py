"""JupyterLab's builder: runs node's package manager as the server. No Authorizer is asked. (Ended, not begun, here.)"""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker

CAUSES = {"closed"}


def strike(person: Attacker, mark: Path) -> bool:
    # On a plain server nothing is being built, which the builder itself says: the request came through to it.
    status, answer = person.request("DELETE", "/lab/api/build")
    return status == 500 and "No current build" in str(answer)
