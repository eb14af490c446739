"""Jupyter Audit: debug production from a notebook, and be able to answer for it."""

from __future__ import annotations

from jupyter_audit_kernel.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only describes types is left out of what every kernel start waits for
    from typing import Any

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server what to load. Imported only there: the kernel and the verifier need no server."""
    try:
        from jupyter_audit.server.extension import AuditExtension
    except ImportError as error:
        # Jupyter Server goes on without an extension that does not import, and serves kernels past the gate.
        raise SystemExit(
            f"No server was started: Jupyter Audit is installed here but cannot be loaded ({error}). "
            "Complete it with `pip install 'jupyter-audit[lab]'`, or uninstall it to have a server that "
            "records nothing."
        ) from error

    return [{"module": "jupyter_audit", "app": AuditExtension}]
