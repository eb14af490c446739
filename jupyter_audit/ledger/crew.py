"""
A crew: processes that walk pieces of a ledger at the same time, one on each core.

They are given rows, not the file: what is verified is one snapshot, and nothing else opens it. They are started by
hand rather than with `multiprocessing`, which would run the caller's main module again in each of them.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import TracebackType

from jupyter_audit.ledger.pieces import Piece, Walked, walk_piece
from jupyter_audit.ledger.walk import Terms

_WORK = (
    "import sys; sys.path[:] = sys.argv[2:]; from jupyter_audit.ledger.crew import serve; serve(int(sys.argv[1]))"
)
_WAITS_S = 10.0


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Crew:
    """So many processes, until the end of a `with` block."""

    def __init__(self, count: int, terms: Terms) -> None:
        self._free: SimpleQueue[Connection] = SimpleQueue()
        self._connections: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="jupyter-audit-verify")
        self._ahead = 2 * count
        try:
            for _ in range(count):
                self._hire(terms)
        except BaseException:
            self._dismiss()
            raise

    def walk(self, pieces: Iterable[Piece]) -> Iterator[Walked | None]:
        """Yield what `walk_piece` returns of each piece, in their order; None too where a process was lost."""
        asked: deque[Future[Walked | None]] = deque()
        for piece in pieces:
            asked.append(self._threads.submit(self._ask, piece))
            if len(asked) >= self._ahead:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._dismiss()

    def _hire(self, terms: Terms) -> None:
        ours, theirs = Pipe()
        self._connections.append(ours)
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, "-I", "-c", _WORK, str(number), *sys.path]
            self._processes.append(subprocess.Popen(command, pass_fds=[number], stdin=subprocess.DEVNULL))
        ours.send(terms)
        self._free.put(ours)

    def _ask(self, piece: Piece) -> Walked | None:
        connection = self._free.get()
        try:
            connection.send(piece)
            walked: Walked | None = connection.recv()
        except (EOFError, OSError):
            return None
        finally:
            self._free.put(connection)
        return walked

    def _dismiss(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            try:
                process.wait(_WAITS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def serve(number: int) -> None:
    """Walk the pieces that come in, until nobody is there any more: the work of one process of a crew."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts means the one that verifies, which then lets go
    # Walking makes no cycles, and looking for them among a piece's thousands of rows takes a fifth of the time.
    gc.freeze()
    gc.set_threshold(100_000)
    with Connection(number) as connection:
        try:
            terms: Terms = connection.recv()
            while True:
                connection.send(walk_piece(terms, connection.recv()))
        except (EOFError, OSError):
            return
