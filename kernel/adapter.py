"""
debugpy's adapter for the audit kernel's debugger, on sockets that it inherits: nothing of it listens on a port.

As debugpy starts it, the adapter listens on a port of 127.0.0.1 for as long as the kernel lives, and asks whoever connects
for no secret: another session's cell, or another account of the machine, could attach and evaluate. Here it gets two
sockets from the kernel instead: one to the kernel's pydevd, and one over which the kernel hands it a client whenever
somebody turns the debugger on. Both are of nameless pairs, so only who made them has their other ends.

Run as `python -m jupyter_audit_kernel.adapter CLIENTS KERNEL`, the two sockets' numbers.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Any, NoReturn

from debugpy.adapter import clients, servers, sessions
from debugpy.common import sockets


class Nowhere:
    """What stands for the sockets on which the adapter would listen. It tells clients of them, and opens what is not there."""

    def getsockname(self) -> tuple[str, int]:
        return "", 0

    def close(self) -> None:
        """Nothing is open."""


def refuse(*args: Any, **options: Any) -> NoReturn:
    """Stand for whatever in debugpy would listen."""
    raise RuntimeError("the audit kernel's debugger listens on no port")


def welcome(channel: socket.socket) -> None:
    """Begin a debugging session with each client that the kernel hands over, until the kernel is gone."""
    while True:
        word, handed, _, _ = socket.recv_fds(channel, 1, 1)
        if not word:
            return
        for number in handed:
            clients.Client(socket.socket(fileno=number))


def main(clients_number: int, kernel_number: int) -> None:
    """Serve until the kernel is gone. Returns at once in the process that was started; a child of it goes on."""
    # As debugpy does it: who waits for the kernel's children finds none that a cell did not start.
    if os.fork() != 0:
        return
    sockets.serve = sockets.create_server = refuse
    clients.listener = servers.listener = Nowhere()
    channel = socket.socket(fileno=clients_number)
    threading.Thread(target=welcome, args=(channel,), daemon=True).start()
    servers.Connection(socket.socket(fileno=kernel_number))
    servers.wait_until_disconnected()
    sessions.wait_until_ended()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
