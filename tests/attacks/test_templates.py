"""
A template for exports, beside the notebooks: nbconvert takes it from the server's working folder, and a template is code.

`jupyter audit lab`, started among the notebooks, would run it in the server, which holds the key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attack_house import Attacker, Team

TEMPLATES = {"html": "lab/index.html.j2", "python": "python/index.py.j2", "markdown": "markdown/index.md.j2"}
"""Format → where its template is looked for first."""

SETTINGS = {"preprocessors": {"0": {"type": "nbconvert.preprocessors.ExecutePreprocessor", "enabled": True}}}
"""Settings of a template, `conf.json`, which have an export run the notebook's cells."""

TITLE = "the notebook itself"


def write(person: Attacker, path: str, model: dict[str, Any]) -> None:
    status, answer = person.request("PUT", f"/api/contents/{path}", model)
    assert status < 300, answer


def strike(person: Attacker, form: str, mark: Path) -> str:
    """Put a template beside a notebook, export the notebook, and take the template away again; return the export."""
    code = f"{{{{ cycler.__init__.__globals__.os.mkdir({json.dumps(str(mark))}) }}}}"
    return export(person, form, TEMPLATES[form], code, {"cell_type": "markdown", "id": "a", "metadata": {}, "source": TITLE})


def have_it_run(person: Attacker, mark: Path) -> str:
    """The same with settings that have the export run the notebook."""
    source = f"import os; os.mkdir({str(mark)!r})  # {TITLE}"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
    return export(person, "html", "lab/conf.json", json.dumps(SETTINGS), cell)


def export(person: Attacker, form: str, template: str, content: str, cell: dict[str, Any]) -> str:
    folder = template.partition("/")[0]
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    write(person, "exported.ipynb", {"type": "notebook", "content": notebook})
    write(person, folder, {"type": "directory"})
    write(person, template, {"type": "file", "format": "text", "content": content})
    status, exported = person.request("GET", f"/nbconvert/{form}/exported.ipynb")
    person.request("DELETE", f"/api/contents/{template}")
    person.request("DELETE", f"/api/contents/{folder}")
    assert status == 200, exported
    return str(exported)


@pytest.mark.parametrize("form", TEMPLATES)
def test_on_a_plain_server_a_template_beside_the_notebooks_runs_in_the_server(plain: Attacker, form: str) -> None:
    mark = plain.work / f"plain-template-{form}"
    strike(plain, form, mark)
    assert mark.exists()


@pytest.mark.parametrize("form", TEMPLATES)
@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_a_template_beside_the_notebooks_is_not_looked_at_and_who_put_it_there_is_put_down(
    team: Team, name: str, form: str, ended: Any
) -> None:
    mark, after = team.server.work / f"template-{name}-{form}", team.server.reader.size()
    assert TITLE in strike(team.person(name), form, mark)
    assert not mark.exists()
    written = team.server.await_entry("file.changed", lambda e: e.seq >= after and e.body["path"] == TEMPLATES[form])
    assert written.actor.name == name


def test_on_a_plain_server_settings_beside_the_notebooks_have_an_export_run_a_notebook(plain: Attacker) -> None:
    mark = plain.work / "plain-export-runs"
    have_it_run(plain, mark)
    assert mark.exists()


@pytest.mark.parametrize("name", ["nora", "ella", "otto", "gina"])
def test_no_export_runs_a_notebook_and_who_wants_it_to_is_put_down(team: Team, name: str, ended: Any) -> None:
    mark, after = team.server.work / f"export-runs-{name}", team.server.reader.size()
    assert TITLE in have_it_run(team.person(name), mark)
    assert not mark.exists()
    written = team.server.await_entry("file.changed", lambda e: e.seq >= after and e.body["path"] == "lab/conf.json")
    assert written.actor.name == name
