"""A notebook that is posted to be converted: it need not even lie in the notebook folder."""

from __future__ import annotations

from pathlib import Path

import nbformat.v4
from attack_house import Attacker

CAUSES = {"closed"}


def strike(person: Attacker, mark: Path) -> bool:
    body = {"type": "notebook", "name": "x.ipynb", "content": nbformat.v4.new_notebook()}
    status, _ = person.request("POST", "/nbconvert/html", body)
    return status < 300
