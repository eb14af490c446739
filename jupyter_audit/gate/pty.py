"""
A pseudoterminal whose program runs isolated and under the supervisor, as terminado wants its ptys.

Only ever give `write` what is durably recorded. The program's process is never this process's child: it is the
supervisor's, which ends everything that was started in the terminal.
"""

from __future__ import annotations

import asyncio
import codecs
import errno
import fcntl
import os
import pty
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jupyter_audit.gate.launch import LaunchTerms, Supervised

MOST_READ = 16 * 1024
"""Bytes read at once, so that one read is never more than an entry holds."""

WRITE_PATIENCE_S = 5.0
"""How long a program may leave unread what was typed before the rest of it is given up."""

PIECE = 1024
PAUSE_S = 0.01
ROWS, COLUMNS = 24, 80


class SupervisedPty:
    """One terminal: our end of it, and the supervised program at the other."""

    def __init__(self, fd: int, supervised: Supervised) -> None:
        self.fd = fd
        self.supervised = supervised
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.closed = False

    @classmethod
    def start(
        cls, terms: LaunchTerms, command: Sequence[str], *, environment: Mapping[str, str], folder: str
    ) -> SupervisedPty:
        """Open a pty and start `command` in it. Raises `OSError` where that cannot be done."""
        ours, theirs = pty.openpty()
        try:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            supervised = Supervised.start(terms, command, environment=environment, folder=folder, terminal=theirs)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(ours, False)
        return cls(ours, supervised)

    def read(self, size: int) -> str:
        """Return what came out; raises `EOFError` at the end and `BlockingIOError` if there is nothing yet."""
        if self.closed:
            raise EOFError("the terminal is closed")
        try:
            data = os.read(self.fd, min(size, MOST_READ))
        except OSError as error:
            if error.errno == errno.EIO:  # Linux's way to say that nobody has the other end any more
                raise EOFError("nothing runs in the terminal") from error
            raise
        if not data:
            raise EOFError("nothing runs in the terminal")
        return self.decoder.decode(data)

    async def write(self, text: str) -> bool:
        """Hand over what was typed; False if the program did not read all of it in time, or is gone."""
        left = memoryview(text.encode("utf-8", "replace"))
        until = time.monotonic() + WRITE_PATIENCE_S
        while left and not self.closed:
            try:
                left = left[os.write(self.fd, left[:PIECE]) :]
                until = time.monotonic() + WRITE_PATIENCE_S
            except BlockingIOError:
                if time.monotonic() > until:
                    return False
                await asyncio.sleep(PAUSE_S)
            except OSError:
                return False
        return not left

    def reads_hidden(self) -> bool:
        """
        Say whether the program reads a line without echo, as it does for a password.

        Editors and shells that echo by themselves take single keys, not lines (ICANON off).
        """
        try:
            local = termios.tcgetattr(self.fd)[3]
        except (termios.error, ValueError, OSError):
            return False
        return bool(local & termios.ICANON) and not local & termios.ECHO

    def getwinsize(self) -> tuple[int, int]:
        """Return rows and columns."""
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(self.fd, termios.TIOCGWINSZ, bytes(8)))
        return rows, columns

    def setwinsize(self, rows: int, columns: int) -> None:
        """Set rows and columns; programs are told."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def isalive(self) -> bool:
        """Say whether the terminal's program, or anything that it started, may still run."""
        return self.supervised.process.poll() is None

    def kill(self, number: int) -> None:
        """Send a signal to the program's process group."""
        self.supervised.send_signal(number)

    def close(self, force: bool = True) -> None:
        """Close our end."""
        if not self.closed:
            self.closed = True
            os.close(self.fd)


def terminal_environment(environment: Mapping[str, str], term: str = "xterm-256color") -> dict[str, Any]:
    """Return the environment of a terminal: a session's, and what shells look for."""
    return dict(environment) | {
        "TERM": term,
        "PS1": "$ ",
        "HISTFILE": environment["TMPDIR"] + "/history",
        "INPUTRC": os.devnull,  # a key that types a command of its own would show nowhere as typed
    }
