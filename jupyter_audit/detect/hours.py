"""Which hours are ordinary work, in the time zone of the people who work. Pure; weekends never are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jupyter_audit.errors import ConfigError

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_SATURDAY = 5
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Minutes of the day from `start` up to `end`, on weekdays, in `zone`; `end` first is a night shift."""

    start: int
    end: int
    zone: ZoneInfo

    def local(self, moment: datetime) -> datetime:
        """Return `moment` in the zone of these hours."""
        return moment.astimezone(self.zone)

    def are_off(self, moment: datetime) -> bool:
        """Say whether `moment` is outside ordinary work. A night shift belongs to the day it began on."""
        local = self.local(moment)
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return local.weekday() >= _SATURDAY or not self.start <= minute < self.end
        if minute >= self.start:
            return local.weekday() >= _SATURDAY
        return minute >= self.end or (local - timedelta(days=1)).weekday() >= _SATURDAY


def parse_working_hours(text: str, zone: str) -> WorkingHours:
    """
    Return the hours that the settings `working_hours` and `time_zone` name.

    Raises `ConfigError` naming the setting that cannot be used.
    """
    advice = "Set it to a span such as c.JupyterAudit.working_hours = '07:00-20:00'."
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ConfigError(f"JupyterAudit.working_hours is {text!r}, not HH:MM-HH:MM.", advice=advice)
    hours = [int(part) for part in match.groups()]
    start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if max(hours[1], hours[3]) > 59 or max(start, end) > _DAY or start == _DAY:
        raise ConfigError(f"JupyterAudit.working_hours is {text!r}: there is no such time of day.", advice=advice)
    if start == end:
        raise ConfigError(f"JupyterAudit.working_hours is {text!r}: it begins where it ends.", advice=advice)
    try:
        return WorkingHours(start, end, ZoneInfo(zone))
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ConfigError(
            f"JupyterAudit.time_zone is {zone!r}, which this machine does not know.",
            advice="Set it to an IANA name such as Europe/Berlin. If it is one, `pip install tzdata`.",
        ) from error
