"""
A filter of system calls, for what Landlock does not see where a kernel has no namespaces of its own (P3).

Always: limits of other processes, for a limit of CPU time kills (the server and the supervisor, say). Where the profile says
`network: none`: sockets of every family but Unix and netlink (which asks about interfaces, and carries nothing); Landlock's
own port rules see TCP alone. See seccomp(2); a filter is classic BPF over `struct seccomp_data`, and cannot be taken off again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only describes types is left out of what every kernel start waits for
    from collections.abc import Mapping, Sequence

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_OF_NUMBER, _OF_ARCHITECTURE, _OF_FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`; of the argument the low half, which is all that socket(2) looks at."""

_X32_BIT = 0x40000000

_IO_URING_SETUP = 425
_SELF = 0
_AF_UNIX, _AF_NETLINK = 1, 16

_MACHINES = {"x86_64": (0xC000003E, 41, 302), "aarch64": (0xC00000B7, 198, 261)}
"""For each machine its AUDIT_ARCH, and its numbers of socket(2) and prlimit64(2)."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def available() -> bool:
    """Whether the filter is written for this machine."""
    return sys.platform == "linux" and sys.byteorder == "little" and os.uname().machine in _MACHINES


def confine(*, network: bool) -> None:
    """
    Put the filter on this process; without `network` it can make no socket that leads anywhere.

    Raises `OSError` if it cannot be done; the caller must not go on then.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    architecture, socket_number, limit_number = _MACHINES[os.uname().machine]
    allowed: dict[int, tuple[int, ...]] = {limit_number: (_SELF,)}
    if not network:
        # io_uring makes sockets without socket(2).
        allowed |= {socket_number: (_AF_UNIX, _AF_NETLINK), _IO_URING_SETUP: ()}
    code = _filter(architecture, allowed)
    program = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or (
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _filter(architecture: int, allowed: Mapping[int, Sequence[int]]) -> bytes:
    """Return a program that refuses the calls in `allowed` unless their first argument is among those named."""
    refuse, let_pass = (_RETURN, 0, 0, _ERRNO | errno.EACCES), (_RETURN, 0, 0, _ALLOW)
    steps = [
        # Numbers mean other calls under another architecture's convention: none of those is let through.
        (_LOAD_WORD, 0, 0, _OF_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        refuse,
        (_LOAD_WORD, 0, 0, _OF_NUMBER),
        (_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        refuse,
    ]
    for number, arguments in allowed.items():
        last = len(arguments)
        steps.append((_JUMP_EQUAL, 0, last + 3, number))
        steps.append((_LOAD_WORD, 0, 0, _OF_FIRST_ARGUMENT))
        steps += [(_JUMP_EQUAL, last - place, 0, argument) for place, argument in enumerate(arguments)]
        steps += [refuse, let_pass]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, let_pass])
