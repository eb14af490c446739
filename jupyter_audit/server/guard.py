"""
The guard: a verdict in front of every handler of the running application, denial where there is none.

Jupyter's Authorizer is asked by some 40 of JupyterLab's 60 handlers; the rest, Lab's extension installer
among them, ask nobody. So each handler class is named here with the methods that may pass. A class that an
upgrade or another extension brings along is not, and is denied until somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from tornado import web
from tornado.routing import Rule, RuleRouter

READ = frozenset({"GET", "HEAD", "OPTIONS"})
ALL = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})

_SERVER = "jupyter_server."
_SERVICES = "jupyter_server.services."
_LAB = "jupyterlab.handlers."
_LAB_SERVER = "jupyterlab_server."

VERDICTS: dict[str, frozenset[str]] = {
    # Ask the Authorizer themselves, for every method that does anything.
    _SERVER + "base.handlers.AuthenticatedFileHandler": READ,
    _SERVER + "files.handlers.FilesHandler": READ,
    _SERVER + "kernelspecs.handlers.KernelSpecResourceHandler": READ,
    _SERVER + "nbconvert.handlers.NbconvertFileHandler": READ,
    _SERVER + "view.handlers.ViewHandler": READ,
    _SERVICES + "api.handlers.APISpecHandler": READ,
    _SERVICES + "api.handlers.APIStatusHandler": READ,
    _SERVICES + "api.handlers.PathResolverHandler": READ,
    _SERVICES + "config.handlers.ConfigHandler": READ,
    _SERVICES + "contents.handlers.CheckpointsHandler": ALL,
    _SERVICES + "contents.handlers.ContentsHandler": ALL,
    _SERVICES + "contents.handlers.ModifyCheckpointsHandler": ALL,
    _SERVICES + "contents.handlers.TrustNotebooksHandler": ALL,
    _SERVICES + "events.handlers.SubscribeWebsocket": READ,
    _SERVICES + "kernels.handlers.KernelActionHandler": ALL,
    _SERVICES + "kernels.handlers.KernelHandler": ALL,
    _SERVICES + "kernels.handlers.MainKernelHandler": ALL,
    _SERVICES + "kernels.websocket.KernelWebsocketHandler": READ,
    _SERVICES + "kernelspecs.handlers.KernelSpecHandler": READ,
    _SERVICES + "kernelspecs.handlers.MainKernelSpecHandler": READ,
    _SERVICES + "nbconvert.handlers.NbconvertRootHandler": READ,
    _SERVICES + "security.handlers.CSPReportHandler": ALL,
    _SERVICES + "sessions.handlers.SessionHandler": ALL,
    _SERVICES + "sessions.handlers.SessionRootHandler": ALL,
    _SERVICES + "shutdown.ShutdownHandler": ALL,
    # Authentication itself, redirects and static files: nothing to protect.
    _SERVER + "auth.login.LoginFormHandler": ALL,
    _SERVER + "auth.logout.LogoutHandler": READ,
    _SERVER + "base.handlers.APIVersionHandler": READ,
    _SERVER + "base.handlers.FileFindHandler": READ,
    _SERVER + "base.handlers.MainHandler": READ,
    _SERVER + "base.handlers.PublicStaticFileHandler": READ,
    _SERVER + "base.handlers.RedirectWithParams": READ,
    _SERVER + "base.handlers.Template404": ALL,
    _SERVER + "base.handlers.TrailingSlashHandler": READ,
    _SERVICES + "contents.handlers.NotebooksRedirectHandler": READ,
    "tornado.web.RedirectHandler": READ,
    # Ask for authentication only; these read, or keep how a person likes their JupyterLab.
    _SERVICES + "api.handlers.IdentityHandler": READ,
    _LAB + "announcements.CheckForUpdateHandler": READ,
    _LAB + "announcements.NewsHandler": READ,
    _LAB + "build_handler.BuildHandler": READ,
    _LAB + "extension_manager_handler.ExtensionHandler": READ,
    _LAB + "plugin_manager_handler.PluginHandler": READ,
    _LAB_SERVER + "handlers.LabHandler": READ,
    _LAB_SERVER + "handlers.NotFoundHandler": READ,
    _LAB_SERVER + "licenses_handler.LicensesHandler": READ,
    _LAB_SERVER + "listings_handler.ListingsHandler": READ,
    _LAB_SERVER + "settings_handler.SettingsHandler": READ | {"PUT"},
    _LAB_SERVER + "themes_handler.ThemesHandler": READ,
    _LAB_SERVER + "translations_handler.TranslationsHandler": READ,
    _LAB_SERVER + "workspaces_handler.WorkspacesHandler": READ | {"PUT", "DELETE"},
    # Denied outright: forging events, converting with code, metrics of what runs.
    _SERVER + "base.handlers.PrometheusMetricsHandler": frozenset(),
    _SERVER + "nbconvert.handlers.NbconvertPostHandler": frozenset(),
    _SERVICES + "events.handlers.EventHandler": frozenset(),
}
"""Handler class → the methods that may pass. Our own classes ask the Authorizer and are known by their package."""

OWN_PACKAGE = "jupyter_audit.server."


def class_name(handler: type) -> str:
    """Return the name under which a handler class stands in the table."""
    return f"{handler.__module__}.{handler.__qualname__}"


def verdict_on(handler: type) -> frozenset[str] | None:
    """Return the methods that may pass to a handler class; None if nobody has looked at it."""
    if handler.__module__.startswith(OWN_PACKAGE):
        return ALL
    return VERDICTS.get(class_name(handler))


class _Guarded:
    """Marks a handler class that has the guard in front."""


def guarded(handler: type[web.RequestHandler]) -> type[web.RequestHandler]:
    """Return a subclass of `handler` that refuses, before anything else, what the table does not let pass."""
    if issubclass(handler, _Guarded):
        return handler
    allowed = verdict_on(handler) or frozenset()
    name = class_name(handler)

    class Guarded(handler, _Guarded):  # type: ignore[valid-type,misc]
        def prepare(self) -> Awaitable[None] | None:
            if self.request.method not in allowed:
                raise web.HTTPError(
                    403, f"{self.request.method} on {name} is not allowed on an audited server."
                )
            prepared: Awaitable[None] | None = super().prepare()
            return prepared

    Guarded.__name__, Guarded.__qualname__, Guarded.__module__ = handler.__name__, handler.__qualname__, handler.__module__
    return Guarded


def rules_of(application: web.Application) -> list[Rule]:
    """Return every rule of an application that leads to a handler class."""
    found: list[Rule] = []

    def walk(router: RuleRouter) -> None:
        for rule in router.rules:
            if isinstance(rule.target, RuleRouter):
                walk(rule.target)
            elif isinstance(rule.target, type) and issubclass(rule.target, web.RequestHandler):
                found.append(rule)

    walk(application.default_router)
    return found


def install(application: web.Application) -> None:
    """Put the guard in front of every handler there is, and of every one that is added later."""
    for rule in rules_of(application):
        rule.target = guarded(rule.target)
    add_handlers = application.add_handlers

    def add_guarded(host_pattern: str, host_handlers: Any) -> None:
        add_handlers(host_pattern, host_handlers)
        for rule in rules_of(application):
            rule.target = guarded(rule.target)

    application.add_handlers = add_guarded  # type: ignore[method-assign]


def unguarded(application: web.Application) -> list[str]:
    """Return the names of handler classes that have no guard in front."""
    return sorted({class_name(r.target) for r in rules_of(application) if not issubclass(r.target, _Guarded)})
