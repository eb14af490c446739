"""Every door of the server has a verdict: the Authorizer's table, the guard's table, and denial where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import websocket
from support.servers import AuditedServer, audited_server, clean_environment, make_home
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from jupyter_audit.server.guard import OWN_PACKAGE, VERDICTS, Door, Guard, class_name, handlers_of, methods_of
from jupyter_audit.server.handlers import handlers_for
from jupyter_audit.server.terminal_handlers import ROUTES as TERMINAL_ROUTES

DENIED = [
    ("POST", "/api/terminals", {}, {403, 404}),
    ("POST", "/api/events", {"schema_id": "x", "version": "1", "data": {}}, {403}),
    ("POST", "/lab/api/extensions", {"cmd": "install", "extension_name": "x"}, {403}),
    ("POST", "/lab/api/build", None, {403}),
    ("POST", "/lab/api/plugins", {"cmd": "disable", "plugin_name": "x"}, {403}),
    ("PUT", "/api/config/notebook", {}, {403}),
    ("POST", "/api/nbconvert/html", {}, {403, 404}),
    ("GET", "/metrics", None, {403}),
    ("GET", "/lsp/status", None, {403, 404}),
    ("POST", "/api/kernels", {"name": "python3"}, {403}),
    ("PUT", "/api/contents/.hidden/x", {"type": "file", "format": "text", "content": ""}, {400, 403, 404}),
]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> object:
    with audited_server(Path(tmp_path_factory.mktemp("lab")), face="lab") as running:
        yield running


@pytest.mark.parametrize(("method", "path", "body", "expected"), DENIED, ids=lambda value: str(value)[:40])
def test_what_could_run_or_change_code_is_denied(
    lab: AuditedServer, method: str, path: str, body: object, expected: set[int]
) -> None:
    status, answer = lab.request(method, path, body)
    assert status in expected, answer


@pytest.mark.parametrize("path", ["/lab", "/api/contents", "/api/kernelspecs", "/lab/api/settings", "/api/me", "/audit/panel"])
def test_what_jupyterlab_lives_on_is_served(lab: AuditedServer, path: str) -> None:
    assert lab.request("GET", path)[0] == 200


@pytest.mark.parametrize("path", ["/api/contents", "/api/kernels", "/audit/api/v1/status", "/audit/panel", "/api/sessions"])
def test_nobody_gets_in_without_the_token(lab: AuditedServer, path: str) -> None:
    status, answer = lab.request("GET", path, token="")
    assert status in (401, 403) or "token" in str(answer).lower()
    assert "entries" not in str(answer)


def test_the_websocket_needs_the_token(lab: AuditedServer) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(lab.url.replace("http", "ws", 1) + "/api/kernels/0-0-0-0-0/channels")


def test_a_session_on_a_kernel_that_is_not_allowed_does_not_start(lab: AuditedServer) -> None:
    status, answer = lab.request(
        "POST", "/api/sessions", {"path": "x.ipynb", "type": "notebook", "name": "x", "kernel": {"name": "python3"}}
    )
    assert status >= 400
    assert "may not start" in json.dumps(answer)
    assert lab.request("GET", "/api/kernels")[1] == []


def test_every_handler_of_the_running_application_has_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when an upgrade brings a handler that nobody has looked at: look, then add it to the table."""
    from jupyter_server.serverapp import ServerApp

    for name, value in clean_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    ServerApp.clear_instance()
    extensions = dict.fromkeys(
        ("jupyterlab", "notebook", "notebook_shim", "jupyter_server_terminals", "jupyter_server_nbmodel", "jupyter_lsp"), True
    )
    app = ServerApp.instance(jpserver_extensions=extensions, allow_root=True)
    app.initialize([f"--ServerApp.root_dir={tmp_path}", "--ServerApp.terminals_enabled=True", "--port=0"], find_extensions=False)
    try:
        app.web_app.add_handlers(".*$", [*handlers_for("jupyter_audit"), *TERMINAL_ROUTES])
        guard = Guard(app.web_app, {})
        handlers = handlers_of(app.web_app)
        assert {handler.__module__.partition(".")[0] for handler in handlers} >= {
            "jupyter_audit", "jupyter_lsp", "jupyter_server", "jupyter_server_nbmodel", "jupyter_server_terminals", "jupyterlab"
        }  # fmt: skip
        assert len(handlers) > 70
        missing = [name for handler in handlers if (name := class_name(handler)) not in VERDICTS and not name.startswith(OWN_PACKAGE)]
        assert missing == []
        for handler in handlers:
            verdict = guard.verdict_on(handler)
            for method in verdict.methods & methods_of(handler) - {"OPTIONS"}:
                asks = asked_by(getattr(handler, method.lower()))
                if verdict.door is Door.AUTHORIZER and not is_websocket(handler):
                    assert "authorized" in asks, f"{method} {class_name(handler)} does not ask the Authorizer"
    finally:
        app.http_server.stop()
        app.io_loop.close()
        ServerApp.clear_instance()


OWN_HANDLERS = {target for _, target in (*handlers_for("jupyter_audit"), *TERMINAL_ROUTES)}
UNASKED: Mapping[tuple[str, str], str] = {
    ("AuditTermSocket", "GET"): "asks for a user and then for the terminal's owner or a watcher by itself; test_web_watch_terminal.py tries it",
}
"""Methods of our own handlers that stand behind no decorator, and why."""


@pytest.mark.parametrize("handler", sorted(OWN_HANDLERS, key=class_name), ids=lambda handler: handler.__name__)
def test_each_of_our_own_handlers_is_for_users_whom_the_authorizer_lets_through(handler: type[RequestHandler]) -> None:
    for method in methods_of(handler) - {"OPTIONS"}:
        if (handler.__name__, method) not in UNASKED:
            assert asked_by(getattr(handler, method.lower())) >= {"authenticated", "authorized"}, method


def asked_by(method: Callable[..., Any]) -> set[str]:
    """Return the names of the decorators that a handler's method stands behind."""
    found = set()
    while method is not None:
        found.add(method.__code__.co_qualname.partition(".")[0])
        method = getattr(method, "__wrapped__", None)  # type: ignore[assignment]
    return found


def is_websocket(handler: type) -> bool:
    """Say whether a handler asks the Authorizer by itself, when its websocket opens."""
    return issubclass(handler, WebSocketHandler)


def test_what_is_denied_for_good_lets_no_method_pass() -> None:
    denied = {name for name, verdict in VERDICTS.items() if verdict.door is Door.DENIED}
    assert "jupyter_server.services.events.handlers.EventHandler" in denied
    assert all(not VERDICTS[name].methods for name in denied)


def test_every_handler_of_jupyter_server_nbmodel_is_closed_for_good() -> None:
    """It is in this environment, and fails here when an upgrade brings a handler along."""
    from jupyter_server_nbmodel import handlers

    found = {class_name(value) for value in vars(handlers).values() if isinstance(value, type) and value.__module__ == handlers.__name__}
    assert found
    assert {name: VERDICTS[name].door for name in found} == dict.fromkeys(found, Door.DENIED)


def test_jupyterlab_runs_cells_itself_though_jupyter_server_nbmodel_is_installed(lab: AuditedServer) -> None:
    """Its part in the page takes the executor's place, and would send every cell to what is closed here."""
    page = lab.request("GET", "/lab")[1]
    config = json.loads(page.partition('id="jupyter-config-data" type="application/json">')[2].partition("</script>")[0])
    assert "@datalayer/jupyter-server-nbmodel" in {one["name"] for one in config["federated_extensions"]}
    assert "@datalayer/jupyter-server-nbmodel" in config["disabledExtensions"]
    assert not [one for one in config["disabledExtensions"] if "cell-executor" in one]


def test_xsrf_is_checked_for_whoever_comes_with_a_cookie(lab: AuditedServer) -> None:
    import urllib.request
    from http.cookiejar import CookieJar

    jar = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(f"{lab.url}/audit/panel?token={lab.token}").read()
    body = json.dumps({"profile": "production-debug", "reason": "forged by a page", "ticket": "X-1"}).encode()
    asked = urllib.request.Request(f"{lab.url}/audit/api/v1/requests", data=body, method="POST",
                                   headers={"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(asked)
    assert refused.value.code == 403
    token = next(cookie.value for cookie in jar if cookie.name == "_xsrf")
    asked.add_header("X-XSRFToken", str(token))
    assert opener.open(asked).status == 201


def test_make_home_is_private(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert home.signing_key.stat().st_mode & 0o777 == 0o600
