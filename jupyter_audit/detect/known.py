"""
Which findings the ledger holds already, so that none is put down twice.

A projection of `finding.raised` entries that can be dropped (P4). It is asked with the ledger's write lock
held, so two servers that judge the same entry cannot both believe that they are first.
"""

from __future__ import annotations

import json
import sqlite3

from jupyter_audit.detect.engine import FINDING, Match
from jupyter_audit.ledger import LedgerReader

_FINDINGS = (
    "SELECT seq, json_extract(raw, '$.body.rule'), json_extract(raw, '$.body.entries') FROM entry "
    "INDEXED BY entry_by_type WHERE type = ? AND seq >= ? AND seq < ?"
)
_OF_GRANT = (
    'SELECT 1 FROM entry INDEXED BY entry_by_grant WHERE "grant" = ? AND type = ? '
    "AND json_extract(raw, '$.body.rule') = ? LIMIT 1"
)


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
        self._named |= _named(reader.connection, self._next, size)
        self._next = size

    def holds(self, match: Match, reader: LedgerReader) -> bool:
        """Say whether there is a finding of the same rule about the same thing."""
        rule = match.rule
        if rule.once_per == "grant" and match.grant is not None:
            row = reader.connection.execute(_OF_GRANT, (match.grant, FINDING, rule.id)).fetchone()
            return row is not None
        named = self._named
        if match.about[0] < self._start:
            named = named | _named(reader.connection, match.about[0], self._start)
        return any((rule.id, seq) in named for seq in match.about)


def _named(connection: sqlite3.Connection, start: int, stop: int) -> set[tuple[str, int]]:
    """The rule and each entry that the findings from `start` up to `stop` name."""
    return {
        (rule, seq)
        for _, rule, entries in connection.execute(_FINDINGS, (FINDING, start, stop))
        for seq in json.loads(entries or "[]")
    }
