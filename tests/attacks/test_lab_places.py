"""
JupyterLab's settings and workspaces, which it keeps one set of: what one person puts there is what everybody's page does.

A shortcut of the settings can write a cell and run it, under the grant of whoever presses the key.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from attack_house import Attacker, Team

from jupyter_audit.server.labplaces import MOST_OF_WORKSPACES, MOST_WORKSPACES

SHORTCUTS = "/lab/api/settings/@jupyterlab/shortcuts-extension:shortcuts"
WORKSPACE = "/lab/api/workspaces/shared"


def plant(person: Attacker) -> None:
    """Save settings whose Enter key writes a cell and runs it, and a workspace."""
    run = {
        "commands": ["notebook:replace-selection", "notebook:run-cell"],
        "args": [{"text": f"open('by-{person.name}', 'w')"}, {}],
    }
    shortcut = {"command": "apputils:run-all-enabled", "keys": ["Enter"], "selector": "body", "args": run}
    assert person.request("PUT", SHORTCUTS, {"raw": json.dumps({"shortcuts": [shortcut]})})[0] == 204
    workspace = {"data": {"by": person.name}, "metadata": {"id": "shared"}}
    assert person.request("PUT", WORKSPACE, workspace)[0] == 204


def found_by(person: Attacker) -> set[str]:
    """Return whose settings and workspaces somebody's page would be given."""
    settings: Any = person.request("GET", SHORTCUTS)[1]["settings"].get("shortcuts", [])
    workspace: Any = person.request("GET", WORKSPACE)[1]["data"]
    listed: Any = person.request("GET", "/lab/api/workspaces")[1]["workspaces"]["values"]
    texts = [one["args"]["args"][0]["text"] for one in settings if "args" in one]
    spaces = [workspace, *(one["data"] for one in listed)]
    return {text.partition("by-")[2].partition("'")[0] for text in texts} | {one["by"] for one in spaces if "by" in one}


def test_on_a_plain_server_what_anybody_sets_is_what_every_page_gets(plain: Attacker) -> None:
    plant(plain)
    assert found_by(plain) == {plain.name}


@pytest.mark.parametrize("name", ["nora", "ella", "otto"])
def test_what_somebody_sets_is_in_nobody_elses_page(team: Team, name: str, ended: Any) -> None:
    plant(team.person(name))
    assert found_by(team.person(name)) == {name}
    assert found_by(team.person("gina")) == set()


def test_one_deletes_no_workspace_but_ones_own(team: Team) -> None:
    nora, rita = team.person("nora"), team.person("rita")
    plant(nora)
    assert rita.request("DELETE", WORKSPACE)[0] == 404
    assert found_by(nora) == {"nora"}


def keep(person: Attacker, name: str, size: int = 0) -> int:
    """Save a workspace; return the answer's status."""
    return person.request("PUT", f"/lab/api/workspaces/{name}", {"data": {"x": "x" * size}, "metadata": {"id": name}})[0]


def test_nobody_keeps_workspaces_without_end(team: Team) -> None:
    rita, nora = team.person("rita"), team.person("nora")
    assert keep(rita, "first") == 204
    [first] = (path for path in team.server.home.path.glob("jupyter/lab/workspaces/*/*") if path.name.startswith("first"))
    for number in range(MOST_WORKSPACES - 1):
        first.with_name(f"more-{number}{first.suffix}").write_bytes(first.read_bytes())
    status, answer = rita.request("PUT", "/lab/api/workspaces/last", {"data": {}, "metadata": {"id": "last"}})
    assert (status, f"may have {MOST_WORKSPACES}, of" in answer["message"]) == (403, True)
    refused = team.server.await_entry("request.refused", lambda e: e.body["cause"] == "too_many")
    assert (refused.actor.name, refused.body["path"]) == ("rita", "/lab/api/workspaces/last")
    assert [keep(rita, "first"), keep(nora, "another")] == [204, 204]
    assert rita.request("DELETE", "/lab/api/workspaces/first")[0] == 204
    assert keep(rita, "last") == 204
    for path in first.parent.glob("more-*"):
        path.unlink()


def test_nobody_keeps_workspaces_that_take_long_to_list(team: Team) -> None:
    otto = team.person("otto")
    size = MOST_OF_WORKSPACES // 3
    assert [keep(otto, f"large-{n}", size) for n in range(3)] == [204, 204, 403]
    assert [keep(otto, "large-1", size - 9), keep(otto, "small")] == [204, 204]
    for name in ("large-0", "large-1", "small"):
        assert otto.request("DELETE", f"/lab/api/workspaces/{name}")[0] == 204
