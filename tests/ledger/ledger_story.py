"""Ledgers to test with: drafts like the gate's, an insider's hand on the file, one ledger with everything."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReport, create_ledger, open_ledger, verify_ledger
from jupyter_audit.ledger.envelope import KEY_ROTATED, PURGED
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.ledger.schema import OBJECTS
from jupyter_audit.model import Actor, Content, Draft

EVE = Actor("eve", "os-account")


class SetClock:
    """Stands where a test sets it, and moves a second with each look."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


def a_draft(number: int = 0, *, kind: str = "cell.admitted", code: str | None = None) -> Draft:
    """A draft like the gate's, whose body says `number`."""
    return Draft(
        kind,
        {"number": number, "kernel_id": "k-1", "silent": False},
        actor=EVE,
        grant=f"g-{number // 4}",
        session=f"s-{number // 2}",
        contents={"message": Content((code or f"print({number})").encode())},
    )


def check(home: Home, *, since: str | None = None, witness: str | None = None, cosigned: str | None = None) -> LedgerReport:
    """Verify the home's ledger with the key beside it."""
    return verify_ledger(
        home.ledger,
        verifier_keys=[home.verifier_key.read_text()],
        since=since,
        witness_keys=[witness] if witness is not None else [],
        cosigned=[cosigned] if cosigned is not None else [],
    )


def tamper(home: Home, *statements: str | tuple[str, tuple[object, ...]]) -> None:
    """Change the file as an insider would: drop the triggers, change, and put the triggers back."""
    triggers = {name: sql for (kind, name), sql in OBJECTS.items() if kind == "trigger"}
    with closing(sqlite3.connect(home.ledger)) as connection, connection:
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            sql, values = (statement, ()) if isinstance(statement, str) else statement
            connection.execute(sql, values)
        for sql in triggers.values():
            connection.execute(sql)


@dataclass(frozen=True)
class Story:
    """A ledger with everything in it, and where in it that is."""

    home: Home
    kept: str
    """A checkpoint that somebody kept, of 12 entries."""
    single: int = 3
    """An entry that is a commit of its own."""
    batch: tuple[int, int] = (14, 274)
    """The first and last entry of one commit."""
    purge: int = 277
    purged: int = 4
    rotation: int = 278
    size: int = 282


def tell_story(home: Home, clock: SetClock) -> str:
    """Write the story's ledger into a new home; return the checkpoint that was kept."""
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        for number in range(1, 12):
            ledger.append([a_draft(number)])
        kept = ledger.checkpoint_note()
        clock.moment -= timedelta(hours=1)
        ledger.append([a_draft(12), a_draft(13)])
        ledger.append([a_draft(number, kind="cell.finished") for number in range(14, 275)])
        ledger.append([Draft("server.started", {"server": "ü", "note": "\u2028 \x00 \U0001f600"}, actor=EVE)])
        ledger.append([a_draft(276, code="x = 1\n" * 400)])
        purge = Draft(PURGED, {"contents": [{"first": 4, "last": 4}], "reason": "asked for"}, actor=EVE)
        ledger.append_own(lambda: purge)
        successor = Signer.generate(ledger.origin)
        rotation = Draft(KEY_ROTATED, {"epoch": 1, "verifier_key": format_verifier_key(successor.verifier)})
        ledger.append_own(lambda: rotation)
    tamper(home, "DELETE FROM content WHERE seq = 4")
    home.signing_key.write_text(successor.secret_text())
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(279)])
        ledger.append([a_draft(280), a_draft(281)])
    return kept
