"""
The network of a kernel: what its profile allows, and what keeps it to that (P3).

Without a network of its own (bubblewrap) a kernel has the machine's, and only `open` can be promised, or, by a filter of
system calls, nothing. Named targets are reached through the relay: inside, each stands on an address of the loopback
interface, under its own name in /etc/hosts; outside, the relay connects to it and to nothing else.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from jupyter_audit.access.terms import NetworkPolicy, Rung
from jupyter_audit.errors import GateError

NAMESPACE = "network namespace"
RELAY = "network namespace and relay"
FILTER = "seccomp: no IP sockets"


class IsolationError(GateError):
    """A profile demands an isolation that this machine cannot give."""

    code = "isolation"


def enforcement(network: NetworkPolicy, rung: Rung, *, can_filter: bool) -> str:
    """
    Return what keeps a kernel on `rung` to `network`; nothing for an open one.

    Raises `IsolationError` where that cannot be done: such a kernel must not start.
    """
    if network.open:
        return ""
    if rung.has_bubblewrap:
        return RELAY if network.targets else NAMESPACE
    if not network.targets and rung.has_landlock and can_filter:
        return FILTER
    raise IsolationError(
        f"The profile allows its kernels this of the network: {network}; and that cannot be enforced on the isolation rung "
        f"{rung.value}, which is the best of this machine or the one that is set.",
        advice="Install bubblewrap (`jupyter audit doctor` says what it lacks), or ask for another profile.",
    )


@dataclass(frozen=True, slots=True)
class Route:
    """One target: where it is reached inside, and what it stands for."""

    address: str
    host: str
    port: int


def routes(network: NetworkPolicy) -> list[Route]:
    """Return for each target where it is to be found inside: IPv4 addresses at themselves, names at 127.0.1.1 and on."""
    found: dict[str, str] = {}
    for host, _ in network.targets:
        if host not in found:
            found[host] = host if _is_address(host) else f"127.0.1.{len(found) + 1}"
    return [Route(found[host], host, port) for host, port in network.targets]


def hosts_file(network: NetworkPolicy) -> str:
    """Return what /etc/hosts says inside."""
    names = {route.host: route.address for route in routes(network) if route.host != route.address}
    return "127.0.0.1 localhost\n::1 localhost\n" + "".join(f"{address} {host}\n" for host, address in names.items())


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
