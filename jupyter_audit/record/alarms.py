"""
Alarms of witnesses, as entries: that a witness cosigned what this ledger does not extend stays in the ledger itself (P5).

The state of a sink lies in a file that whoever put an old ledger back can delete; an entry, once a checkpoint over it is
kept elsewhere, cannot be taken away unseen. Judges only; the caller appends.
"""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.anchors import Standing
from jupyter_audit.model import Draft, Entry
from jupyter_audit.record import kinds


def alarms_that_stand(reader: LedgerReader) -> dict[str, Entry]:
    """Return, by sink, the newest entry that says that its witness has raised an alarm, if none says that it ended."""
    newest = {str(entry.body["sink"]): entry for entry in reader.entries(types=[kinds.WitnessAlarm.TYPE])}
    return {sink: entry for sink, entry in newest.items() if entry.body["stands"] is True}


def unsaid(reader: LedgerReader, standings: Sequence[Standing]) -> list[Draft]:
    """
    Return the entries that are missing of alarms that began or ended, by how sinks stand after sending.

    An alarm has ended when the witness cosigned again, not while it cannot be asked.
    """
    told = alarms_that_stand(reader)
    drafts = []
    for standing in standings:
        entry = told.get(standing.sink)
        if standing.alarm and (entry is None or entry.body["since"] != standing.failing_since):
            kind = kinds.WitnessAlarm(sink=standing.sink, stands=True, since=standing.failing_since, said=standing.error)
            drafts.append(kinds.draft(kind))
        elif entry is not None and not standing.failing_since:
            kind = kinds.WitnessAlarm(sink=standing.sink, stands=False, since=str(entry.body["since"]), said="")
            drafts.append(kinds.draft(kind))
    return drafts
