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

from jupyter_audit_kernel.formats import PERMIT_KEY
from jupyter_client.session import Session
from support.kernels import COMMAND, Terms

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
    plain = Session.send

    def send(self: Session, stream: Any, msg_or_type: Any, content: Any = None, **given: Any) -> Any:
        made = {key: given.pop(key) for key in ("parent", "header", "metadata") if key in given}
        message = msg_or_type if isinstance(msg_or_type, dict) else self.msg(msg_or_type, content=content, **made)
        message["metadata"] = {**message["metadata"], PERMIT_KEY: TERMS.permit(message)}
        return plain(self, stream, message, **given)

    Session.send = send
