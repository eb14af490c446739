"""
An extension that runs code by a kernel client of its own, and that an admin has let in and opened.

jupyter-server-nbmodel does that, and is refused by name (guard.py); whatever does it next meets the kernel itself, and so would
that one's own execution stack.
"""

from __future__ import annotations

from typing import Any

import pytest
from attack_house import Attacker, Team, await_mark, touch
from test_ports import attempt_is_an_entry_and_a_finding


@pytest.mark.parametrize("by", ["a client of its own", "nbmodel"])
def test_its_code_runs_in_a_plain_kernel(plain: Attacker, by: str) -> None:
    mark = plain.work / f"plain-rogue-{by}"
    assert plain.request("POST", "/rogue/execute", {"kernel_id": plain.start_kernel(), "code": touch(mark), "by": by})[0] == 200
    await_mark(mark, "the code in a POST")


@pytest.mark.parametrize("by", ["a client of its own", "nbmodel"])
@pytest.mark.parametrize("name", ["nora", "ella", "gina"])
def test_its_code_is_refused_by_the_kernel_whatever_grants_there_are(team: Team, name: str, by: str, ended: Any) -> None:
    mark = team.server.work / f"rogue-{name}-{by}"
    kernel = team.person(name).kernel()
    team.person(name).request("POST", "/rogue/execute", {"kernel_id": kernel.kernel_id, "code": touch(mark), "by": by})
    attempt_is_an_entry_and_a_finding(team, kernel, "missing")
    assert not mark.exists()


def test_another_persons_kernel_is_no_different(team: Team) -> None:
    """Such a handler asks for a login alone; the kernel asks for a permit."""
    mark = team.server.work / "rogue-otto"
    kernel = team.person("gina").kernel()
    team.person("otto").request("POST", "/rogue/execute", {"kernel_id": kernel.kernel_id, "code": touch(mark)})
    attempt_is_an_entry_and_a_finding(team, kernel, "missing")
    assert not mark.exists()
