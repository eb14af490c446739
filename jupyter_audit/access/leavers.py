"""
Who has left, or may no longer have what they asked for or hold: their requests are closed and their grants end. Pure.

Who there is comes from whoever names people, where it can list them: the people file, or a table of tokens. A person
whom another provider vouches for (an account of the operating system, JupyterHub) is judged by the policy alone, with
the groups that they had when they asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from jupyter_audit.access import rules
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.states import Grant, Request
from jupyter_audit.errors import NotPermittedError
from jupyter_audit.model import SERVER, Actor, Draft
from jupyter_audit.record import kinds


@dataclass(frozen=True, slots=True)
class Known:
    """Everybody whom one provider vouches for: `groups` by name. `removed` are those whom somebody removes just now."""

    vouched_by: str
    groups: Mapping[str, Collection[str]]
    removed: Collection[str] = ()


def to_end(policy: Policy, book: GrantBook, known: Known | None, now: datetime, actor: Actor = SERVER) -> list[Draft]:
    """Return the entries by which `actor` closes the requests and ends the grants of whoever may no longer have them."""
    asked = [(request, _why(policy, known, request, request)) for request in book.requests(now)]
    held = [(grant, _why(policy, known, grant, book.request(grant.request))) for grant in book.unended(now)]
    return [
        *(kinds.draft(kinds.AccessClosed(request.id, why), actor=actor) for request, why in asked if why),
        *(kinds.draft(kinds.AccessRevoked(why), grant=grant.id, actor=actor) for grant, why in held if why),
    ]


def _why(policy: Policy, known: Known | None, held: Request | Grant, request: Request | None) -> str:
    """Return why somebody may not have what they asked for or hold any more, or nothing. A broken glass had no `request`."""
    behalf = request.on_behalf_of if request is not None else ""
    groups = None if request is None else frozenset(request.groups)
    names = [name for name in (held.principal, behalf) if name]
    if known is not None:
        # Of a service it is said behind that on whose behalf it acts.
        vouched = known.vouched_by == held.vouched_by.partition(",")[0]
        for name in names:
            if name in known.removed or (vouched and name not in known.groups):
                return f"{name} was removed."
        groups = frozenset(known.groups[held.principal]) if vouched else groups
    profile = policy.profiles.get(held.profile)
    if policy.solo or profile is None or groups is None:
        return ""
    try:
        rules.may_hold(policy, held.principal, groups, profile, service=profile.services)
    except NotPermittedError as error:
        return str(error)
    return ""
