"""
What a session's processes write to their standard output and error, on its way to the server's log (P3).

They have a pipe, and not the server's own descriptors: with those, where the log is a file, code in a cell read the log
through /proc/self/fd on every rung, with the server's token in it, cut it off and wrote lines as the server's. ipykernel
publishes what cells print, so that only what comes before it, after it, or on purpose arrives here.
"""

from __future__ import annotations

import os
import threading

MOST_BYTES = 256 * 1024
"""What one session may put into the log; a cell could fill the log's disk."""

LONGEST_LINE = 4096
"""Bytes after which a line is written though it has not ended."""


class Said:
    """The lines of one session, made such that they can be taken for nobody else's. Pure."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._rest = b""
        self._left = MOST_BYTES

    def lines(self, part: bytes) -> list[str]:
        """Return the lines that are whole with this part; with an empty one, which is the end, what is left."""
        *whole, self._rest = (self._rest + part).split(b"\n")
        if self._rest and (not part or len(self._rest) > LONGEST_LINE):
            whole, self._rest = [*whole, self._rest], b""
        return [line for text in whole if (line := self._line(text))]

    def _line(self, text: bytes) -> str:
        if self._left <= 0:
            return ""
        self._left -= len(text) + 1
        readable = "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text.decode(errors="backslashreplace"))
        more = "" if self._left > 0 else f"\n[{self._session}] (the rest of what this session writes is left out)"
        return f"[{self._session}] {readable}{more}\n"


def pass_on(session: str, fd: int) -> None:
    """Write what comes out of the pipe `fd` to the server's log, in a thread of its own, until nobody holds its other end."""
    threading.Thread(target=_pass_on, args=(Said(session), fd), name=f"said-{session}", daemon=True).start()


def _pass_on(said: Said, fd: int) -> None:
    part = b"x"
    while part:
        part = os.read(fd, 65536)
        for line in said.lines(part):
            try:
                os.write(2, line.encode())
            except OSError:
                # The log is gone, or its disk is full: what reads the pipe goes on, or the kernel would be stopped.
                continue
    os.close(fd)
