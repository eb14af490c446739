"""How each alert target stands, read from the ledger's own entries about it: for doctor, panel and command line."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from jupyter_audit.access.policy import Policy
from jupyter_audit.clock import format_time
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.notify.routes import Routes
from jupyter_audit.record import kinds

MOST_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True)
class Standing:
    """One target: when it last took something, since when it fails and why (empty if it does not), what was given up."""

    target: str
    service: str
    last_sent: str
    failing_since: str
    error: str
    given_up: int


def standings(reader: LedgerReader, routes: Routes) -> list[Standing]:
    """Return how each target stands."""
    sent: dict[str, str] = {}
    failing: dict[str, tuple[str, str]] = {}
    given_up: dict[str, int] = dict.fromkeys(routes.targets, 0)
    types = (kinds.AlertSent.TYPE, kinds.AlertFailed.TYPE)
    for entry in reader.entries(types=types, newest_first=True, limit=MOST_LOOKED_AT):
        target, when = str(entry.body.get("target")), format_time(entry.time)
        if entry.type == kinds.AlertSent.TYPE:
            sent.setdefault(target, when)
            continue
        if target in given_up and entry.body.get("given_up") is True:
            count = entry.body.get("count")
            given_up[target] += count if isinstance(count, int) else 1
        if target not in sent:
            # The oldest failure since it took something last: newest first, so the last one seen.
            failing[target] = (when, failing.get(target, ("", str(entry.body.get("error"))))[1])
    return [
        Standing(name, target.service(), sent.get(name, ""), *failing.get(name, ("", "")), given_up[name])
        for name, target in sorted(routes.targets.items())
    ]


def glasses_unheard(routes: Routes, policy: Policy) -> list[str]:
    """Return the profiles whose glass can be broken without that anybody is told."""
    if routes.hears_broken_glass:
        return []
    return sorted(name for name, profile in policy.profiles.items() if profile.break_glass)


def unheard_sentence(profiles: Collection[str]) -> str:
    """Return what is said loudly where a glass can be broken and nobody is told."""
    which = f"the profile {', '.join(profiles)}" if len(profiles) == 1 else f"the profiles {', '.join(profiles)}"
    return f"Whoever breaks the glass of {which} alerts nobody: no alert target is told of break_glass"


UNHEARD_ADVICE = "Set c.JupyterAudit.alert_targets, and try it with `jupyter audit alerts test` (docs/alerts.md)."
