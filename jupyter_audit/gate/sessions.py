"""
The sessions of this server: one for each kernel's life, with the terms it lives under.

Working memory, not truth: what it holds can be read back from the session.* entries (P4). It decides
nothing by itself; `decide` judges, and the server acts.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

from nacl.signing import SigningKey

from jupyter_audit.access.terms import NetworkPolicy, Rung
from jupyter_audit.model import Principal
from jupyter_audit.record.capture import Capture

MOST_COUNTED = 2**31


class SessionState(StrEnum):
    """Where a session is in its life."""

    STARTING = "starting"
    LIVE = "live"
    ENDING = "ending"
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class Session:
    """
    One kernel's life.

    `notebook` is the path that a client named last, its word; `outside` are the profiles that are for other notebooks.
    `isolation`, `network` and `account` are what its kernel is fenced in by.
    `grant` is the id of the grant that its first admitted message bound it to. `ready` is set once the
    canary was read back (or the session is over): until then nothing is sent to the kernel. `kernel_info` is what
    the kernel said of itself before any of its owner's code ran. `watched_by` names those who watch.
    `counted` is the number of the last cell that the kernel counted, by its word.
    `own_permits` numbers the permits of what has no entry when it goes out.
    `limit`, once there is a supervisor, has it end the session by itself some time after so many seconds, which it was told for
    the end `limited_to`.
    `names` is what guardrails know of the names that its cells gave.
    `active` is when something was last admitted or a cell last seen to run, by the monotonic clock; in a terminal,
    when something was last typed or shown.
    """

    id: str
    kernel_id: str
    kernel_name: str
    owner: Principal
    started: datetime
    isolation: Rung
    network: NetworkPolicy
    account: str
    notebook: str
    signing_key: SigningKey
    capture: Capture
    ready: asyncio.Event
    outside: frozenset[str] = frozenset()
    active: float = field(default_factory=time.monotonic)
    grant: str | None = None
    bound: bool = False
    state: SessionState = SessionState.STARTING
    cause: str = ""
    canary_id: str = ""
    passwords_asked: set[str] = field(default_factory=set)
    watched_by: list[str] = field(default_factory=list)
    kernel_info: Mapping[str, Any] = field(default_factory=dict)
    counted: int = 0
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    own_permits: Iterator[int] = field(default_factory=partial(itertools.count, -1, -1))
    limit: Callable[[float], None] | None = None
    limited_to: datetime | None = None

    def count(self, said: object) -> None:
        """Note a kernel's word on how many cells it has counted."""
        if type(said) is int and 0 <= said < MOST_COUNTED:
            self.counted = said

    def idle_for(self, now: float) -> float:
        """Return for how many seconds nothing was sent and no cell ran, at `now` of the monotonic clock."""
        if self.capture.running():
            self.active = now
        return now - self.active

    @property
    def open(self) -> bool:
        """Whether messages may still be judged for this session."""
        return self.state in (SessionState.STARTING, SessionState.LIVE)


def new_session_id() -> str:
    """Return a fresh session id."""
    return f"s-{secrets.token_hex(6)}"


class SessionRegistry:
    """The sessions that have not ended, by kernel id. Safe to read from any thread."""

    def __init__(self) -> None:
        self._by_kernel: dict[str, Session] = {}
        self._lock = threading.Lock()

    def add(self, session: Session) -> None:
        """Register a session; the kernel's earlier one must have been removed."""
        with self._lock:
            self._by_kernel[session.kernel_id] = session

    def remove(self, session: Session) -> None:
        """Forget a session that has ended."""
        with self._lock:
            if self._by_kernel.get(session.kernel_id) is session:
                del self._by_kernel[session.kernel_id]

    def of_kernel(self, kernel_id: str) -> Session | None:
        """Return the session of a kernel, if it has one."""
        with self._lock:
            return self._by_kernel.get(kernel_id)

    def all(self) -> Iterable[Session]:
        """Return the sessions of this moment."""
        with self._lock:
            return tuple(self._by_kernel.values())
