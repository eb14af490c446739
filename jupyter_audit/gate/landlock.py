"""
Landlock: what the kernel of Linux lets a process take away from itself for good, before it runs anything else.

Spoken directly, in three system calls, because it happens on the way to every kernel start: a library that does
the same took 70 ms to import here, more than all the rest of the supervisor. See landlock(7) and
https://docs.kernel.org/userspace-api/landlock.html, whose names are used.

Only ever call `confine` in a process of its own: it cannot be undone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only describes types is left out of what every kernel start waits for
    from collections.abc import Iterable

_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ_RIGHTS = _EXECUTE | _READ_FILE | _READ_DIR

_SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
_SCOPE_SIGNAL = 1 << 1

SIGNALS_ABI = 6
"""From this version on, signals to processes outside of the sandbox are refused too (Linux 6.12)."""

LEAST_ABI = 3
"""Before this version a file could be truncated that may not be written (Linux 6.2)."""


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi_version() -> int:
    """Return Landlock's version on this machine; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    version: int = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    return max(version, 0)


def confine(readable: Iterable[str], writable: Iterable[str]) -> None:
    """
    Leave this process and its descendants nothing but to read `readable` and to change `writable`.

    Paths that do not exist are passed over. Raises `OSError` if it cannot be done; the caller must not go on then.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = abi_version()
    if version < LEAST_ABI:
        raise OSError(f"Landlock version {version} is too old")
    handled = (1 << (16 if version >= 5 else 15)) - 1
    scoped = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if version >= SIGNALS_ABI else 0
    attributes = _RulesetAttr(handled, 0, scoped)
    size = ctypes.sizeof(attributes) if version >= SIGNALS_ABI else 8
    ruleset = _checked(
        libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)),
        "landlock_create_ruleset",
    )
    try:
        for paths, rights in ((readable, _READ_RIGHTS), (writable, handled)):
            for path in paths:
                _allow(libc, ruleset, path, rights & handled)
        _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
        _checked(
            libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0)), "landlock_restrict_self"
        )
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # Gone since it was listed, or not for this account: then it needs no rule.
        return
    try:
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            rights &= _FILE_RIGHTS
        rule = _PathBeneathAttr(rights, folder)
        result = libc.syscall(
            _ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0)
        )
        if result < 0 and ctypes.get_errno() == errno.EBADFD:
            # A pipe or a socket, such as /dev/stdout of a server whose log is piped: no file, so no rule is asked about it.
            return
        _checked(result, f"landlock_add_rule {path}")
    finally:
        os.close(folder)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
