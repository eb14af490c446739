"""Verification streams: a ledger that is ten times as long takes no more memory."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_story import SetClock, a_draft

from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.model import Actor

PEAK = """
import sys
from pathlib import Path
from jupyter_audit.ledger.verify import verify_ledger
home = Path(sys.argv[1])
report = verify_ledger(home / "ledger.db", verifier_keys=[(home / "keys" / "ledger.vkey").read_text()], workers=1)
(line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
print(report.entries, line.split()[1])
"""
# Not getrusage(2): what it says begins with what the parent took. SQLite's own check runs in another process, which maps the file.
MARGIN = 8 * 1024
"""KiB, a third of the longer ledger's file."""


def peak(folder: Path, clock: SetClock, entries: int) -> int:
    home = Home(folder / f"home{entries}")
    create_ledger(home, clock=clock, actor=Actor("root", "test"))
    with open_ledger(home, clock=clock) as ledger:
        for start in range(0, entries, 500):
            # Random, so that compression does not make the file smaller than the memory that may be taken.
            ledger.append([a_draft(n, code=random.Random(n).randbytes(700).hex()) for n in range(start, start + 500)])
    assert home.ledger.stat().st_size > entries * 1000
    done = subprocess.run([sys.executable, "-c", PEAK, str(home.path)], capture_output=True, text=True, check=True)
    verified, most = map(int, done.stdout.split())
    assert verified == entries + 1
    return most


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process's memory is read from /proc")
def test_memory_does_not_grow_with_the_ledger(tmp_path: Path, clock: SetClock) -> None:
    assert peak(tmp_path, clock, 20_000) < peak(tmp_path, clock, 2_000) + MARGIN
