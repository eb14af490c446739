"""
What an audited server must be, looked at once it has been put together: one table, a line for each thing that
counts.

The launcher exits on any difference. A server that somebody else started (JupyterHub, a plain `jupyter lab`)
runs on, and says in its first entry, in doctor and in the panel what it could not assure. A line names the
setting that an admin would look at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from jupyter_server.services.contents.fileio import FileManagerMixin

from jupyter_audit.errors import AuditError
from jupyter_audit.server.authorizer import AuditAuthorizer
from jupyter_audit.server.contents import AuditCheckpoints, AuditContentsManager, AuditFileHandler
from jupyter_audit.server.documents import AuditSessionManager
from jupyter_audit.server.guard import guard_of, strange_routes
from jupyter_audit.server.identity import check_identity
from jupyter_audit.server.kernels import AuditKernelManager, AuditMappingKernelManager
from jupyter_audit.server.kernelspecs import AuditKernelSpecManager
from jupyter_audit.server.services import Assessment, find_services
from jupyter_audit.server.terminals import TERMINALS_KEY, AuditTerminalManager
from jupyter_audit.server.websocket import AuditWebsocketConnection

Check = Callable[[Any], bool]


def _identity_names_people(app: Any) -> bool:
    services = find_services(app.web_app.settings)
    if services is None or app.identity_provider is not app.web_app.settings["identity_provider"]:
        return False
    try:
        check_identity(app.identity_provider, solo=services.policy.solo)
    except AuditError:
        return False
    return True


def _only_allowed_extensions(app: Any) -> bool:
    services = find_services(app.web_app.settings)
    if services is None:
        return False
    loaded = {name for name, extension in app.extension_manager.extensions.items() if extension.enabled}
    return loaded <= {*services.settings.allowed_extensions, "jupyter_audit"}


def _kernel_managers_are_ours(app: Any) -> bool:
    ours = f"{AuditKernelManager.__module__}.{AuditKernelManager.__qualname__}"
    factory = app.kernel_manager.kernel_manager_factory
    return app.kernel_manager.kernel_manager_class == ours and factory is not None


def _contents_follow_no_links(app: Any) -> bool:
    manager = app.contents_manager
    if manager is not app.web_app.settings["contents_manager"]:
        return False
    if not isinstance(manager, FileManagerMixin):
        return True  # an admin's own, which keeps its files elsewhere
    return (
        isinstance(manager, AuditContentsManager)
        and isinstance(manager.checkpoints, AuditCheckpoints)
        and manager.root_dir == manager.checkpoints.root_dir == app.kernel_manager.root_dir == app.root_dir
        and manager.files_handler_class is AuditFileHandler
    )


def _labs_installer_is_off(app: Any) -> bool:
    labs = [
        one for apps in app.extension_manager.extension_apps.values() for one in apps if one.name == "lab"
    ]
    return all(one.extension_manager == "readonly" and not one.dev_mode for one in labs)


def _terminals_are_ours(app: Any) -> bool:
    settings = app.web_app.settings
    if app.terminals_enabled or "terminal_manager" in settings:
        return False
    services = find_services(settings)
    gated = services is not None and services.policy.has_terminals
    return gated == (type(settings.get(TERMINALS_KEY)) is AuditTerminalManager) and (
        gated or not settings.get("terminals_available", False)
    )


def _nothing_is_allowed_everywhere(app: Any) -> bool:
    settings = app.web_app.settings
    return not settings.get("allow_origin") and not settings.get("allow_origin_pat")


ASSERTIONS: tuple[tuple[str, Check], ...] = (
    (
        "the launcher started this server, without the user's own configuration (`jupyter audit lab`)",
        lambda app: bool(getattr(app, "launched", False)) and bool(sys.flags.isolated),
    ),
    (
        "every request is judged by AuditAuthorizer (c.ServerApp.authorizer_class)",
        lambda app: type(app.web_app.settings["authorizer"]) is AuditAuthorizer,
    ),
    (
        "every handler has the guard in front (c.JupyterAudit.allowed_handlers)",
        lambda app: guard_of(app.web_app) is not None and not strange_routes(app.web_app),
    ),
    (
        "every kernel message passes the gate (c.ServerApp.kernel_websocket_connection_class)",
        lambda app: app.web_app.settings["kernel_websocket_connection_class"] is AuditWebsocketConnection,
    ),
    (
        "every kernel is started by AuditMappingKernelManager (c.ServerApp.kernel_manager_class)",
        lambda app: (
            type(app.kernel_manager) is AuditMappingKernelManager
            and app.web_app.settings["kernel_manager"] is app.kernel_manager
        ),
    ),
    (
        "every kernel's life is put down by AuditKernelManager (c.MappingKernelManager.kernel_manager_class)",
        _kernel_managers_are_ours,
    ),
    (
        "what kernels are used for is noted by AuditSessionManager (c.ServerApp.session_manager_class)",
        lambda app: (
            type(app.session_manager) is AuditSessionManager
            and app.web_app.settings["session_manager"] is app.session_manager
        ),
    ),
    (
        "only an admin's kernelspecs are found (c.ServerApp.kernel_spec_manager_class)",
        lambda app: type(app.kernel_spec_manager) is AuditKernelSpecManager,
    ),
    (
        "there is one notebook folder, and no link leaves it (c.ServerApp.contents_manager_class, root_dir)",
        _contents_follow_no_links,
    ),
    (
        "hidden files are not served (c.ContentsManager.allow_hidden)",
        lambda app: not app.contents_manager.allow_hidden,
    ),
    ("the identity provider names people (c.ServerApp.identity_provider_class)", _identity_names_people),
    (
        "a token, password or provider is asked for (c.IdentityProvider.token)",
        lambda app: bool(app.identity_provider.auth_enabled),
    ),
    (
        "no page is shown to strangers by default (c.ServerApp.allow_unauthenticated_access)",
        lambda app: not app.web_app.settings["allow_unauthenticated_access"],
    ),
    (
        "XSRF is checked (c.ServerApp.disable_check_xsrf)",
        lambda app: (
            not app.web_app.settings["disable_check_xsrf"] and bool(app.web_app.settings["xsrf_cookies"])
        ),
    ),
    (
        "no other origin may use the API (c.ServerApp.allow_origin, allow_origin_pat)",
        _nothing_is_allowed_everywhere,
    ),
    ("only allowed extensions are loaded (c.JupyterAudit.allowed_extensions)", _only_allowed_extensions),
    (
        "an extension that fails ends the server (c.ServerApp.reraise_server_extension_failures)",
        lambda app: bool(app.reraise_server_extension_failures),
    ),
    ("no services are added by name (c.ServerApp.extra_services)", lambda app: not app.extra_services),
    (
        "terminals are off, or gated where a profile allows them (c.ServerApp.terminals_enabled)",
        _terminals_are_ours,
    ),
    (
        "kernels from elsewhere are not taken in (c.ServerApp.allow_external_kernels)",
        lambda app: not app.allow_external_kernels,
    ),
    (
        "no gateway stands behind the kernels (c.GatewayClient.url)",
        lambda app: not app.gateway_config.gateway_enabled,
    ),
    (
        "JupyterLab installs nothing into itself (c.LabApp.extension_manager, dev_mode)",
        _labs_installer_is_off,
    ),
)
"""What is asserted, in the words that the ledger and doctor show; and how it is looked at."""


def assess(app: Any) -> Assessment:
    """Return which assertions hold for a server application that has loaded its extensions."""
    assured = tuple(name for name, check in ASSERTIONS if check(app))
    return Assessment(assured, tuple(name for name, _ in ASSERTIONS if name not in assured))
