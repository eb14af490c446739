"""
Purges as entries say them: which contents are gone, and that this was meant (P6, P9).

The body of a `content.purged` holds `contents`, a list of selections. A selection covers every content of
entries `first` to `last`, both included and before the purge itself; narrowed, where it says so, to
entries of one `session` or one `actor`, and to contents of certain `names`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_audit.ledger.envelope import EnvelopeError
from jupyter_audit.model import Entry

_MEMBERS = frozenset({"first", "last", "session", "actor", "names"})


@dataclass(frozen=True, slots=True)
class Selection:
    """Contents that one purge took."""

    purge: int
    first: int
    last: int
    session: str | None = None
    actor: str | None = None
    names: frozenset[str] | None = None

    def covers(self, entry: Entry, name: str) -> bool:
        """Return whether the purge took the content `name` of `entry`."""
        return (
            self.first <= entry.seq <= self.last
            and (self.session is None or self.session == entry.session)
            and (self.actor is None or self.actor == entry.actor.name)
            and (self.names is None or name in self.names)
        )


def parse_selections(entry: Entry) -> list[Selection]:
    """Return what a `content.purged` entry says was purged; raises `EnvelopeError` if it is malformed."""
    listed = entry.body.get("contents")
    if not isinstance(listed, list) or not listed:
        raise EnvelopeError("its contents are not a list of selections")
    selections = []
    for item in listed:
        if not isinstance(item, dict) or not {"first", "last"} <= item.keys() <= _MEMBERS:
            raise EnvelopeError(f"not a selection of contents: {item!r}")
        if None in item.values():
            raise EnvelopeError(f"a selection says null where it should say nothing: {item!r}")
        first, last = item["first"], item["last"]
        session, actor, names = item.get("session"), item.get("actor"), item.get("names")
        if type(first) is not int or type(last) is not int or not 0 <= first <= last < entry.seq:
            raise EnvelopeError(f"a purge covers entries before itself, not {first!r} to {last!r}")
        if not all(text is None or isinstance(text, str) for text in (session, actor)):
            raise EnvelopeError(f"not a selection of contents: {item!r}")
        if names is not None and not (
            isinstance(names, list) and names and all(isinstance(name, str) for name in names)
        ):
            raise EnvelopeError(f"not names of contents: {names!r}")
        selections.append(
            Selection(entry.seq, first, last, session, actor, None if names is None else frozenset(names))
        )
    return selections


class Purges:
    """
    All purges of a ledger, by the number of their entry: asked of every content, however many they are.

    False if there are none.
    """

    def __init__(self, selections: Mapping[int, Sequence[Selection]]) -> None:
        self._selections = dict(selections)
        # What differs in nothing but its range is one list of ranges that do not touch: firsts, and their lasts.
        ranges: dict[tuple[str | None, str | None], dict[frozenset[str] | None, list[tuple[int, int]]]] = {}
        for selection in (selection for purge in self._selections.values() for selection in purge):
            by_names = ranges.setdefault((selection.session, selection.actor), {})
            by_names.setdefault(selection.names, []).append((selection.first, selection.last))
        self._ranges = {
            whose: [(names, *_joined(found)) for names, found in by_names.items()] for whose, by_names in ranges.items()
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Purges) and self._selections == other._selections

    def __bool__(self) -> bool:
        return bool(self._selections)

    def of(self, purge: int) -> Sequence[Selection] | None:
        """Return what this entry says that it purged; None if it is not known as a purge."""
        return self._selections.get(purge)

    def cover(self, seq: int, session: str | None, actor: str, name: str) -> bool:
        """Return whether any purge took the content `name` of the entry with this number, session and actor's name."""
        for whose in {(None, None), (session, None), (None, actor), (session, actor)}:
            for names, firsts, lasts in self._ranges.get(whose, ()):
                at = bisect_right(firsts, seq) - 1
                if at >= 0 and seq <= lasts[at] and (names is None or name in names):
                    return True
        return False

    def first_to_cover(self, entry: Entry, name: str) -> int | None:
        """Return the number of the first purge that took the content `name` of `entry`."""
        if self.cover(entry.seq, entry.session, entry.actor.name, name):
            for purge, selections in self._selections.items():
                if any(selection.covers(entry, name) for selection in selections):
                    return purge
        return None


def _joined(ranges: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Return firsts and lasts of the ranges, joined where they overlap."""
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts
