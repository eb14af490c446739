"""The principal behind a request, as the server's IdentityProvider names it."""

from __future__ import annotations

from typing import Any

from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import OS_ACCOUNT
from jupyter_audit.model import Principal
from jupyter_audit.server.identity import SoloIdentityProvider
from jupyter_audit.server.services import find_services


def principal_for(username: str, identity_provider: object, policy: Policy) -> Principal:
    """Return the principal that a user of this name is, with the roles that the policy gives."""
    solo = isinstance(identity_provider, SoloIdentityProvider)
    vouched_by = OS_ACCOUNT if solo else type(identity_provider).__name__
    return Principal(name=username, vouched_by=vouched_by, roles=policy.roles_of(username))


def principal_of(handler: Any) -> Principal:
    """Return the principal of an authenticated request; raises `RuntimeError` without the extension."""
    services = find_services(handler.settings)
    if services is None:
        raise RuntimeError("Jupyter Audit did not load on this server.")
    return principal_for(handler.current_user.username, handler.identity_provider, services.policy)
