"""
What people are told of, and in which words. Pure: notices are made from entries, grants and requests, and hold facts alone.

Never code and never output. What a person wrote (a reason, a ticket) stands there on one line, cut to a length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from jupyter_audit.access.grants import Grant
from jupyter_audit.clock import format_time
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds

EVERYONE, APPROVERS, HOLDER = "everyone", "approvers", "holder"
"""What a route can name beside targets: all of them; those of whoever may answer; those of whose request or grant it is."""

LONGEST_FACT = 300


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the table. `gap_s` is the least time between two messages of it to one target; meanwhile they gather."""

    name: str
    meaning: str
    default: tuple[str, ...]
    gap_s: float


EVENTS: Mapping[str, Event] = {
    event.name: event
    for event in (
        Event("break_glass", "somebody took access without asking", (EVERYONE,), 10),
        Event("review_overdue", "a broken glass waits for its review for too long; said again each time as long passes",
              (EVERYONE,), 60),
        Event("finding", "a detection found something of at least c.JupyterAudit.alert_finding_level", (EVERYONE,), 60),
        Event("request_waiting", "a request waits for an answer", (APPROVERS,), 20),
        Event("cell_waiting", "a cell is held until somebody says yes to it", (APPROVERS,), 20),
        Event("grant_ending", "a grant ends within c.JupyterAudit.alert_ending_minutes", (HOLDER,), 10),
        Event("revoked_everyone", "every grant was revoked, for an incident", (EVERYONE,), 10),
        Event("recording_failing", "the ledger cannot be written, so nothing runs", (EVERYONE,), 60),
        Event("witness_alarm", "a witness saw another ledger than this one", (EVERYONE,), 60),
    )
}  # fmt: skip
"""Every event. `default` is whom it goes to where c.JupyterAudit.alert_routes is empty."""

LEVELS = ("informational", "low", "medium", "high", "critical")
"""Of findings (Sigma's), the lowest first."""


@dataclass(frozen=True, slots=True)
class Notice:
    """
    One thing to tell. `key` names it among those of its event; `seq` is its entry, -1 for what time or a state brings.

    `answers` are the words (names, `group:NAME`, `*`) for those who may answer or review it, `holder` whose it is,
    `behalf` whom a service acts for. `request` is a request or a held cell that it is about, which may be answered before
    anybody was told. `entries` are those that a
    finding is about; `count` is how many entries one act made.
    """

    event: str
    key: str
    seq: int
    since: datetime
    title: str
    facts: tuple[tuple[str, str], ...]
    answers: tuple[str, ...] = ()
    holder: str = ""
    behalf: str = ""
    request: str = ""
    entries: tuple[int, ...] = ()
    count: int = 1


def one_line(text: str, most: int = LONGEST_FACT) -> str:
    """Return a text that somebody wrote as it may stand in a message: on one line, printable, bounded."""
    told = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return told if len(told) <= most else told[: most - 1] + "…"


def _facts(*rows: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, one_line(value)) for name, value in rows if value)


def break_glass(entry: Entry, answers: Iterable[str]) -> Notice:
    """Return the notice of a broken glass."""
    said = kinds.read(entry, kinds.AccessBreakGlass)
    return Notice(
        event="break_glass",
        key=str(entry.seq),
        seq=entry.seq,
        since=entry.time,
        title=f"{one_line(entry.actor.name, 80)} broke the glass of {one_line(said.profile, 80)}",
        facts=_facts(
            ("Who", entry.actor.name), ("Profile", said.profile), ("Target", said.target), ("Reason", said.reason),
            ("Ticket", said.ticket), ("Grant", entry.grant or ""), ("Until", said.not_after),
            ("What to do", "ask them now what has happened; end the grant if it is no emergency; review it afterwards"),
        ),
        answers=tuple(answers),
        holder=entry.actor.name,
    )  # fmt: skip


def request_waiting(entry: Entry, answers: Iterable[str]) -> Notice:
    """Return the notice of a request that waits."""
    said = kinds.read(entry, kinds.AccessRequested)
    what = f"more time under {said.extends}" if said.extends else said.profile
    return Notice(
        event="request_waiting",
        key=str(entry.seq),
        seq=entry.seq,
        since=entry.time,
        title=f"{one_line(entry.actor.name, 80)} asks for {one_line(what, 80)}",
        facts=_facts(
            ("Who", entry.actor.name), ("On behalf of", said.on_behalf_of), ("Profile", said.profile), ("Target", said.target),
            ("For", f"{max(1, said.duration_s // 60)} min"), ("From", said.starts), ("Reason", said.reason),
            ("Ticket", said.ticket), ("Takes over", said.takes_over), ("Waits until", said.lapses),
            ("Answer", f"in the panel, or jupyter audit approve {said.request}"),
        ),
        answers=tuple(answers),
        holder=entry.actor.name,
        behalf=said.on_behalf_of,
        request=said.request,
    )  # fmt: skip


def cell_waiting(entry: Entry, answers: Iterable[str]) -> Notice:
    """Return the notice of a held cell; its code is for the panel alone."""
    said = kinds.read(entry, kinds.CellHeld)
    return Notice(
        event="cell_waiting",
        key=str(entry.seq),
        seq=entry.seq,
        since=entry.time,
        title=f"A cell of {one_line(entry.actor.name, 80)} waits for a yes",
        facts=_facts(
            ("Who", entry.actor.name), ("On behalf of", said.on_behalf_of), ("Profile", said.profile),
            ("Grant", entry.grant or ""), ("Session", entry.session or ""), ("Lines", str(said.lines)),
            ("Waits until", said.lapses), ("Answer", f"in the panel, or jupyter audit approve-cell {said.hold}"),
        ),
        answers=tuple(answers),
        holder=entry.actor.name,
        behalf=said.on_behalf_of,
        request=said.hold,
    )  # fmt: skip


def finding(entry: Entry) -> Notice:
    """Return the notice of a finding."""
    said = kinds.read(entry, kinds.FindingRaised)
    return Notice(
        event="finding",
        key=str(entry.seq),
        seq=entry.seq,
        since=entry.time,
        title=f"{one_line(said.level, 20)}: {one_line(said.title, 120)}",
        facts=_facts(
            ("What", said.explanation), ("Session", entry.session or ""), ("Grant", entry.grant or ""),
            ("Entries", ", ".join(map(str, said.entries[:10]))),
        ),
        entries=tuple(int(seq) for seq in said.entries),
    )  # fmt: skip


def revoked_everyone(entry: Entry, count: int = 1) -> Notice:
    """Return the notice of an incident: `entry` is the last of `count` revocations that were one act."""
    said = kinds.read(entry, kinds.AccessRevoked)
    who = one_line(entry.actor.name, 80)
    return Notice(
        event="revoked_everyone",
        key=str(entry.seq),
        seq=entry.seq,
        since=entry.time,
        title=f"{who} revoked every grant",
        facts=_facts(("Who", entry.actor.name), ("Reason", said.reason), ("Grants", str(count))),
        holder=entry.actor.name,
        count=count,
    )


def review_overdue(grant: Grant, answers: Iterable[str], now: datetime, patience: timedelta) -> Notice | None:
    """Return the notice that a broken glass waits for its review, once each time that `patience` passes; None before."""
    ended = min(grant.ended or grant.not_after, grant.not_after)
    times = int((now - ended) / patience)
    if times < 1:
        return None
    return Notice(
        event="review_overdue",
        key=f"{grant.id}:{times}",
        seq=-1,
        since=ended + times * patience,
        title=f"A broken glass of {one_line(grant.principal, 80)} waits for its review",
        facts=_facts(
            ("Who broke it", grant.principal), ("Profile", grant.profile), ("Reason", grant.reason), ("Ticket", grant.ticket),
            ("Ended", format_time(ended)), ("Review", f"in the panel, or jupyter audit review {grant.id}"),
        ),
        answers=tuple(answers),
        holder=grant.principal,
    )  # fmt: skip


def grant_ending(grant: Grant, now: datetime, lead: timedelta) -> Notice | None:
    """Return the notice that a grant ends soon; None before that, and for one that is hardly longer than the warning."""
    if not grant.is_live(now) or grant.not_after - now > lead or grant.not_after - grant.not_before <= 2 * lead:
        return None
    return Notice(
        event="grant_ending",
        key=f"{grant.id}@{format_time(grant.not_after)}",
        seq=-1,
        since=grant.not_after - lead,
        title=f"Your grant {grant.id} ends at {grant.not_after:%H:%M:%S} UTC",
        facts=_facts(
            ("Profile", grant.profile), ("Ticket", grant.ticket), ("Ends", format_time(grant.not_after)),
            ("More time", "in the panel, or in a cell: %audit extend 30m"),
            ("Then", "your kernels and everything that they started end; notebooks stay"),
        ),
        holder=grant.principal,
    )  # fmt: skip


def recording_failing(server: str, since: datetime, seconds: float) -> Notice:
    """Return the notice that a server cannot record."""
    return Notice(
        event="recording_failing",
        key=f"{server}@{format_time(since)}",
        seq=-1,
        since=since,
        title="The audit ledger cannot be written",
        facts=_facts(
            ("Server", server), ("For", f"{seconds:.0f} s"), ("So", "no cell runs, and sessions are ended"),
            ("What to do", "jupyter audit doctor, on the server"),
        ),
    )  # fmt: skip


def witness_alarm(entry: Entry) -> Notice:
    """Return the notice that a witness contradicts this ledger."""
    said = kinds.read(entry, kinds.WitnessAlarm)
    return Notice(
        event="witness_alarm",
        key=str(entry.seq),
        seq=entry.seq,
        since=entry.time,
        title="The ledger is not what its witness has seen",
        facts=_facts(
            ("Witness", said.sink.partition("#")[0]), ("Seen", said.since), ("It says", said.said),
            ("What to do", "keep the audit home as it is, and verify against what is kept elsewhere (docs/anchors.md)"),
        ),
    )  # fmt: skip
