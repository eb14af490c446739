"""Jupyter Audit: debug production from a notebook, and be able to answer for it."""

from jupyter_audit_kernel.version import __version__

__all__ = ["__version__"]
