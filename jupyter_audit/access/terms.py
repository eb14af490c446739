"""
The words for what a kernel is fenced in by: the isolation rungs, and what of the network it may use.

A profile asks for them (access/policy.py); which of them a machine can keep is the gate's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from jupyter_audit.model import Json

MOST_TARGETS = 64
"""Each target listens on an address of its own inside of the kernel's network."""

_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


class Rung(StrEnum):
    """The isolation ladder, from the ground up."""

    NONE = "none"
    ACCOUNT = "account"
    LANDLOCK = "landlock"
    BUBBLEWRAP = "bubblewrap"
    BUBBLEWRAP_LANDLOCK = "bubblewrap+landlock"

    @property
    def height(self) -> int:
        """The place on the ladder, from 0."""
        return list(Rung).index(self)

    @property
    def has_landlock(self) -> bool:
        """Whether the kernel is confined by Landlock."""
        return self in (Rung.LANDLOCK, Rung.BUBBLEWRAP_LANDLOCK)

    @property
    def has_bubblewrap(self) -> bool:
        """Whether the kernel has namespaces of its own."""
        return self in (Rung.BUBBLEWRAP, Rung.BUBBLEWRAP_LANDLOCK)


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What of the network a kernel may use: everything (`open`), nothing, or the (host, port) `targets` alone."""

    open: bool = True
    targets: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, value: object) -> NetworkPolicy:
        """Return what a profile's `network` says: 'open', 'none', or a list of 'host:port'. Raises `ValueError`."""
        if value == "open":
            return OPEN
        if value == "none":
            return CLOSED
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise ValueError("it is none of them")
        if len(value) > MOST_TARGETS:
            raise ValueError(f"it names {len(value)} targets, more than {MOST_TARGETS}")
        return cls(open=False, targets=tuple(dict.fromkeys(_target(item) for item in value)))

    def to_json(self) -> Json:
        """Return the policy as a profile writes it."""
        if self.targets:
            return [f"{host}:{port}" for host, port in self.targets]
        return "open" if self.open else "none"

    def __str__(self) -> str:
        """Return the policy in words, as entries hold it."""
        if self.targets:
            return ", ".join(f"{host}:{port}" for host, port in self.targets)
        return "open" if self.open else "none"

    def allows(self, other: NetworkPolicy) -> bool:
        """Whether whoever may do this may do all that `other` allows."""
        return self.open or (not other.open and set(other.targets) <= set(self.targets))


OPEN = NetworkPolicy()
CLOSED = NetworkPolicy(open=False)


def fulfils(rung: Rung, network: NetworkPolicy, least: Rung, allowed: NetworkPolicy) -> bool:
    """Whether a kernel on `rung` with `network` is fenced in at least as a profile demands (`least`, `allowed`)."""
    return rung.height >= least.height and allowed.allows(network)


def _target(item: object) -> tuple[str, int]:
    if not isinstance(item, str):
        raise ValueError(f"it has the target {item!r}, which is no text")
    host, colon, port = item.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"it has the target {item!r}, which does not end in a port (host:port)")
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise ValueError(f"it has the target {item!r}, whose host is neither a name nor an IPv4 address")
    if host.lower() == "localhost" or host.startswith("127."):
        raise ValueError(f"it has the target {item!r}: give this machine's other name, as localhost is the kernel's own")
    return host.lower(), int(port)
