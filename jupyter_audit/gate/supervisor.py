"""
The supervisor: one small process between the server and a kernel, which ends everything the kernel started (P2).

    python -I -m jupyter_audit.gate.supervisor RESULT_FD TERMS_JSON -- KERNEL_COMMAND …

A terminal's shell is started like a kernel, but for the controlling terminal that it gets. The supervisor
makes itself the subreaper of whatever its kernel starts (Linux), so that daemons cannot slip away to init; it
stays outside of the kernel's sandbox, and out of reach of its signals. Its standard input is the server's
hold on it: `S` and a byte is a signal for the kernel's process group, `E` is the end, and so is the end of the
pipe, which comes by itself if the server dies. When the kernel is gone, for whatever reason, everything it left
is killed until nothing is left, and one line of JSON on RESULT_FD says how many there were.

Nothing of a kernel's output or input passes through here, and no secret is known here.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from typing import Any

from jupyter_audit.gate.landlock import confine

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

MARKER = "JUPYTER_AUDIT_MARK"
"""Environment variable that all of a session's processes inherit, by which strays are found where nothing better is."""

LINUX = os.uname().sysname == "Linux"
"""Whether there are subreapers and /proc; elsewhere (macOS) ps and the mark must do."""

ROUNDS = 200
PAUSE_S = 0.01


def main(arguments: list[str]) -> int:
    """Supervise one kernel; return its exit code."""
    result_fd, terms = int(arguments[0]), json.loads(arguments[1])
    command = arguments[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    if LINUX:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_in, wake_out = os.pipe()
    os.set_blocking(wake_out, False)
    os.set_blocking(wake_in, False)
    signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    supervisor = os.getpid()
    kernel = os.fork()
    if kernel == 0:
        _become_kernel(command, terms, libc if LINUX else None, (result_fd, wake_in, wake_out), supervisor)
    if terms["terminal"] is not None:
        # Held here, too, the terminal would never be seen to close.
        os.close(terms["terminal"])
    code = _wait(kernel, wake_in)
    killed, clean = sweep(kernel, terms["mark"])
    if code is None:
        code = -signal.SIGKILL
    result = json.dumps({"processes": killed, "clean": clean, "exit": code}) + "\n"
    try:
        os.write(result_fd, result.encode())
    except OSError:
        # The server is gone; the sweep was what mattered.
        return 1
    return code if code >= 0 else 128 - code


def _become_kernel(
    command: list[str], terms: dict[str, Any], libc: ctypes.CDLL | None, ours: tuple[int, ...], supervisor: int
) -> None:
    """In the child: leave the supervisor's belongings behind, go into the sandbox, become the kernel."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        if libc is not None:
            # Nobody is to outlive the supervisor, not even if it is killed.
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for fd in ours:
            os.close(fd)
        # ipykernel ends by itself when this process is gone (where the line above is not to be had).
        os.environ["JPY_PARENT_PID"] = str(supervisor)
        if terms["terminal"] is not None:
            _take_terminal(terms["terminal"])
        else:
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
        if terms["rung"] == "landlock":
            confine(terms["readable"], terms["writable"])
        os.execvpe(command[0], command, os.environ)  # noqa: S606 (the command is the server's own)
    except BaseException as error:
        # Whatever failed, this process must never return into the supervisor's code.
        os.write(2, f"jupyter-audit: the kernel could not be started: {error}\n".encode())
    os._exit(126)


def _take_terminal(terminal: int) -> None:
    """Make a terminal this process's own: its controlling one, and all that it reads from and writes to."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(terminal, fd)
    os.close(terminal)


def _wait(kernel: int, wake_in: int) -> int | None:
    """Serve the control pipe until the kernel is gone (its exit code) or is to be ended (None)."""
    while True:
        code = _reap(kernel)
        if code is not None:
            return code
        ready, _, _ = select.select([0, wake_in], [], [])
        if wake_in in ready:
            os.read(wake_in, 4096)
        if 0 in ready:
            order = os.read(0, 1)
            if order != b"S":
                return None
            number = os.read(0, 1)
            if number:
                try:
                    os.killpg(kernel, number[0])
                except ProcessLookupError:
                    # It is not a group leader yet, or just gone; the next turn sees which.
                    continue


def _reap(kernel: int) -> int | None:
    """Collect whoever has died; return the kernel's exit code if it was among them."""
    code: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == kernel:
            code = os.waitstatus_to_exitcode(status)


def sweep(kernel: int, mark: str) -> tuple[int, bool]:
    """
    Kill everything that the kernel started, and return how many besides it there were, and whether all are gone.

    They are stopped before they are killed, so that none can start another in between.
    """
    seen: set[int] = set()
    for _ in range(ROUNDS):
        alive = strays(mark)
        if not alive:
            return len(seen - {kernel}), True
        for pid in alive - seen:
            _signal(pid, signal.SIGSTOP)
        fresh = strays(mark) - alive
        seen |= alive
        if fresh:
            continue
        for pid in alive:
            _signal(pid, signal.SIGKILL)
        time.sleep(PAUSE_S)
        _reap(kernel)
    return len(seen - {kernel}), False


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        # Gone already; or it changed its account, and then the sweep will report that it is not clean.
        return


def strays(mark: str) -> set[int]:
    """Return the living processes that descend from this one, or bear the session's mark where that is all there is."""
    if LINUX:
        return _descendants(_parents_from_proc(), os.getpid())
    listed = subprocess.run(["/bin/ps", "-axEww", "-o", "pid=,ppid=,command="], capture_output=True, text=True, check=False)
    parents: dict[int, int] = {}
    marked: set[int] = set()
    for line in listed.stdout.splitlines():
        fields = line.split(None, 2)
        if len(fields) == 3:
            parents[int(fields[0])] = int(fields[1])
            if f"{MARKER}={mark}" in fields[2]:
                marked.add(int(fields[0]))
    found = _descendants(parents, os.getpid()) | marked
    return {pid for pid in found if parents.get(pid) != os.getpid() or pid in marked} - {os.getpid()}


def _descendants(parents: dict[int, int], ancestor: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    queue = [ancestor]
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in found:
                found.add(child)
                queue.append(child)
    return found


def _parents_from_proc() -> dict[int, int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 (pathlib is a slow import at every kernel start)
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    # The command's name is in parentheses and may hold anything; what follows the last one is fixed.
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state != b"Z":
                parents[int(name)] = int(parent)
    return parents


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
