"""Time as an argument. Nobody else in the product asks the system for the time of day."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests pass one that they set themselves."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, in UTC."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the current time, timezone-aware, in UTC."""
        return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """
    Return `moment` as RFC 3339 in UTC with microseconds, as entries carry it.

    Raises `ValueError` for a naive datetime.
    """
    if moment.tzinfo is None:
        raise ValueError(f"time without a time zone: {moment!r}")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat("T", "microseconds")[:26] + "Z"  # what is cut off is the offset, +00:00


def parse_time(text: str) -> datetime:
    """
    Read back exactly what `format_time` writes.

    Raises `ValueError` for any other spelling, so that one moment has one text.
    """
    moment = datetime.fromisoformat(text)
    if format_time(moment) != text:
        raise ValueError(f"not an RFC 3339 UTC time with microseconds: {text!r}")
    return moment
