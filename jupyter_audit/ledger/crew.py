"""
A crew: processes that walk pieces of a ledger at the same time, one on each core; this process is one of them. Before
that, one of the others has SQLite check the file.

They are there before the ledger is opened, and open it for themselves after this one did: what each of them sees is what this
one sees, and maybe what was appended since, which is in no piece. What was purged since is not as this process saw it, so its
piece is walked once more here.

Where this process has one thread and no SQLite connection to the ledger they are forked, which saves each of them from starting
Python and importing; SQLite's connections must not be carried over a fork, nor would another thread's locks be let go there.
Elsewhere they are started anew, by hand rather than with `multiprocessing`, which would run the caller's main module again in
each of them.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe, current_process
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import TracebackType

from jupyter_audit.ledger.glance import Glance
from jupyter_audit.ledger.integrity import integrity_apart
from jupyter_audit.ledger.pieces import Keys, Piece, Walked, walk_piece
from jupyter_audit.ledger.schema import verify_tables
from jupyter_audit.ledger.store import connect, end_circles
from jupyter_audit.ledger.walk import Terms

_log = logging.getLogger(__name__)

_WORK = (
    "import sys; sys.path[:] = sys.argv[2:]; from jupyter_audit.ledger.crew import serve; serve(int(sys.argv[1]))"
)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Task:
    """Which ledger is to be walked, what it is held to, and the keys that its entries name."""

    path: Path
    terms: Terms
    keys: Keys


class Crew:
    """So many other processes, or fewer where there are none to be had, until the end of a `with` block."""

    def __init__(self, count: int, path: Path) -> None:
        self._connections: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes] | ForkProcess] = []
        self._threads: list[threading.Thread] = []
        self._turn = threading.Condition()
        self._pieces: Iterator[tuple[int, Piece]] = iter(())
        self._walked: dict[int, Walked | None] = {}
        self._word: str | None = None
        self._checked = False
        self._may_fork = count > 0 and _may_fork(path)
        try:
            for _ in range(count):
                self._hire()
        except OSError as error:  # it takes longer, and no more
            _log.warning("Verifying with fewer processes: %s", error)
        except BaseException:
            self._dismiss()
            raise

    def brief(self, task: Task) -> None:
        """Tell the processes what they are to work on, so that they open it. To be called once this one has opened it."""
        for connection in self._connections:
            with contextlib.suppress(OSError):  # it is gone, as will be seen when it is handed its first piece
                connection.send(task)

    def walk(self, pieces: Sequence[Piece], here: Callable[[Piece], Walked | None]) -> Iterator[Walked | None]:
        """
        Yield what `walk_piece` returns of each piece, in their order; None too where a process was lost.

        What nobody else has begun is walked by `here` in this thread, between two that are yielded. To be called once.
        """
        self._checked = not self._connections  # by nobody, who need not be waited for
        self._pieces = iter(enumerate(pieces))
        for number, connection in enumerate(self._connections):
            args = connection, number == 0
            thread = threading.Thread(target=self._serve, args=args, name="jupyter-audit-verify", daemon=True)
            self._threads.append(thread)
            thread.start()
        for number in range(len(pieces)):
            while not self._has(number):
                taken = self._take()
                if taken is None:
                    with self._turn:
                        self._turn.wait_for(lambda: number in self._walked)  # noqa: B023 (waited for within the turn)
                else:
                    self._put(taken[0], here(taken[1]))
            yield self._walked.pop(number)

    def word(self) -> str | None:
        """Return what SQLite says of the file, `ok` if nothing is wrong; None if it could not be asked. Only after `walk`."""
        with self._turn:
            self._turn.wait_for(lambda: self._checked)
        return self._word

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._dismiss()

    def _has(self, number: int) -> bool:
        with self._turn:
            return number in self._walked

    def _take(self) -> tuple[int, Piece] | None:
        with self._turn:
            return next(self._pieces, None)

    def _put(self, number: int, walked: Walked | None) -> None:
        with self._turn:
            self._walked[number] = walked
            self._turn.notify_all()

    def _hire(self) -> None:
        ours, theirs = Pipe()
        self._connections.append(ours)
        with theirs:
            number = theirs.fileno()
            if self._may_fork:
                process = ForkProcess(target=_serve_forked, args=(number, self._connections), daemon=True)
                process.start()
                self._processes.append(process)
            else:
                command = [sys.executable, "-I", "-S", "-c", _WORK, str(number), *sys.path]
                self._processes.append(subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL))

    def _serve(self, connection: Connection, is_first: bool) -> None:
        """Have one process check the file, if it is the first, and hand it one piece after the other."""
        try:
            connection.recv()  # it is ready: until then, pieces are better walked by somebody else
            if is_first:
                connection.send(None)
                self._word = connection.recv()
        except (EOFError, OSError):
            return
        finally:
            if is_first:
                with self._turn:
                    self._checked = True
                    self._turn.notify_all()
        while (taken := self._take()) is not None:
            number, piece = taken
            try:
                connection.send(piece)
                self._put(number, connection.recv())
            except (EOFError, OSError):
                self._put(number, None)
                return

    def _dismiss(self) -> None:
        with self._turn:
            self._pieces = iter(())
        for process in self._processes:
            process.kill()  # they only read
            process.join() if isinstance(process, ForkProcess) else process.wait()
        for thread in self._threads:
            thread.join()  # it reads the end of its process
        for connection in self._connections:
            connection.close()


def _may_fork(path: Path) -> bool:
    """Return whether this process has one thread and has not opened the ledger at `path`; False where that cannot be told."""
    try:
        threads = sum(1 for _ in Path("/proc/self/task").iterdir())
        return threads == 1 and not current_process().daemon and not _has_open(path)
    except OSError:  # not Linux, or no such ledger
        return False


def _has_open(path: Path) -> bool:
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # what the list itself was read through is closed by now
            if file.samefile(path):
                return True
    return False


def _serve_forked(number: int, not_ours: Sequence[Connection]) -> None:
    """Serve as a fork of the process that verifies, whose ends of the connections would keep this one from seeing its end."""
    for connection in not_ours:
        connection.close()
    serve(number)


@contextlib.contextmanager
def seldom_collecting() -> Iterator[None]:
    """Have Python look for cycles seldom: walking makes none, and looking for them among thousands of rows takes its time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def serve(number: int) -> None:
    """Walk the pieces that come in, or check the file for None, until nobody is there any more: one process of a crew."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts means the one that verifies, which then lets go
    gc.freeze()
    with seldom_collecting(), Connection(number) as connection, contextlib.suppress(EOFError, OSError):
        task: Task = connection.recv()
        with contextlib.closing(connect(task.path, writable=False)) as ledger:
            ledger.execute("BEGIN")
            end_circles(ledger)
            verify_tables(ledger)
            glance = Glance(task.terms)
            connection.send(True)
            while True:
                piece: Piece | None = connection.recv()
                if piece is None:
                    connection.send(integrity_apart(task.path))
                else:
                    connection.send(walk_piece(glance, ledger, task.keys, piece))
