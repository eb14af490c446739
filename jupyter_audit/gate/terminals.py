"""
The judge of terminals: may this person open one, and may what they typed pass? Pure; the clock is an argument (P2).

A terminal takes anything, so there is no table of messages: a profile allows terminals or it does not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from jupyter_audit.access.grants import Grant
from jupyter_audit.gate.decide import Cause, Refuse


def covering_grant(live: Sequence[Grant], allowing: Collection[str], panel: str) -> Grant | Refuse:
    """Return which of a principal's `live` grants a terminal opens under; `allowing` are the profiles with terminals."""
    for grant in live:
        if grant.profile in allowing:
            return grant
    if not live:
        return Refuse(Cause.NO_GRANT, f"No active grant, so no terminal opens. Ask for one at {panel}.")
    return Refuse(
        Cause.TERMINAL_NOT_COVERED,
        f"No grant of yours allows a terminal. Ask at {panel} for one whose profile does: {', '.join(sorted(allowing))}.",
    )


def may_type(
    principal: str, owner: str, *, session_open: bool, bound: Grant | None, now: datetime, panel: str
) -> Refuse | None:
    """Return why what `principal` typed may not pass to the terminal of `owner`, or None if it may."""
    if principal != owner:
        return Refuse(Cause.OBSERVER, f"This terminal belongs to {owner}; you only watch. What you type goes nowhere.")
    if not session_open:
        return Refuse(Cause.SESSION_ENDED, f"This terminal's session has ended. Ask for a new grant at {panel}.")
    if bound is None or not bound.is_live(now):
        name = bound.id if bound is not None else "behind this terminal"
        return Refuse(
            Cause.GRANT_ENDED,
            f"The grant {name} has ended. Ask for a new one at {panel}, then open another terminal.",
        )
    return None
