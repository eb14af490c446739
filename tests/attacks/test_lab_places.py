"""
JupyterLab's settings and workspaces, which it keeps one set of: what one person puts there is what everybody's page does.

A shortcut of the settings can write a cell and run it, under the grant of whoever presses the key.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from attack_house import Attacker, Team

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
