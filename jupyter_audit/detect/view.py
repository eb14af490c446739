"""
`audit_events`: a view of the ledger with a flat row for each entry, for Sigma rules to select from.

A temporary view on a read-only connection: nothing is stored, and it holds no truth of its own (P4). `audit_stretch` is
the same for the few entries that are judged at a time, worked out once. Where a row needs more than the entry says (code,
local time), SQL calls a function of this module. Findings are not in the view, so no rule can judge them.
"""

from __future__ import annotations

import re
import sqlite3
from collections import OrderedDict

from jupyter_audit.clock import parse_time
from jupyter_audit.detect.facts import CodeFacts, extract
from jupyter_audit.detect.fields import ALL_FIELDS, PERSON
from jupyter_audit.detect.hours import WEEKDAYS, WorkingHours
from jupyter_audit.detect.names import MOST_BINDINGS
from jupyter_audit.detect.sources import sources_of
from jupyter_audit.errors import LedgerError, SealedError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.record.fresh import FreshContents

NOT_JUDGED = ("finding.raised", "detection.judged")

REMEMBERED_FACTS = 512
REMEMBERED_SESSIONS = 64
MOST_CELLS_BEFORE = 500
"""Cells of a session that are read again for their names when the session was not followed from its start."""


class EventView:
    """
    Installs the view on a reader's connection. Belongs to the reader's thread.

    The view shows the entries that `show` names; at first none. `fresh` holds code that is sealed in the ledger, as long
    as it is new; `unread` gathers the entries whose code could not be read for that it is sealed.
    """

    def __init__(self, reader: LedgerReader, hours: WorkingHours, fresh: FreshContents | None = None) -> None:
        self._fresh = fresh
        self.unread: set[int] = set()
        self._reader = reader
        self._hours = hours
        self._laid_out: tuple[int, int] | None = None
        self._read_from, self._read_to = 0, -1
        self._read: OrderedDict[int, tuple[str, CodeFacts]] = OrderedDict()
        self._sessions: OrderedDict[str, tuple[int, dict[str, tuple[str, ...]]]] = OrderedDict()
        connection = reader.connection
        # SQLite would rather make an index of the whole ledger, for each stretch anew, than look at the few entries of it.
        connection.execute("PRAGMA automatic_index = OFF")
        connection.create_function("audit_code", 2, self._code)
        connection.create_function("audit_time", 2, self._time, deterministic=True)
        connection.create_function("regexp", 2, matches, deterministic=True)
        columns = ",\n  ".join(f'{field.sql} AS "{field.name}"' for field in ALL_FIELDS)
        hidden = ", ".join(f"'{kind}'" for kind in NOT_JUDGED)
        connection.execute("CREATE TEMP TABLE audit_window (low INTEGER, high INTEGER, person TEXT)")
        connection.execute("INSERT INTO temp.audit_window VALUES (0, -1, NULL)")
        connection.execute(
            f"CREATE TEMP VIEW audit_events AS SELECT\n  {columns}\nFROM temp.audit_window AS w "
            f"CROSS JOIN main.entry AS e WHERE e.seq BETWEEN w.low AND w.high "
            f"AND e.type NOT IN ({hidden}) AND (w.person IS NULL OR w.person = ({PERSON}))"
        )
        connection.execute("CREATE TEMP TABLE audit_stretch AS SELECT * FROM temp.audit_events")

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that the view is on."""
        return self._reader.connection

    def show(self, low: int, high: int, person: str | None = None) -> None:
        """Let the view hold the entries `low` to `high`, of `person` alone where one is named."""
        self.connection.execute("UPDATE temp.audit_window SET low = ?, high = ?, person = ?", (low, high, person))

    def lay_out(self, low: int, high: int) -> None:
        """
        Show the entries `low` to `high`, and put their rows into the table `audit_stretch`.

        There each field is worked out once for all rules, until `read_code` begins another stretch.
        """
        self.show(low, high)
        if self._laid_out != (low, high):
            self._laid_out = None
            self.connection.execute("DELETE FROM temp.audit_stretch")
            self.connection.execute("INSERT INTO temp.audit_stretch SELECT * FROM temp.audit_events")
            self._laid_out = (low, high)

    def read_code(self, low: int, high: int) -> None:
        """Read the code of the entries `low` to `high` in their order, so that aliases are known in time."""
        self._laid_out = None
        if low != self._read_to + 1:
            self._read_from = low
        rows = self.connection.execute(
            "SELECT seq FROM main.entry WHERE seq BETWEEN ? AND ? "
            "AND type IN ('cell.admitted', 'message.admitted') ORDER BY seq",
            (low, high),
        ).fetchall()
        for (seq,) in rows:
            self._read_to = seq
            self._facts(seq)
        self._read_to = high

    def row(self, seq: int) -> dict[str, object]:
        """Return the fields of the entry `seq`, which the view must hold."""
        cursor = self.connection.execute("SELECT * FROM temp.audit_events WHERE seq = ?", (seq,))
        values = cursor.fetchone()
        if values is None:
            raise LedgerError(f"Entry {seq} is not among those that are being judged.")
        return dict(zip((column[0] for column in cursor.description), values, strict=True))

    # --- what SQL calls ---------------------------------------------------------------------------

    def _code(self, seq: int, name: str) -> str | None:
        code, facts = self._facts(seq)
        return code_field(name, code, facts)

    def _time(self, text: str, name: str) -> str | int | None:
        try:
            moment = parse_time(text)
        except ValueError:
            return None
        local = self._hours.local(moment)
        match name:
            case "time_local":
                return local.strftime("%Y-%m-%d %H:%M")
            case "hour_local":
                return local.hour
            case "weekday_local":
                return WEEKDAYS[local.weekday()]
        return int(self._hours.are_off(moment))

    def _facts(self, seq: int) -> tuple[str, CodeFacts]:
        known = self._read.get(seq)
        if known is not None:
            self._read.move_to_end(seq)
            return known
        try:
            entry = self._reader.entry(seq)
        except LedgerError:
            return "", CodeFacts()  # damaged: verification's to report
        msg_type = "execute_request" if entry.type.startswith("cell.") else str(entry.body.get("msg_type", ""))
        sources = sources_of(msg_type, self._content(seq))
        names = self._names_before(seq, entry.session)
        facts = extract(sources, names)
        if entry.session is not None and entry.type == "cell.admitted":
            self._keep_names(entry.session, seq, {**names, **facts.bindings})
        self._read[seq] = ("\n".join(sources), facts)
        if len(self._read) > REMEMBERED_FACTS:
            self._read.popitem(last=False)
        return self._read[seq]

    def _content(self, seq: int) -> bytes | None:
        new = self._fresh.get(seq) if self._fresh is not None else None
        if new is not None:
            return new
        try:
            return self._reader.content(seq, "message")
        except SealedError:
            self.unread.add(seq)
            return None
        except LedgerError:
            return None  # damaged content is verification's to report; here it is code that cannot be read

    def _names_before(self, seq: int, session: str | None) -> dict[str, tuple[str, ...]]:
        """The names that earlier cells of the session gave."""
        if session is None:
            return {}
        followed, names = self._sessions.get(session, (-1, {}))
        if followed >= seq:
            followed, names = -1, {}
        if self._read_from <= followed and seq <= self._read_to:
            return names  # `read_code` has passed every cell between the two
        missed = list(
            self._reader.entries(
                session=session, types=["cell.admitted"], start=followed + 1, stop=seq, newest_first=True,
                limit=MOST_CELLS_BEFORE,
            )
        )  # fmt: skip
        if missed:
            names = dict(names)
            for entry in reversed(missed):
                names |= extract(sources_of("execute_request", self._content(entry.seq)), names).bindings
        return names

    def _keep_names(self, session: str, seq: int, names: dict[str, tuple[str, ...]]) -> None:
        followed, _ = self._sessions.get(session, (-1, {}))
        if followed < seq:
            self._sessions[session] = (seq, dict(list(names.items())[-MOST_BINDINGS:]))
            self._sessions.move_to_end(session)
            if len(self._sessions) > REMEMBERED_SESSIONS:
                self._sessions.popitem(last=False)


def code_field(name: str, code: str, facts: CodeFacts) -> str | None:
    """Return the field `name` of a piece of code, as rules see it: absent where there is nothing to say."""
    if name == "code":
        return code or None
    if name == "read_as":
        return facts.read_as if code else None
    if name == "obfuscated":
        return ", ".join(facts.obfuscated) or None
    words: tuple[str, ...] = getattr(facts, name)
    return f" {'  '.join(words)} " if words else None


def matches(pattern: str, value: object) -> bool:
    """Say whether a regular expression of a rule is found in a field."""
    return value is not None and re.search(pattern, str(value)) is not None
