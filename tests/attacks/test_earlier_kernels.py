"""
Kernels that were there before the gate was: an extension that is loaded before it has started them (rogue/early.py).

An admin must have let that extension in: its code is in the server, and can do what the server can. What is tried here is that
nobody comes to such a kernel by way of the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
from attack_house import Attacker, Team, await_mark, team_server, touch
from support.processes import bearing
from support.servers import wait_for

Had = dict[str, str]


def had_by(work: Path) -> Had:
    """Return what the extension had when it was loaded."""
    had: Had = json.loads((work / "early.json").read_text())
    return had


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Team, Had]]:
    """An audited server with that extension; rita's grant has ended, otto and gina have good ones."""
    with team_server(Path(tmp_path_factory.mktemp("early")), "server", also=("early",)) as team:
        for name in ("rita", "otto", "gina"):
            team.grant(name)
        team.revoke("rita")
        had = had_by(team.server.work)
        assert bearing(had["connection_file"]) != []
        yield team, had
    # It has no supervisor, but the server ends what is among its kernels; and the kernel whose start it refused is none of them.
    wait_for(lambda: bearing(had["connection_file"]) == [], "the earlier kernel to be gone")
    assert "not every kernel could be ended" not in team.server.log


@pytest.mark.parametrize("which", ["asked", "smuggled"])
def test_on_a_plain_server_they_run_everybodys_cells(plain: Attacker, which: str) -> None:
    mark = plain.work / f"plain-{which}-before"
    plain.kernel(had_by(plain.work)[which]).execute(touch(mark))
    await_mark(mark, "a cell in a kernel of before")


def test_the_server_starts_none_before_the_gate_is_there(early: tuple[Team, Had]) -> None:
    team, had = early
    assert "asked" not in had
    assert "No kernel may start: Jupyter Audit did not load" in had["refused"]
    assert team.server.entries("session.started") == []


@pytest.mark.parametrize("name", ["nora", "rita", "otto", "gina"])
def test_one_that_was_smuggled_in_is_nobodys_and_every_use_of_it_is_refused_and_put_down(early: tuple[Team, Had], name: str) -> None:
    team, had = early
    person, kernel = team.person(name), had["smuggled"]
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        person.kernel(kernel)
    session = {"path": f"{name}.ipynb", "type": "notebook", "name": name, "kernel": {"id": kernel}}
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/api/sessions", session),
        ("POST", f"/api/kernels/{kernel}/restart", None),
        ("POST", f"/api/kernels/{kernel}/interrupt", None),
        ("POST", "/api/kernels", {"name": "audit", "kernel_id": kernel}),
    ]
    assert [person.request(*one)[0] for one in asked] == [403] * 4
    for path in (f"/api/kernels/{kernel}/channels", *(path for _, path, _ in asked)):
        refused = team.server.await_entry("request.refused", lambda e, p=path: (e.actor.name, e.body["path"]) == (name, p))  # type: ignore[misc]
        assert refused.body["cause"] == "not_owner"
