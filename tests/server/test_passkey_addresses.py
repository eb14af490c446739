"""Where passkeys may be used: at the addresses that an admin named, or that a browser takes for safe."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from jupyter_audit.errors import ConfigError
from jupyter_audit.server import authenticators
from jupyter_audit.server.authenticators import PasskeysUnavailableError, RelyingParty, check_settings, relying_party
from jupyter_audit.settings import JupyterAudit


def at(protocol: str, host: str, **settings: Any) -> RelyingParty:
    return relying_party(JupyterAudit(**settings), cast(Any, SimpleNamespace(protocol=protocol, host=host)))


@pytest.mark.parametrize(
    ("protocol", "host", "rp_id"),
    [
        ("https", "debug.example", "debug.example"),
        ("https", "debug.example:8443", "debug.example"),
        ("http", "localhost:8888", "localhost"),
        ("http", "lab.localhost", "lab.localhost"),
    ],
)
def test_without_a_setting_the_address_of_the_request_counts(protocol: str, host: str, rp_id: str) -> None:
    assert at(protocol, host) == RelyingParty(rp_id, (f"{protocol}://{host}",))


@pytest.mark.parametrize(
    ("protocol", "host"),
    [("http", "debug.example"), ("https", "10.0.0.1"), ("http", "127.0.0.1:8888"), ("https", "[::1]:8888"), ("https", ""),
     ("https", "a@debug.example"), ("https", "debug.example/x"), ("https", "debug.example:port")],
)  # fmt: skip
def test_an_address_at_which_no_browser_uses_passkeys_is_told(protocol: str, host: str) -> None:
    with pytest.raises(PasskeysUnavailableError) as refused:
        at(protocol, host)
    assert "passkey_origins" in refused.value.advice


def test_the_addresses_that_an_admin_named_count_whatever_a_request_says() -> None:
    named = {"passkey_origins": ["https://debug.example", "https://lab.example"], "passkey_rp_id": "example"}
    assert at("http", "evil.test", **named) == RelyingParty("example", ("https://debug.example", "https://lab.example"))


@pytest.mark.parametrize(
    "settings",
    [
        {"passkey_origins": ["http://debug.example"]},
        {"passkey_origins": ["debug.example"]},
        {"passkey_origins": ["https://debug.example/hub"]},
        {"passkey_origins": ["https://10.0.0.1"]},
        {"passkey_origins": ["https://debug.example"], "passkey_rp_id": "other.example"},
        {"passkey_origins": ["https://notdebug.example"], "passkey_rp_id": "debug.example"},
    ],
    ids=["plain http", "no scheme", "a path", "a number", "another host", "a host that only ends so"],
)
def test_a_setting_that_no_browser_could_use_stops_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="passkey_origins"):
        check_settings(JupyterAudit(**settings))


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticators, "find_spec", lambda name: None)
    with pytest.raises(PasskeysUnavailableError) as refused:
        at("https", "debug.example")
    assert "jupyter-audit[passkeys]" in refused.value.advice
