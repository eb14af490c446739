"""A server behind a proxy that logs people in: nobody but the proxy says who somebody is."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.servers import AuditedServer, audited_server, make_home, run_to_its_end
from traitlets import TraitError

from jupyter_audit.errors import AuditError
from jupyter_audit.server.proxy import ProxyIdentityProvider

SECRET = "a secret of the proxy, long enough"
HEADER = "X-Jupyter-Audit-Proxy-Secret"
CONFIG = """
c.ServerApp.identity_provider_class = "jupyter_audit.server.proxy.ProxyIdentityProvider"
c.ServerApp.trust_xheaders = True
c.ProxyIdentityProvider.trusted_addresses = ["127.0.0.1"]
c.ProxyIdentityProvider.secret_file = "{secret}"
c.JupyterAudit.roles = {{"engineer": ["group:dev"], "approver": ["group:leads"]}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedServer]:
    folder = tmp_path_factory.mktemp("proxy")
    home = make_home(folder)
    secret = home.path / "proxy.secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    config = folder / "admin_config.py"
    config.write_text(CONFIG.format(secret=secret))
    config.chmod(0o600)
    with audited_server(folder, f"--config={config}", solo=False) as running:
        yield running


def ask(server: AuditedServer, *headers: tuple[str, str], source: str = "127.0.0.1") -> tuple[int, Any]:
    """Ask who one is, with these very headers, from a source address."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60, source_address=(source, 0))
    connection.putrequest("GET", f"{parts.path}/audit/api/v1/status")
    for name, value in headers:
        connection.putheader(name, value.encode())
    connection.endheaders()
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body.get("me")


def test_the_proxy_says_who_somebody_is(server: AuditedServer) -> None:
    headers = ((HEADER, SECRET), ("X-Forwarded-User", "jörg"), ("X-Forwarded-Groups", "dev, staff"))
    status, me = ask(server, *headers, ("X-Forwarded-For", "198.51.100.7"))
    assert (status, me["name"], me["roles"], me["vouched_by"]) == (200, "jörg", ["engineer"], "ProxyIdentityProvider")


PROXYS = (HEADER, SECRET)
ANN = ("X-Forwarded-User", "ann")
SPOOFED: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "no secret": ((ANN,), "127.0.0.1"),
    "a wrong secret": (((HEADER, SECRET + "x"), ANN), "127.0.0.1"),
    "an empty secret": (((HEADER, ""), ANN), "127.0.0.1"),
    "two secrets": (((HEADER, "guess"), PROXYS, ANN), "127.0.0.1"),
    "another address": ((PROXYS, ANN), "127.0.0.2"),
    "another address that says it is the proxy": (
        (PROXYS, ANN, ("X-Forwarded-For", "127.0.0.1"), ("X-Real-Ip", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")),
        "127.0.0.2",
    ),
    "two users": ((PROXYS, ANN, ("x-forwarded-user", "bob")), "127.0.0.1"),
    "two users in one": ((PROXYS, ("X-Forwarded-User", "ann, bob")), "127.0.0.1"),
    "no user": ((PROXYS,), "127.0.0.1"),
    "an empty user": ((PROXYS, ("X-Forwarded-User", "")), "127.0.0.1"),
    "a user named like a group": ((PROXYS, ("X-Forwarded-User", "group:dev")), "127.0.0.1"),
    "a group named like a scope": ((PROXYS, ANN, ("X-Forwarded-Groups", "scope:x")), "127.0.0.1"),
    "another header": ((PROXYS, ("X-Remote-User", "ann")), "127.0.0.1"),
    "a cookie and a token": (
        (("Authorization", "token x"), ("Cookie", 'username-127-0-0-1="2|1:0|10:1|x"'), ANN),
        "127.0.0.1",
    ),
}


@pytest.mark.parametrize("how", SPOOFED)
def test_nobody_else_does(server: AuditedServer, how: str) -> None:
    headers, source = SPOOFED[how]
    assert ask(server, *headers, source=source) == (403, None)


def test_the_token_of_the_server_is_nobodys(server: AuditedServer) -> None:
    assert server.request("GET", "/audit/api/v1/status")[0] == 403
    assert server.request("GET", f"/audit/api/v1/status?token={server.token}", token="")[0] == 403


def test_nobody_stays_who_they_were_on_a_connection_of_the_proxy(server: AuditedServer) -> None:
    """A proxy sends requests of many people over one connection, and a cookie of one of them names nobody."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    seen = []
    for name in ("ann", "bob", ""):
        headers = {HEADER: SECRET, **({"X-Forwarded-User": name} if name else {})}
        connection.request("GET", f"{parts.path}/audit/api/v1/status", headers=headers)
        answer = connection.getresponse()
        seen.append(json.loads(answer.read()).get("me", {}).get("name"))
        assert "username-" not in str(answer.headers)
    assert seen == ["ann", "bob", None]


# --- it does not start ----------------------------------------------------------------------------


def test_a_server_without_addresses_or_secret_does_not_start(tmp_path: Path) -> None:
    make_home(tmp_path)
    config = tmp_path / "admin_config.py"
    config.write_text(CONFIG.format(secret="").replace('["127.0.0.1"]', "[]"))
    config.chmod(0o600)
    ended = run_to_its_end(tmp_path, f"--config={config}")
    assert ended.returncode != 0
    assert "trusted_addresses is empty" in ended.stderr


@pytest.mark.parametrize("lacks", ["trusted_addresses", "secret_file", "length", "mode", "there", "secret_header"])
def test_each_thing_that_is_needed_is_named(tmp_path: Path, lacks: str) -> None:
    file = tmp_path / "secret"
    file.write_text("short" if lacks == "length" else SECRET)
    file.chmod(0o644 if lacks == "mode" else 0o600)
    given: dict[str, Any] = {"trusted_addresses": ["127.0.0.1"], "secret_file": str(file)}
    if lacks == "there":
        file.unlink()
    if lacks in ("trusted_addresses", "secret_file"):
        del given[lacks]
    if lacks == "secret_header":
        given[lacks] = ""
    with pytest.raises(AuditError):
        ProxyIdentityProvider(**given).check()


@pytest.mark.parametrize("address", ["0.0.0.0/0", "::/0", "proxy.example"])
def test_everybody_and_names_are_no_addresses(address: str) -> None:
    with pytest.raises(TraitError):
        ProxyIdentityProvider(trusted_addresses=[address])
