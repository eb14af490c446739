"""Processes that never stand still are ended too: each starts the next and is gone, on the rungs without a namespace of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from isolation_house import MARKS
from nacl.signing import SigningKey
from support.servers import wait_for

from jupyter_audit.access.terms import Rung
from jupyter_audit.gate import orphans
from jupyter_audit.gate.launch import LaunchTerms, Supervised, make_session_folder, marked, session_environment, sessions_folder

HOPS = 4000
"""A chain that nobody ends comes to rest by itself, so that a failure here does not take the machine along."""

CHAIN = f"""
import os, time
open("begun", "w").close()
for _ in range({HOPS}):
    if os.fork():
        os._exit(0)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT AVAILABLE HERE: no subreapers")


def end(supervised: Supervised) -> None:
    asyncio.run(supervised.end())


def kill_supervisor(supervised: Supervised) -> None:
    supervised.process.kill()
    supervised.process.wait(timeout=60)
    supervised.read_result()


@pytest.mark.parametrize("ending", [end, kill_supervisor], ids=["ended", "supervisor_killed"])
@pytest.mark.parametrize("rung", [pytest.param(rung, marks=MARKS[rung], id=rung.value) for rung in (Rung.NONE, Rung.LANDLOCK)])
def test_a_chain_of_processes_that_each_start_the_next_is_ended(
    rung: Rung, ending: Callable[[Supervised], None], tmp_path: Path
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir(mode=0o700)
    work.mkdir()
    session = f"s-{uuid.uuid4().hex[:12]}"
    terms = LaunchTerms(
        session=session, verify_key=SigningKey.generate().verify_key, environment=("PATH",),
        session_dir=sessions_folder(home / "sessions", "") / session, rung=rung, hidden=(home,), writable=(work,), grace_seconds=10.0,
    )  # fmt: skip
    make_session_folder(terms)
    command = [sys.executable, "-I", "-S", "-c", CHAIN]
    supervised = Supervised.start(terms, command, environment=session_environment(terms, os.environ), folder=str(work))
    wait_for((work / "begun").exists, "the chain to begin")
    ending(supervised)
    assert supervised.outcome is not None
    assert supervised.outcome.clean
    assert marked(session) == []


@pytest.fixture
def parent() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A child of this process that has a child itself, whose number comes with it."""
    orphans.adopt_from_now_on()
    started = subprocess.Popen(["/bin/sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE)
    assert started.stdout is not None
    grandchild = int(started.stdout.readline())
    yield started, grandchild
    started.kill()
    started.wait()
    started.stdout.close()
    try:
        os.kill(grandchild, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_an_orphan_whose_parent_died_while_the_children_were_listed_is_found(
    parent: tuple[subprocess.Popen[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started, grandchild = parent
    died: list[int] = []
    started_at = psutil.Process(started.pid).create_time()
    listed = psutil.Process.children

    def list_and_kill(self: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
        found = listed(self, recursive=recursive)
        if self.pid == os.getpid() and not died:
            died.append(started.pid)
            os.kill(started.pid, signal.SIGKILL)
            wait_for(lambda: psutil.Process(started.pid).status() == psutil.STATUS_ZOMBIE, "it to be dead")
        return found

    monkeypatch.setattr(psutil.Process, "children", list_and_kill)
    _, clean = orphans.sweep(started_at)
    assert died
    assert clean
    assert not psutil.pid_exists(grandchild)
