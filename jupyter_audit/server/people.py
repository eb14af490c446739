"""The principal behind a request, as the server's IdentityProvider names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_audit.access.policy import SCOPE, Policy
from jupyter_audit.access.principals import OS_ACCOUNT
from jupyter_audit.model import Principal, Role
from jupyter_audit.server.identity import SoloIdentityProvider
from jupyter_audit.server.services import find_services

NOT_FOR_SERVICES = frozenset({Role.APPROVER, Role.ADMIN})
"""What no service is, whatever the roles say: a person decides, and answers for it."""


HUB_SERVICE = "service:"
"""Stands before the name of a JupyterHub service, which could be that of a user as well."""


def groups_of(user: object) -> frozenset[str]:
    """
    Return the groups that an identity provider put into its user, and the scopes of a JupyterHub user as `scope:NAME`.

    JupyterHub's user carries the Hub's own model (`hub_user`), the others of ours `groups`. A group whose name looks
    like a scope is left out: whoever may name groups does not give scopes.
    """
    model = getattr(user, "hub_user", None)
    told: Mapping[str, Any] = model if isinstance(model, Mapping) else {"groups": getattr(user, "groups", ())}
    groups = {str(name) for name in told.get("groups") or ()}
    scopes = {f"{SCOPE}{name}" for name in told.get("scopes") or ()}
    return frozenset({name for name in groups if not name.startswith(SCOPE)} | scopes)


def principal_for(user: Any, identity_provider: object, policy: Policy) -> Principal:
    """Return the principal that a user is, with the roles that the policy gives."""
    solo = isinstance(identity_provider, SoloIdentityProvider)
    name, groups = user.username, groups_of(user)
    behalf = str(getattr(user, "on_behalf_of", ""))
    roles = policy.roles_of(name, groups)
    if _is_hub_service(user):
        # JupyterHub's services have names beside those of its users, and nobody on whose behalf they act.
        name, roles = f"{HUB_SERVICE}{name}", frozenset()
    return Principal(
        name=name,
        vouched_by=OS_ACCOUNT if solo else type(identity_provider).__name__,
        roles=roles - NOT_FOR_SERVICES if behalf else roles,
        groups=groups,
        on_behalf_of=behalf,
    )


def _is_hub_service(user: object) -> bool:
    model = getattr(user, "hub_user", None)
    return isinstance(model, Mapping) and model.get("kind") != "user"


def principal_of(handler: Any) -> Principal:
    """Return the principal of an authenticated request; raises `RuntimeError` without the extension."""
    services = find_services(handler.settings)
    if services is None:
        raise RuntimeError("Jupyter Audit did not load on this server.")
    return principal_for(handler.current_user, handler.identity_provider, services.policy)
