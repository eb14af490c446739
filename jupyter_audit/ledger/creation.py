"""Creation: a new home, a key, and a ledger whose first entry names both. Never overwrites, leaves nothing half-made."""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

from jupyter_audit.clock import Clock
from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger.committing import insert
from jupyter_audit.ledger.envelope import CREATED
from jupyter_audit.ledger.head import Head
from jupyter_audit.ledger.keys import Signer, create_key_files
from jupyter_audit.ledger.merkle import CompactRange
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.ledger.packing import pack
from jupyter_audit.ledger.remembered import remember
from jupyter_audit.ledger.rotation import sync_folder
from jupyter_audit.ledger.schema import FORMAT_VERSION, create_schema
from jupyter_audit.ledger.store import connect
from jupyter_audit.model import Actor, Draft


def create_ledger(home: Home, *, clock: Clock, actor: Actor) -> None:
    """
    Make the home, a key, and a ledger whose first entry names its origin, its format and that key.

    Never overwrites, and leaves nothing half-made if it fails. Raises `LedgerError` if there is a ledger,
    a key or a remembered checkpoint already, `HomeError` if the home is unsafe.
    """
    home.create()
    for path, what in (
        (home.ledger, "ledger"),
        (home.signing_key, "signing key"),
        (home.verifier_key, "verifier key"),
        (home.remembered_checkpoint, "remembered checkpoint"),
    ):
        if os.path.lexists(path):
            raise LedgerError(
                f"There is a {what} already: {path}. Nothing was created.",
                advice="Use it as it is, or name another home with --home. If the ledger itself is gone, "
                "find out why; only after an `init` that was interrupted are the leftovers safe to remove.",
            )
    origin = f"jupyter-audit/{secrets.token_hex(8)}"
    signer = Signer.generate(origin)
    draft = Draft(
        CREATED,
        {
            "format": FORMAT_VERSION,
            "origin": origin,
            "epoch": 0,
            "verifier_key": format_verifier_key(signer.verifier),
        },
        actor=actor,
    )
    unfinished = home.path / f".ledger-{secrets.token_hex(8)}.db"
    made: list[Path] = []
    try:
        note = _create_file(unfinished, draft, signer, clock)
        create_key_files(signer, home.signing_key, home.verifier_key)
        made += [home.signing_key, home.verifier_key]
        remember(home.remembered_checkpoint, note)
        made.append(home.remembered_checkpoint)
        os.link(unfinished, home.ledger)  # unlike rename, refuses to overwrite
    except (OSError, sqlite3.Error) as error:
        for path in made:
            path.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LedgerError(
            f"The ledger could not be created in {home.path}: {reason}. Nothing was left behind.",
            advice="Check the folder's owner, mode and free space; then run `jupyter audit init` again.",
        ) from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
    for folder in (home.path, home.path / "keys"):
        sync_folder(folder)


def _create_file(path: Path, first: Draft, signer: Signer, clock: Clock) -> str:
    """Make a ledger file with its first entry; return its checkpoint."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = connect(path, writable=True)
    try:
        connection.execute("BEGIN IMMEDIATE")
        create_schema(connection)
        _, head = insert(connection, Head(CompactRange(), [], "", ""), [pack(first, own=True)], clock, signer)
        connection.execute("COMMIT")
    finally:
        connection.close()
    return head.note
