"""What a cell starts that goes on after it, and shows that it does."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jupyter_audit.model import Entry
from support.processes import bearing
from support.servers import AuditedServer, KernelClient, wait_for

BEATING = """
import asyncio, os, subprocess, sys, threading, time
def beat(kind):
    while not os.path.exists(BEATS + "stop"):
        open(BEATS + kind, "w").close(); time.sleep(0.02)
async def beat_too(kind):
    while not os.path.exists(BEATS + "stop"):
        open(BEATS + kind, "w").close(); await asyncio.sleep(0.02)
program = "import os, sys, time\\nwhile not os.path.exists(sys.argv[1] + 'stop'):\\n    open(sys.argv[1] + sys.argv[2], 'w').close(); time.sleep(0.02)"
job = [sys.executable, "-S", "-c", program, BEATS]
threading.Thread(target=beat, args=("thread",)).start()
task = asyncio.get_running_loop().create_task(beat_too("task"))
subprocess.Popen([*job, "child"])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [*job, "daemon"], {})
    os._exit(0)
"""


@dataclass(frozen=True)
class Beats:
    """
    What goes on after its cell, each of it putting its file back fifty times a second: a thread, an asyncio task, a child, and a
    daemon that forked twice and gave up its environment, which would tell whose it is. The two processes have `prefix` in their
    command lines.
    """

    prefix: Path
    kinds: tuple[str, ...] = ("thread", "task", "child", "daemon")

    @property
    def code(self) -> str:
        """The cell that starts it all."""
        return f"BEATS = {str(self.prefix)!r}\n{BEATING}"

    def heard(self) -> set[str]:
        """Return which have put their files back since they were taken away last."""
        return {kind for kind in self.kinds if Path(f"{self.prefix}{kind}").exists()}

    def take_away(self) -> None:
        """Take the files away."""
        for kind in self.kinds:
            Path(f"{self.prefix}{kind}").unlink(missing_ok=True)

    def go_on(self, *kinds: str) -> bool:
        """Take the files away, and wait until these (all, if none is named) are back."""
        self.take_away()
        expected = set(kinds or self.kinds)
        return bool(wait_for(lambda: self.heard() >= expected, f"{', '.join(sorted(expected))} to go on"))

    def stop(self) -> None:
        """Have them end by themselves."""
        Path(f"{self.prefix}stop").touch()


ROOM_S = 3.0
"""What a machine under load may take beyond the grace, to notice an end and to put down the session's."""


def assert_within_grace(server: AuditedServer, ended: Entry, grace: float, since: datetime | None = None) -> None:
    """
    Fail unless a session's end came within `grace` seconds, by the times of the entries: of `since`; or, if the grant was
    revoked, of that; or else of the time up to which its approval says that it lasts.
    """
    if since is None:
        revoked = server.entries("access.revoked", grant=ended.grant)
        if revoked:
            since = revoked[0].time
        else:
            [approved] = server.entries("access.approved", grant=ended.grant)
            since = datetime.fromisoformat(str(approved.body["not_after"]))
    took = (ended.time - since).total_seconds()
    assert 0 <= took <= grace + ROOM_S, f"the session ended {took:.1f} s after its time"


BUSY = """
import time
open(BEATS + "busy", "w").close()
while True:
    try: time.sleep(1)
    except KeyboardInterrupt: pass
"""
"""A cell that no interrupt ends."""


@dataclass(frozen=True)
class Scene:
    """A kernel in which everything goes on, a cell among it, until `grant` ends."""

    server: AuditedServer
    kernel: KernelClient
    beats: Beats
    grant: str

    @classmethod
    def begin(cls, server: AuditedServer, grant: str) -> Scene | None:
        """Have it all begun in a new kernel; None if the grant was over before."""
        beats = Beats(server.work / f"{uuid.uuid4().hex}-")
        kernel = server.kernel()
        kernel.execute(beats.code)
        kernel.execute(BUSY)

        def runs() -> bool:
            return beats.heard() == set(beats.kinds) and Path(f"{beats.prefix}busy").exists()

        wait_for(lambda: runs() or server.entries("access.expired", grant=grant), "everything to run")
        return cls(server, kernel, beats, grant) if runs() else None

    @classmethod
    def on_a_short_grant(cls, server: AuditedServer) -> Scene:
        """Have it all begun on a grant that will soon expire: in some seconds, or however many this machine needs."""
        for seconds in (3, 15, 60):
            if scene := cls.begin(server, server.short_grant(seconds).id):
                return scene
        raise AssertionError("a minute was too short for a kernel to begin")

    def assert_ended(self, cause: str, grace: float | None, since: datetime | None = None) -> None:
        """
        Wait for the session's end, and fail unless nothing of it is left: no process, and so no thread and no task of one.

        It must have come within `grace` seconds of `since`, or of the grant's own end; None where the server could not put it
        down in time.
        """
        ended = self.server.await_entry("session.ended", lambda e: e.body["kernel_id"] == self.kernel.kernel_id)
        assert bearing(str(self.beats.prefix)) == []
        wait_for(lambda: not bearing(f"{ended.session}/connection.json"), "the kernel to be gone")
        self.beats.take_away()
        assert (ended.grant, ended.body["cause"], ended.body["clean"]) == (self.grant, cause, True)
        assert self.beats.heard() == set()
        if grace is not None:
            assert_within_grace(self.server, ended, grace, since)
