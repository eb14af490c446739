"""
The guard: a verdict in front of every handler of the running application, denial where there is none.

Jupyter's Authorizer is asked by some 40 of JupyterLab's 60 handlers; the rest, Lab's extension installer
among them, ask nobody. So each handler class is named here with what it takes to reach it and the methods
that may pass. A class that an upgrade or another extension brings along is not, and is denied until somebody
has looked at it.

The guard stands where the application looks up who serves a request, which every request passes once,
whatever was added to the routes, and when. It must never let a class through that has no line in the table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from jupyter_server.base.handlers import APIHandler, Template404
from tornado import web
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import RuleRouter

from jupyter_audit.errors import ConfigError
from jupyter_audit.server.labplaces import keep_to_own, why_not
from jupyter_audit.server.refusals import RefusedError, is_reading, put_down_refused

READ = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
NONE: frozenset[str] = frozenset()


class Door(StrEnum):
    """What it takes to reach a handler."""

    AUTHORIZER = "authorizer"
    """The handler asks the Authorizer itself."""
    AUTHENTICATED = "authenticated"
    """A user; the guard makes sure of that once more."""
    OPEN = "open"
    """Nothing: the login page, redirects, static files."""
    DENIED = "denied"
    """Nobody passes, and no setting changes that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is let through to one handler class."""

    door: Door
    methods: frozenset[str]


def _verdicts(door: Door, package: str, classes: Mapping[str, frozenset[str]]) -> dict[str, Verdict]:
    return {f"{package}.{name}": Verdict(door, methods) for name, methods in classes.items()}


VERDICTS: Mapping[str, Verdict] = {
    **_verdicts(
        Door.AUTHORIZER,
        "jupyter_server",
        {
            "base.handlers.AuthenticatedFileHandler": READ,
            "files.handlers.FilesHandler": READ,
            "kernelspecs.handlers.KernelSpecResourceHandler": READ,
            "nbconvert.handlers.NbconvertFileHandler": READ,
            "view.handlers.ViewHandler": READ,
            "services.api.handlers.APISpecHandler": READ,
            "services.api.handlers.APIStatusHandler": READ,
            "services.api.handlers.PathResolverHandler": READ,
            "services.config.handlers.ConfigHandler": READ,
            "services.contents.handlers.CheckpointsHandler": METHODS,
            "services.contents.handlers.ContentsHandler": METHODS,
            "services.contents.handlers.ModifyCheckpointsHandler": METHODS,
            "services.contents.handlers.TrustNotebooksHandler": METHODS,
            "services.events.handlers.SubscribeWebsocket": READ,
            "services.kernels.handlers.KernelActionHandler": METHODS,
            "services.kernels.handlers.KernelHandler": METHODS,
            "services.kernels.handlers.MainKernelHandler": METHODS,
            "services.kernels.websocket.KernelWebsocketHandler": READ,
            "services.kernelspecs.handlers.KernelSpecHandler": READ,
            "services.kernelspecs.handlers.MainKernelSpecHandler": READ,
            "services.nbconvert.handlers.NbconvertRootHandler": READ,
            "services.security.handlers.CSPReportHandler": METHODS,
            "services.sessions.handlers.SessionHandler": METHODS,
            "services.sessions.handlers.SessionRootHandler": METHODS,
            "services.shutdown.ShutdownHandler": METHODS,
        },
    ),
    # These read, or keep how a person likes their JupyterLab. Its extension installer (POST extensions,
    # plugins) and its builder (POST, DELETE build) would put code into the server or into every reader's
    # browser.
    **_verdicts(
        Door.AUTHENTICATED,
        "jupyterlab",
        {
            "handlers.announcements.CheckForUpdateHandler": READ,
            "handlers.announcements.NewsHandler": READ,
            "handlers.build_handler.BuildHandler": READ,
            "handlers.extension_manager_handler.ExtensionHandler": READ,
            "handlers.plugin_manager_handler.PluginHandler": READ,
        },
    ),
    **_verdicts(
        Door.AUTHENTICATED,
        "jupyterlab_server",
        {
            "handlers.LabHandler": READ,
            "handlers.NotFoundHandler": READ,
            "licenses_handler.LicensesHandler": READ,
            "listings_handler.ListingsHandler": READ,
            "settings_handler.SettingsHandler": READ | {"PUT"},
            "translations_handler.TranslationsHandler": READ,
            "workspaces_handler.WorkspacesHandler": READ | {"PUT", "DELETE"},
        },
    ),
    # Notebook's pages, which work through the same API.
    **_verdicts(
        Door.AUTHENTICATED,
        "notebook.app",
        {
            "ConsoleHandler": READ,
            "CustomCssHandler": READ,
            "FileHandler": READ,
            "NotebookHandler": READ,
            "TerminalHandler": READ,
            "TreeHandler": READ,
        },
    ),
    **_verdicts(Door.AUTHENTICATED, "jupyter_server", {"services.api.handlers.IdentityHandler": READ}),
    **_verdicts(
        Door.OPEN,
        "jupyter_server",
        {
            "auth.login.LoginFormHandler": READ | {"POST"},
            "auth.login.LegacyLoginHandler": READ | {"POST"},
            "auth.logout.LogoutHandler": READ,
            "base.handlers.APIVersionHandler": READ,
            "base.handlers.FileFindHandler": READ,
            "base.handlers.MainHandler": READ,
            "base.handlers.PublicStaticFileHandler": READ,
            "base.handlers.RedirectWithParams": READ,
            "base.handlers.Template404": METHODS,
            "base.handlers.TrailingSlashHandler": READ,
            "services.contents.handlers.NotebooksRedirectHandler": READ,
        },
    ),
    # Of our own handlers, the one that asks nobody.
    **_verdicts(Door.OPEN, "jupyter_audit.server", {"login.PeopleLoginHandler": READ | {"POST"}}),
    **_verdicts(Door.OPEN, "jupyterlab_server", {"themes_handler.ThemesHandler": READ}),
    **_verdicts(Door.OPEN, "tornado.web", {"ErrorHandler": METHODS, "RedirectHandler": READ}),
    # JupyterHub's way to log in, where it starts the server.
    **_verdicts(
        Door.OPEN,
        "jupyterhub",
        {
            "services.auth.HubOAuthCallbackHandler": READ,
            "singleuser.extension.JupyterHubLogoutHandler": READ,
            "singleuser.extension.JupyterHubOAuthCallbackHandler": READ,
        },
    ),
    # Denied for good: what forges events, converts what was posted, tells of other people's work, or runs
    # code past the gate, as was shown by trial. A setting opens none of these.
    **_verdicts(
        Door.DENIED,
        "jupyter_server",
        {
            "base.handlers.PrometheusMetricsHandler": NONE,
            "nbconvert.handlers.NbconvertPostHandler": NONE,
            "services.events.handlers.EventHandler": NONE,
        },
    ),
    **_verdicts(
        Door.DENIED,
        "jupyter_server_nbmodel.handlers",
        {
            "ExecuteHandler": NONE,
            "InputHandler": NONE,
            "OutputRecoverySettingHandler": NONE,
            "RequestHandler": NONE,
        },
    ),
    **_verdicts(
        Door.DENIED,
        "jupyter_server_terminals",
        {
            "handlers.TermSocket": NONE,
            "api_handlers.TerminalRootHandler": NONE,
            "api_handlers.TerminalHandler": NONE,
        },
    ),
    **_verdicts(
        Door.DENIED,
        "jupyter_lsp.handlers",
        {"LanguageServersHandler": NONE, "LanguageServerWebSocketHandler": NONE},
    ),
}
"""Handler class → what is let through to it."""

OWN_PACKAGE = "jupyter_audit.server."
OWN = Verdict(Door.AUTHORIZER, METHODS)
"""Our own handlers ask the Authorizer; a test holds each of them to that."""

DENIED = Verdict(Door.DENIED, NONE)


def class_name(handler: type) -> str:
    """Return the name under which a handler class stands in the table."""
    return f"{handler.__module__}.{handler.__qualname__}"


def parse_opened(setting: Mapping[str, Sequence[str]]) -> dict[str, Verdict]:
    """
    Return the verdicts that an admin adds with `c.JupyterAudit.allowed_handlers`.

    Raises `ConfigError` for a method that does not exist, and for a class that is denied for good.
    """
    for name, methods in setting.items():
        if VERDICTS.get(name, OWN).door is Door.DENIED:
            raise ConfigError(
                f"c.JupyterAudit.allowed_handlers names {name}, which goes past the gate.",
                advice="Take it out. No setting opens that handler on an audited server.",
            )
        if unknown := sorted(set(methods) - METHODS):
            raise ConfigError(
                f"c.JupyterAudit.allowed_handlers[{name!r}] has {unknown[0]!r}, which is no HTTP method.",
                advice=f"Choose from {', '.join(sorted(METHODS))}.",
            )
    return {name: Verdict(Door.AUTHENTICATED, frozenset(methods)) for name, methods in setting.items()}


class RefusedHandler(APIHandler):
    """Answers in the place of a handler that the guard does not let anybody reach, which is not even made."""

    def initialize(self, target: str, error: RefusedError) -> None:
        """Take what is out of reach, and the error to answer with."""
        self._target = target
        self._error = error

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse: strangers as Jupyter does, users with the sentence."""
        await super().prepare()
        put_down_refused(self, door="guard", target=self._target, cause=self._error.cause)
        raise self._error

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer; a method that Tornado knows of no handler, such as TRACE, is told that none of those here takes it."""
        if status_code == 405:
            self.set_header("Allow", "")  # RFC 9110, 10.2.1: nothing of this address is let through here
        super().write_error(status_code, **kwargs)


@cache
def authenticated(handler: type[web.RequestHandler]) -> type[web.RequestHandler]:
    """Return a subclass of `handler` that only users reach, whatever the handler itself asks, and each their own places."""

    class Authenticated(handler):  # type: ignore[valid-type,misc]
        async def prepare(self) -> None:
            prepared: Awaitable[None] | None = super().prepare()
            if prepared is not None:
                await prepared
            if self._finished:
                return
            if self.current_user is None:
                raise web.HTTPError(403)
            keep_to_own(class_name(handler), self)

    for attribute in ("__name__", "__qualname__", "__module__"):
        setattr(Authenticated, attribute, getattr(handler, attribute))
    return Authenticated


class Guard:
    """Stands in front of one application's handlers."""

    def __init__(self, application: web.Application, opened: Mapping[str, Verdict]) -> None:
        self._application = application
        self._find_handler = application.find_handler
        self._opened = dict(opened)

    def verdict_on(self, handler: type) -> Verdict:
        """Return what is let through to a handler class: the table's word, then the admin's (not of ours), then nothing."""
        name = class_name(handler)
        own = OWN if handler.__module__.startswith(OWN_PACKAGE) else None
        return VERDICTS.get(name) or own or self._opened.get(name) or DENIED

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:
        """Return who serves a request, in the place of `tornado.web.Application.find_handler`."""
        delegate: Any = self._find_handler(request, **kwargs)
        handler = getattr(delegate, "handler_class", None)
        if handler is None:
            error = RefusedError("closed", "This address is served by something that is no request handler.")
            return self._refuse(request, "no handler", error)
        verdict = self.verdict_on(handler)
        if request.method not in verdict.methods:
            error = RefusedError(
                "closed",
                f"{request.method} {class_name(handler)} is not allowed on an audited server: it could go "
                "past the gate, or nobody has looked at it yet. An admin can open what is harmless with "
                "c.JupyterAudit.allowed_handlers.",
            )
            return self._refuse(request, class_name(handler), error)
        if handler is Template404 and not is_reading(request):
            # Terminals, language servers and other extensions that are not loaded: the attempt is put down.
            error = RefusedError("no_such_address", "There is nothing at this address of an audited server.", 404)
            return self._refuse(request, "nothing", error)
        if (unfit := why_not(class_name(handler), request, delegate.path_kwargs)) is not None:
            return self._refuse(request, class_name(handler), unfit)
        if verdict.door is Door.AUTHENTICATED:
            delegate.handler_class = authenticated(handler)
        found: HTTPMessageDelegate = delegate
        return found

    def _refuse(self, request: HTTPServerRequest, target: str, error: RefusedError) -> HTTPMessageDelegate:
        refused: HTTPMessageDelegate = self._application.get_handler_delegate(
            request, RefusedHandler, {"target": target, "error": error}
        )
        return refused


def install(application: web.Application, allowed: Mapping[str, Sequence[str]] | None = None) -> Guard:
    """
    Put the guard in front of every handler there is, and of every one that is added later.

    `allowed` is the admin's `allowed_handlers`. Raises `ConfigError` if it opens what must stay closed. An
    application that is guarded already keeps its guard.
    """
    standing = guard_of(application)
    if standing is not None:
        return standing
    guard = Guard(application, parse_opened(allowed or {}))
    application.find_handler = guard.find_handler  # type: ignore[method-assign,assignment]
    return guard


def guard_of(application: web.Application) -> Guard | None:
    """Return the guard in front of an application, if it has one."""
    owner = getattr(application.find_handler, "__self__", None)
    return owner if isinstance(owner, Guard) else None


def handlers_of(application: web.Application) -> list[type[web.RequestHandler]]:
    """Return every handler class that the application's routes lead to, without repetition."""
    found: dict[str, type[web.RequestHandler]] = {}

    def walk(router: RuleRouter) -> None:
        for rule in router.rules:
            if isinstance(rule.target, RuleRouter):
                walk(rule.target)
            elif isinstance(rule.target, type) and issubclass(rule.target, web.RequestHandler):
                found.setdefault(class_name(rule.target), rule.target)

    walk(application.default_router)
    return list(found.values())


def strange_routes(application: web.Application) -> list[str]:
    """Return the targets of routes that are no request handlers: they serve while they are looked up."""
    found: list[str] = []

    def walk(router: RuleRouter) -> None:
        for rule in router.rules:
            if isinstance(rule.target, RuleRouter):
                walk(rule.target)
            elif not (isinstance(rule.target, type) and issubclass(rule.target, web.RequestHandler)):
                found.append(repr(rule.target))

    walk(application.default_router)
    return found


def methods_of(handler: type[web.RequestHandler]) -> frozenset[str]:
    """Return the HTTP methods that a handler class implements."""
    unimplemented = web.RequestHandler._unimplemented_method
    return frozenset(method for method in METHODS if getattr(handler, method.lower()) is not unimplemented)
