"""
Purges as entries say them: which contents are gone, and that this was meant (P6, P9).

The body of a `content.purged` holds `contents`, a list of selections. A selection covers every content of
entries `first` to `last`, both included and before the purge itself; narrowed, where it says so, to
entries of one `session` or one `actor`, and to contents of certain `names`.
"""

from __future__ import annotations

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
