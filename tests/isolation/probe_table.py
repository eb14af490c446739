"""
What code in a cell can reach, rung by rung: one table, from which the tests and docs/threat-model.md are made.

Each probe is a cell that raises where it is refused. It finds these names: HOME (the audit home), SERVER and SUPERVISOR
(process ids), OWN (its session), OTHER (another kernel's folder), URL (the server), SOCKET and ABSTRACT (what another
program of the account listens on), SHARED and SEGMENT (its shared memory: a name in /dev/shm, and System V's number).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jupyter_audit.access.terms import Rung


class Result(StrEnum):
    """How a probe ends."""

    REFUSED = "refused"
    SUCCEEDS = "succeeds"
    DEPENDS = "as the system allows"
    GONE = "gone"
    LIVES = "lives on"


NO, YES, DEPENDS, GONE = Result.REFUSED, Result.SUCCEEDS, Result.DEPENDS, Result.GONE
RUNGS = tuple(Rung)
Expected = tuple[Result, Result, Result, Result, Result]


@dataclass(frozen=True)
class Probe:
    """
    One attempt and its result on each of RUNGS; `note` is said beside it in the table.

    `leaves` is a file, in the folder above the notebooks, that shows whether the attempt really came to anything: inside
    of a sandbox it may only seem to. In SYSTEM it is a daemon's, or shows that the daemon was asked (stand_ins.py).
    """

    name: str
    code: str
    expected: Expected
    note: str = ""
    leaves: str = ""
    filtered: bool = False
    """Whether it is the filter of system calls that refuses it, which is not written for every processor."""

    @property
    def asks_a_daemon(self) -> bool:
        return self.leaves.startswith(SYSTEM)

    def on(self, rung: Rung) -> Result:
        return self.expected[RUNGS.index(rung)]


SYSTEM = "system/"
"""Where the stand-ins of the system's daemons have their folders and sockets, seen from outside."""

EVERYWHERE: Expected = (YES, YES, YES, YES, YES)
NOWHERE: Expected = (NO, NO, NO, NO, NO)
FENCED: Expected = (YES, NO, NO, NO, NO)
"""What only a kernel without any fence can do."""
PRIVILEGED: Expected = (DEPENDS, NO, NO, NO, NO)
"""What a kernel without any fence can do if every process of the server's account can."""

TOKEN = "import json, urllib.request as u\nt = json.load(open(HOME + '/run/server.json'))['token']\n"
ASK = (
    "def ask(path, body, **headers):\n"
    "    r = u.Request(URL + '/audit/api/v1/' + path, json.dumps(body).encode(), headers | {'Content-Type': 'application/json'})\n"
    "    return json.load(u.urlopen(r))\n"
)
REQUEST = "{'profile': 'production-debug', 'reason': 'my own approval', 'ticket': 'X-1', 'minutes': 30}"
TRACE = (
    "import ctypes, os\n"
    "if (child := os.fork()) == 0:\n"
    # Seized, not attached: the server must not stop. It is let go when the child is gone.
    "    os._exit(0 if ctypes.CDLL(None).ptrace(0x4206, SERVER, None, None) == 0 else 1)\n"
    "assert os.waitpid(child, 0)[1] == 0"
)
ASK_DAEMON = "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect({}); s.sendall(b'run'); assert s.recv(9) == b'done'"
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
INHERITED_LOG = (
    "import os\n"
    "for process in ('self', os.getppid()):\n"
    "    try: names = os.listdir(f'/proc/{process}/fd')\n"
    "    except OSError: continue\n"
    "    for name in names:\n"
    "        path = f'/proc/{process}/fd/{name}'\n"
    "        if os.path.isfile(path) and b'AuditServerApp' in open(path, 'rb').read(): break\n"
    "    else: continue\n"
    "    break\n"
    "else: raise OSError('no descriptor leads to the log')"
)
UNCOVER = LIBC + (
    "if (child := os.fork()) == 0:\n"
    "    uid = os.getuid()\n"
    "    try:\n"
    "        assert libc.unshare(0x10000000 | 0x20000) == 0\n"
    "        open('/proc/self/uid_map', 'w').write(f'0 {uid} 1')\n"
    "        assert libc.umount2(HOME.encode(), 2) == 0 and os.listdir(HOME + '/keys')\n"
    "        os._exit(0)\n"
    "    finally: os._exit(1)\n"
    "assert os.waitpid(child, 0)[1] == 0"
)

# Back at once: the server goes on, and its ledger must verify in the end. In a sandbox with a /tmp of its own there may be a file
# of that name which another probe has made there, so what counts is a file that is seen from outside.
MOVE = "import os; here, aside = HOME + '/{0}', HOME + '/aside'; os.rename(here, aside); os.rename(aside, here); open(HOME + '/moved', 'w').close()"
MOVED = "audit/moved"

PROBES = (
    Probe("read the signing key", "open(HOME + '/keys/ledger.key').read()", FENCED),
    Probe("open the ledger", "open(HOME + '/ledger.db', 'rb').read(16)", FENCED),
    Probe("open the ledger with SQLite", "import sqlite3; sqlite3.connect(HOME + '/ledger.db').execute('SELECT * FROM entry').fetchone()", FENCED),
    Probe("list the audit home", "import os; assert os.listdir(HOME + '/keys')", FENCED),
    Probe("replace a file of the audit home", MOVE.format("remembered.checkpoint"), FENCED, leaves=MOVED),
    Probe("replace the ledger", MOVE.format("ledger.db"), FENCED, leaves=MOVED),
    Probe("replace the ledger's log of writes", MOVE.format("ledger.db-wal"), FENCED, leaves=MOVED),
    Probe("read the server's token in `run/server.json`", "open(HOME + '/run/server.json').read()", FENCED),
    Probe("read the server's token in `jpserver-*.json`", "import pathlib; assert [p.read_text() for p in pathlib.Path(HOME, 'run').rglob('jpserver-*.json')]", FENCED),
    Probe("approve one's own request with that token, over REST", TOKEN + ASK + f"asked = ask('requests', {REQUEST}, Authorization='token ' + t)\nask('requests/' + asked['id'] + '/approve', {{}}, Authorization='token ' + t)", FENCED),
    Probe("the same without a token", "import json, urllib.request as u\n" + ASK + f"ask('requests', {REQUEST})", NOWHERE),
    Probe("connect to the server's port (network open)", "import socket, urllib.parse as p; u = p.urlsplit(URL); socket.create_connection((u.hostname, u.port), 5)", EVERYWHERE, "nothing is to be had there without a token"),
    Probe("read another kernel's connection file", "open(OTHER + '/connection.json').read()", (YES, YES, NO, NO, NO), "on `account` all kernels are the same account's"),
    Probe("connect to another kernel's sockets", "import socket; socket.socket(socket.AF_UNIX).connect(OTHER + '/c-1')", (YES, YES, YES, NO, NO), "its key is needed besides, and a permit"),
    Probe("connect to a socket that another program has in /tmp or /run", "import socket; socket.socket(socket.AF_UNIX).connect(SOCKET)", (YES, NO, YES, NO, NO), "tmux, a session bus or a container engine start processes for whoever asks"),
    Probe("connect to an abstract socket", "import socket; socket.socket(socket.AF_UNIX).connect(ABSTRACT)", (YES, YES, NO, YES, NO), "Landlock 6 on"),
    Probe("see other processes", "import os; os.stat(f'/proc/{SERVER}')", (YES, YES, YES, NO, NO)),
    Probe("read the server's environment", "open(f'/proc/{SERVER}/environ', 'rb').read(1)", FENCED),
    Probe("read the server's memory", "open(f'/proc/{SERVER}/mem', 'rb').seek(0)", PRIVILEGED),
    Probe("write the server's memory", "open(f'/proc/{SERVER}/mem', 'r+b').seek(0)", PRIVILEGED),
    Probe("reach the key through the server's /proc", "open(f'/proc/{SERVER}/root' + HOME + '/keys/ledger.key').read()", PRIVILEGED),
    Probe("attach a debugger to the server", TRACE, PRIVILEGED),
    Probe("signal the server", "import os; os.kill(SERVER, 0)", FENCED, "Landlock 6 on"),
    Probe("signal the supervisor", "import os; os.kill(SUPERVISOR, 0)", FENCED, "Landlock 6 on"),
    Probe("give the supervisor orders, over the server's pipe to it", "open(f'/proc/{SUPERVISOR}/fd/0', 'wb').close()", FENCED),
    Probe("limit the supervisor's CPU time until it is killed", "import resource; resource.prlimit(SUPERVISOR, resource.RLIMIT_CPU)", FENCED),
    Probe("kill the sandbox's own first process", "import os, time\nif os.getppid() == 1:\n    os.kill(1, 9); time.sleep(0.2)\nelse:\n    raise OSError('there is none')", (NO, NO, NO, YES, NO), "without effect: the kernel lives on"),
    Probe("write a startup file into the home folder", "import os; d = os.path.expanduser('~/.ipython/profile_default/startup'); os.makedirs(d, exist_ok=True); open(d + '/x.py', 'w').close()", FENCED, "no kernel runs it", leaves=".ipython/profile_default/startup/x.py"),
    Probe("write into the audit home", "open(HOME + '/run/startup.py', 'w').close()", FENCED, leaves="audit/run/startup.py"),
    Probe("write into the Python environment", "import os, sys; p = os.path.join(sys.prefix, 'jupyter-audit-probe'); open(p, 'w').close(); os.remove(p)", PRIVILEGED),
    Probe("change a setting of the system", "open('/proc/sys/kernel/core_pattern', 'a').close()", PRIVILEGED),
    Probe("read a raw disk", "import os, stat; disks = [e.path for e in os.scandir('/dev') if stat.S_ISBLK(e.stat().st_mode)]\nopen(disks[0], 'rb')", PRIVILEGED),
    Probe("read the system's log", "open('/dev/kmsg')", (DEPENDS, DEPENDS, NO, NO, NO)),
    Probe("mount a file system", LIBC + "assert libc.mount(b'none', b'/mnt', b'tmpfs', 0, None) == 0 and libc.umount(b'/mnt') == 0", PRIVILEGED),
    Probe("gain a capability as root", LIBC + "assert os.geteuid() == 0\nopen('owned', 'w').close(); os.chown('owned', 1, 1)", PRIVILEGED),
    Probe("have `cron` run something: write a crontab", "open('/var/spool/cron/crontabs/probe', 'x').close()", FENCED, leaves=SYSTEM + "spool/cron/crontabs/probe"),
    Probe("the same through /etc/cron.d", "open('/etc/cron.d/probe', 'x').close()", FENCED, leaves=SYSTEM + "cron.d/probe"),
    Probe("have `at` run something: write a job", "open('/var/spool/cron/atjobs/probe', 'x').close()", FENCED, leaves=SYSTEM + "spool/cron/atjobs/probe"),
    Probe("have the system's systemd run something, over the system bus", ASK_DAEMON.format("'/run/dbus/system_bus_socket'"), (YES, YES, YES, NO, NO), "it starts nothing for an ordinary account", leaves=SYSTEM + "run/dbus/system_bus_socket.asked"),
    Probe("have `systemd-run --user` run something, over the session bus", ASK_DAEMON.format("'/run/user/0/bus'"), (YES, NO, YES, NO, NO), leaves=SYSTEM + "run/user/0/bus.asked"),
    Probe("the same over the user's systemd's own socket", ASK_DAEMON.format("'/run/user/0/systemd/private'"), (YES, NO, YES, NO, NO), leaves=SYSTEM + "run/user/0/systemd/private.asked"),
    Probe("leave a unit for the user's systemd, or what a login runs", "import os; d = os.path.expanduser('~/.config/systemd/user'); os.makedirs(d, exist_ok=True); open(d + '/x.service', 'w').close(); open(os.path.expanduser('~/.profile'), 'a').close()", FENCED, leaves=".config/systemd/user/x.service"),
    Probe("read the server's log, with its token in it, through an inherited descriptor", INHERITED_LOG, NOWHERE),
    Probe("leave a program that runs as the server's account for whoever starts it (setuid)", "import os, shutil; shutil.copy('/bin/sh', 'setuid'); os.chmod('setuid', 0o4755); assert os.stat('setuid').st_mode & 0o4000", FENCED, filtered=True),
    Probe("create a file with that bit, for the Contents API to fill", "import os; assert os.fstat(os.open('setuid-2', os.O_CREAT | os.O_WRONLY, 0o4755)).st_mode & 0o4000", FENCED, filtered=True),
    Probe("call the system past the filter (io_uring)", LIBC + "assert libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0", PRIVILEGED, filtered=True),
    Probe("let other accounts into the audit home (chmod)", "import os; assert os.path.exists(HOME + '/keys'); os.chmod(HOME, 0o701); os.chmod(HOME, 0o700)", (YES, NO, YES, NO, NO), "Landlock does not see changes of modes; the server undoes it at once, and a finding says so"),
    Probe("learn sizes and times of files there", "import os; os.stat(HOME + '/keys/ledger.key')", (YES, NO, YES, NO, NO)),
    Probe("uncover the audit home, as root of a user namespace of one's own", UNCOVER, NOWHERE),
    Probe("reach the key through its own parent's /proc", "import os; open(f'/proc/{os.getppid()}/root' + HOME + '/keys/ledger.key').read()", FENCED),
    Probe("take a descriptor out of the server (pidfd_getfd)", LIBC + "fd = libc.syscall(434, SERVER, 0)\nassert fd >= 0 and libc.syscall(438, fd, 0, 0) >= 0", PRIVILEGED),
    Probe("slow the server down", "import os; os.setpriority(os.PRIO_PROCESS, SERVER, os.getpriority(os.PRIO_PROCESS, SERVER))", (YES, NO, DEPENDS, NO, NO), "refused where the server is root"),
    Probe("change what another program of the account has in /dev/shm", "open('/dev/shm/' + SHARED, 'r+b').write(b'x')", (YES, NO, YES, NO, NO)),
    Probe("attach another program's shared memory (System V)", LIBC + "libc.shmat.restype = ctypes.c_void_p\nat = libc.shmat(SEGMENT, None, 0)\nassert at != ctypes.c_void_p(-1).value\nlibc.shmdt(ctypes.c_void_p(at))", (YES, NO, YES, NO, NO)),
    # What must go on working.
    Probe("write beside the notebook", "open('probe.txt', 'w').write('x')", EVERYWHERE),
    Probe("use a temporary file", "import tempfile; tempfile.TemporaryFile().write(b'x')", EVERYWHERE),
    Probe("use a database beside the notebook", "import sqlite3; c = sqlite3.connect('probe.db'); c.execute('CREATE TABLE IF NOT EXISTS t (x)'); c.commit()", EVERYWHERE),
    Probe("start a process", "import subprocess; assert subprocess.run(['echo', 'x'], capture_output=True).stdout", EVERYWHERE),
    Probe("use several processes", "import concurrent.futures as f, math\nwith f.ProcessPoolExecutor(1) as p: assert p.submit(math.sqrt, 4).result() == 2", EVERYWHERE),
    Probe("draw with matplotlib", "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as p; p.plot([1, 2]); p.savefig('probe.png')", EVERYWHERE),
    Probe("use pandas", "import pandas; assert len(pandas.DataFrame({'a': [1]})) == 1", EVERYWHERE),
    Probe("listen on a local port (network open)", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()", EVERYWHERE),
)  # fmt: skip


DISK_PROBES = (
    Probe("fill the disk that the ledger is on", "import os\nf = os.open('filler', os.O_CREAT | os.O_WRONLY); os.posix_fallocate(f, 0, ROOM); os.close(f)", EVERYWHERE, "quotas are the file system's; see below"),
    Probe("run a cell then, which the ledger may have no room for", "open('ran-without-room', 'x').close()", NOWHERE, "the refusal is entered", leaves="work/ran-without-room"),
    Probe("fill it up, and live on", "import os\nf = os.open('filler', os.O_CREAT | os.O_WRONLY); os.posix_fallocate(f, 0, ROOM)", NOWHERE, "the session is ended, which is entered"),
)  # fmt: skip
"""Tried one after the other, and not with the others. ROOM are the bytes that leave less than is asked for, or than half of that."""

RUN = (
    "import asyncio, os, signal, subprocess, sys, threading, time\n"
    "job = [sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)', MARK]\n"
)
"""What each of LEFT begins with: a program that bears MARK, and ends by itself after ten minutes."""


@dataclass(frozen=True)
class Left:
    """
    One thing that a cell leaves behind, and what has become of it when the grant has ended.

    It finds MARK, and what RUN makes of it. Where it `beats`, it writes a file of that name again and again; else it is a
    process that has it on its command line.
    """

    name: str
    code: str
    beats: bool = False
    expected: Expected = (GONE, GONE, GONE, GONE, GONE)

    def on(self, rung: Rung) -> Result:
        return self.expected[RUNGS.index(rung)]


LEFT = (
    Left("a thread", "def beat(name=MARK):\n    while True:\n        open(name, 'w').close(); time.sleep(0.02)\nthreading.Thread(target=beat).start()", beats=True),
    Left("an asyncio task", "async def beat_too(name=MARK):\n    while True:\n        open(name, 'w').close(); await asyncio.sleep(0.02)\ntask = asyncio.get_running_loop().create_task(beat_too())", beats=True),
    Left("a child", "subprocess.Popen(job)"),
    Left("one that ignores every signal that can be ignored", "def deaf():\n    for n in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(n, signal.SIG_IGN)\nsubprocess.Popen(job, preexec_fn=deaf)"),
    Left("one in a session of its own (`setsid`)", "subprocess.Popen(['setsid', *job])"),
    Left("one under `nohup`, in the background of a shell that is gone", "subprocess.run(['sh', '-c', 'nohup \"$@\" >/dev/null 2>&1 &', 'sh', *job])"),
    Left("one without a trace of the session in its environment", "subprocess.Popen(job, start_new_session=True, env={})"),
    Left("a daemon (double fork)", "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: os.execve(job[0], job, {})\n    os._exit(0)"),
    Left("one that is stopped", "subprocess.Popen(job, start_new_session=True).send_signal(signal.SIGSTOP)"),
    Left("the orphan of a parent that collected orphans itself (a subreaper of its own)", "import ctypes\nif os.fork() == 0:\n    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n    if os.fork() == 0:\n        os.setsid(); os.execve(job[0], job, {})\n    time.sleep(600)"),
)  # fmt: skip


class Net(StrEnum):
    """A network policy on a rung."""

    OPEN = "open, any rung"
    FILTERED = "none, landlock"
    NONE = "none, bubblewrap"
    TARGETS = "named targets, bubblewrap"


@dataclass(frozen=True)
class NetProbe:
    """
    One attempt to use the network, and its result under each of `Net`.

    Besides the names above: NAME and PORT (a service that is a target), OTHER_PORT (one on the same host that is not), ADDRESS
    (a target by number).
    """

    name: str
    code: str
    expected: tuple[Result, Result, Result, Result]
    note: str = ""

    def under(self, net: Net) -> Result:
        return self.expected[list(Net).index(net)]


HELLO = "import socket\ndef hello(*a):\n    s = socket.create_connection(a, 5); s.sendall(b'me'); assert s.recv(9) == b'hello me', 'no answer'\n"

LO_99 = (
    "import fcntl, socket, struct\ns = socket.socket()\n"
    "fcntl.ioctl(s, 0x8916, struct.pack('16sHH4s8x', b'lo:99', 2, 0, bytes([10, 9, 8, 7])))\n"
    "fcntl.ioctl(s, 0x8914, struct.pack('16sH22x', b'lo:99', 0))"  # and down again, which removes it
)

NET_PROBES = (
    NetProbe("talk to a named target", HELLO + "hello(NAME, PORT)", (YES, NO, NO, YES)),
    NetProbe("talk to a target named by its address", HELLO + "hello(ADDRESS, PORT)", (YES, NO, NO, YES)),
    NetProbe("talk to another port of the same host", HELLO + "hello(NAME, OTHER_PORT)", (YES, NO, NO, NO)),
    NetProbe("talk to a service of this machine on 127.0.0.1", HELLO + "hello('127.0.0.1', OTHER_PORT)", (YES, NO, NO, NO)),
    NetProbe("connect to the server's port", "import socket, urllib.parse as p; u = p.urlsplit(URL); socket.create_connection((u.hostname, u.port), 5)", (YES, NO, NO, NO)),
    NetProbe("send a datagram, and get an answer", "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(5); s.connect((ADDRESS, OTHER_PORT)); s.send(b'me'); assert s.recv(9) == b'hello me'", (YES, NO, NO, NO)),
    NetProbe("open a raw socket", "import socket; socket.socket(type=socket.SOCK_RAW, proto=1)", (DEPENDS, NO, NO, NO)),
    NetProbe("set up an interface of one's own", LO_99, (DEPENDS, NO, NO, NO)),
    NetProbe("make a socket to the host of this virtual machine (AF_VSOCK)", "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", (DEPENDS, NO, NO, NO), "no namespace holds these"),
    NetProbe("listen on a port inside, and talk to it", "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())", (YES, NO, YES, YES)),
)  # fmt: skip
