"""
What an audited server must be, checked after it has started: one table, a line for each thing that counts.

The launcher exits on any difference. A server that somebody else started (JupyterHub, a plain `jupyter lab`)
runs on, and says in its first entry, in doctor and in the panel what it could not assure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_audit.errors import AuditError
from jupyter_audit.server.authorizer import AuditAuthorizer
from jupyter_audit.server.guard import unguarded
from jupyter_audit.server.identity import check_identity
from jupyter_audit.server.kernels import AuditKernelManager, AuditMappingKernelManager
from jupyter_audit.server.services import Assessment, find_services
from jupyter_audit.server.websocket import AuditWebsocketConnection

Check = Callable[[Any], bool]


def _identity_names_people(app: Any) -> bool:
    services = find_services(app.web_app.settings)
    try:
        check_identity(app.web_app.settings["identity_provider"], solo=services is not None and services.policy.solo)
    except AuditError:
        return False
    return True


def _only_allowed_extensions(app: Any) -> bool:
    services = find_services(app.web_app.settings)
    if services is None:
        return False
    loaded = {name for name, extension in app.extension_manager.extensions.items() if extension.enabled}
    return loaded <= {*services.settings.allowed_extensions, "jupyter_audit"}


ASSERTIONS: tuple[tuple[str, Check], ...] = (
    ("the launcher started this server: the user's own configuration is not in it", lambda app: getattr(app, "launched", False)),
    ("every request is judged by AuditAuthorizer", lambda app: type(app.web_app.settings["authorizer"]) is AuditAuthorizer),
    ("every kernel message passes the gate", lambda app: app.web_app.settings["kernel_websocket_connection_class"] is AuditWebsocketConnection),
    ("every kernel is started by AuditMappingKernelManager", lambda app: type(app.kernel_manager) is AuditMappingKernelManager),
    ("every kernel's life is put down by AuditKernelManager", lambda app: app.kernel_manager.kernel_manager_factory is not None
        and app.kernel_manager.kernel_manager_class == f"{AuditKernelManager.__module__}.{AuditKernelManager.__qualname__}"),
    ("the identity provider names people", _identity_names_people),
    ("only allowed extensions are loaded", _only_allowed_extensions),
    ("every handler has the guard in front", lambda app: not unguarded(app.web_app)),
    ("terminals are off", lambda app: not app.web_app.settings.get("terminals_available", False)),
    ("kernels from elsewhere are not taken in", lambda app: not app.allow_external_kernels),
    ("XSRF is checked", lambda app: not app.disable_check_xsrf),
    ("no other origin may use the API", lambda app: not app.allow_origin and not app.allow_origin_pat),
    ("authentication is on", lambda app: app.identity_provider.auth_enabled),
    ("an extension that fails ends the server", lambda app: app.reraise_server_extension_failures),
    ("no gateway stands behind the kernels", lambda app: not app.gateway_config.gateway_enabled),
)  # fmt: skip


def assess(app: Any) -> Assessment:
    """Return which assertions hold for a server application that has loaded its extensions."""
    assured = tuple(name for name, check in ASSERTIONS if check(app))
    unassured = tuple(name for name, _ in ASSERTIONS if name not in assured)
    return Assessment(assured, unassured)
