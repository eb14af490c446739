"""
The supervisor: one small process between the server and a kernel, which ends everything the kernel started (P2).

    python -I -S -c '… from jupyter_audit.gate.supervisor import main; main(…)' RESULT_FD BEGUN_FD -- KERNEL_COMMAND …

A terminal's shell is started like a kernel, but for the controlling terminal that it gets. The supervisor
makes itself the subreaper of whatever its kernel starts (Linux), so that daemons cannot slip away to init; it
stays outside of the kernel's sandbox, and out of reach of its signals. Its standard input is the server's
hold on it: first come the terms, then orders. `S` and a byte is a signal for the kernel's process group, `L` and eight bytes
are the milliseconds after which the end comes by itself (a later `L` replaces it): a server that somebody keeps busy gives no
orders. `E` is the end, and so is the end of the pipe, which comes by itself if the server dies. When the kernel is gone, for
whatever reason, everything it left is killed until nothing is left, and one line of JSON on RESULT_FD says how many there were.
BEGUN_FD is the kernel's, until it runs (enter.py).

Nothing of a kernel's output or input passes through here, and no secret is known here.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time

from jupyter_audit.gate.enter import clear_ambient, drop_capabilities, gain_nothing, go_in, tell, tell_failure

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only describes types is left out of what every kernel start waits for
    import socket
    from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

MARKER = "JUPYTER_AUDIT_MARK"
"""Environment variable that all of a session's processes inherit, by which strays are found where nothing better is."""

LINUX = os.uname().sysname == "Linux"
"""Whether there are subreapers and /proc; elsewhere (macOS) ps and the mark must do."""

_INIT, _FIRST = 1, 2
"""Numbers inside of a pid namespace: bubblewrap's own process there, and the one that it starts."""

LONGEST_WAIT_S = 3600.0
"""Seconds that are waited for at once; some systems take no longer ones."""

ROUNDS = 200
PAUSE_S = 0.01


def main(arguments: list[str]) -> NoReturn:
    """Supervise one kernel, and end with its exit code."""
    sys.exit(supervise(arguments))


def supervise(arguments: list[str]) -> int:
    """Run a kernel to its end and sweep up after it; return its exit code."""
    result_fd, begun, command = int(arguments[0]), int(arguments[1]), arguments[3:]
    terms = _read_terms()
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
    ours = (result_fd, wake_in, wake_out)
    channel = _new_channel() if terms["targets"] else None
    relay = _start_relay(channel, terms["targets"], (*ours, begun)) if channel else None
    supervisor = os.getpid()
    kernel = os.fork()
    if kernel == 0:
        _become_kernel(command, {**terms, "begun": begun}, channel[1].fileno() if channel else -1, ours, supervisor)
    os.close(begun)
    if channel:
        for end in channel:
            end.close()
    if terms["terminal"] is not None:
        # Held here, too, the terminal would never be seen to close.
        os.close(terms["terminal"])
    code = _wait(kernel, wake_in, inside=bool(terms["outer"]))
    killed, clean = sweep(kernel, terms["mark"], {kernel} if relay is None else {kernel, relay})
    if code is None:
        code = -signal.SIGKILL
    result = json.dumps({"processes": killed, "clean": clean, "exit": code}) + "\n"
    try:
        os.write(result_fd, result.encode())
    except OSError:
        # The server is gone; the sweep was what mattered.
        return 1
    return code if code >= 0 else 128 - code


def _read_terms() -> dict[str, Any]:
    """Read the terms from the control pipe: four bytes of length, then JSON. Orders come after them."""
    text = _read_exactly(int.from_bytes(_read_exactly(4), "big"))
    terms: dict[str, Any] = json.loads(text)
    return terms


def _read_exactly(size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(0, size - len(parts))
        if not part:
            # The server is gone before anything was started.
            sys.exit(1)
        parts += part
    return bytes(parts)


def _new_channel() -> tuple[socket.socket, socket.socket]:
    import socket  # slow to import, and most kernels have no targets

    return socket.socketpair()


def _start_relay(
    channel: tuple[socket.socket, socket.socket], targets: list[Any], ours: tuple[int, ...]
) -> int:
    """Start the relay, outside of the sandbox; return its process id."""
    relay = os.fork()
    if relay == 0:
        try:
            _leave(ours, ctypes.CDLL(None, use_errno=True))
            channel[1].close()
            from jupyter_audit.gate.relay import serve

            serve(channel[0], targets)
        except BaseException as error:
            tell(2, f"the relay ended: {error}")
        os._exit(1)
    return relay


def _leave(ours: tuple[int, ...], libc: ctypes.CDLL | None) -> None:
    """In a child: let go of what is the supervisor's, and end when it ends."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    for fd in ours:
        os.close(fd)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if libc is not None:
        # Nobody is to outlive the supervisor, not even if it is killed.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _become_kernel(
    command: list[str], terms: dict[str, Any], channel: int, ours: tuple[int, ...], supervisor: int
) -> None:
    """In the child: leave the supervisor's belongings behind, go into the sandbox, become the kernel."""
    try:
        if terms["account"]:
            # Before `_leave`: who changes their account is no longer told of their parent's death.
            _change_account(terms["account"])
        if LINUX:
            clear_ambient()
        _leave(ours, ctypes.CDLL(None, use_errno=True) if LINUX else None)
        inside = {**terms["inside"], "terminal": terms["terminal"], "channel": channel, "begun": terms["begun"]}
        if terms["outer"]:
            told = os.memfd_create("terms", 0)
            os.write(told, json.dumps(inside).encode())
            os.lseek(told, 0, os.SEEK_SET)
            for fd in (told, channel, terms["terminal"], terms["begun"]):
                if fd is not None and fd >= 0:
                    os.set_inheritable(fd, True)
            # Inside, the parent is always there: to ipykernel's own check it is init, which it leaves alone.
            os.environ["JPY_PARENT_PID"] = "1"
            enter = [*terms["enter"], str(told), "--", *command]
            os.execv(terms["outer"][0], [*terms["outer"], *enter])  # noqa: S606 (the command is the server's own)
        # ipykernel ends by itself when this process is gone, where nothing above sees to it.
        os.environ["JPY_PARENT_PID"] = str(supervisor)
        go_in(command, inside)
    except BaseException as error:
        # Whatever failed, this process must never return into the supervisor's code.
        tell_failure(terms["begun"], f"the sandbox could not be entered: {error}")
    os._exit(126)


def _change_account(account: dict[str, Any]) -> None:
    """
    Become another account, with its groups and nothing else.

    Who was not root keeps capabilities unless they are dropped. And programs that run as somebody else (`at`, `crontab`, sudo)
    give nothing: a job that the system's daemons run would outlive the grant.
    """
    os.setgroups(account["groups"])
    os.setresgid(account["gid"], account["gid"], account["gid"])
    os.setresuid(account["uid"], account["uid"], account["uid"])
    if LINUX:
        drop_capabilities()
        gain_nothing()


def _wait(kernel: int, wake_in: int, *, inside: bool) -> int | None:
    """
    Serve the control pipe until the kernel is gone (its exit code) or is to be ended (None), by order or by its limit.

    Where it is `inside` a pid namespace, `kernel` is bubblewrap, and signals go to whom it started.
    """
    group, limit = 0 if inside else kernel, float("inf")
    while True:
        code = _reap(kernel)
        if code is not None:
            return code
        left = limit - time.monotonic()
        if left <= 0:
            return None
        ready, _, _ = select.select([0, wake_in], [], [], min(left, LONGEST_WAIT_S))
        if wake_in in ready:
            os.read(wake_in, 4096)
        if 0 in ready:
            order = os.read(0, 1)
            if order == b"L":
                # An order is written at once, and so short that it comes whole.
                limit = time.monotonic() + int.from_bytes(os.read(0, 8), "big") / 1000
                continue
            if order != b"S":
                return None
            number = os.read(0, 1)
            if number:
                group = group or _first_inside()
                try:
                    if group:
                        os.killpg(group, number[0])
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


def sweep(kernel: int, mark: str, ours: set[int]) -> tuple[int, bool]:
    """
    Kill everything that the kernel started, and return how many besides it and `ours` there were, and whether all are gone.

    They are stopped before they are killed, so that none can start another in between. Whether all are gone is not for
    /proc to say, which is read name by name while they come and go: on Linux all is over when there is no child left to wait for.
    """
    seen: set[int] = set()
    for turn in range(ROUNDS):
        alive = strays(mark)
        if not alive and _childless(kernel):
            return len(seen - ours), True
        for pid in alive - seen:
            if _number_inside(pid) in (_INIT, _FIRST):
                ours.add(pid)
            _signal(pid, signal.SIGSTOP)
        fresh = strays(mark) - alive
        seen |= alive
        # Those that are always fresh, because each starts the next and ends, are never all stopped: they are killed all the same.
        if fresh and turn % 2 == 0:
            continue
        for pid in alive:
            _signal(pid, signal.SIGKILL)
        hunt(set())
    return len(seen - ours), False


def hunt(spared: set[int]) -> None:
    """
    Kill this process's children as soon as they are seen, and collect them, for PAUSE_S or until there are none but the `spared`.

    A process that starts another and ends at once, again and again, is a child of its subreaper each time, and is gone before
    a list of all processes is read to its end. The list of one's own children is short.
    """
    until = time.monotonic() + PAUSE_S
    while time.monotonic() < until:
        children = _children()
        if children is None:
            time.sleep(PAUSE_S)
            return
        if not children - spared:
            return
        for pid in children - spared:
            _signal(pid, signal.SIGKILL)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else in this process has collected it.
                continue


def _children() -> set[int] | None:
    """Return this process's children, dead ones too; None where the system does not list them (CONFIG_PROC_CHILDREN)."""
    found: set[int] = set()
    try:
        for task in os.listdir("/proc/self/task"):  # noqa: PTH208 (as below)
            with open(f"/proc/self/task/{task}/children", "rb") as file:  # noqa: PTH123
                found.update(map(int, file.read().split()))
    except FileNotFoundError:
        # Also where a thread of the server's has just ended: the next turn sees.
        return None
    return found


def _childless(kernel: int) -> bool:
    """Collect the dead, and return whether that was all; without subreapers there is nothing to see."""
    if not LINUX:
        return True
    _reap(kernel)
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def _first_inside() -> int:
    """Return the process that bubblewrap's init started; 0 if there is none yet."""
    return next((pid for pid in strays("") if _number_inside(pid) == _FIRST), 0)


def _number_inside(pid: int) -> int:
    """Return the number that a process has in a pid namespace right below ours; 0 if it is in none, or in a deeper one."""
    if not LINUX:
        return 0
    numbers = [_numbers(name) for name in ("self", str(pid))]
    return int(numbers[1][-1]) if len(numbers[1]) == len(numbers[0]) + 1 else 0


def _numbers(name: str) -> list[bytes]:
    try:
        with open(f"/proc/{name}/status", "rb") as file:  # noqa: PTH123
            return next(line.split()[1:] for line in file if line.startswith(b"NSpid:"))
    except (OSError, StopIteration):
        return []


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
    import subprocess  # slow to import, and for macOS alone

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

