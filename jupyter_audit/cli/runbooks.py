"""
What a runbook's own words say of how it is executed: the tags of its cells, and its parameters.

The tags are nbclient's (`skip-execution`, `raises-exception`, its documentation of `NotebookClient`) and papermill's
(`parameters`, `injected-parameters`), so that notebooks which were written for them mean the same here.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from typing import Any

from nbformat.v4 import new_code_cell

from jupyter_audit.errors import UsageError

SKIP = "skip-execution"
MAY_RAISE = "raises-exception"
PARAMETERS = "parameters"
INJECTED = "injected-parameters"

WORDS = {"True": True, "False": False, "None": None}


def is_tagged(cell: Any, tag: str) -> bool:
    """Say whether a cell has a tag."""
    tags = cell.metadata.get("tags")
    return isinstance(tags, list) and tag in tags


def cells_to_run(notebook: Any) -> tuple[list[Any], int]:
    """Return the cells of a notebook that are executed, in order, and how many are not because of their tag."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    wanted = [cell for cell in code if not is_tagged(cell, SKIP)]
    return wanted, len(code) - len(wanted)


def value_of(text: str) -> bool | int | float | str | None:
    """Return what a parameter's text stands for, as papermill's `-p` takes it: a word of Python's, a number, else the text."""
    if text in WORDS:
        return WORDS[text]
    if "_" not in text:
        for number in (int, float):
            try:
                return number(text)
            except ValueError:
                continue
    return text


def put_in(notebook: Any, parameters: Sequence[Sequence[str]]) -> None:
    """
    Put a cell that sets `parameters` (pairs of name and text) into a notebook: after the one tagged `parameters`, or first;
    in the place of one that an earlier run has put there. Raises `UsageError` for what is no name.
    """
    for name, _ in parameters:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"-p {name!r} is no name that Python could give to a value.")
    lines = [f"{name} = {written(value_of(text))}" for name, text in parameters]
    cell = new_code_cell("\n".join(["# Parameters", *lines]), metadata={"tags": [INJECTED]})
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        del cell["id"]  # cells of that format have none
    cells = notebook.cells
    for number, each in enumerate(cells):
        if is_tagged(each, INJECTED):
            cells[number] = cell
            return
    after = next((number for number, each in enumerate(cells, 1) if is_tagged(each, PARAMETERS)), 0)
    cells.insert(after, cell)


def written(value: bool | int | float | str | None) -> str:
    """Return a value as Python has it; `repr` alone would write numbers that are none as names that are not there."""
    return f"float({str(value)!r})" if isinstance(value, float) and value - value != 0 else repr(value)
