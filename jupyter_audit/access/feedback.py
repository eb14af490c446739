"""Feedback: what got in somebody's way, tied to the refusal or the wait that it is about. Pure but for looking it up."""

from __future__ import annotations

from datetime import datetime, timedelta

from jupyter_audit.access import rules
from jupyter_audit.errors import NotFoundError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Actor, Content, Draft, Entry, Principal
from jupyter_audit.record import kinds

REFUSALS = (
    kinds.CellRefused.TYPE,
    kinds.MessageRefused.TYPE,
    kinds.SessionRefused.TYPE,
    kinds.RequestRefused.TYPE,
    kinds.TerminalRefused.TYPE,
    kinds.AccessRefused.TYPE,
)
"""Entries whose actor was refused something."""

WAITS = (kinds.AccessRequested.TYPE,)

RECENT = timedelta(hours=1)
MOST_LOOKED_AT = 500
"""Entries that are looked at for the newest of somebody's own."""


def subject(
    reader: LedgerReader, person: str, about: int | None, now: datetime, session: str | None = None
) -> Entry | None:
    """
    Return the entry that somebody's feedback is about: the one named, or their newest refusal or wait of the last hour.

    Said in a session, it is about what was refused there or asked for anywhere, not about another session's refusals.
    Raises `NotFoundError` where the one named is not theirs, whether it exists or not.
    """
    if about is not None:
        entry = reader.entry(about) if 0 <= about < reader.size() else None
        if entry is None or entry.actor.name != person:
            raise NotFoundError(f"There is no entry {about} of {person}.", advice="Name one of your own, or leave it out.")
        return entry
    for entry in reader.entries(types=(*REFUSALS, *WAITS), newest_first=True, limit=MOST_LOOKED_AT):
        if entry.time < now - RECENT:
            return None
        if entry.actor.name == person and (session is None or entry.session in (None, session)):
            return entry
    return None


def draft(principal: Principal, text: str, about: Entry | None, session: str | None = None) -> Draft:
    """Return the entry. Raises `UsageError` for a text that is empty, too long, or hides something."""
    told = rules.reason(text, 1)
    kind = kinds.FeedbackGiven(about=-1 if about is None else about.seq, about_type="" if about is None else about.type)
    contents = {"feedback": Content(told.encode())}
    return kinds.draft(kind, actor=Actor.of(principal), session=session, contents=contents)
