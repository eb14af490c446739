"""A server that several people share: each has a token, and nobody gets at anybody else's kernel."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
import websocket
from support.servers import AuditedServer, audited_server

TOKENS = {name: f"token-of-{name}-{'x' * 20}" for name in ("ann", "ben", "amy", "ida", "eve")}
DIGESTS = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
CONFIG = f"""
c.ServerApp.identity_provider_class = "jupyter_audit.server.identity.UserTokensIdentityProvider"
c.UserTokensIdentityProvider.digests = {DIGESTS!r}
c.JupyterAudit.roles = {{"engineer": ["ann", "ben"], "approver": ["amy"], "auditor": ["ida"]}}
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = Path(tmp_path_factory.mktemp("shared"))
    config = folder / "admin_config.py"
    config.write_text(CONFIG)
    config.chmod(0o600)
    with audited_server(folder, f"--config={config}", solo=False) as running:
        yield running


@pytest.fixture
def kernel_of_ann(shared: AuditedServer) -> Iterator[str]:
    status, model = shared.request(
        "POST",
        "/api/sessions",
        {"path": "ann.ipynb", "type": "notebook", "name": "ann", "kernel": {"name": "audit"}},
        token=TOKENS["ann"],
    )
    assert status == 201, model
    yield f"{model['kernel']['id']} {model['id']}"
    assert shared.request("DELETE", f"/api/sessions/{model['id']}", token=TOKENS["ann"])[0] in (204, 404)


def opens(server: AuditedServer, kernel_id: str, token: str) -> bool:
    url = f"{server.url.replace('http', 'ws', 1)}/api/kernels/{kernel_id}/channels"
    try:
        websocket.create_connection(url, header=[f"Authorization: token {token}"], timeout=20).close()
    except websocket.WebSocketBadStatusException:
        return False
    return True


def test_everybody_is_who_their_token_says_and_nobody_enters_without(shared: AuditedServer) -> None:
    for name, token in TOKENS.items():
        status, answer = shared.request("GET", "/api/me", token=token)
        assert (status, answer["identity"]["username"]) == (200, name)
    # The one token that Jupyter's own providers would take is nobody's here.
    assert shared.request("GET", "/api/me", token=shared.token)[0] == 403
    assert shared.request("GET", "/api/me", token="")[0] == 403
    digest = hashlib.sha256(TOKENS["ann"].encode()).hexdigest()
    assert shared.request("GET", "/api/me", token=digest)[0] == 403


def test_nobody_chooses_a_name(shared: AuditedServer) -> None:
    status, _ = shared.request("PATCH", "/api/me", {"username": "amy", "name": "amy"}, token=TOKENS["ann"])
    assert status == 403
    assert shared.request("GET", "/api/me", token=TOKENS["ann"])[1]["identity"]["name"] == "ann"


def test_a_cookie_names_who_logged_in(shared: AuditedServer) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    opener.open(f"{shared.url}/api/status?token={TOKENS['ben']}").read()
    assert json.loads(opener.open(f"{shared.url}/api/me").read())["identity"]["username"] == "ben"


def test_somebody_elses_kernel_is_out_of_reach(shared: AuditedServer, kernel_of_ann: str) -> None:
    kernel_id, session_id = kernel_of_ann.split()
    takeover = {"path": "ben.ipynb", "type": "notebook", "name": "b", "kernel": {"id": kernel_id}}
    roads: list[tuple[str, str, Any]] = [
        ("POST", f"/api/kernels/{kernel_id}/restart", {}),
        ("POST", f"/api/kernels/{kernel_id}/interrupt", {}),
        ("DELETE", f"/api/kernels/{kernel_id}", None),
        ("DELETE", f"/api/sessions/{session_id}", None),
        ("PATCH", f"/api/sessions/{session_id}", {"kernel": {"name": "audit"}}),
        ("POST", "/api/sessions", takeover),
        ("POST", "/api/sessions", takeover | {"path": "ann.ipynb", "kernel": {"name": "audit"}}),
    ]
    for method, path, body in roads:
        status, answer = shared.request(method, path, body, token=TOKENS["ben"])
        assert (status, "somebody else" in str(answer)) == (403, True), (method, path, answer)
    assert not opens(shared, kernel_id, TOKENS["ben"])
    assert opens(shared, kernel_id, TOKENS["ann"])


def test_a_session_of_ones_own_cannot_be_pointed_at_somebody_elses_kernel(
    shared: AuditedServer, kernel_of_ann: str
) -> None:
    kernel_id, _ = kernel_of_ann.split()
    made = {"path": "ben.ipynb", "type": "notebook", "name": "b", "kernel": {"name": "audit"}}
    status, own = shared.request("POST", "/api/sessions", made, token=TOKENS["ben"])
    assert status == 201, own
    status, _ = shared.request(
        "PATCH", f"/api/sessions/{own['id']}", {"kernel": {"id": kernel_id}}, token=TOKENS["ben"]
    )
    assert status == 403
    assert shared.request("DELETE", f"/api/sessions/{own['id']}", token=TOKENS["ben"])[0] == 204


def test_an_approver_may_watch_and_end_a_kernel_but_not_use_it(shared: AuditedServer) -> None:
    status, model = shared.request("POST", "/api/kernels", {"name": "audit"}, token=TOKENS["ann"])
    assert status == 201
    assert opens(shared, model["id"], TOKENS["amy"])  # to watch; what is sent there reaches nothing (web/test_web_watch.py)
    assert not opens(shared, model["id"], TOKENS["eve"])
    assert shared.request("POST", f"/api/kernels/{model['id']}/restart", {}, token=TOKENS["amy"])[0] == 403
    assert shared.request("DELETE", f"/api/kernels/{model['id']}", token=TOKENS["ida"])[0] == 403
    assert shared.request("DELETE", f"/api/kernels/{model['id']}", token=TOKENS["amy"])[0] == 204


@pytest.mark.parametrize("name", ["amy", "ida", "eve"])
def test_only_engineers_start_kernels(shared: AuditedServer, name: str) -> None:
    assert shared.request("POST", "/api/kernels", {"name": "audit"}, token=TOKENS[name])[0] == 403
    made = {"path": "x.ipynb", "type": "notebook", "name": "x", "kernel": {"name": "audit"}}
    assert shared.request("POST", "/api/sessions", made, token=TOKENS[name])[0] == 403


def test_whoever_has_no_role_sees_no_notebooks_and_hears_no_events(shared: AuditedServer) -> None:
    assert shared.request("GET", "/api/contents", token=TOKENS["eve"])[0] == 403
    assert shared.request("GET", "/api/kernels", token=TOKENS["eve"])[0] == 403
    assert shared.request("GET", "/api/events/subscribe", token=TOKENS["eve"])[0] == 403
    assert shared.request("GET", "/api/contents", token=TOKENS["ida"])[0] == 200
    note = {"type": "file", "format": "text", "content": ""}
    assert shared.request("PUT", "/api/contents/of-ida.txt", note, token=TOKENS["ida"])[0] == 403


def test_only_an_admin_stops_the_server(shared: AuditedServer) -> None:
    for token in TOKENS.values():
        assert shared.request("POST", "/api/shutdown", {}, token=token)[0] == 403
