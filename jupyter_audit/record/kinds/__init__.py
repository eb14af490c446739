"""
Every kind of entry: one dataclass each, whose docstring is its documentation (docs/entries.md).

A kind's fields are the entry's `body`. Who acted, the grant and the session stand in the entry's
envelope; code and output stand in its contents, never in the body, so that they can be purged (P6).
Durations are whole seconds or milliseconds as the name says; times are RFC 3339 texts. Fields named
`reported_by` say whose word it is when it is not the server's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from jupyter_audit.errors import LedgerError
from jupyter_audit.model import SERVER, Actor, Content, Draft, Entry
from jupyter_audit.record.kinds.access import (
    AccessApproved,
    AccessBreakGlass,
    AccessClosed,
    AccessDenied,
    AccessEndorsed,
    AccessExpired,
    AccessExtended,
    AccessLapsed,
    AccessRefused,
    AccessRequested,
    AccessReviewed,
    AccessRevoked,
    AccessWithdrawn,
)
from jupyter_audit.record.kinds.base import Kind
from jupyter_audit.record.kinds.cells import (
    CellAdmitted,
    CellAnswered,
    CellApproved,
    CellDenied,
    CellFinished,
    CellHeld,
    CellHoldEnded,
    CellLateOutput,
    CellRefused,
    KernelReport,
    MessageAdmitted,
    MessageRefused,
    TerminalInput,
    TerminalOutput,
    TerminalRefused,
)
from jupyter_audit.record.kinds.following import (
    AlertFailed,
    AlertRouted,
    AlertSent,
    DetectionJudged,
    FindingRaised,
    GapRecorded,
    LedgerExported,
    LedgerRead,
)
from jupyter_audit.record.kinds.people import (
    AccessKeyRegistered,
    AccessKeyWithdrawn,
    AccessPasskeyRegistered,
    PeopleAccepted,
    PeopleAdded,
    PeopleChanged,
    PeopleRemoved,
)
from jupyter_audit.record.kinds.serving import (
    AccessAcknowledged,
    CanaryRead,
    FeedbackGiven,
    FileChanged,
    NoteMade,
    PolicyChanged,
    RequestRefused,
    ServerStarted,
    ServerStopped,
    SessionBound,
    SessionEnded,
    SessionEndOrdered,
    SessionMoved,
    SessionRefused,
    SessionStarted,
    SessionWatched,
    WitnessAlarm,
)

__all__ = [
    "KINDS",
    "NEVER_BEGUN",
    "NEVER_SENT",
    "PEOPLE",
    "AccessAcknowledged",
    "AccessApproved",
    "AccessBreakGlass",
    "AccessClosed",
    "AccessDenied",
    "AccessEndorsed",
    "AccessExpired",
    "AccessExtended",
    "AccessKeyRegistered",
    "AccessKeyWithdrawn",
    "AccessLapsed",
    "AccessPasskeyRegistered",
    "AccessRefused",
    "AccessRequested",
    "AccessReviewed",
    "AccessRevoked",
    "AccessWithdrawn",
    "AlertFailed",
    "AlertRouted",
    "AlertSent",
    "CanaryRead",
    "CellAdmitted",
    "CellAnswered",
    "CellApproved",
    "CellDenied",
    "CellFinished",
    "CellHeld",
    "CellHoldEnded",
    "CellLateOutput",
    "CellRefused",
    "DetectionJudged",
    "FeedbackGiven",
    "FileChanged",
    "FindingRaised",
    "GapRecorded",
    "KernelReport",
    "Kind",
    "LedgerExported",
    "LedgerRead",
    "MessageAdmitted",
    "MessageRefused",
    "NoteMade",
    "PeopleAccepted",
    "PeopleAdded",
    "PeopleChanged",
    "PeopleRemoved",
    "PolicyChanged",
    "RequestRefused",
    "ServerStarted",
    "ServerStopped",
    "SessionBound",
    "SessionEndOrdered",
    "SessionEnded",
    "SessionMoved",
    "SessionRefused",
    "SessionStarted",
    "SessionWatched",
    "TerminalInput",
    "TerminalOutput",
    "TerminalRefused",
    "WitnessAlarm",
    "draft",
    "read",
]

NEVER_SENT = "never sent to the kernel"
"""The `error` of an admitted cell that the server did not send after all."""

NEVER_BEGUN = "never begun by the kernel"
"""The `error` of a cell that was sent, and of which the kernel had shown nothing when its session ended."""

KINDS: Mapping[str, type[Kind]] = {
    kind.TYPE: kind
    for kind in (
        AccessRequested,
        AccessEndorsed,
        AccessApproved,
        AccessExtended,
        AccessBreakGlass,
        AccessReviewed,
        AccessDenied,
        AccessWithdrawn,
        AccessClosed,
        AccessLapsed,
        AccessRevoked,
        AccessExpired,
        AccessRefused,
        PeopleAdded,
        PeopleChanged,
        PeopleRemoved,
        PeopleAccepted,
        AccessKeyRegistered,
        AccessPasskeyRegistered,
        AccessKeyWithdrawn,
        ServerStarted,
        ServerStopped,
        PolicyChanged,
        AccessAcknowledged,
        FeedbackGiven,
        NoteMade,
        WitnessAlarm,
        SessionStarted,
        SessionMoved,
        SessionBound,
        SessionEnded,
        SessionRefused,
        SessionWatched,
        SessionEndOrdered,
        RequestRefused,
        FileChanged,
        CanaryRead,
        CellHeld,
        CellApproved,
        CellDenied,
        CellHoldEnded,
        CellAdmitted,
        CellRefused,
        CellAnswered,
        CellFinished,
        CellLateOutput,
        MessageAdmitted,
        MessageRefused,
        KernelReport,
        TerminalInput,
        TerminalRefused,
        TerminalOutput,
        FindingRaised,
        DetectionJudged,
        GapRecorded,
        AlertRouted,
        AlertSent,
        AlertFailed,
        LedgerRead,
        LedgerExported,
    )
}
"""Every kind by its type. The ledger itself adds `ledger.created` (docs/ledger-format.md)."""

PEOPLE = frozenset({PeopleAdded.TYPE, PeopleChanged.TYPE, PeopleRemoved.TYPE, PeopleAccepted.TYPE})
"""The types whose newest entry says which people file is in force."""

K = TypeVar("K", bound=Kind)


def draft(
    kind: Kind,
    *,
    actor: Actor = SERVER,
    grant: str | None = None,
    session: str | None = None,
    contents: Mapping[str, Content] | None = None,
) -> Draft:
    """Return the draft that puts `kind` down for `actor`, under `grant`, in `session`."""
    body = {f.name: getattr(kind, f.name) for f in dataclasses.fields(cast(Any, kind))}
    return Draft(kind.TYPE, body, actor=actor, grant=grant, session=session, contents=contents or {})


def read(entry: Entry, kind: type[K]) -> K:
    """
    Return the entry's body as `kind`.

    Raises `LedgerError` if the entry is of another type or its body lacks a field that has always been there: such an
    entry was not written by this product, and nothing may be decided from it.
    """
    if entry.type != kind.TYPE:
        raise LedgerError(f"Entry {entry.seq} is {entry.type}, not {kind.TYPE}.")
    fields = dataclasses.fields(cast(Any, kind))
    # A field with a default came later than its kind: entries from before it do not have it.
    missing = [f.name for f in fields if f.name not in entry.body and f.default is dataclasses.MISSING]
    if missing:
        raise LedgerError(f"Entry {entry.seq} ({entry.type}) lacks {', '.join(missing)}.")
    return kind(**{f.name: entry.body[f.name] for f in fields if f.name in entry.body})
