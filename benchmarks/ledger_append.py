"""
Entries appended in a second against raw SQLite with the same durability: same disk, same row sizes, in turn.

The raw side is the fastest thing that keeps the same promise of durability and none of the others: one table,
WAL, synchronous=FULL, one commit for each batch.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.model import Actor, Content, Draft

CODE = b'{"code":"' + b"frame = read(orders)\\n" * 40 + b'"}'


def a_draft(number: int) -> Draft:
    """Return a draft the size of an ordinary cell's."""
    body = {"kernel_id": "k" * 36, "msg_id": f"{number:032d}", "channel": "shell", "cell": "c" * 36, "lines": 40,
            "silent": False, "store_history": True, "canary": False}
    contents = {"message": Content(CODE, "application/json")}
    return Draft("cell.admitted", body, actor=Actor("somebody", "bench"), grant="g-0123456789ab",
                 session="s-0123456789ab", contents=contents)


def raw_seconds(path: Path, commits: int, batch: int, row: bytes) -> float:
    """Return the seconds that raw SQLite takes for `commits` commits of `batch` rows."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS entry (seq INTEGER PRIMARY KEY, raw BLOB NOT NULL)")
    began = time.perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO entry (raw) VALUES (?)", [(row,)] * batch)
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took


def ledger_seconds(home: Home, commits: int, batch: int) -> float:
    """Return the seconds that the ledger takes for `commits` appends of `batch` entries."""
    drafts = [a_draft(number) for number in range(batch)]
    ledger = open_ledger(home, clock=SystemClock())
    began = time.perf_counter()
    for _ in range(commits):
        ledger.append(drafts)
    took = time.perf_counter() - began
    ledger.close()
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jupyter-audit-bench-") as folder:
        home = Home(Path(folder) / "audit")
        create_ledger(home, clock=SystemClock(), actor=Actor("somebody", "bench"))
        ledger = open_ledger(home, clock=SystemClock())
        [entry] = ledger.append([a_draft(0)])
        (stored,) = ledger.connection.execute("SELECT max(length(data)) FROM content").fetchone()
        ledger.close()
        row = os.urandom(len(entry.raw) + stored)
        print(f"entries a second, rows of {len(row)} bytes ({len(entry.raw)} entry, {stored} content)")
        print(f"{'':<34} {'':<7} {'raw':>9} {'ledger':>9} {'ratio':>7}   aim")
        for batch, commits, aim in ((1, 400, ">= 0.75"), (64, 40, ">= 0.50")):
            rates: tuple[list[float], list[float]] = ([], [])
            for turn in range(options.rounds + 1):
                raw = raw_seconds(Path(folder) / "raw.db", commits, batch, row)
                ours = ledger_seconds(home, commits, batch)
                if turn:  # the first turn of each warms up
                    rates[0].append(commits * batch / raw)
                    rates[1].append(commits * batch / ours)
            raw_rate, our_rate = (statistics.median(rate) for rate in rates)
            ratio = statistics.median(ours / raw for raw, ours in zip(*rates, strict=True))
            print(f"{f'appends of {batch}':<34} {'median':<7} {raw_rate:9.0f} {our_rate:9.0f} {ratio:7.2f}   {aim}")


if __name__ == "__main__":
    main()
