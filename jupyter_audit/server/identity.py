"""
Identity in solo mode: whoever holds the server's token or password is the account that runs the server.

Jupyter's own providers make up a new anonymous name for each token, to which no grant can be bound.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.identity import (
    IdentityProvider,
    LegacyIdentityProvider,
    PasswordIdentityProvider,
    User,
)

from jupyter_audit.access.principals import os_account
from jupyter_audit.errors import ConfigError

ANONYMOUS_PROVIDERS = (IdentityProvider, PasswordIdentityProvider, LegacyIdentityProvider)
"""Jupyter's own: one shared secret, and a made-up name for whoever knows it."""


class SoloIdentityProvider(PasswordIdentityProvider):  # type: ignore[misc]
    """Names every authenticated user after the account of the operating system."""

    def generate_anonymous_user(self, handler: Any) -> User:
        """Return the account that runs this server."""
        name = os_account().name
        return User(username=name, name=name, display_name=name, initials=name[:2].upper())

    def user_from_cookie(self, cookie_value: str) -> User:
        """Return the account that runs this server, whatever name a cookie of an earlier server holds."""
        return self.generate_anonymous_user(None)


def check_identity(provider: object, *, solo: bool) -> None:
    """Raise `ConfigError` if this identity provider cannot tell one person from another, or is not the solo one."""
    if solo and not isinstance(provider, SoloIdentityProvider):
        raise ConfigError(
            f"c.JupyterAudit.solo is set, but c.ServerApp.identity_provider_class is {type(provider).__name__}.",
            advice="Start it with `jupyter audit lab --solo`, or unset solo and name roles in c.JupyterAudit.roles.",
        )
    if not solo and type(provider) in ANONYMOUS_PROVIDERS:
        raise ConfigError(
            f"c.ServerApp.identity_provider_class is {type(provider).__name__}, which makes up a new name for each "
            "token: no grant can be bound to a person that way.",
            advice="Set an identity provider that names people (JupyterHub's, or your proxy's), or start with --solo "
            "if one person is to hold every role.",
        )
