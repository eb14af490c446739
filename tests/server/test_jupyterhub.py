"""
A team on a real JupyterHub: one audited server is a service of the Hub, and people are who the Hub says.

Needs JupyterHub's proxy, which is a Node program (`make test` installs it where there is npm).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from support.servers import AuditedServer, audited_server, clean_environment, free_port, make_home, wait_for

BESIDE = Path(sys.prefix) / "node_modules" / ".bin"
PROXY = shutil.which("configurable-http-proxy", path=f"{BESIDE}{os.pathsep}{os.environ.get('PATH', '')}")
PREFIX = "/services/audit/"

pytestmark = pytest.mark.skipif(
    PROXY is None, reason="JupyterHub's proxy is missing (npm install --prefix .venv configurable-http-proxy)"
)

HUB = """
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy}/"
c.JupyterHub.hub_port = {hub}
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_api}"
c.ConfigurableHTTPProxy.command = [{command!r}]
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.DummyAuthenticator.password = "a password for tests"
c.Authenticator.allow_all = True
c.JupyterHub.load_groups = {{"dev": {{"users": ["ann", "group:leads"]}}, "leads": {{"users": ["bob"]}}}}
c.JupyterHub.custom_scopes = {{"custom:audit:read": {{"description": "Read the ledger of the audited server"}}}}
c.JupyterHub.load_roles = [
    {{"name": "audited", "scopes": ["access:services!service=audit"], "groups": ["dev", "leads"], "users": ["ida"]}},
    {{"name": "reads", "scopes": ["custom:audit:read"], "users": ["ida"]}},
    {{"name": "robot", "scopes": ["access:services!service=audit"], "services": ["bob"]}},
]
c.JupyterHub.services = [
    {{
        "name": "audit",
        "url": "http://127.0.0.1:{audited}",
        "api_token": "{token}",
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": ["custom:audit:read"],
    }},
    {{"name": "bob", "api_token": "{robot}"}},
]
"""

AUDITED = """
c.ServerApp.identity_provider_class = "jupyterhub.singleuser.extension.JupyterHubIdentityProvider"
c.ServerApp.base_url = "{prefix}"
c.ServerApp.allow_remote_access = True
c.HubOAuth.api_url = "http://127.0.0.1:{hub}/hub/api"
c.HubOAuth.api_token = "{token}"
c.HubOAuth.oauth_client_id = "service-audit"
c.HubOAuth.base_url = "{prefix}"
c.HubOAuth.access_scopes = {{"access:services!service=audit"}}
c.HubOAuth.cache_max_age = 1
c.JupyterAudit.roles = {{"engineer": ["group:dev"], "approver": ["group:leads"], "auditor": ["scope:custom:audit:read"]}}
"""


@dataclass(frozen=True)
class Hub:
    """A Hub that runs, and the audited server that is its service."""

    url: str
    server: AuditedServer
    robot: str

    def browser(self, name: str) -> Browser:
        """Log in at the Hub on the way to the panel, as a browser does."""
        session = requests.Session()
        page = session.get(f"{self.url}{PREFIX}audit/panel", timeout=60)
        form = re.search(r'<form action="([^"]+)"', page.text)
        xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert form, page.text
        assert xsrf, page.text
        given = {"username": name, "password": "a password for tests", "_xsrf": xsrf[1]}
        action = form[1].replace("&amp;", "&")
        return Browser(self, session, session.post(f"{self.url}{action}", data=given, timeout=60))


@dataclass(frozen=True)
class Browser:
    """Somebody's browser; `arrived` is the answer that logging in led to."""

    hub: Hub
    session: requests.Session
    arrived: requests.Response

    def api(self, method: str, path: str, body: object = None) -> requests.Response:
        xsrf = next((c.value for c in self.session.cookies if c.name == "_xsrf" and c.path == PREFIX), "")
        address = f"{self.hub.url}{PREFIX}audit/api/v1/{path}"
        return self.session.request(method, address, json=body, headers={"X-XSRFToken": xsrf or ""}, timeout=60)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    make_home(folder)
    names = ("proxy", "hub", "proxy_api", "audited")
    ports = {name: free_port() for name in names}
    token, robot = secrets.token_hex(16), secrets.token_hex(16)
    values: dict[str, Any] = {**ports, "folder": folder, "command": PROXY, "token": token, "robot": robot, "prefix": PREFIX}
    for name, text in (("hub_config.py", HUB), ("admin_config.py", AUDITED)):
        (folder / name).write_text(text.format(**values))
        (folder / name).chmod(0o600)
    command = [sys.executable, "-m", "jupyterhub", "--config", str(folder / "hub_config.py")]
    environment = clean_environment(folder) | {"CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16)}
    url = f"http://127.0.0.1:{ports['proxy']}"
    # The Hub waits for its services when it starts, not they for it.
    with audited_server(folder, f"--config={folder / 'admin_config.py'}", solo=False, port=ports["audited"]) as server:
        with (folder / "hub.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)

        def up() -> bool:
            assert process.poll() is None, (folder / "hub.log").read_text()
            try:
                return requests.get(f"{url}{PREFIX}api", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        try:
            wait_for(up, "the Hub to answer", 120)
            yield Hub(url, server, robot)
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_one_asks_another_approves_and_the_ledger_has_the_names_of_the_hub(hub: Hub) -> None:
    ann, bob = hub.browser("ann"), hub.browser("bob")
    assert (ann.arrived.status_code, bob.arrived.status_code) == (200, 200)
    me = [browser.api("GET", "status").json()["me"] for browser in (ann, bob)]
    assert [(one["name"], one["roles"]) for one in me] == [("ann", ["engineer"]), ("bob", ["approver"])]
    wish = {"profile": "production-debug", "reason": "orders are stuck", "ticket": "SHOP-1"}
    asked = ann.api("POST", "requests", wish)
    assert asked.status_code == 201, asked.text
    path = f"requests/{asked.json()['id']}/approve"
    assert ann.api("POST", path, {}).status_code == 403
    given = bob.api("POST", path, {})
    assert given.ok, given.text
    request, grant = (hub.server.await_entry(kind) for kind in ("access.requested", "access.approved"))
    assert (request.actor.name, grant.actor.name, grant.body["principal"]) == ("ann", "bob", "ann")
    assert {request.actor.vouched_by, grant.actor.vouched_by} == {"JupyterHubIdentityProvider"}
    assert request.body["groups"][0] == "dev"


def test_work_under_the_grant_goes_through_the_hub_and_is_recorded(hub: Hub) -> None:
    ann = hub.browser("ann")
    xsrf = next(cookie.value for cookie in ann.session.cookies if cookie.name == "_xsrf" and cookie.path == PREFIX)
    made = ann.session.post(
        f"{hub.url}{PREFIX}api/kernels", json={"name": "audit"}, headers={"X-XSRFToken": str(xsrf)}, timeout=60
    )
    assert made.status_code == 201, made.text
    channels = f"{PREFIX}api/kernels/{made.json()['id']}/channels"
    cookies = ann.session.cookies
    sent = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies if channels.startswith(cookie.path))
    socket = websocket.create_connection(f"{hub.url.replace('http', 'ws', 1)}{channels}", cookie=sent, origin=hub.url, timeout=60)
    header = {"msg_id": "one", "msg_type": "execute_request", "username": "bob", "session": "s", "date": "", "version": "5.4"}
    content = {"code": "6 * 7", "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []}
    socket.send(json.dumps(message))
    admitted = hub.server.await_entry("cell.admitted", lambda entry: entry.body["msg_id"] == "one")
    assert (admitted.actor.name, admitted.actor.vouched_by) == ("ann", "JupyterHubIdentityProvider")
    assert hub.server.finished(admitted.seq).body["status"] == "ok"
    socket.close()


def test_a_scope_of_the_hub_gives_a_role(hub: Hub) -> None:
    assert hub.browser("ida").api("GET", "status").json()["me"]["roles"] == ["auditor"]


def test_whoever_the_hub_does_not_let_in_stays_out(hub: Hub) -> None:
    assert hub.browser("eve").arrived.status_code == 403
    assert requests.get(f"{hub.url}{PREFIX}audit/api/v1/status", timeout=60).status_code == 403
    for token in (hub.server.token, "guess"):
        assert hub.server.request("GET", "/audit/api/v1/status", token=token)[0] == 403


def test_nobody_named_like_a_group_is_in_it(hub: Hub) -> None:
    me = hub.browser("group:leads").api("GET", "status").json()["me"]
    assert (me["name"], me["roles"]) == ("group:leads", ["engineer"])


def test_a_service_of_the_hub_is_not_the_user_of_its_name(hub: Hub) -> None:
    """The Hub has a service named bob, and bob is an approver."""
    status, answer = hub.server.request("GET", "/audit/api/v1/status", token=hub.robot)
    assert (status, answer["me"]["name"], answer["me"]["roles"]) == (200, "service:bob", [])
