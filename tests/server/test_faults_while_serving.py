"""
Something happens to the ledger's files under a running server: while it lasts no cell runs, and afterwards they do.

One server for all faults, one kernel that lives through them. That nothing was lost the ledger itself shows at the end.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.servers import AuditedServer, KernelClient

from jupyter_audit.home import Home
from jupyter_audit.ledger.schema import OBJECTS


@pytest.fixture(scope="module")
def client(server: AuditedServer) -> KernelClient:
    server.grant()
    return server.kernel()


@contextmanager
def taken_away(path: Path) -> Iterator[None]:
    kept = path.with_name(f"{path.name}.taken")
    path.rename(kept)
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        kept.rename(path)


@contextmanager
def the_journal_taken_away(home: Home) -> Iterator[None]:
    with taken_away(home.ledger.with_name("ledger.db-wal")):
        yield


@contextmanager
def the_whole_home_taken_away(home: Home) -> Iterator[None]:
    with taken_away(home.path):
        yield


@contextmanager
def a_copy_in_its_place(home: Home) -> Iterator[None]:
    data = home.ledger.read_bytes()
    with taken_away(home.ledger):
        home.ledger.write_bytes(data)
        yield


@contextmanager
def a_copy_of_the_journal_in_its_place(home: Home) -> Iterator[None]:
    wal = home.ledger.with_name("ledger.db-wal")
    data = wal.read_bytes()
    with taken_away(wal):
        wal.write_bytes(data)
        yield


def write(home: Home, sql: str, *values: object) -> None:
    """Write into the ledger past its triggers, as an insider does."""
    guards = [name for kind, name in OBJECTS if kind == "trigger" and name.startswith("entry")]
    with closing(sqlite3.connect(home.ledger, timeout=20)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        for name in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(sql, values)
        for name in guards:
            connection.execute(OBJECTS["trigger", name])


@contextmanager
def the_newest_checkpoint_changed(home: Home) -> Iterator[None]:
    with closing(sqlite3.connect(home.ledger)) as connection:
        size, note = connection.execute("SELECT seq + 1, note FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    write(home, "UPDATE entry SET note = note || ? WHERE seq = ?", "x", size - 1)
    try:
        yield
    finally:
        write(home, "UPDATE entry SET note = ? WHERE seq = ?", note, size - 1)


@contextmanager
def the_newest_checkpoint_deleted(home: Home) -> Iterator[None]:
    with closing(sqlite3.connect(home.ledger)) as connection:
        size, note = connection.execute("SELECT seq + 1, note FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    write(home, "UPDATE entry SET note = NULL WHERE seq = ?", size - 1)
    try:
        yield
    finally:
        write(home, "UPDATE entry SET note = ? WHERE seq = ?", note, size - 1)


FAULTS: dict[Callable[[Home], object], str] = {
    the_journal_taken_away: "replaced or removed",
    a_copy_of_the_journal_in_its_place: "replaced or removed",
    a_copy_in_its_place: "replaced or removed",
    the_whole_home_taken_away: "replaced or removed",
    the_newest_checkpoint_changed: "changed while it was open",
    the_newest_checkpoint_deleted: "cut off while it was in use",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_while_a_fault_lasts_no_cell_runs_and_afterwards_they_do(
    server: AuditedServer, client: KernelClient, fault: Callable[..., contextmanager[None]]  # type: ignore[valid-type]
) -> None:
    trace = server.work / f"{fault.__name__}.trace"
    assert client.printed("print('before')") == "before\n"
    settled(server)
    with fault(server.home):  # type: ignore[attr-defined]
        reply = client.run(f"open({str(trace)!r}, 'w').close()")
    assert reply["ename"] == "NotRecorded"
    assert FAULTS[fault] in reply["evalue"]
    assert not trace.exists()
    assert client.printed("print('after')") == "after\n"


def settled(server: AuditedServer) -> None:
    """Wait until the last cell's end is put down: from then on the server has nothing to write by itself."""
    newest = server.entries("cell.admitted")[-1]
    server.finished(newest.seq)
