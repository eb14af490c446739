"""When grants of a profile may run: days and hours in a time zone, as an admin writes them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TEXT = re.compile(r"(?P<days>\S+) (?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d) (?P<zone>\S+)")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hours:
    """Minutes of the day from `start` up to `end` on `days` (0 is Monday), in `zone`. `end` first runs over midnight."""

    text: str
    days: frozenset[int]
    start: int
    end: int
    zone: ZoneInfo

    def until(self, moment: datetime) -> datetime | None:
        """Return when the hours that `moment` falls into end; None if it falls into none. A night belongs to its first day."""
        local = moment.astimezone(self.zone)
        for day in (local.date(), local.date() - _DAY):
            if day.weekday() not in self.days:
                continue
            midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
            last = midnight + _DAY if self.end <= self.start else midnight
            # Made from the wall clock: on the day of a clock change 08:00 is still 08:00.
            begin, end = _at(midnight, self.start), _at(last, self.end)
            if begin <= moment < end:
                return end
        return None

    def __str__(self) -> str:
        return self.text


def _at(midnight: datetime, minutes: int) -> datetime:
    """Return the moment that the wall clock shows `minutes` of the day that begins with `midnight`."""
    days, minute = divmod(minutes, 24 * 60)
    day = midnight.date() + timedelta(days=days)
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=midnight.tzinfo)


def parse_hours(text: object) -> Hours:
    """Return the hours in a text such as `Mon-Fri 08:00-18:00 Europe/Berlin`. Raises `ValueError` that says what is wrong."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None or not isinstance(text, str):
        raise ValueError("days, HH:MM-HH:MM and a time zone, with a space between them")
    days: set[int] = set()
    for part in found["days"].split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"days are {', '.join(DAYS)}, or ranges of them, not {part!r}")
        span = (DAYS.index(last or first) - DAYS.index(first)) % 7
        days.update((DAYS.index(first) + step) % 7 for step in range(span + 1))
    start, end = _minutes(found["from"]), _minutes(found["to"])
    if start == end or start == 24 * 60:
        raise ValueError("they end where they begin")
    try:
        zone = ZoneInfo(found["zone"])
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"this machine knows no time zone {found['zone']!r}") from error
    return Hours(text, frozenset(days), start, end, zone)


def _minutes(text: str) -> int:
    hour, minute = int(text[:2]), int(text[3:])
    if minute > 59 or hour * 60 + minute > 24 * 60:
        raise ValueError(f"there is no time {text}")
    return hour * 60 + minute
