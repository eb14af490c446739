"""
A pytest plugin: ipykernel's own tests against the audit kernel (`make peers`).

The kernelspec `python3` names the audit kernel, and every client in this process signs permits, as the audited server does.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from support.kernels import COMMAND, Terms, permit_all

TERMS = Terms()


def pytest_configure() -> None:
    """Put the audit kernel in the place of the stock one, and permits on what clients send."""
    folder = Path(tempfile.mkdtemp(prefix="jupyter-audit-peers-"))
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    described: dict[str, Any] = {
        "argv": COMMAND, "display_name": "Audit", "language": "python", "env": TERMS.environment(),
        "metadata": {"debugger": True},
    }  # fmt: skip
    (spec / "kernel.json").write_text(json.dumps(described))
    os.environ["JUPYTER_PATH"] = str(folder)
    permit_all(TERMS)
