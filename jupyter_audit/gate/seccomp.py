"""
A filter of system calls, for what neither Landlock nor a namespace sees (P3).

Always: the limits of other processes, for a limit of CPU time kills (the server and the supervisor, say); and to give a
file the setuid bit, for on a machine that somebody has another account on, such a program runs as the server for them, outside
of every sandbox and after every grant. openat2(2) and io_uring, which no filter sees into, are not there. Where the profile
closes the network: sockets of other families than those that are closed in by what else there is. Landlock's own port rules
see TCP alone, and a network namespace does not hold the sockets that lead from a virtual machine to its host (AF_VSOCK).
See seccomp(2); a filter is classic BPF over `struct seccomp_data`, and cannot be taken off again.
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
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_OF_NUMBER, _OF_ARCHITECTURE, _OF_FIRST_ARGUMENT, _ARGUMENT_SIZE = 0, 4, 16, 8
"""Offsets in `struct seccomp_data`; of an argument the low half, which is all that socket(2) and chmod(2) look at."""

_X32_BIT = 0x40000000

_IO_URING_SETUP, _OPENAT2 = 425, 437
_SELF = 0
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16

LOCAL = (_AF_UNIX, _AF_NETLINK)
"""Sockets that lead nowhere; netlink asks about interfaces, and carries nothing."""
NAMESPACED = (*LOCAL, _AF_INET, _AF_INET6)
"""Sockets that lead no further than a network namespace does."""

_S_ISUID = 0o4000
_CREATES = 0o100 | 0o20000000
"""O_CREAT, and the bit that makes O_TMPFILE of O_DIRECTORY: with either, open(2) looks at the mode."""

_MACHINES = {
    "x86_64": (
        0xC000003E, 41, 302,
        {
            2: ((1, _CREATES), (2, _S_ISUID)), 257: ((2, _CREATES), (3, _S_ISUID)), 85: ((1, _S_ISUID),),
            133: ((1, _S_ISUID),), 259: ((2, _S_ISUID),),
            90: ((1, _S_ISUID),), 91: ((1, _S_ISUID),), 268: ((2, _S_ISUID),), 452: ((2, _S_ISUID),),
        },
    ),
    "aarch64": (
        0xC00000B7, 198, 261,
        {
            56: ((2, _CREATES), (3, _S_ISUID)), 33: ((2, _S_ISUID),),
            52: ((1, _S_ISUID),), 53: ((2, _S_ISUID),), 452: ((2, _S_ISUID),),
        },
    ),
}  # fmt: skip
"""
For each machine its AUDIT_ARCH, its numbers of socket(2) and prlimit64(2), and those of what gives a file its mode, each with
places among its arguments and bits: it is refused where each place has one of them. They are open, openat and creat; mknod and
mknodat; chmod, fchmod, fchmodat and fchmodat2.
"""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def available() -> bool:
    """Whether the filter is written for this machine."""
    return sys.platform == "linux" and sys.byteorder == "little" and os.uname().machine in _MACHINES


def confine(families: Sequence[int] | None) -> None:
    """
    Put the filter on this process; where `families` are named, it can make sockets of these alone.

    Raises `OSError` if it cannot be done; the caller must not go on then.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    architecture, socket_number, limit_number, modes = _MACHINES[os.uname().machine]
    allowed: dict[int, tuple[int, ...]] = {limit_number: (_SELF,)}
    if families is not None:
        allowed[socket_number] = tuple(families)
    code = _filter(architecture, allowed, modes)
    program = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or (
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _filter(
    architecture: int, allowed: Mapping[int, Sequence[int]], modes: Mapping[int, Sequence[tuple[int, int]]]
) -> bytes:
    """
    Return a program that refuses the calls in `allowed` unless their first argument is among those named, and those in
    `modes` where the argument at each of the places has one of its bits.
    """
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
    for number in (_IO_URING_SETUP, _OPENAT2):
        steps += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for number, arguments in allowed.items():
        last = len(arguments)
        steps.append((_JUMP_EQUAL, 0, last + 3, number))
        steps.append((_LOAD_WORD, 0, 0, _OF_FIRST_ARGUMENT))
        steps += [(_JUMP_EQUAL, last - place, 0, argument) for place, argument in enumerate(arguments)]
        steps += [refuse, let_pass]
    for number, bits in modes.items():
        steps.append((_JUMP_EQUAL, 0, 2 * len(bits) + 2, number))
        for done, (place, mask) in enumerate(bits, start=1):
            steps.append((_LOAD_WORD, 0, 0, _OF_FIRST_ARGUMENT + place * _ARGUMENT_SIZE))
            steps.append((_JUMP_ANY_BIT, 0, 2 * (len(bits) - done) + 1, mask))
        steps += [refuse, let_pass]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, let_pass])
