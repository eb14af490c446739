"""
Which isolation and network a new kernel gets. Pure (P3).

A kernel starts before its first cell shows under which grant it will run. So it gets what the grant that its owner holds
asks for; without a grant, what every profile for this kernel asks for, if they agree; or else the defaults. The gate then
lets no cell in under a profile that asks for more than the kernel got (`Cause.SESSION_TERMS`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jupyter_audit.access.grants import Grant
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.terms import OPEN, NetworkPolicy, Rung


@dataclass(frozen=True, slots=True)
class Fences:
    """What is asked for: the lowest rung that will do, and what of the network may be used."""

    least: Rung = Rung.NONE
    network: NetworkPolicy = OPEN


def fences_for(kernel_name: str, live: Iterable[Grant], profiles: Mapping[str, Profile]) -> Fences:
    """Return what a kernel of this name is to be fenced in by, started by the holder of the `live` grants."""
    fitting = {name: profile for name, profile in profiles.items() if not profile.kernels or kernel_name in profile.kernels}
    for grant in live:
        if grant.profile in fitting:
            return fences_of(fitting[grant.profile])
    asked = {fences_of(profile) for profile in fitting.values() if not profile.recovery}
    return asked.pop() if len(asked) == 1 else Fences()


def fences_of(profile: Profile) -> Fences:
    """Return what a profile asks for."""
    return Fences(profile.isolation, profile.network)
