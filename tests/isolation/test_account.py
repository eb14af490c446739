"""Kernels under another account, alone (the rung `account`) and inside of each sandbox: what they reach, and that they end."""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from isolation_house import ACCOUNT, MARKS
from nacl.signing import SigningKey
from support.servers import wait_for

from jupyter_audit.access.terms import Rung
from jupyter_audit.errors import ConfigError, NotStartedError
from jupyter_audit.gate import supervisor
from jupyter_audit.gate.isolation import account_of, probe
from jupyter_audit.gate.launch import (
    SITE,
    LaunchTerms,
    Supervised,
    make_session_folder,
    marked,
    session_environment,
    sessions_folder,
)
from jupyter_audit.gate.pids import counts_by_namespace

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="NOT AVAILABLE HERE: only root may switch accounts")

RUNGS = [pytest.param(Rung.ACCOUNT, id="account")] + [
    pytest.param(rung, marks=MARKS[rung], id=rung.value) for rung in (Rung.LANDLOCK, Rung.BUBBLEWRAP_LANDLOCK)
]


def interpreter() -> str:
    """Return a Python that the account can run, with this package: the way into namespaces needs one."""
    account = account_of(ACCOUNT)
    code = f"import sys; sys.path.append({str(SITE)!r}); import jupyter_audit.gate.enter"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        command = [python, "-I", "-S", "-c", code]
        try:
            subprocess.run(command, check=True, cwd="/", user=account.uid, group=account.gid, extra_groups=(), capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip(f"NOT AVAILABLE HERE: no Python and no {SITE} that the account {ACCOUNT} may read")


@pytest.fixture(params=RUNGS)
def terms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[LaunchTerms]:
    rung: Rung = request.param
    if rung.has_bubblewrap:
        monkeypatch.setattr("sys.executable", interpreter())
    # Not in pytest's own folder, which no other account may enter.
    with tempfile.TemporaryDirectory(prefix="jupyter-audit-test-") as made:
        base = Path(made)
        base.chmod(0o755)
        home, work = base / "home", base / "work"
        home.mkdir(mode=0o700)
        work.mkdir()
        work.chmod(0o777)
        (home / "key").write_text("secret")
        folder, session = sessions_folder(home / "sessions", ACCOUNT), f"s-{uuid.uuid4().hex[:12]}"
        terms = LaunchTerms(
            session=session, verify_key=SigningKey.generate().verify_key, environment=("PATH",),
            session_dir=folder / session, rung=rung, hidden=(home, folder), writable=(work,), grace_seconds=5.0,
            account=ACCOUNT,
        )  # fmt: skip
        make_session_folder(terms)
        (folder / "s-other").mkdir(mode=0o700)
        yield terms
        subprocess.run(["rm", "-rf", folder], check=True)


def run(terms: LaunchTerms, script: str) -> tuple[Supervised, list[str]]:
    """Run a shell script on these terms to its end; return what it wrote."""
    [work] = terms.writable
    told = f"{{ {script}\n}} > {work}/said 2>&1; mv {work}/said {work}/done"
    supervised = Supervised.start(
        terms, ["/bin/sh", "-c", told], environment=session_environment(terms, os.environ), folder=str(work)
    )
    wait_for((work / "done").exists, "the script to end")
    return supervised, (work / "done").read_text().splitlines()


@ROOT
def test_another_account_reaches_nothing_of_the_servers(terms: LaunchTerms) -> None:
    home = terms.hidden[0]
    server, supervisor = os.getpid(), os.getpid()
    probes = {
        "key": f"cat {home}/key", "home": f"ls {home}", "other sessions": f"ls {terms.session_dir.parent} | grep other",
        "environment": f"cat /proc/{server}/environ", "memory": f"head -c1 /proc/{server}/mem", "kill": f"kill -0 {supervisor}",
        "own folder": f"touch {terms.session_dir}/tmp/x", "notebooks": "touch here", "root": "[ $(id -u) = 0 ]",
    }
    if not terms.rung.has_bubblewrap:  # inside, the parent is bubblewrap's own init, which a signal does not end
        probes["supervisor"] = "kill -0 $PPID"  # fmt: skip
    script = "\n".join(f"({attempt}) >/dev/null 2>&1 && echo '{name}'" for name, attempt in probes.items())
    supervised, reached = run(terms, script + "\nid -un\nid -Gn")
    assert reached == ["own folder", "notebooks", ACCOUNT, *reached[3:]]
    assert "root" not in reached[3].split()
    supervised.process.wait(timeout=60)


KEEPCAPS, AMBIENT, RAISE = 8, 47, 2  # prctl(2)
SWITCHING = (0, 1, 5, 6, 7)


def become_a_server_that_may_switch_accounts() -> None:
    """As systemd starts it with User= and AmbientCapabilities=."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(65533, 65533, 65533)
    os.setresuid(65533, 65533, 65533)
    few = sum(1 << capability for capability in SWITCHING)
    assert libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", few, few, few, 0, 0, 0)) == 0
    for capability in SWITCHING:
        assert libc.prctl(AMBIENT, RAISE, capability, 0, 0) == 0


@ROOT
@pytest.mark.parametrize("account", [ACCOUNT, ""], ids=["another account", "the server's account"])
def test_no_kernel_has_the_capabilities_of_a_server_that_may_switch_accounts(account: str) -> None:
    """Found by trial: on the rung `account` a cell read the audit home and became root."""
    inside = {"landlock": False, "sandboxed": False, "filter": False, "processes": 0, "offered": []}
    with tempfile.TemporaryDirectory(prefix="jupyter-audit-test-") as made:
        Path(made).chmod(0o777)
        said = Path(made) / "said"
        command = ["/bin/sh", "-c", f"grep -e ^Uid -e ^Cap /proc/self/status > {said}"]
        terms = {"account": asdict(account_of(account)) if account else None, "inside": inside, "terminal": None, "outer": []}
        reading, begun = os.pipe()
        child = os.fork()
        if child == 0:
            become_a_server_that_may_switch_accounts()
            supervisor._become_kernel(command, terms | {"begun": begun}, -1, (), os.getppid())
        os.close(begun)
        assert os.read(reading, 1000) == b"+"
        os.close(reading)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        status = dict(line.split(":\t") for line in said.read_text().splitlines())
    assert int(status["Uid"].split()[1]) == (account_of(account).uid if account else 65533)
    assert [int(status[kind], 16) for kind in ("CapEff", "CapPrm", "CapAmb")] == [0, 0, 0]


@pytest.fixture
def crontab() -> Iterator[tuple[Path, Path]]:
    """A program that may write, for everybody, what only its group may: as `crontab` is, and `at`. And the folder."""
    with tempfile.TemporaryDirectory(prefix="jupyter-audit-test-") as made:
        Path(made).chmod(0o755)
        program, spool = Path(made) / "crontab", Path(made) / "spool"
        shutil.copy("/usr/bin/touch", program)
        spool.mkdir()
        for path, mode in ((program, 0o2755), (spool, 0o1730)):
            os.chown(path, 0, GROUP)
            path.chmod(mode)
        yield program, spool


GROUP = 1
"""A group that the account is not in: Debian's daemon."""


@ROOT
def test_a_program_that_runs_as_another_group_gives_another_account_nothing(
    crontab: tuple[Path, Path], terms: LaunchTerms
) -> None:
    """On the rung `account` a cell could leave a job with `crontab` or `at`, which run it after the grant."""
    program, spool = crontab
    entry = account_of(ACCOUNT)
    plain = [str(program), str(spool / "plain")]
    subprocess.run(plain, check=False, cwd="/", user=entry.uid, group=entry.gid, extra_groups=(), capture_output=True)
    if not (spool / "plain").exists():
        pytest.skip("NOT AVAILABLE HERE: this file system knows no programs that run as another group")
    supervised, said = run(terms, f"{program} {spool}/job && echo written")
    assert "written" not in said
    assert not (spool / "job").exists()
    supervised.process.wait(timeout=60)


@ROOT
def test_a_session_that_starts_processes_without_end_comes_to_its_own_limit_and_no_other_does(terms: LaunchTerms) -> None:
    if not (terms.rung.has_bubblewrap and counts_by_namespace()):
        pytest.skip("NOT AVAILABLE HERE: this rung, or this Linux, does not count processes session by session")
    others = [subprocess.Popen(["sleep", "60"], user=account_of(ACCOUNT).uid) for _ in range(MOST)]
    limited, [work] = dataclasses.replace(terms, processes=MOST), terms.writable
    bomb = f"(i=0; while [ $i -lt {2 * MOST} ]; do sleep 60 & i=$((i+1)); : > {work}/number-$i; done); : > {work}/done"
    supervised = Supervised.start(
        limited, ["/bin/sh", "-c", bomb], environment=session_environment(terms, os.environ), folder=str(work)
    )
    wait_for((work / "done").exists, "the shell to be refused another process")
    asyncio.run(supervised.end())
    for other in others:
        other.kill()
        other.wait()
    assert MOST // 2 < len(list(work.glob("number-*"))) < MOST


MOST = 30


@ROOT
def test_what_another_account_left_behind_is_killed_with_its_session(terms: LaunchTerms) -> None:
    mark = f"31{uuid.uuid4().int % 10**9}"
    supervised, _ = run(terms, f"setsid env -i sleep {mark} & (setsid sh -c 'sleep {mark} &')\nsleep 0.2")
    asyncio.run(supervised.end())
    supervised.process.wait(timeout=60)
    supervised.read_result()
    assert supervised.outcome is not None
    assert supervised.outcome.clean
    assert subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True, check=False).stdout == b""


@ROOT
def test_a_process_of_another_account_does_not_outlive_its_supervisor(terms: LaunchTerms) -> None:
    [work] = terms.writable
    supervised = Supervised.start(
        terms, ["/bin/sh", "-c", f"touch {work}/begun; sleep 600"], environment=session_environment(terms, os.environ), folder=str(work)
    )
    wait_for((work / "begun").exists, "the process to run")
    asyncio.run(supervised.begun())
    supervised.process.kill()
    supervised.process.wait(timeout=60)
    supervised.read_result()  # what it left behind is the server's to kill
    assert supervised.outcome is not None
    assert supervised.outcome.clean
    assert marked(terms.session) == []


@ROOT
def test_a_program_that_another_account_may_not_run_is_said_to_be(terms: LaunchTerms) -> None:
    program = terms.hidden[0] / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    supervised = Supervised.start(terms, [str(program)], environment=session_environment(terms, os.environ), folder="/")
    with pytest.raises(NotStartedError, match=r"could not be run: (Permission denied|No such file)"):
        asyncio.run(supervised.begun())
    asyncio.run(supervised.end())


@ROOT
def test_an_account_that_cannot_run_the_servers_python_is_refused_before_any_kernel_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels would die one by one, each with a message that only the log shows."""
    (tmp_path / "python").touch(mode=0o700)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(ConfigError, match="cannot run") as caught:
        probe("auto", ACCOUNT)
    assert "/opt" in caught.value.advice


@pytest.mark.parametrize(("name", "wrong"), [("no-such-account", "no account of this machine"), ("root", "which is root")])
def test_an_account_that_would_be_no_fence_is_refused(name: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as caught:
        probe("auto", name)
    assert caught.value.advice


def test_the_rung_account_without_an_account_is_refused() -> None:
    with pytest.raises(ConfigError, match="no account for kernels is named"):
        probe("account")
