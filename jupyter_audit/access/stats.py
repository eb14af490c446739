"""
How access goes: how long people wait for an answer, what they are refused and why, and what they give up on. Pure.

Counted from entries alone, so anybody with the ledger comes to the same numbers (P4).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jupyter_audit.access.feedback import REFUSALS
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds

TYPES = (
    *REFUSALS,
    kinds.AccessRequested.TYPE,
    kinds.AccessApproved.TYPE,
    kinds.AccessExtended.TYPE,
    kinds.AccessDenied.TYPE,
    kinds.AccessWithdrawn.TYPE,
    kinds.AccessLapsed.TYPE,
    kinds.AccessClosed.TYPE,
    kinds.AccessBreakGlass.TYPE,
    kinds.SessionBound.TYPE,
    kinds.FeedbackGiven.TYPE,
)
"""The entries that `count` looks at."""


@dataclass(slots=True)
class Stats:
    """Numbers. `waits` are the seconds from each request to its approval; `refusals` are counted by type and cause."""

    waits: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    denied: int = 0
    abandoned: int = 0
    waiting: int = 0
    unused_grants: int = 0
    feedback: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the numbers for programs."""
        return {
            "requests": self.requests,
            "approved": len(self.waits),
            "denied": self.denied,
            "abandoned": self.abandoned,
            "waiting": self.waiting,
            "unused_grants": self.unused_grants,
            "approval_seconds": {"median": percentile(self.waits, 50), "p95": percentile(self.waits, 95)},
            "refusals": dict(sorted(self.refusals.items(), key=lambda item: (-item[1], item[0]))),
            "feedback": self.feedback,
        }


def count(entries: Iterable[Entry]) -> Stats:
    """Return the numbers that entries, in ledger order, give. An answer to a request that is not among them counts not."""
    stats = Stats()
    asked: dict[str, datetime] = {}
    unused: set[str] = set()
    for entry in entries:
        request = str(entry.body.get("request", ""))
        match entry.type:
            case kinds.AccessRequested.TYPE:
                stats.requests += 1
                asked.setdefault(request, entry.time)
            case kinds.AccessApproved.TYPE | kinds.AccessExtended.TYPE if request in asked:
                stats.waits.append((entry.time - asked.pop(request)).total_seconds())
                if entry.type == kinds.AccessApproved.TYPE:
                    unused.add(entry.grant or "")
            case kinds.AccessBreakGlass.TYPE:
                unused.add(entry.grant or "")
            case kinds.AccessDenied.TYPE if asked.pop(request, None):
                stats.denied += 1
            case kinds.AccessWithdrawn.TYPE | kinds.AccessLapsed.TYPE if asked.pop(request, None):
                stats.abandoned += 1
            case kinds.AccessClosed.TYPE:
                asked.pop(request, None)
            case kinds.SessionBound.TYPE:
                unused.discard(entry.grant or "")
            case kinds.FeedbackGiven.TYPE:
                stats.feedback += 1
            case kind if kind in REFUSALS:
                stats.refusals[_cause(entry)] += 1
    stats.waiting, stats.unused_grants = len(asked), len(unused)
    return stats


def _cause(entry: Entry) -> str:
    # What access refuses is said in sentences, with names in them: they are counted by what was tried.
    cause = entry.body.get("action" if entry.type == kinds.AccessRefused.TYPE else "cause", "")
    return f"{entry.type} {cause}"[:100]


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that `percent` of them do not exceed (nearest rank); None where there is none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
