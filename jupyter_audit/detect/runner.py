"""
Follows the ledger and puts down findings, in a thread of its own, whoever appended (P4, P9).

Each entry is judged, also those that other processes appended or that came while no server ran. Where to go
on is read from the ledger itself (`detection.judged`); what is judged twice, after a crash or by two servers,
is put down once, because a finding is appended only after a look for it with the write lock held. Detection
never holds up a cell: it works after the entry is durable and the cell is on its way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jupyter_audit.detect.hours import parse_working_hours
from jupyter_audit.errors import AuditError, ConfigError, RecordError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Draft, Entry, Json
from jupyter_audit.record import kinds
from jupyter_audit.record.fresh import FreshContents
from jupyter_audit.settings import JupyterAudit

if TYPE_CHECKING:
    from jupyter_audit.detect.engine import Engine, Failure, Match
    from jupyter_audit.detect.known import KnownFindings
    from jupyter_audit.detect.rules import Rule
    from jupyter_audit.detect.view import EventView

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.1
"""How long nothing must have been appended before it is judged: cells that pass meanwhile would wait for the interpreter."""

MOST_LAG_SECONDS = 1.0
"""How long an entry waits for that at most, where cells come without a pause."""

LOOK_SECONDS = 2.0
"""How often the ledger is looked at for entries of other processes."""

STORE_SECONDS = 30.0
"""How long a finding may wait to become durable before it is tried again."""

MOST_AT_ONCE = 200
"""Entries judged in one go."""

BACKLOG_PAUSE_SECONDS = 0.02
"""Rest between two stretches of a backlog: the server has other things to do."""

JUDGED_EVERY = 1000
"""Judged entries after which the ledger is told how far."""


UNREAD = "detections did not read code that is sealed"
"""`what` of the gap entry."""


class Appender(Protocol):
    """What the runner needs of the recorder."""

    def transact(self, decide: Callable[[LedgerReader], Sequence[Draft]]) -> Future[list[Entry]]:
        """Append what `decide` returns, judged with the ledger's write lock held."""
        ...

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> None:
        """Have `callback` called after each commit."""
        ...


class DetectionRunner:
    """
    Judges the ledger at `ledger` and appends findings through `recorder`.

    Raises `ConfigError` if `settings` have working hours or a time zone that cannot be used. `rules` is a
    folder of Sigma rules; by default the product's own. `fresh` holds code that is sealed in the ledger, while it is new.
    """

    def __init__(
        self,
        ledger: Path,
        recorder: Appender,
        settings: JupyterAudit,
        *,
        rules: Path | None = None,
        fresh: FreshContents | None = None,
    ) -> None:
        self._fresh = fresh
        self._backlog_end = 0
        self._others_said = False
        self._ledger = ledger
        self._recorder = recorder
        self._hours = parse_working_hours(settings.working_hours, settings.time_zone)
        self._folder = rules
        self._wake = threading.Event()
        self._appended = 0.0
        self._closing = threading.Event()
        self._progress = threading.Condition()
        self._next = 0
        self._told = -1
        self._failed_rules: set[str] = set()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="jupyter-audit-detection", daemon=True)

    def start(self) -> None:
        """
        Load the rules (about half a second, most of it imports) and begin.

        Raises `ConfigError` if a rule cannot be used, `LedgerError` if the ledger cannot be read.
        """
        self._recorder.subscribe(self._hear)
        self._thread.start()
        self._ready.result()

    def close(self) -> None:
        """Judge what is in the ledger now, then end. Call it while the recorder still records."""
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wait_until_judged(self, seq: int, timeout: float) -> bool:
        """Wait until entry `seq` is judged and its findings are durable; False if that took too long."""
        self._wake.set()
        with self._progress:
            return self._progress.wait_for(lambda: self._next > seq, timeout)

    def _hear(self, entries: Sequence[Entry]) -> None:
        self._appended = time.monotonic()
        self._wake.set()

    # --- the runner's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            # Here and not at the top of the module: pySigma and its company take half a second to import.
            from jupyter_audit.detect.engine import Engine
            from jupyter_audit.detect.known import KnownFindings
            from jupyter_audit.detect.rules import RULES_FOLDER, load_rules
            from jupyter_audit.detect.view import EventView

            rules = load_rules(self._folder or RULES_FOLDER)
            reader = LedgerReader.open(self._ledger)
        except ImportError as error:
            self._ready.set_exception(_missing(error))
            return
        except Exception as error:  # whatever it is, it must come out of start()
            self._ready.set_exception(error)
            return
        with reader:
            try:
                view = EventView(reader, self._hours, self._fresh)
                engine = Engine(view, rules)
                self._next = first_unjudged(reader)
                self._backlog_end = reader.size()
                self._told = self._next - 1
                known = KnownFindings(self._next)
            except Exception as error:  # as above
                self._ready.set_exception(error)
                return
            self._ready.set_result(None)
            self._follow(reader, engine, view, known, rules)

    def _follow(
        self, reader: LedgerReader, engine: Engine, view: EventView, known: KnownFindings, rules: Sequence[Rule]
    ) -> None:
        said = ""
        while True:
            closing = self._closing.is_set()
            try:
                self._catch_up(reader, engine, view, known, rules)
                if closing:
                    self._tell(rules)
                said = ""
            except AuditError as error:
                # Nothing is lost: the same entries are judged again at the next look.
                engine.forget()
                if str(error) != said:
                    said = str(error)
                    _log.warning("Detection waits: %s", error)
            except Exception:  # detection must outlive what nobody thought of, and say that it happened
                engine.forget()
                _log.exception("Detection failed; it goes on with the next entries.")
                self._put_gap({"error": "unexpected", "entries": [self._next, self._next + MOST_AT_ONCE - 1]})
                self._advance(min(self._next + MOST_AT_ONCE, reader.size()))
            if closing:
                return
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            self._settle()

    def _settle(self) -> None:
        """Wait for a moment in which no cell passes, within bounds."""
        until = time.monotonic() + MOST_LAG_SECONDS
        rest = SETTLE_SECONDS
        while rest > 0 and not self._closing.wait(rest):
            now = time.monotonic()
            rest = min(self._appended + SETTLE_SECONDS, until) - now

    def _catch_up(
        self, reader: LedgerReader, engine: Engine, view: EventView, known: KnownFindings, rules: Sequence[Rule]
    ) -> None:
        while self._next < (size := reader.size()):
            high = min(self._next + MOST_AT_ONCE, size) - 1
            matches, failures = engine.judge(self._next, high)
            self._put(matches, known)
            for failure in failures:
                self._put_failure(failure)
            self._put_unread(view, self._next, high)
            self._advance(high + 1)
            if self._fresh is not None:
                self._fresh.forget(high)
            if self._next - self._told > JUDGED_EVERY:
                self._tell(rules)
            if high + 1 < size:
                self._closing.wait(BACKLOG_PAUSE_SECONDS)

    def _advance(self, seq: int) -> None:
        with self._progress:
            self._next = seq
            self._progress.notify_all()

    def _put(self, matches: Sequence[Match], known: KnownFindings) -> None:
        """Append the findings that nobody has put down yet, in one commit."""

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            known.refresh(reader)
            return [match.draft() for match in matches if not known.holds(match, reader)]

        if matches:
            self._append(decide)

    def _put_failure(self, failure: Failure) -> None:
        """Say once for each rule that it failed; it goes on with other entries."""
        if failure.rule.id in self._failed_rules:
            return
        self._failed_rules.add(failure.rule.id)
        _log.error("The detection %r failed for entry %d (%s).", failure.rule.title, failure.low, failure.error)
        self._put_gap(
            {
                "rule": failure.rule.id,
                "title": failure.rule.title,
                "error": failure.error,
                "entries": [failure.low, failure.high],
            }
        )

    def _put_unread(self, view: EventView, low: int, high: int) -> None:
        """
        Say whose code was not judged for that it is sealed: what came before this server, and what had to be dropped.

        What other servers append now they judge themselves; that is said once.
        """
        unread = sorted(seq for seq in view.unread if low <= seq <= high)
        view.unread.clear()
        mine = [seq for seq in unread if seq < self._backlog_end or (self._fresh is not None and self._fresh.was_dropped(seq))]
        if mine:
            self._put_gap({"entries": [mine[0], mine[-1]], "count": len(mine)}, what=UNREAD)
        others = len(unread) - len(mine)
        if others and not self._others_said:
            self._others_said = True
            detail: dict[str, Json] = {"from": unread[0], "because": "other servers recorded them, and judge them"}
            self._put_gap(detail, what=UNREAD)

    def _put_gap(self, detail: Mapping[str, Json], *, what: str = "detection failed") -> None:
        gap = kinds.draft(kinds.GapRecorded(what=what, detail=detail))
        try:
            self._append(lambda reader: [gap])
        except AuditError as error:
            _log.warning("A failed detection could not be recorded: %s", error)

    def _tell(self, rules: Sequence[Rule]) -> None:
        """Put down how far the ledger was judged, and by which rules."""
        through = self._next - 1
        if through <= self._told:
            return
        judged = kinds.DetectionJudged(through=through, rules={rule.id: rule.digest for rule in rules})

        def decide(reader: LedgerReader) -> Sequence[Draft]:
            newest = next(reader.entries(types=[judged.TYPE], newest_first=True, limit=1), None)
            known = newest is not None and newest.body.get("rules") == judged.rules and _through(newest) >= through
            return [] if known else [kinds.draft(judged)]

        self._append(decide)
        self._told = through

    def _append(self, decide: Callable[[LedgerReader], Sequence[Draft]]) -> None:
        try:
            self._recorder.transact(decide).result(STORE_SECONDS)
        except TimeoutError as error:
            raise RecordError(f"A finding was not durable after {STORE_SECONDS:g} seconds.") from error


def first_unjudged(reader: LedgerReader) -> int:
    """
    Return the number of the first entry that nobody has said to be judged.

    A statement that reaches past itself is not believed: it would blind the detections to what follows.
    """
    for entry in reader.entries(types=[kinds.DetectionJudged.TYPE], newest_first=True):
        through = _through(entry)
        if 0 <= through < entry.seq:
            return through + 1
    return 0


def _through(entry: Entry) -> int:
    through = entry.body.get("through")
    return through if isinstance(through, int) else -1


def _missing(error: ImportError) -> ConfigError:
    return ConfigError(
        f"The detections need a package that is not installed: {error}.",
        advice="Install what a server needs: `pip install 'jupyter-audit[server]'`.",
    )
