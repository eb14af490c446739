"""Which entries of a ledger somebody wants to see: by type, session, person and time. Reads entries, decides nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry
from jupyter_audit.record.kinds import SessionStarted


@dataclass(frozen=True, slots=True)
class Filters:
    """Which entries are looked at. `person` means who acted, or whose session it is; `until` is not included."""

    types: Collection[str] | None = None
    session: str | None = None
    person: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return self != Filters()


def select(
    reader: LedgerReader,
    filters: Filters,
    *,
    candidates: Iterable[int] | None = None,
    stop: int | None = None,
    newest_first: bool = False,
) -> Iterator[Entry]:
    """
    Yield the entries before `stop` that pass, in ledger order or `newest_first`.

    `candidates` are numbers of entries in the order wanted; then only those are looked at.
    """
    owners = find_owners(reader) if filters.person is not None else {}
    entries: Iterable[Entry]
    if candidates is None:
        entries = reader.entries(types=filters.types, session=filters.session, stop=stop, newest_first=newest_first)
    else:
        entries = map(reader.entry, candidates)
    return (entry for entry in entries if passes(entry, filters, owners))


def passes(entry: Entry, filters: Filters, owners: Mapping[str, str]) -> bool:
    """Return whether an entry passes; `owners` says whose each session is."""
    if filters.types is not None and not any(
        entry.type.startswith(kind) if kind.endswith(".") else entry.type == kind for kind in filters.types
    ):
        return False
    if filters.session is not None and entry.session != filters.session:
        return False
    if filters.person is not None and filters.person not in (entry.actor.name, owners.get(entry.session or "")):
        return False
    if filters.since is not None and entry.time < filters.since:
        return False
    return filters.until is None or entry.time < filters.until


def find_owners(reader: LedgerReader) -> dict[str, str]:
    """Return whose session each one is: what the server put down of it is about them."""
    started = reader.entries(types=(SessionStarted.TYPE,))
    return {entry.session: entry.actor.name for entry in started if entry.session is not None}
