"""
A notebook whose outputs script the page: whoever opens it sends, as themselves, what somebody else wrote.

Jupyter lets such outputs run where the notebook is signed, and signs what is saved with every cell marked as trusted.
"""

from __future__ import annotations

from typing import Any

import nbformat.v4
import pytest
from attack_house import Attacker, Team


def trap() -> Any:
    """Return a notebook with a script in an output, marked as trusted by its writer."""
    output = nbformat.v4.new_output("display_data", data={"text/html": "<script>send('a cell')</script>"})
    cell = nbformat.v4.new_code_cell("1", outputs=[output], metadata={"trusted": True})
    return nbformat.v4.new_notebook(cells=[cell])


def save(person: Attacker, path: str, notebook: Any) -> None:
    status, answer = person.request("PUT", f"/api/contents/{path}", {"type": "notebook", "content": notebook})
    assert status < 300, answer


def is_trusted(person: Attacker, path: str) -> bool:
    """Return whether somebody's page would run the scripts in a notebook's outputs."""
    status, model = person.request("GET", f"/api/contents/{path}")
    assert status == 200, model
    return bool(model["content"]["cells"][0]["metadata"].get("trusted"))


def test_on_a_plain_server_what_one_person_saved_scripts_everybodys_page(plain: Attacker) -> None:
    save(plain, "trap.ipynb", trap())
    assert is_trusted(plain, "trap.ipynb")


@pytest.mark.parametrize("writer", ["nora", "ella", "otto"])
def test_what_somebody_saved_scripts_nobody_elses_page_and_is_put_down(team: Team, writer: str, ended: Any) -> None:
    path = f"trap-{writer}.ipynb"
    save(team.person(writer), path, trap())
    assert not is_trusted(team.person("gina"), path)
    changed = team.server.await_entry("file.changed", lambda e: e.body["path"] == path)
    assert (changed.actor.name, changed.body["action"]) == (writer, "saved")


def test_trust_that_somebody_declares_is_their_own(team: Team) -> None:
    save(team.person("gina"), "declared.ipynb", trap())
    assert team.person("otto").request("POST", "/api/contents/declared.ipynb/trust")[0] == 201
    assert is_trusted(team.person("otto"), "declared.ipynb")
    save(team.person("otto"), "other.ipynb", trap())
    assert team.person("otto").request("POST", "/api/contents/other.ipynb/trust")[0] == 201
    assert not is_trusted(team.person("gina"), "other.ipynb")


def test_ones_own_outputs_are_shown_as_they_were(team: Team) -> None:
    save(team.person("gina"), "own.ipynb", trap())
    assert is_trusted(team.person("gina"), "own.ipynb")
