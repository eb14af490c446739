"""Sends checkpoints to the anchors while the server runs: in a thread of its own, in nobody's way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from jupyter_audit.clock import Clock
from jupyter_audit.errors import AuditError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.anchors import Anchors, Standing
from jupyter_audit.record.alarms import unsaid
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.settings import JupyterAudit

LAST_SEND_S = 15.0
"""Seconds that a stop waits at most for the sinks to take the last checkpoints."""


class Anchoring:
    """The thread. Raises `ConfigError` when made if a setting names no sink."""

    def __init__(self, home: Home, settings: JupyterAudit, clock: Clock, recorder: Recorder, log: logging.Logger) -> None:
        self._home = home
        self._anchors = Anchors(home, settings.anchors, clock)
        self._pause = max(settings.anchor_seconds, 0.1)
        self._recorder = recorder
        self._log = log
        self._failing: set[str] = set()
        self._alarmed: set[str] = set()
        self._put_down: list[tuple[str, bool, bool]] | None = None
        """How the sinks stood when the ledger was last told: sink, alarm, failing."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jupyter-audit-anchors", daemon=True)

    def start(self) -> None:
        """Begin, if there are sinks."""
        if self._anchors:
            self._thread.start()

    def close(self) -> None:
        """Send what is left, and stop. A sink that does not answer is not waited for: it is told the next time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(LAST_SEND_S)

    def _run(self) -> None:
        with LedgerReader.open(self._home.ledger) as reader:
            while not self._stopping.wait(self._pause):
                self._send(reader)
            self._send(reader)

    def _send(self, reader: LedgerReader) -> None:
        try:
            standings = self._anchors.send(reader)
        except AuditError:
            self._log.exception("jupyter-audit: checkpoints could not be sent; it goes on")
            return
        self._tell_the_ledger(standings)
        for standing in standings:
            # Told once when it begins and once when it ends; the doctor shows it meanwhile.
            if standing.alarm and standing.sink not in self._alarmed:
                self._log.critical("jupyter-audit: ALARM: the ledger is not what its witness has seen. %s", standing.error)
                self._alarmed.add(standing.sink)
            elif not standing.alarm:
                self._alarmed.discard(standing.sink)
            if standing.failing_since and standing.sink not in self._failing:
                self._log.warning("jupyter-audit: the anchor %s fails: %s", standing.sink, standing.error)
                self._failing.add(standing.sink)
            elif not standing.failing_since and standing.sink in self._failing:
                self._log.warning("jupyter-audit: the anchor %s works again", standing.sink)
                self._failing.discard(standing.sink)

    def _tell_the_ledger(self, standings: Sequence[Standing]) -> None:
        """Put down alarms that began or ended. What cannot be put down (the recorder has closed) is, after the next sending."""
        state = [(standing.sink, standing.alarm, bool(standing.failing_since)) for standing in standings]
        if state == self._put_down:
            return
        try:
            self._recorder.transact(lambda reader: unsaid(reader, standings)).result()
        except AuditError as error:
            self._log.warning("jupyter-audit: how the anchors stand could not be put down yet: %s", error)
        else:
            self._put_down = state
