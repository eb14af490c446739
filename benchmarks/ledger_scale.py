"""
What a ledger costs as it grows: verifying it, opening it, a proof from it, the memory of all that.

Verification is compared with the least that anybody could do: read the same rows through plain `sqlite3`, in one
process, and hash them with SHA-256. Both take turns on the same file. Opening a large ledger is compared with opening
one of a thousand entries. Memory is the largest of a process of its own, with all that it starts.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from ledger_append import BENCH, a_draft

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger, verify_ledger
from jupyter_audit.ledger.proving import prove_entry

SMALL = 1000
OPENINGS = 15
MIB = 1024 * 1024


def build(folder: Path, entries: int, batch: int) -> Home:
    """Make a ledger of so many entries, `batch` in a commit."""
    home = Home(folder)
    create_ledger(home, clock=SystemClock(), actor=BENCH)
    with open_ledger(home, clock=SystemClock()) as ledger:
        for start in range(1, entries, batch):
            ledger.append([a_draft(number) for number in range(start, min(start + batch, entries))])
    return home


def read_and_hash(home: Home) -> None:
    """Read every row of the ledger, and hash it."""
    connection = sqlite3.connect(home.ledger)
    for raw, note in connection.execute("SELECT raw, note FROM entry ORDER BY seq"):
        sha256(raw.encode()).digest()
        if note is not None:
            sha256(note.encode()).digest()
    for *_, data in connection.execute("SELECT id, name, salt, encoding, data FROM content ORDER BY id"):
        sha256(data).digest()
    connection.close()


def verify(home: Home) -> None:
    """Verify the ledger with its key."""
    verify_ledger(home.ledger, verifier_keys=[home.verifier_key.read_text()])


def processor_seconds() -> float:
    """Return the processor time that this process and those it has ended took."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds(act: Callable[[], object]) -> tuple[float, float]:
    """Return how long `act` took, and how much processor time, which other people's work on the machine does not change."""
    began, used = time.perf_counter(), processor_seconds()
    act()
    return time.perf_counter() - began, processor_seconds() - used


def open_and_close(home: Home) -> float:
    """Return the seconds until a ledger is open for appending."""
    began = time.perf_counter()
    ledger = open_ledger(home, clock=SystemClock())
    took = time.perf_counter() - began
    ledger.close()
    return took


def memory(home: Home) -> float:
    """Return the most memory in MiB that a process needs to verify, or the largest of those that it starts."""
    command = [sys.executable, __file__, "--verify-only", str(home.path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def verify_only(home: Home) -> None:
    """Verify, and print the memory that it took: the main process and the largest worker, in MiB."""
    verify(home)
    print(sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024 / MIB)


def proof_bytes(home: Home) -> int:
    """Return the size of the file that proves one entry in the middle."""
    with LedgerReader.open(home.ledger) as reader:
        return len(prove_entry(reader, reader.size() // 2, with_contents=False))


def report(entries: int, batch: int, home: Home, small: Home, rounds: int) -> None:
    """Measure one ledger, and print a line for each thing."""
    pairs = [(seconds(lambda: read_and_hash(home)), seconds(lambda: verify(home))) for _ in range(rounds)]
    (read, read_cpu), (ours, our_cpu) = ([statistics.median(pair[side][i] for pair in pairs) for i in (0, 1)] for side in (0, 1))
    ratio = statistics.median(pair[0][0] / pair[1][0] for pair in pairs)
    size = home.ledger.stat().st_size
    print(f"{entries:,} entries in commits of {batch}: {size / MIB:,.0f} MiB, {size // entries} bytes an entry")
    print(f"  read and hash   {read:8.2f} s  {entries / read:11,.0f} entries a second, {read_cpu:.2f} s of processor time")
    print(f"  verify          {ours:8.2f} s  {entries / ours:11,.0f} entries a second, {our_cpu:.2f} s of processor time")
    print(f"  ratio           {ratio:8.2f}    at least 0.50", flush=True)
    opened = [(open_and_close(home), open_and_close(small)) for _ in range(OPENINGS)]
    large_ms, small_ms = (statistics.median(pair[side] for pair in opened) * 1000 for side in (0, 1))
    ratio = statistics.median(large / little for large, little in opened)
    print(f"  open            {large_ms:8.2f} ms {small_ms:11.2f} ms with {SMALL:,}  ratio {ratio:.2f}   about 1", flush=True)
    print(f"  verify's memory {memory(home):8.0f} MiB {memory(small):10.0f} MiB with {SMALL:,}")
    print(f"  proof of one    {proof_bytes(home):8,} bytes {proof_bytes(small):7,} bytes with {SMALL:,}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="entries of the large ledger (default: 100000)")
    parser.add_argument("--batch", type=int, action="append", help="entries in a commit, repeatable (default: 64 and 1)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of reading and of verifying (default: 3)")
    parser.add_argument("--folder", help="where to make the ledgers (default: a temporary folder)")
    parser.add_argument("--verify-only", metavar="HOME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.verify_only:
        verify_only(Home(Path(options.verify_only)))
        return
    with tempfile.TemporaryDirectory(prefix="jupyter-audit-bench-", dir=options.folder) as name:
        small = build(Path(name) / "small", SMALL, 64)
        for batch in options.batch or (64, 1):
            home = build(Path(name) / f"large-{batch}", options.entries, batch)
            report(options.entries, batch, home, small, options.rounds)


if __name__ == "__main__":
    main()
