"""Jupyter Audit: debug production from a notebook, and be able to answer for it."""

from __future__ import annotations

from typing import Any

from jupyter_audit_kernel.version import __version__

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server what to load. Imported only there: the kernel and the verifier need no server."""
    from jupyter_audit.server.extension import AuditExtension

    return [{"module": "jupyter_audit", "app": AuditExtension}]
