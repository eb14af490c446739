"""
Which findings the ledger holds already, so that none is put down twice.

A projection of `finding.raised` entries that can be dropped (P4). It is asked with the ledger's write lock
held, so two servers that judge the same entry cannot both believe that they are first.
"""

from __future__ import annotations

from jupyter_audit.detect.engine import FINDING, Match
from jupyter_audit.ledger import LedgerReader


class KnownFindings:
    """
    The findings from entry `start` on; earlier ones are looked up where a burst reaches back that far.

    Use it inside the recorder's decisions only, which come one after the other.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._next = start
        self._named: set[tuple[str, int]] = set()

    def refresh(self, reader: LedgerReader) -> None:
        """Take in the findings that were appended since the last time, by any process."""
        size = reader.size()
        self._named |= _named(reader, self._next, size)
        self._next = size

    def holds(self, match: Match, reader: LedgerReader) -> bool:
        """Say whether there is a finding of the same rule about the same thing."""
        rule = match.rule
        if rule.once_per == "grant" and match.grant is not None:
            of_grant = reader.entries(types=[FINDING], grant=match.grant)
            return any(finding.body.get("rule") == rule.id for finding in of_grant)
        named = self._named
        if match.about[0] < self._start:
            named = named | _named(reader, match.about[0], self._start)
        return any((rule.id, seq) in named for seq in match.about)


def _named(reader: LedgerReader, start: int, stop: int) -> set[tuple[str, int]]:
    """The rule and each entry that the findings from `start` up to `stop` name."""
    named = set()
    for finding in reader.entries(types=[FINDING], start=start, stop=stop):
        entries = finding.body.get("entries")
        for seq in entries if isinstance(entries, list) else ():
            named.add((str(finding.body.get("rule")), seq))
    return named
