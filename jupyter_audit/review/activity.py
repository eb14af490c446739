"""
How much happened when: counts over time, by person and by hour of the week, for charts. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from jupyter_audit.model import Entry

TYPES = ("cell.admitted", "cell.refused", "cell.finished", "message.refused", "finding.raised")
"""The entry types that are counted."""

MOST_BARS = 120
_MINUTES = (1, 5, 15, 60, 3 * 60, 6 * 60, 24 * 60, 7 * 24 * 60, 28 * 24 * 60)
_STEPS = tuple(timedelta(minutes=minutes) for minutes in _MINUTES)


@dataclass(frozen=True, slots=True)
class Bar:
    """What happened from `start` until the next bar. `run` leaves out the server's own canaries."""

    start: datetime
    run: int
    refused: int
    errors: int
    findings: int


def choose_step(first: datetime, last: datetime, most: int = MOST_BARS) -> timedelta:
    """Return the finest of some usual steps that shows `first` to `last` in at most `most` bars."""
    for step in _STEPS:
        if (last - first) / step < most:
            return step
    return _STEPS[-1]


def format_step(step: timedelta) -> str:
    """Return a step of `choose_step` in words."""
    minutes = round(step / timedelta(minutes=1))
    for size, noun in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        if minutes % size == 0:
            return f"{minutes // size} {noun}{'' if minutes == size else 's'}"
    return str(step)


def count_activity(entries: Iterable[Entry], step: timedelta) -> list[Bar]:
    """
    Return one bar for each `step` between the first and the last thing counted, empty ones too.

    Bars begin at multiples of `step` since 1970 in UTC, so that two charts of one ledger line up.
    """
    counts: Counter[tuple[int, str]] = Counter()
    for entry in entries:
        kind = _kind(entry)
        if kind:
            counts[int(entry.time.timestamp() // step.total_seconds()), kind] += 1
    if not counts:
        return []
    places = [place for place, _ in counts]
    return [
        Bar(
            datetime.fromtimestamp(place * step.total_seconds(), UTC),
            *(counts[place, kind] for kind in ("run", "refused", "errors", "findings")),
        )
        for place in range(min(places), max(places) + 1)
    ]


def count_by_principal(entries: Iterable[Entry]) -> dict[str, Counter[str]]:
    """
    Return for each person how many cells were run and refused, ended in error, and led to findings.

    What the server put down of a session (ends of cells, findings) counts for the person whose session it is.
    """
    counts: dict[str, Counter[str]] = {}
    owners: dict[str, str] = {}
    for entry in entries:
        kind, name = _kind(entry), entry.actor.name
        if kind in ("run", "refused") and entry.session is not None:
            owners.setdefault(entry.session, name)
        elif entry.session in owners:
            name = owners[entry.session]
        if kind:
            counts.setdefault(name, Counter())[kind] += 1
    return counts


def count_by_hour(entries: Iterable[Entry], zone: tzinfo = UTC) -> list[list[int]]:
    """
    Return how many cells were run or refused, by the hour in `zone`.

    A row for each weekday from Monday, in it a number for each of 24 hours.
    """
    week = [[0] * 24 for _ in range(7)]
    for entry in entries:
        if _kind(entry) in ("run", "refused"):
            moment = entry.time.astimezone(zone)
            week[moment.weekday()][moment.hour] += 1
    return week


def _kind(entry: Entry) -> str:
    match entry.type:
        case "cell.admitted":
            return "" if entry.body.get("canary") is True else "run"
        case "cell.refused" | "message.refused":
            return "refused"
        case "cell.finished":
            return "errors" if entry.body.get("status") == "error" else ""
        case "finding.raised":
            return "findings"
    return ""
