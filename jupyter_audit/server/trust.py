"""
Whose outputs a person's browser runs: their own alone (P2).

Jupyter signs a notebook that is saved with all of its cells marked as trusted, for everybody on the server; scripts
in its outputs then run in the page of whoever opens it, and can send cells under that person's grant. Anybody who may
write into the folder can save such a notebook. Here a signature holds for who made it; what others made is shown
without its scripts, until it is run again.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Any

from nbformat.sign import NotebookNotary
from traitlets import default

from jupyter_audit.home import Home, default_home
from jupyter_audit.server.acting import acting_principal
from jupyter_audit.settings import JupyterAudit


class PersonalNotary(NotebookNotary):  # type: ignore[misc]
    """Jupyter's notary, which signs for one person at a time. What it keeps lies in the audit home, out of kernels' reach."""

    @default("data_dir")
    def _data_dir_default(self) -> str:
        named = JupyterAudit(parent=self.parent).home
        home = Home(Path(named).expanduser().absolute() if named else default_home())
        return str(home.jupyter_config)

    def compute_signature(self, nb: Any) -> str:
        """Return the signature of a notebook by who acts; for nobody, one that no notebook ever had."""
        principal = acting_principal.get()
        if principal is None:
            return secrets.token_hex(32)
        whole = f"{principal.vouched_by}\n{principal.name}\n{super().compute_signature(nb)}"
        return hmac.new(self.secret, whole.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
