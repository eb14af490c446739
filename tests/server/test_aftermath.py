"""A server that was killed says nothing any more; the next one says what is missing, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.servers import audited_server, make_home

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.model import Actor, Draft
from jupyter_audit.record import kinds
from jupyter_audit.server.aftermath import GAP, LifeLock, left_unsaid, lives

EVE = Actor("eve", "os-account")


def test_the_next_server_ends_what_a_killed_one_left_open_and_names_the_cells_without_an_end(tmp_path: Path) -> None:
    with audited_server(tmp_path) as killed:
        grant = killed.grant()
        client = killed.kernel()
        client.run("1")
        sent = client.execute("import time; time.sleep(600)")
        hanging = killed.await_entry("cell.admitted", lambda e: e.body["msg_id"] == sent)
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        admitted = [e for e in killed.entries("cell.admitted") if e.grant == grant]
        finished = {e.body["admitted"] for e in killed.entries("cell.finished")}
        missing = [e.seq for e in admitted if e.seq not in finished]
        session = hanging.session
        (killed.home.run / "server.json").unlink()

    with audited_server(tmp_path) as later:
        gap = later.await_entry("gap.recorded")
        ended = later.await_entry("session.ended", lambda e: e.session == session)
        started = later.entries("server.started")[-1]

    assert gap.body["what"] == GAP
    assert gap.body["detail"]["sessions"] == [session]  # type: ignore[call-overload,index]
    assert gap.body["detail"]["cells"] == missing  # type: ignore[call-overload,index]
    assert (ended.body["cause"], ended.body["clean"], ended.grant) == ("server_died", False, grant)
    assert gap.seq < ended.seq < started.seq

    with audited_server(tmp_path) as third:
        assert len(third.entries("gap.recorded")) == 1
        assert len([e for e in third.entries("session.ended") if e.session == session]) == 1


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path)


def begin(server: str) -> Draft:
    return kinds.draft(
        kinds.ServerStarted(
            server=server, version="1", mode="solo", launched=True, isolation="none", policy={}, policy_digest="",
            assured=[], unassured=[],
        )
    )  # fmt: skip


def session(server: str, name: str) -> Draft:
    kind = kinds.SessionStarted(server=server, kernel_id=f"k-{name}", kernel_name="audit", isolation="none", notebook="")
    return kinds.draft(kind, actor=EVE, session=name)


def test_servers_that_stopped_or_live_left_nothing_unsaid(home: Home) -> None:
    with open_ledger(home, clock=SystemClock()) as ledger:
        ledger.append([begin("stopped"), kinds.draft(kinds.ServerStopped(server="stopped"))])
        ledger.append([begin("alive"), session("alive", "s-1")])

        assert ledger.transact(lambda reader: left_unsaid(reader, lambda server: server == "alive")) == []


def test_only_the_dead_servers_open_sessions_are_ended_and_only_once(home: Home) -> None:
    over = kinds.SessionEnded(kernel_id="k-s-1", cause="shutdown", processes=0, clean=True)
    with open_ledger(home, clock=SystemClock()) as ledger:
        ledger.append([begin("dead"), begin("alive")])
        ledger.append([session("dead", "s-1"), session("alive", "s-2"), session("dead", "s-3")])
        ledger.append([kinds.draft(over, actor=EVE, session="s-1")])

        said = ledger.transact(lambda reader: left_unsaid(reader, lambda server: server == "alive"))
        again = ledger.transact(lambda reader: left_unsaid(reader, lambda server: server == "alive"))

    assert [(entry.type, entry.session, entry.actor.name) for entry in said] == [
        ("gap.recorded", None, "jupyter-audit"),
        ("session.ended", "s-3", "eve"),
    ]
    assert again == []


def test_a_lock_says_that_its_server_lives_until_it_is_let_go_or_its_process_dies(tmp_path: Path) -> None:
    assert not lives(tmp_path, "a")
    lock = LifeLock(tmp_path, "a")
    assert lives(tmp_path, "a")
    lock.release()
    assert not lives(tmp_path, "a")

    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        LifeLock(tmp_path, "b")
        os.write(tell, b"held")
        signal.pause()
    assert os.read(told, 4) == b"held"
    assert lives(tmp_path, "b")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not lives(tmp_path, "b")
    assert list(tmp_path.iterdir()) == []
    os.close(told)
    os.close(tell)


def test_a_cell_that_waited_for_approval_when_its_server_was_killed_is_said_not_to_run(home: Home) -> None:
    def held(name: str) -> Draft:
        kind = kinds.CellHeld(
            hold=name, kernel_id="k", msg_id="m", channel="shell", cell="", silent=False, lines=1, profile="p",
            lapses="2026-11-24T09:00:00.000000Z", on_behalf_of="", signed_approvals=False,
        )  # fmt: skip
        return kinds.draft(kind, actor=EVE, session="s-1")

    def ran(entry: int) -> Draft:
        kind = kinds.CellAdmitted(
            kernel_id="k", msg_id="m", channel="shell", cell="", silent=False, store_history=True, lines=1, canary=False, held=entry
        )
        return kinds.draft(kind, actor=EVE, session="s-1")

    with open_ledger(home, clock=SystemClock()) as ledger:
        entries = ledger.append([begin("dead"), session("dead", "s-1"), *(held(f"h-{n}") for n in range(5))])
        answers = (kinds.CellDenied("h-1", "no"), kinds.CellApproved("h-2"), kinds.CellApproved("h-3"), kinds.CellHoldEnded("h-4", "x"))
        ledger.append([kinds.draft(kind, session="s-1") for kind in answers])
        ledger.append([ran(entries[2 + 2].seq)])
        unsaid = left_unsaid(ledger, lambda server: False)
    ended = [draft.body["hold"] for draft in unsaid if draft.type == kinds.CellHoldEnded.TYPE]
    assert ended == ["h-0", "h-3"]
