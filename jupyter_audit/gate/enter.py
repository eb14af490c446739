"""
Going in: what a process does to itself before it becomes the kernel, or a terminal's shell (P3).

Run by the supervisor's own child where there are no namespaces, and by a small interpreter inside of them where
there are:

    python -I -S -c '… from jupyter_audit.gate.enter import main; main(…)' FD -- COMMAND …

FD holds the terms as JSON. A descriptor that they name, `begun`, tells the server how far it came: `+` where only
the command itself is left to be run, then, if it cannot be, why; the end of file says that it runs. Nothing of the
user's has run yet. Only the standard library may be imported here, and little of it: this is on the way of every
kernel start.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import struct
import termios

from jupyter_audit.gate import landlock, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only describes types is left out of what every kernel start waits for
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63

_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C


def main(arguments: list[str]) -> NoReturn:
    """Read the terms, go in, become the command."""
    fd, command = int(arguments[0]), arguments[2:]
    with open(fd, "rb") as file:
        terms = json.loads(file.read())
    try:
        os.setsid()
        go_in(command, terms)
    except BaseException as error:
        tell_failure(terms["begun"], f"the sandbox could not be entered: {error}")
    os._exit(126)


def tell_failure(begun: int, why: str) -> None:
    """Say why there will be no command, to the server and in its log."""
    for fd in (begun, 2):
        tell(fd, why)


def tell(fd: int, what: str) -> None:
    """Write a line to the server or its log, if it still hears."""
    try:
        os.write(fd, f"jupyter-audit: {what}\n".encode()[:1000])
    except OSError:
        return


def go_in(command: list[str], terms: Mapping[str, Any]) -> NoReturn:
    """
    Give up what `terms` say, for good, and become `command`. The process must lead a session of its own.

    Raises `OSError` if anything of it cannot be done; the caller must end then.
    """
    if terms["terminal"] is not None:
        take_terminal(terms["terminal"])
    if terms["offered"]:
        offer_targets(terms["offered"], terms["channel"])
    if terms["sandboxed"]:
        drop_capabilities()
    if terms["processes"]:
        limit_processes(terms["processes"])
    if terms["filter"]:
        seccomp.confine(terms["families"])
    if terms["landlock"]:
        landlock.confine(terms["readable"], terms["writable"])
    os.write(terms["begun"], b"+")
    os.set_inheritable(terms["begun"], False)
    try:
        os.execvpe(command[0], command, os.environ)  # noqa: S606 (the command is the server's own)
    except OSError as error:
        tell_failure(terms["begun"], f"{command[0]} could not be run: {error.strerror}")
    os._exit(127)


def take_terminal(terminal: int) -> None:
    """Make a terminal this process's own: its controlling one, and all that it reads from and writes to."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(terminal, fd)
    os.close(terminal)


def drop_capabilities() -> None:
    """Give up every capability(7), also those that programs of root would get: then root owns files, and no more."""
    libc = ctypes.CDLL(None, use_errno=True)
    clear_ambient()
    for capability in range(_LAST_CAPABILITY + 1):
        # Refused to whoever is not root, whose programs get none; and past the last one that this Linux knows.
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    if libc.capset(header, struct.pack("=6I", *[0] * 6)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")


def clear_ambient() -> None:
    """
    Hand none of the server's capabilities(7) on to what is run from here on.

    A server that is not root has some where it may switch accounts or listen on port 443 (systemd's AmbientCapabilities=); a
    kernel with them would switch to root, and bwrap starts with none of them.
    """
    ctypes.CDLL(None).prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def gain_nothing() -> None:
    """Take from this process and its descendants, for good, that a program's file makes them somebody else (setuid, setgid)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no_new_privs: {os.strerror(number)}")


def limit_processes(most: int) -> None:
    """Let this account have so many processes and threads at most in this user namespace, or fewer where that is so already."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))


def offer_targets(targets: Sequence[Sequence[Any]], channel: int) -> None:
    """
    Listen where the named targets are to be found in this network, and hand the sockets to the relay outside.

    `targets` are (address, port) inside. Needs a network namespace of one's own, and the capabilities to set it up.
    """
    import socket  # slow to import, and most kernels have no targets

    listeners = []
    for number, (address, port) in enumerate(targets):
        if not address.startswith("127."):
            _add_address(f"lo:{number}", address)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
        listeners.append(listener)
    with socket.socket(fileno=channel) as outside:
        socket.send_fds(outside, [b"L"], [listener.fileno() for listener in listeners])
    for listener in listeners:
        listener.close()


def _add_address(name: str, address: str) -> None:
    """Give the loopback interface one more address, and that alone, not the network around it; netdevice(7)."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for order, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
            request = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(control, order, request)
