"""
Who is there: identity providers that name people, and the check that a server's does (P2, P9).

Jupyter's own providers make up a new anonymous name for each holder of one shared token, to which no grant
can be bound. In solo mode whoever holds the token is the account that runs the server. Where several people
share a server, JupyterHub, a proxy's provider or, with nothing else at hand, a token for each person tells
them apart.
"""

from __future__ import annotations

import hashlib
import hmac
import string
from collections.abc import Mapping
from typing import Any

from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider, User
from traitlets import Bool, Dict, List, TraitError, Unicode, default, validate

from jupyter_audit.access.leavers import Known
from jupyter_audit.access.principals import os_account
from jupyter_audit.errors import ConfigError
from jupyter_audit.model import Json

NAMING_METHODS = ("get_user", "_get_user", "get_user_token", "generate_anonymous_user")
"""A provider that names people has its own way to do one of these."""


def user_named(name: str) -> User:
    """Return Jupyter's user for a name."""
    return User(username=name, name=name, display_name=name, initials=name[:2].upper())


class CheckedIdentityProvider(IdentityProvider):
    """A provider that must be set up by an admin before anybody may rely on it."""

    def check(self) -> None:
        """Raise `ConfigError` unless it is. Asked when the server starts."""
        raise NotImplementedError


class SoloIdentityProvider(PasswordIdentityProvider):
    """Names every authenticated user after the account of the operating system."""

    # Setting a password would write it to a file that decides who may log in; names are not up to the user.
    allow_password_change = Bool(False, read_only=True)
    updatable_fields: List[Any] = List([], read_only=True)

    def generate_anonymous_user(self, handler: Any) -> User:
        """Return the account that runs this server."""
        return user_named(os_account().name)

    def user_from_cookie(self, cookie_value: str) -> User:
        """Return the account that runs this server, whatever name a cookie of an earlier server holds."""
        return self.generate_anonymous_user(None)


class UserTokensIdentityProvider(IdentityProvider):
    """
    A token of their own for each person. Only the digests stand in the configuration.

    Made with `python -c "import secrets, hashlib; t = secrets.token_urlsafe(32); print(t,
    hashlib.sha256(t.encode()).hexdigest())"`: the first goes to the person, the second here.
    """

    digests = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="For each user name the SHA-256 of their token, in hexadecimal.",
    ).tag(config=True)

    updatable_fields: List[Any] = List([], read_only=True)

    @validate("digests")
    def _validate_digests(self, proposal: Any) -> dict[str, str]:
        for name, digest in proposal["value"].items():
            if not name or len(digest) != 64 or set(digest) - set(string.hexdigits):
                raise TraitError(
                    f"c.UserTokensIdentityProvider.digests[{name!r}] is no SHA-256 in 64 hexadecimal digits."
                )
        found: dict[str, str] = proposal["value"]
        return found

    @default("token")
    def _token_default(self) -> str:
        return ""

    @default("need_token")
    def _need_token_default(self) -> bool:
        return False

    @property
    def auth_enabled(self) -> bool:
        """Always: without a token of somebody's, nobody enters."""
        return True

    def user_for_token(self, token: str | None) -> User | None:
        """Return whose token this is, if anybody's."""
        if not token:
            return None
        digest = hashlib.sha256(token.encode()).hexdigest()
        named = [name for name, kept in self.digests.items() if hmac.compare_digest(kept.lower(), digest)]
        return user_named(named[0]) if len(named) == 1 else None

    async def get_user_token(self, handler: Any) -> User | None:
        """Return whose token came with a request, if anybody's."""
        return self.user_for_token(self.get_token(handler))

    def user_from_cookie(self, cookie_value: str) -> User | None:
        """Return whom a cookie names, as long as they have a token."""
        user: User | None = super().user_from_cookie(cookie_value)
        return user_named(user.username) if user is not None and user.username in self.digests else None

    def known_people(self) -> Known:
        """Return everybody who has a token."""
        return Known(type(self).__name__, dict.fromkeys(self.digests, ()))

    def process_login_form(self, handler: Any) -> User | None:
        """Return whose token was typed into the login page, if anybody's."""
        return self.user_for_token(handler.get_argument("password", default=""))

    def cookie_secret_hook(self, h: hmac.HMAC) -> hmac.HMAC:
        """End everybody's cookies when a token is changed or taken away."""
        for name in sorted(self.digests):
            h.update(f"{name}={self.digests[name]};".encode())
        return h


SECRET = ("token", "password", "secret", "digest", "hash", "key")
"""Words in the names of settings whose values are not put down: only whether they are set, and for whom."""


def identity_of(provider: Any, config: Any) -> dict[str, Json]:
    """Return who names people, and how that is configured, as the ledger may say it: the policy's `identity`."""
    said: dict[str, Json] = {}
    for made_of in reversed(type(provider).__mro__):
        for name, value in config.get(made_of.__name__, {}).items():
            hidden = any(word in name for word in SECRET)
            said[f"{made_of.__name__}.{name}"] = _hidden(value) if hidden else str(value)
    return {"provider": f"{type(provider).__module__}.{type(provider).__qualname__}", "settings": dict(sorted(said.items()))}


def _hidden(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _hidden(each) for name, each in sorted(value.items())}
    return "(set)" if value else ""


def names_people(provider: type) -> bool:
    """Say whether a provider class has a way of its own to tell who somebody is."""
    return any(
        getattr(provider, method, None) is not None
        and not getattr(provider, method).__module__.startswith("jupyter_server.")
        for method in NAMING_METHODS
    )


def check_identity(provider: object, *, solo: bool) -> None:
    """Raise `ConfigError` if a provider cannot tell one person from another, or is not the solo one."""
    name = type(provider).__name__
    if solo and not isinstance(provider, SoloIdentityProvider):
        raise ConfigError(
            f"c.JupyterAudit.solo is set, but c.ServerApp.identity_provider_class is {name}.",
            advice="Start it with `jupyter audit lab --solo`, or unset solo and name people in "
            "c.JupyterAudit.roles.",
        )
    if not solo and isinstance(provider, SoloIdentityProvider):
        raise ConfigError(
            f"c.ServerApp.identity_provider_class is {name}, which takes everybody for one person, but "
            "c.JupyterAudit.solo is not set.",
            advice="Set c.JupyterAudit.solo (--solo) if one person is to hold every role, or another "
            "provider.",
        )
    if isinstance(provider, CheckedIdentityProvider):
        provider.check()
    if not solo and not names_people(type(provider)):
        raise ConfigError(
            f"c.ServerApp.identity_provider_class is {name}, which makes up a new name for each "
            "token: no grant can be bound to a person that way.",
            advice="Set an identity provider that names people (JupyterHub's, your proxy's, or "
            "jupyter_audit.server.login.PeopleIdentityProvider: docs/people.md), or start with --solo if one "
            "person is to hold every role.",
        )
