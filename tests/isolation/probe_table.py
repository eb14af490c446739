"""
What code in a cell can reach, rung by rung: one table, from which the tests and docs/threat-model.md are made.

Each probe is a cell that raises where it is refused. It finds these names: HOME (the audit home), SERVER and SUPERVISOR
(process ids), OWN (its session), OTHER (another kernel's folder), URL (the server), SOCKET and ABSTRACT (what another
program of the account listens on).
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


NO, YES, DEPENDS = Result.REFUSED, Result.SUCCEEDS, Result.DEPENDS
RUNGS = (Rung.NONE, Rung.LANDLOCK, Rung.BUBBLEWRAP, Rung.BUBBLEWRAP_LANDLOCK)


@dataclass(frozen=True)
class Probe:
    """
    One attempt and its result on each of RUNGS; `note` is said beside it in the table.

    `leaves` is a file, in the folder above the notebooks, that shows whether the attempt really came to anything: inside
    of a sandbox it may only seem to.
    """

    name: str
    code: str
    expected: tuple[Result, Result, Result, Result]
    note: str = ""
    leaves: str = ""

    def on(self, rung: Rung) -> Result:
        return self.expected[RUNGS.index(rung)]


FENCED = (YES, NO, NO, NO)
"""What only a kernel without any fence can do."""

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
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

PROBES = (
    Probe("read the signing key", "open(HOME + '/keys/ledger.key').read()", FENCED),
    Probe("open the ledger", "open(HOME + '/ledger.db', 'rb').read(16)", FENCED),
    Probe("open the ledger with SQLite", "import sqlite3; sqlite3.connect(HOME + '/ledger.db').execute('SELECT * FROM entry').fetchone()", FENCED),
    Probe("list the audit home", "import os; assert os.listdir(HOME + '/keys')", FENCED),
    Probe("replace a file of the audit home", "import os; os.rename(HOME + '/remembered.checkpoint', HOME + '/x'); os.rename(HOME + '/x', HOME + '/remembered.checkpoint')", FENCED),
    Probe("read the server's token in `run/server.json`", "open(HOME + '/run/server.json').read()", FENCED),
    Probe("read the server's token in `jpserver-*.json`", "import pathlib; assert [p.read_text() for p in pathlib.Path(HOME, 'run').rglob('jpserver-*.json')]", FENCED),
    Probe("approve one's own request with that token, over REST", TOKEN + ASK + f"asked = ask('requests', {REQUEST}, Authorization='token ' + t)\nask('requests/' + asked['id'] + '/approve', {{}}, Authorization='token ' + t)", FENCED),
    Probe("the same without a token", "import json, urllib.request as u\n" + ASK + f"ask('requests', {REQUEST})", (NO, NO, NO, NO)),
    Probe("connect to the server's port (network open)", "import socket, urllib.parse as p; u = p.urlsplit(URL); socket.create_connection((u.hostname, u.port), 5)", (YES, YES, YES, YES), "nothing is to be had there without a token"),
    Probe("read another kernel's connection file", "open(OTHER + '/connection.json').read()", FENCED),
    Probe("connect to another kernel's sockets", "import socket; socket.socket(socket.AF_UNIX).connect(OTHER + '/c-1')", (YES, YES, NO, NO), "its key is needed besides, and a permit"),
    Probe("connect to a socket that another program has in /tmp or /run", "import socket; socket.socket(socket.AF_UNIX).connect(SOCKET)", (YES, YES, NO, NO), "tmux, a session bus or a container engine start processes for whoever asks"),
    Probe("connect to an abstract socket", "import socket; socket.socket(socket.AF_UNIX).connect(ABSTRACT)", (YES, NO, YES, NO), "Landlock 6 on"),
    Probe("see other processes", "import os; os.stat(f'/proc/{SERVER}')", (YES, YES, NO, NO)),
    Probe("read the server's environment", "open(f'/proc/{SERVER}/environ', 'rb').read(1)", (YES, DEPENDS, NO, NO)),
    Probe("read the server's memory", "open(f'/proc/{SERVER}/mem', 'rb').seek(0)", (DEPENDS, NO, NO, NO)),
    Probe("write the server's memory", "open(f'/proc/{SERVER}/mem', 'r+b').seek(0)", (DEPENDS, NO, NO, NO)),
    Probe("reach the key through the server's /proc", "open(f'/proc/{SERVER}/root' + HOME + '/keys/ledger.key').read()", (DEPENDS, NO, NO, NO)),
    Probe("attach a debugger to the server", TRACE, (DEPENDS, NO, NO, NO)),
    Probe("signal the server", "import os; os.kill(SERVER, 0)", FENCED, "Landlock 6 on"),
    Probe("signal the supervisor", "import os; os.kill(SUPERVISOR, 0)", FENCED, "Landlock 6 on"),
    Probe("limit the supervisor's CPU time until it is killed", "import resource; resource.prlimit(SUPERVISOR, resource.RLIMIT_CPU)", FENCED),
    Probe("kill the sandbox's own first process", "import os, time\nif os.getppid() == 1:\n    os.kill(1, 9); time.sleep(0.2)\nelse:\n    raise OSError('there is none')", (NO, NO, YES, NO), "without effect: the kernel lives on"),
    Probe("write a startup file into the home folder", "import os; d = os.path.expanduser('~/.ipython/profile_default/startup'); os.makedirs(d, exist_ok=True); open(d + '/x.py', 'w').close()", FENCED, "no kernel runs it", leaves=".ipython/profile_default/startup/x.py"),
    Probe("write into the audit home", "open(HOME + '/run/startup.py', 'w').close()", FENCED, leaves="audit/run/startup.py"),
    Probe("write into the Python environment", "import os, sys; p = os.path.join(sys.prefix, 'jupyter-audit-probe'); open(p, 'w').close(); os.remove(p)", FENCED),
    Probe("change a setting of the system", "open('/proc/sys/kernel/core_pattern', 'a').close()", (DEPENDS, NO, NO, NO)),
    Probe("read a raw disk or the system's log", "import glob; [open(p, 'rb') for p in glob.glob('/dev/[svn][dv]*')] or open('/dev/kmsg')", (DEPENDS, NO, NO, NO)),
    Probe("mount a file system", LIBC + "assert libc.mount(b'none', b'/mnt', b'tmpfs', 0, None) == 0 and libc.umount(b'/mnt') == 0", (DEPENDS, NO, NO, NO)),
    Probe("gain a capability as root", LIBC + "assert os.geteuid() == 0\nopen('owned', 'w').close(); os.chown('owned', 1, 1)", (DEPENDS, NO, NO, NO)),
    Probe("have `at` run something later", "import subprocess; subprocess.run(['at', 'now + 1 hour'], input=b'true', check=True)", (DEPENDS, NO, NO, NO)),
    Probe("write a crontab", "import subprocess; subprocess.run(['crontab', '-'], input=b'', check=True)", (DEPENDS, NO, NO, NO)),
    Probe("have `systemd-run --user` run something", "import subprocess; subprocess.run(['systemd-run', '--user', 'true'], check=True)", (DEPENDS, DEPENDS, NO, NO)),
    # What must go on working.
    Probe("write beside the notebook", "open('probe.txt', 'w').write('x')", (YES, YES, YES, YES)),
    Probe("use a temporary file", "import tempfile; tempfile.TemporaryFile().write(b'x')", (YES, YES, YES, YES)),
    Probe("use a database beside the notebook", "import sqlite3; c = sqlite3.connect('probe.db'); c.execute('CREATE TABLE IF NOT EXISTS t (x)'); c.commit()", (YES, YES, YES, YES)),
    Probe("start a process", "import subprocess; assert subprocess.run(['echo', 'x'], capture_output=True).stdout", (YES, YES, YES, YES)),
    Probe("use several processes", "import concurrent.futures as f, math\nwith f.ProcessPoolExecutor(1) as p: assert p.submit(math.sqrt, 4).result() == 2", (YES, YES, YES, YES)),
    Probe("draw with matplotlib", "import matplotlib; matplotlib.use('agg'); import matplotlib.pyplot as p; p.plot([1, 2]); p.savefig('probe.png')", (YES, YES, YES, YES)),
    Probe("use pandas", "import pandas; assert len(pandas.DataFrame({'a': [1]})) == 1", (YES, YES, YES, YES)),
    Probe("listen on a local port (network open)", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()", (YES, YES, YES, YES)),
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

NET_PROBES = (
    NetProbe("talk to a named target", HELLO + "hello(NAME, PORT)", (YES, NO, NO, YES)),
    NetProbe("talk to a target named by its address", HELLO + "hello(ADDRESS, PORT)", (YES, NO, NO, YES)),
    NetProbe("talk to another port of the same host", HELLO + "hello(NAME, OTHER_PORT)", (YES, NO, NO, NO)),
    NetProbe("talk to a service of this machine on 127.0.0.1", HELLO + "hello('127.0.0.1', OTHER_PORT)", (YES, NO, NO, NO)),
    NetProbe("connect to the server's port", "import socket, urllib.parse as p; u = p.urlsplit(URL); socket.create_connection((u.hostname, u.port), 5)", (YES, NO, NO, NO)),
    NetProbe("send a datagram", "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', (ADDRESS, OTHER_PORT + 1))", (YES, NO, NO, DEPENDS), "under named targets one to a target's address reaches nobody"),
    NetProbe("open a raw socket", "import socket; socket.socket(type=socket.SOCK_RAW, proto=1)", (DEPENDS, NO, NO, NO)),
    NetProbe("set up an interface of one's own", "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8916, struct.pack('16sHH4s8x', b'lo:99', 2, 0, bytes([10, 9, 8, 7])))", (DEPENDS, NO, NO, NO)),
    NetProbe("listen on a port inside, and talk to it", "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())", (YES, NO, YES, YES), "the debugger needs it: on landlock with the network closed there is none"),
)  # fmt: skip
