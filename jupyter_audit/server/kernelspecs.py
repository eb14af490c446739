"""
Which kernels there are: those that an admin allows, from folders that an admin fills (P2).

Jupyter looks for kernelspecs in folders of the user's too, and checks its list of allowed ones only when it
lists them. A kernelspec is a command line, so here both hold whenever one is looked up.
"""

from __future__ import annotations

from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_core.paths import ENV_JUPYTER_PATH, SYSTEM_JUPYTER_PATH
from traitlets import default

from jupyter_audit.settings import JupyterAudit


class AuditKernelSpecManager(KernelSpecManager):
    """Kernelspecs of the environment and of the system, as far as `c.JupyterAudit.allowed_kernels` goes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._allowed = frozenset(JupyterAudit(parent=self.parent).allowed_kernels)
        self.allowed_kernelspecs = set(self._allowed)
        self.ensure_native_kernel = False

    @default("kernel_dirs")
    def _kernel_dirs_default(self) -> list[str]:
        return [f"{folder}/kernels" for folder in (*ENV_JUPYTER_PATH, *SYSTEM_JUPYTER_PATH)]

    def get_kernel_spec(self, kernel_name: str) -> Any:
        """Return a kernelspec. Raises `NoSuchKernel` if it is not allowed, as if it were not there."""
        if kernel_name not in self._allowed:
            raise NoSuchKernel(kernel_name)
        return super().get_kernel_spec(kernel_name)
