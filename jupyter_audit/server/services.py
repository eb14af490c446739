"""
The one typed object that the parts of the server share, and how they find it.

It is put into the web application's settings by the extension. Whoever does not find it there must refuse:
an extension that did not load leaves a server that serves no kernels (fails closed).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.leavers import Known
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.service import AccessService
from jupyter_audit.clock import Clock
from jupyter_audit.gate.admit import Gate
from jupyter_audit.gate.isolation import IsolationReport
from jupyter_audit.gate.room import Room
from jupyter_audit.gate.sessions import Session, SessionRegistry
from jupyter_audit.hints import ANY_SERVER, through_server
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Actor, Principal
from jupyter_audit.notify.routes import Routes
from jupyter_audit.record import kinds
from jupyter_audit.record.recorder import Recorder
from jupyter_audit.server.observers import Observers
from jupyter_audit.server.sight import ReadNotes
from jupyter_audit.server.watch import Watcher
from jupyter_audit.settings import JupyterAudit

SETTINGS_KEY = "jupyter_audit"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What this server could and could not assert of itself after it had started."""

    assured: tuple[str, ...] = ()
    unassured: tuple[str, ...] = ()


@dataclass(slots=True)
class Services:
    """
    Everything that handlers, connections and managers need. `reader` is the event loop's own.

    `known_people` lists who there is, where the identity provider can.
    `replied` is told of each execute_reply on its way to a client: session, message id, status, error name.
    """

    settings: JupyterAudit
    home: Home
    policy: Policy
    clock: Clock
    recorder: Recorder
    reader: LedgerReader
    book: GrantBook
    access: AccessService
    gate: Gate
    watcher: Watcher
    observers: Observers
    isolation: IsolationReport
    sessions_folder: Path
    runtime_folder: Path
    room: Room
    server_id: str
    panel: str
    alert_routes: Routes
    sessions: SessionRegistry = field(default_factory=SessionRegistry)
    assessment: Assessment = field(default_factory=Assessment)
    serving: bool = False
    refusal_notes: ReadNotes = field(default_factory=lambda: ReadNotes(time.monotonic))
    known_people: Callable[[], Known | None] = lambda: None
    replied: Callable[[Session, str, str, str], None] = lambda session, msg_id, status, error: None

    def hinting(self, text: str) -> str:
        """Return `text` with its hints of commands as people who are told it type them: of a shared server they sit elsewhere."""
        return text if self.policy.solo else through_server(text, self.settings.public_url or ANY_SERVER)

    def put_down(self, kind: kinds.Kind, *, principal: Principal, session: Session | None = None) -> None:
        """Record what has happened already; see `Recorder.owe`."""
        self.recorder.owe(
            kinds.draft(
                kind,
                actor=Actor.of(principal),
                grant=session.grant if session else None,
                session=session.id if session else None,
            )
        )


def find_services(settings: Mapping[str, Any]) -> Services | None:
    """Return the services of a web application, or None where the extension did not put them."""
    found = settings.get(SETTINGS_KEY)
    return found if isinstance(found, Services) else None
