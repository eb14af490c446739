"""
Identity from a proxy's headers (oauth2-proxy and the like), believed only where nobody else can have sent them (P2).

Headers are words that any client can write. These count when the connection itself, not what a header says of it,
comes from an address that the admin named, and when the request carries the secret that the admin gave to the proxy.
Both are needed, or the server does not start; a request that lacks either is nobody's, whatever else it says.
"""

from __future__ import annotations

import hmac
import ipaddress
from pathlib import Path
from typing import Any

from jupyter_server.auth.identity import User
from tornado import web
from traitlets import Bool, List, TraitError, Unicode, default, validate

from jupyter_audit.access.people import group_names, person_name
from jupyter_audit.errors import AuditError, ConfigError, UsageError
from jupyter_audit.ledger.secretfile import read_secret
from jupyter_audit.server.identity import CheckedIdentityProvider
from jupyter_audit.server.login import PersonUser

SHORTEST_SECRET = 24
"""Bytes."""


class ProxyIdentityProvider(CheckedIdentityProvider):
    """Tells people apart by the headers of a proxy that has logged them in."""

    user_header = Unicode("X-Forwarded-User", help="The header that holds the user's name.").tag(config=True)

    groups_header = Unicode(
        "X-Forwarded-Groups", help="The header that holds their groups, with commas between. Empty: none are taken."
    ).tag(config=True)

    trusted_addresses = List(
        Unicode(),
        help="Addresses, or networks such as 10.1.2.0/28, that the proxy connects from. Nobody else's headers count.",
    ).tag(config=True)

    secret_header = Unicode(
        "X-Jupyter-Audit-Proxy-Secret", help="The header in which the proxy sends the secret. It must replace a client's own."
    ).tag(config=True)

    secret_file = Unicode(
        "", help="A file, mode 0600, with the secret that the proxy sends: 24 bytes at least. Keep it in the audit home."
    ).tag(config=True)

    updatable_fields: List[Any] = List([], read_only=True)
    need_token = Bool(False, read_only=True)

    _secret: bytes | None = None

    @default("token")
    def _token_default(self) -> str:
        return ""

    @validate("trusted_addresses")
    def _validate_trusted_addresses(self, proposal: Any) -> list[str]:
        for text in proposal["value"]:
            try:
                network = ipaddress.ip_network(text, strict=False)
            except ValueError as error:
                raise TraitError(f"c.ProxyIdentityProvider.trusted_addresses: {text!r} is no address: {error}") from error
            if network.prefixlen == 0:
                raise TraitError(f"c.ProxyIdentityProvider.trusted_addresses: {text!r} is everybody.")
        found: list[str] = proposal["value"]
        return found

    def check(self) -> None:
        """Raise `ConfigError` unless the admin named both the addresses and the secret."""
        if not self.trusted_addresses:
            raise ConfigError(
                "c.ProxyIdentityProvider.trusted_addresses is empty: anybody could send the proxy's headers.",
                advice="Name the addresses that the proxy connects from.",
            )
        if not self.secret_file:
            raise ConfigError(
                "c.ProxyIdentityProvider.secret_file is not set: anybody on the proxy's machine could send its headers.",
                advice=f"Name a file with a secret, and have the proxy send that as {self.secret_header}.",
            )
        for name in ("user_header", "secret_header"):
            if not getattr(self, name):
                raise ConfigError(f"c.ProxyIdentityProvider.{name} is empty.", advice="Leave it out to have the default.")
        if len(self._read_secret()) < SHORTEST_SECRET:
            raise ConfigError(
                f"The secret in {self.secret_file} is shorter than {SHORTEST_SECRET} bytes.",
                advice="Make one with `openssl rand -hex 32`.",
            )

    @property
    def auth_enabled(self) -> bool:
        """Always: whom the proxy does not name does not enter."""
        return True

    @property
    def login_available(self) -> bool:
        """Never: the proxy logs people in."""
        return False

    @property
    def logout_available(self) -> bool:
        """Never: the proxy logs people out."""
        return False

    def get_user(self, handler: web.RequestHandler) -> User | None:
        """Return whom the proxy names, or nobody. Cookies and tokens do not count."""
        kept = self._kept_secret()
        if kept is None or not self._is_trusted(peer_of(handler)):
            return None
        headers = handler.request.headers
        sent = headers.get_list(self.secret_header)
        if len(sent) != 1 or not hmac.compare_digest(sent[0].encode("latin-1", "replace"), kept):
            self.log.warning("A request from the proxy's address came without its secret; it is nobody's.")
            return None
        users = headers.get_list(self.user_header)
        # More than one, or what a proxy makes of more than one: somebody else's word may be among them.
        if len(users) != 1 or "," in users[0]:
            return None
        try:
            name = person_name(_text(users[0]))
            groups = group_names(self._groups(headers.get_list(self.groups_header) if self.groups_header else []))
        except UsageError as error:
            self.log.error("The proxy names somebody who cannot be let in: %s", error)
            return None
        return PersonUser(username=name, name=name, display_name=name, initials=name[:2].upper(), groups=groups)

    @staticmethod
    def _groups(values: list[str]) -> list[str]:
        return [name for value in values for part in value.split(",") if (name := _text(part).strip())]

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in ipaddress.ip_network(text, strict=False) for text in self.trusted_addresses)

    def _kept_secret(self) -> bytes | None:
        """Return the secret, or None where there is none to rely on: then nobody is let in."""
        if self._secret is None:
            try:
                self.check()
                self._secret = self._read_secret()
            except AuditError as error:
                self.log.error("Nobody can be let in: %s", error.explain())
                return None
        return self._secret

    def _read_secret(self) -> bytes:
        content = read_secret(
            Path(self.secret_file).expanduser(),
            "proxy's secret",
            missing="Make one with `openssl rand -hex 32`, mode 0600, and give it to the proxy.",
            exposed="Whoever read it can be anybody. Make another one.",
        )
        return content.strip()


def peer_of(handler: web.RequestHandler) -> str:
    """
    Return the address that a request's connection comes from, or nothing where there is none.

    Not `remote_ip`: with `trust_xheaders` that is what a header says.
    """
    address = getattr(getattr(handler.request.connection, "context", None), "address", None)
    return str(address[0]) if isinstance(address, tuple) and address else ""


def _text(header: str) -> str:
    """Return a header's value as the UTF-8 that proxies send, which Tornado reads as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return header
