"""
What no configuration file, no option and no extension changes on an audited server (P1, P2).

Traitlets lets the section of a subclass win over its parents', so each pin stands in the section of the very
class that is used. Whoever pins something here adds a line to the assertions, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLASSES: Mapping[str, str] = {
    "authorizer_class": "jupyter_audit.server.authorizer.AuditAuthorizer",
    "contents_manager_class": "jupyter_audit.server.contents.AuditContentsManager",
    "kernel_manager_class": "jupyter_audit.server.kernels.AuditMappingKernelManager",
    "kernel_spec_manager_class": "jupyter_audit.server.kernelspecs.AuditKernelSpecManager",
    "kernel_websocket_connection_class": "jupyter_audit.server.websocket.AuditWebsocketConnection",
    "session_manager_class": "jupyter_audit.server.documents.AuditSessionManager",
}
"""The classes that the gate hangs on, as traits of `ServerApp`."""

SOLO_IDENTITY = "jupyter_audit.server.identity.SoloIdentityProvider"
"""Pinned in solo mode."""

PINNED: Mapping[str, Mapping[str, Any]] = {
    "AuditServerApp": {
        **CLASSES,
        "allow_external_kernels": False,
        "allow_origin": "",
        "allow_origin_pat": "",
        "allow_unauthenticated_access": False,
        "disable_check_xsrf": False,
        "extra_services": [],
        "reraise_server_extension_failures": True,
        "terminals_enabled": False,
    },
    "AuditContentsManager": {
        "allow_hidden": False,
        "checkpoints_class": "jupyter_audit.server.contents.AuditCheckpoints",
        "files_handler_class": "jupyter_audit.server.contents.AuditFileHandler",
    },
    "AuditMappingKernelManager": {
        "kernel_manager_class": "jupyter_audit.server.kernels.AuditKernelManager",
        "allowed_message_types": [],
    },
    "LabApp": {
        "extension_manager": "readonly",
        "check_for_updates_class": "jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "dev_mode": False,
        "watch": False,
        "news_url": None,
        "lock_all_plugins": True,
    },
    "ExecutePreprocessor": {"enabled": False},
    # nbconvert looks for templates in the working folder first, and a template is code: `jupyter audit lab`, started among the
    # notebooks, would run in the server what a cell has written there.
    "TemplateExporter": {"extra_template_basedirs": []},
}
"""Section → trait → value."""

PARENTS: Mapping[str, tuple[str, ...]] = {
    "AuditServerApp": ("ServerApp", "NotebookApp"),
    "AuditContentsManager": (
        "ContentsManager",
        "FileContentsManager",
        "LargeFileManager",
        "AsyncLargeFileManager",
    ),
    "AuditMappingKernelManager": ("MultiKernelManager", "MappingKernelManager", "AsyncMappingKernelManager"),
}
"""Other sections whose traits mean the same."""


def pinned_trait(section: str, trait: str) -> bool:
    """Say whether `section.trait` is, or means, something that is pinned."""
    return any(
        trait in traits and (section == pinned or section in PARENTS.get(pinned, ()))
        for pinned, traits in PINNED.items()
    )
