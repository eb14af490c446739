"""The guard: no handler is reached without a verdict, whoever adds it, however, and whenever."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Any
from unittest.mock import Mock

import pytest
from tornado import httputil, web
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.routing import PathMatches, Rule, RuleRouter
from tornado.testing import bind_unused_port

from jupyter_audit.errors import ConfigError
from jupyter_audit.model import Role
from jupyter_audit.server import guard
from jupyter_audit.server.authorizer import ALLOWED, decide_roles
from jupyter_audit.server.labplaces import why_not


class Stranger(web.RequestHandler):
    """A handler that nobody has looked at."""

    reached = False

    def get(self) -> None:
        type(self).reached = True
        self.finish("reached")


class NoHandler(httputil.HTTPServerConnectionDelegate):
    """Something that serves requests and is no handler at all."""

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> Any:
        return Serving()


class Serving(httputil.HTTPMessageDelegate):
    """What it serves with."""

    def finish(self) -> None:
        Stranger.reached = True


def status_of(application: web.Application, path: str) -> int:
    """Serve one request to an application and return the status."""

    async def ask() -> int:
        listening, port = bind_unused_port()
        server = HTTPServer(application)
        server.add_socket(listening)
        try:
            return await asyncio.to_thread(fetch, port)
        finally:
            server.stop()

    def fetch(port: int) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    return asyncio.run(ask())


@pytest.fixture
def application() -> web.Application:
    return web.Application([], base_url="/")


def before_the_guard(application: web.Application) -> None:
    application.add_handlers(".*$", [("/x", Stranger)])
    guard.install(application)


def after_the_guard(application: web.Application) -> None:
    guard.install(application)
    application.add_handlers(".*$", [("/x", Stranger)])


def into_the_router_itself(application: web.Application) -> None:
    guard.install(application)
    application.default_router.rules.insert(0, Rule(PathMatches("/x"), Stranger))


def in_a_router_of_its_own(application: web.Application) -> None:
    guard.install(application)
    inner = web.Application([("/x", Stranger)])
    application.default_router.rules.insert(0, Rule(PathMatches("/x"), inner))


def as_something_that_is_no_handler(application: web.Application) -> None:
    guard.install(application)
    application.default_router.rules.insert(0, Rule(PathMatches("/x"), NoHandler()))


def in_a_router_without_an_application(application: web.Application) -> None:
    guard.install(application)
    router = RuleRouter([Rule(PathMatches("/x"), NoHandler())])
    application.default_router.rules.insert(0, Rule(PathMatches("/x"), router))


def as_what_serves_when_nothing_else_does(application: web.Application) -> None:
    guard.install(application)
    application.settings["default_handler_class"] = Stranger


@pytest.mark.parametrize(
    "added",
    [
        before_the_guard,
        after_the_guard,
        into_the_router_itself,
        in_a_router_of_its_own,
        as_something_that_is_no_handler,
        in_a_router_without_an_application,
        as_what_serves_when_nothing_else_does,
    ],
    ids=lambda added: added.__name__,
)
def test_an_unknown_handler_is_not_reached(application: web.Application, added: Any) -> None:
    Stranger.reached = False
    added(application)
    # Without Jupyter's settings the refusal itself fails: it matters only that nobody gets through.
    assert status_of(application, "/x") in (403, 500)
    assert not Stranger.reached


def test_a_route_that_is_no_handler_is_found(application: web.Application) -> None:
    assert guard.strange_routes(application) == []
    in_a_router_without_an_application(application)
    assert len(guard.strange_routes(application)) == 1


def test_a_handler_that_asks_nobody_is_not_reached_by_strangers_even_if_an_admin_opens_it(
    application: web.Application,
) -> None:
    Stranger.reached = False
    application.add_handlers(".*$", [("/x", Stranger)])
    guard.install(application, {guard.class_name(Stranger): ["GET"]})
    assert status_of(application, "/x") == 403
    assert not Stranger.reached


def test_a_second_guard_does_not_loosen_the_first(application: web.Application) -> None:
    first = guard.install(application)
    assert guard.install(application, {guard.class_name(Stranger): ["GET"]}) is first
    assert first.verdict_on(Stranger) is guard.DENIED


@pytest.mark.parametrize(
    "opened",
    [
        {"jupyter_server_nbmodel.handlers.ExecuteHandler": ["POST"]},
        {"jupyter_server.services.events.handlers.EventHandler": ["POST"]},
        {"jupyter_server_terminals.api_handlers.TerminalRootHandler": ["POST"]},
        {"some.Handler": ["get"]},
    ],
    ids=str,
)
def test_no_setting_opens_what_is_denied_for_good(opened: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError, match="allowed_handlers"):
        guard.parse_opened(opened)


def test_an_admin_does_not_widen_what_the_table_says(application: web.Application) -> None:
    from jupyterlab.handlers.extension_manager_handler import ExtensionHandler

    standing = guard.install(application, {guard.class_name(ExtensionHandler): ["POST"]})
    assert "POST" not in standing.verdict_on(ExtensionHandler).methods


SETTINGS = "jupyterlab_server.settings_handler.SettingsHandler"
WORKSPACES = "jupyterlab_server.workspaces_handler.WorkspacesHandler"
LICENSES = "jupyterlab_server.licenses_handler.LicensesHandler"


@pytest.mark.parametrize(
    ("handler", "uri", "headers", "found", "cause"),
    [
        (SETTINGS, "/", {"Content-Length": "65536"}, b"@jupyterlab/apputils-extension:themes", None),
        (SETTINGS, "/", {"Content-Length": "10"}, b"jupyterlab-x.y_z:plugin", None),
        (SETTINGS, "/", {"Content-Length": "65537"}, b"a:b", "too_large"),
        (SETTINGS, "/", {"Transfer-Encoding": "chunked"}, b"a:b", "too_large"),
        *[(SETTINGS, "/", {"Content-Length": "1"}, name, "outside") for name in (
            b"/etc/x:y", b"..:y", b".:y", b"@a/..:y", b"@a/../b:y", b"a/b:y", b"@a/b/c:y", b"a:b:c", b"a:../b", b"a", b"a:b\0", b"\xff:b")],
        (WORKSPACES, "/", {"Content-Length": "1048576"}, b"", None),
        (WORKSPACES, "/", {"Content-Length": "1048577"}, b"", "too_large"),
        (WORKSPACES, "/", {}, b"", "too_large"),
        (LICENSES, "/?bundles=@jupyterlab/application-top&format=csv", {}, b"", None),
        (LICENSES, "/", {}, b"", None),
        (LICENSES, "/?bundles=(a|a)*x", {}, b"", "pattern"),
        (LICENSES, "/?bundles=a&bundles=(a|a)*x", {}, b"", "pattern"),
        (LICENSES, "/", {"Content-Length": "20"}, b"", "pattern"),
        (LICENSES, "/", {"Transfer-Encoding": "chunked"}, b"", "pattern"),
        ("somebody.Else", "/?bundles=(a|a)*x", {}, b"../x:y", None),
    ],
    ids=str,
)  # fmt: skip
def test_what_jupyterlab_takes_as_it_stands_is_looked_at_first(
    handler: str, uri: str, headers: dict[str, str], found: bytes, cause: str | None
) -> None:
    request = HTTPServerRequest("PUT", uri, headers=HTTPHeaders(headers), connection=Mock())
    refused = why_not(handler, request, {"schema_name": found})
    assert (refused.cause if refused else None) == cause


# --- the Authorizer's table -----------------------------------------------------------------------------


NOBODY: frozenset[Role] = frozenset()
EVERY_ROLE = frozenset(Role)


@pytest.mark.parametrize(
    ("resource", "action"),
    [("lsp", "execute"), ("events", "write"), ("config", "write"),
     ("nbconvert", "write"),
     ("unheard-of", "read"), ("", ""), ("server", "read"), ("kernelspecs", "write")],
)  # fmt: skip
def test_what_is_not_in_the_table_is_nobodys(resource: str, action: str) -> None:
    assert not decide_roles(frozenset({resource}), frozenset({action}), EVERY_ROLE)


def test_every_pair_is_for_exactly_the_roles_it_names() -> None:
    for (resource, action), allowed in ALLOWED.items():
        for role in Role:
            may = decide_roles(frozenset({resource}), frozenset({action}), frozenset({role}))
            assert may == (role in allowed or None in allowed), (resource, action, role)
        assert decide_roles(frozenset({resource}), frozenset({action}), NOBODY) == (None in allowed)


def test_what_a_decorator_remembers_of_another_request_does_not_loosen_this_one() -> None:
    """`@authorized` may report "read" for a request that writes, or another handler's resource."""
    auditor = frozenset({Role.AUDITOR})
    assert decide_roles(frozenset({"contents"}), frozenset({"read"}), auditor)
    assert not decide_roles(frozenset({"contents"}), frozenset({"read", "write"}), auditor)
    assert not decide_roles(frozenset({"contents", "server"}), frozenset({"read"}), auditor)
    assert not decide_roles(frozenset(), frozenset({"read"}), EVERY_ROLE)
    assert not decide_roles(frozenset({"contents"}), frozenset(), EVERY_ROLE)
