"""
How often somebody may try to log in: a limit for each name and each address, in memory that is bounded.

What is counted is hashed, with a key of this process, into a fixed number of slots. So an attacker who makes up names
or has many addresses fills no memory and pushes nobody's count out; where two share a slot they share its limit.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from jupyter_audit.errors import NotPermittedError

SLOTS = 65_536
WINDOW_S = 300.0
MOST_PER_NAME = 10
MOST_PER_ADDRESS = 50


class TooManyAttemptsError(NotPermittedError):
    """Too many attempts to log in have failed; `retry_after` says for how many seconds none is looked at."""

    code = "too_many_attempts"
    http_status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            f"Too many attempts to log in have failed, under this name or from this address. Try again in {retry_after} seconds.",
            advice="Whoever is logged in stays so. An admin gives a new password (`jupyter audit people password NAME`).",
        )
        self.retry_after = retry_after


@dataclass(slots=True)
class _Slot:
    began: float
    failed: int = 0


class Attempts:
    """Counts attempts that failed, of names and addresses, over windows of `WINDOW_S`."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._key = secrets.token_bytes(16)
        self._slots: dict[int, _Slot] = {}

    def begin(self, name: str, address: str) -> None:
        """
        Count an attempt before it is looked at, so that many at once are not more than one after the other.

        Raises `TooManyAttemptsError`, the same for a name that exists and one that does not.
        """
        now = self._now()
        network = network_of(address)
        slots = [(self._slot("name", name, now), MOST_PER_NAME), (self._slot("address", network, now), MOST_PER_ADDRESS)]
        full = [slot for slot, most in slots if slot.failed >= most]
        if full:
            raise TooManyAttemptsError(max(1, int(max(slot.began for slot in full) + WINDOW_S - now) + 1))
        for slot, _ in slots:
            slot.failed += 1

    def succeeded(self, name: str, address: str) -> None:
        """Take an attempt back that was right."""
        for what, key in (("name", name), ("address", network_of(address))):
            slot = self._slot(what, key, self._now())
            slot.failed = max(0, slot.failed - 1)

    def _slot(self, what: str, key: str, now: float) -> _Slot:
        digest = hashlib.blake2b(f"{what}\0{key}".encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).digest()
        number = int.from_bytes(digest) % SLOTS
        slot = self._slots.get(number)
        if slot is None or now - slot.began >= WINDOW_S:
            slot = self._slots[number] = _Slot(now)
        return slot


def network_of(address: str) -> str:
    """Return what one attacker surely has of addresses: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
