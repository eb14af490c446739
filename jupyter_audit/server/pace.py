"""
How often one person may act through the API: so many acts a minute, all at once or spread out.

Each refused act is an entry, so without a limit whoever may do nothing could still fill the ledger. Pure, with the
clock as an argument. Remembers one number for each of the people who acted last, and no more of them than `MOST_PEOPLE`.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from jupyter_audit.access.principals import person_key
from jupyter_audit.errors import TooManyError

MINUTE_S = 60.0
MOST_PEOPLE = 10_000


class Pace:
    """
    A generic cell rate: for each person, the moment until which what they did is paid off (ITU-T I.371).

    Belongs to one thread. `tick` tells monotonic seconds.
    """

    def __init__(self, per_minute: int, tick: Callable[[], float] = time.monotonic, most_people: int = MOST_PEOPLE) -> None:
        self._per_minute = per_minute
        self._tick = tick
        self._most_people = most_people
        self._paid_off: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str) -> None:
        """Count one act of a person. Raises `TooManyError` for one too many; that one is not counted."""
        now, each, key = self._tick(), MINUTE_S / self._per_minute, person_key(name)
        until = max(now, self._paid_off.get(key, now)) + each
        wait = until - now - MINUTE_S
        if wait > 1e-6:
            seconds = math.ceil(wait)
            raise TooManyError(
                f"{name} did {self._per_minute} acts within a minute, as many as one person may.",
                retry_after=seconds,
                advice=f"Try again in {seconds} s. An admin sets c.JupyterAudit.requests_per_minute.",
            )
        self._paid_off[key] = until
        self._paid_off.move_to_end(key)
        while len(self._paid_off) > self._most_people:
            self._paid_off.popitem(last=False)

    def __len__(self) -> int:
        return len(self._paid_off)
