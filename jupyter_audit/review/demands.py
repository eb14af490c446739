"""
What the policy in force demanded of each request, yes and broken glass, against what their entries say. Pure.

Somebody with the server's key can write a request that demands less than the policy did. The policy stands in entries
too (`server.started`, `policy.changed`): what was judged on the command line goes by the newest, because each act there
puts its own down first; what a server judged goes by the newest that a server put down. Whoever forges the policy as
well leaves a change of it in the ledger (`jupyter audit policy diff`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyter_audit.access.principals import OS_ACCOUNT
from jupyter_audit.access.states import Request
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds

POLICIES = (kinds.ServerStarted.TYPE, kinds.PolicyChanged.TYPE)
GIVING = frozenset({kinds.AccessApproved.TYPE, kinds.AccessExtended.TYPE})


@dataclass(slots=True)
class Demands:
    """The policies in force, as far as the entries have come: the newest of all, and the newest of a server."""

    newest: tuple[int, Mapping[str, Any]] | None = None
    servers: tuple[int, Mapping[str, Any]] | None = field(default=None)

    def take(self, entry: Entry) -> None:
        """Take in an entry that holds a policy."""
        policy = entry.body.get("policy")
        held = (entry.seq, policy if isinstance(policy, Mapping) else {})
        self.newest = held
        if entry.type == kinds.ServerStarted.TYPE or entry.body.get("noticed_by") == "server":
            self.servers = held

    def wrong_with(self, entry: Entry, request: Request | None) -> str:
        """
        Return in what an entry falls short of the policy in force, or nothing. `request` is the one that it answers, as it
        was before.
        """
        by_hand = entry.actor.vouched_by.partition(",")[0] == OS_ACCOUNT
        in_force = self.newest if by_hand or self.servers is None else self.servers
        if in_force is None:
            return ""
        seq, policy = in_force
        if policy.get("solo") is True:
            return ""
        name = request.profile if request is not None and entry.type in GIVING else str(entry.body.get("profile", ""))
        profiles = policy.get("profiles")
        profile = profiles.get(name) if isinstance(profiles, Mapping) else None
        if not isinstance(profile, Mapping):
            return f"the profile {name}, which the policy in force (entry {seq}) has not"
        told = _short_of(profile, entry, request)
        return f"{told}, by the policy in force (entry {seq})" if told else ""


def _short_of(profile: Mapping[str, Any], entry: Entry, request: Request | None) -> str:
    body, needed = entry.body, profile.get("approvals", 1)
    if entry.type == kinds.AccessBreakGlass.TYPE:
        return "" if profile.get("break_glass") is True else "no glass of its profile may be broken"
    if entry.type == kinds.AccessRequested.TYPE:
        if profile.get("signed_approvals") is True and body.get("signed_approvals") is not True:
            return "it asks for no signed approval, and had to"
        if isinstance(needed, int) and isinstance(body.get("approvals"), int) and int(str(body["approvals"])) < needed:
            return f"it asks for {body['approvals']} approvals, and {needed} were needed"
        return ""
    if request is None:
        return ""
    if body.get("solo") is True:
        return "it says that one person holds every role, which they did not"
    if profile.get("signed_approvals") is True and not body.get("statement"):
        return "it is not signed, and had to be"
    if body.get("self_approved") is True and profile.get("self_approval") is not True:
        return "its requester approved it, and might not"
    if isinstance(needed, int) and len(request.endorsers) + 1 < needed:
        return f"{len(request.endorsers) + 1} said yes, and {needed} were needed"
    return ""
