"""
Activity drawn with matplotlib, which only this module of the review needs (the extra `review`).

Names in it are whatever people are called: they are drawn as text, never as formulas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from io import BytesIO
from typing import Any

from jupyter_audit.review.activity import Bar, format_step
from jupyter_audit.review.inert import one_line

RUN, REFUSED, FINDING = "#6b8cae", "#c62828", "#e65100"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MOST_PEOPLE = 10


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture for a notebook, whatever backend matplotlib has there; `text` where there are no pictures."""

    png: bytes
    text: str

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return self.text


def draw_activity(
    bars: Sequence[Bar],
    step: timedelta,
    week: Sequence[Sequence[int]],
    people: Mapping[str, Counter[str]],
    zone: tzinfo,
) -> Picture:
    """Return a picture of cells over time, by weekday and hour in `zone`, and by person."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(10, 6), layout="constrained")
        axes: dict[str, Any] = figure.subplot_mosaic(
            [["time", "time"], ["hour", "person"]], height_ratios=[3, 2], width_ratios=[3, 2]
        )
        _over_time(axes["time"], bars, step, zone)
        _by_hour(axes["hour"], week, zone)
        _by_person(axes["person"], people)
        held = BytesIO()
        figure.savefig(held, format="png", dpi=110)
    counted = [sum(getattr(bar, name) for bar in bars) for name in ("run", "refused", "findings")]
    return Picture(held.getvalue(), "{} cells run, {} refused, {} findings".format(*counted))


def _over_time(axes: Any, bars: Sequence[Bar], step: timedelta, zone: tzinfo) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    axes.set_title(f"Cells over time, in steps of {format_step(step)}", loc="left")
    starts, run, refused = [b.start for b in bars], [b.run for b in bars], [b.refused for b in bars]
    width = step * 0.9
    axes.bar(starts, run, width, align="edge", color=RUN, label="run")
    axes.bar(starts, refused, width, align="edge", bottom=run, color=REFUSED, label="refused")
    marked = [bar for bar in bars if bar.findings]
    heights = [bar.run + bar.refused for bar in marked]
    axes.plot([bar.start + step / 2 for bar in marked], heights, "v", color=FINDING, label="finding")
    axes.set_ylim(0, 1.25 * max((bar.run + bar.refused for bar in bars), default=0) + 1)
    locator = AutoDateLocator(tz=zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, ncols=3, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def _by_hour(axes: Any, week: Sequence[Sequence[int]], zone: tzinfo) -> None:
    axes.imshow(week, aspect="auto", cmap="Blues", vmin=0)
    axes.set_title(f"By weekday and hour ({zone})", loc="left")
    axes.set_yticks(range(len(WEEKDAYS)), WEEKDAYS)
    axes.set_xticks(range(0, 24, 3))


def _by_person(axes: Any, people: Mapping[str, Counter[str]]) -> None:
    busiest = sorted(people.items(), key=lambda item: item[1]["run"] + item[1]["refused"])[-MOST_PEOPLE:]
    run, refused = [count["run"] for _, count in busiest], [count["refused"] for _, count in busiest]
    places = range(len(busiest))
    axes.barh(places, run, color=RUN)
    axes.barh(places, refused, left=run, color=REFUSED)
    axes.set_yticks(places, [one_line(name, 24) for name, _ in busiest])
    axes.set_title("By person", loc="left")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
