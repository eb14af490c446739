"""
Entries appended in a second, against raw SQLite storing the very same rows with the same durability.

The raw side is two plain tables with the same rows (the entry's text, its hash and its checkpoint, and its content
beside it), WAL, synchronous=FULL, one commit for each batch, all rows made beforehand. It does not
hash, sign, index, compute or check anything. Both sides take turns on the same disk, each turn in a new file,
so that neither profits from the other's caches. The server makes the ledger's write-ahead log as long as it gets before it
appends; what that would do for raw SQLite is shown beside it. What the callers' hand-over takes by itself is shown below:
tasks that await futures which another thread settles, and the same through the server's recorder with nothing behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jupyter_audit.clock import SystemClock
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.ledger.store import extend_log
from jupyter_audit.model import Actor, Content, Draft, Json
from jupyter_audit.record.recorder import Recorder

BENCH = Actor("somebody", "bench")
LINES = (
    "orders = pd.read_sql('SELECT * FROM orders WHERE placed > :since', shop, params={'since': since})",
    "late = orders[orders.shipped.isna() & (orders.placed < today - timedelta(days=14))]",
    "late.groupby('warehouse').size().sort_values(ascending=False).head(20)",
    "for order in late.itertuples():",
    "    print(order.id, order.customer, order.warehouse, order.placed.isoformat())",
    "prices = shop.execute('SELECT sku, price, currency FROM price WHERE valid_to IS NULL').fetchall()",
)


def a_draft(number: int) -> Draft:
    """Return a draft as the gate makes it for a cell of about ten lines."""
    rng = random.Random(number)
    code = "\n".join(rng.choice(LINES).replace("20", str(rng.randrange(1000))) for _ in range(10))
    body: dict[str, Json] = {
        "kernel_id": f"{rng.getrandbits(128):032x}",
        "msg_id": f"{rng.getrandbits(128):032x}_{number}",
        "channel": "shell",
        "cell": f"{rng.getrandbits(128):032x}",
        "lines": 10,
        "silent": False,
        "store_history": True,
        "canary": False,
    }
    return Draft(
        "cell.admitted",
        body,
        actor=BENCH,
        grant=f"g-{number // 500:012x}",
        session=f"s-{number // 100:012x}",
        contents={"message": Content(code.encode(), "application/json")},
    )


def ledger_seconds(folder: Path, drafts: list[Draft], batch: int) -> float:
    """Return the seconds that a new ledger takes to append `drafts`, `batch` in a commit."""
    home = Home(folder)
    create_ledger(home, clock=SystemClock(), actor=BENCH)
    with open_ledger(home, clock=SystemClock()) as ledger:
        ledger.make_room()  # as the server's recorder does
        began = time.perf_counter()
        for start in range(0, len(drafts), batch):
            ledger.append(drafts[start : start + batch])
        return time.perf_counter() - began


def callers_seconds(folder: Path, drafts: list[Draft], callers: int) -> float:
    """Return the seconds in which so many callers of the server's recorder append `drafts`, each its next when one is durable."""
    home = Home(folder)
    create_ledger(home, clock=SystemClock(), actor=BENCH)
    return recorder_seconds(lambda: open_ledger(home, clock=SystemClock()), drafts, callers)


class Nothing:
    """A ledger that keeps nothing."""

    def make_room(self) -> None:
        """Do nothing."""

    def append(self, drafts: Sequence[Draft]) -> Sequence[Draft]:
        """Return what came."""
        return drafts

    def close(self) -> None:
        """Do nothing."""


def recorder_seconds(open_it: Callable[[], Any], drafts: list[Draft], callers: int) -> float:
    """Return the seconds in which so many callers hand `drafts` to a recorder of what `open_it` opens."""
    recorder = Recorder(open_it)

    async def call(share: list[Draft]) -> None:
        for draft in share:
            await recorder.store([draft]).future

    async def all_of_them() -> float:
        await recorder.store([a_draft(-1)]).future  # it is open, and has made room
        began = time.perf_counter()
        await asyncio.gather(*(call(drafts[start::callers]) for start in range(callers)))
        return time.perf_counter() - began

    try:
        return asyncio.run(all_of_them())
    finally:
        recorder.close()


def hand_over_seconds(count: int, callers: int) -> float:
    """Return the seconds in which so many tasks await `count` futures in all, settled together by another thread: no recorder."""

    async def all_of_them() -> float:
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[None]] = []

        def settle(futures: list[asyncio.Future[None]]) -> None:
            for future in futures:
                future.set_result(None)

        async def call() -> None:
            for _ in range(count // callers):
                future = loop.create_future()
                waiting.append(future)
                if len(waiting) == callers:
                    thread.submit(loop.call_soon_threadsafe, settle, waiting.copy())
                    waiting.clear()
                await future

        began = time.perf_counter()
        await asyncio.gather(*(call() for _ in range(callers)))
        return time.perf_counter() - began

    with ThreadPoolExecutor(1) as thread:
        return asyncio.run(all_of_them())


def rows_of(folder: Path) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the entry and content rows that a ledger stored."""
    with sqlite3.connect(Home(folder).ledger) as connection:
        entries = connection.execute("SELECT seq, leaf, note, raw FROM entry ORDER BY seq").fetchall()[1:]
        contents = connection.execute("SELECT seq, name, salt, encoding, data FROM content ORDER BY id").fetchall()
    connection.close()
    return entries, contents


def raw_seconds(
    path: Path, entries: list[tuple[Any, ...]], contents: list[tuple[Any, ...]], batch: int, *, extended: bool = False
) -> float:
    """Return the seconds that raw SQLite takes to insert the same rows, `batch` in a commit; with its log `extended` before."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL, note TEXT, raw TEXT NOT NULL)")
    connection.execute(
        "CREATE TABLE content (seq INTEGER, name TEXT, salt BLOB, encoding TEXT, data BLOB, "
        "PRIMARY KEY (seq, name)) WITHOUT ROWID"
    )
    if extended:
        extend_log(path.with_name(f"{path.name}-wal"))
    began = time.perf_counter()
    for start in range(0, len(entries), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?)", entries[start : start + batch])
        connection.executemany("INSERT INTO content VALUES (?, ?, ?, ?, ?)", contents[start : start + batch])
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default: 7)")
    parser.add_argument("--entries", type=int, default=640, help="entries in a turn (default: 640)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jupyter-audit-bench-") as name:
        folder = Path(name)
        for batch, factor, callers, aim in ((1, 1, 0, 0.75), (64, 10, 0, 0.50), (64, 10, 64, 0.50)):
            drafts = [a_draft(number) for number in range(options.entries * factor)]
            measured: list[tuple[float, float, float]] = []
            size = 0
            for turn in range(options.rounds + 1):
                place = folder / f"{batch}-{callers}-{turn}"
                ours = callers_seconds(place, drafts, callers) if callers else ledger_seconds(place, drafts, batch)
                entries, contents = rows_of(place)
                size = sum(len(row[3]) for row in entries) + sum(len(row[4]) for row in contents)
                raw = raw_seconds(place.with_suffix(".db"), entries, contents, batch)
                extended = raw_seconds(place.with_suffix(".extended.db"), entries, contents, batch, extended=True)
                if turn:  # the first turn warms up
                    measured.append((raw, extended, ours))
            count = len(drafts)
            if batch == 1:
                print(f"entries a second; an entry with its content has {size // count} bytes")
                print(f"{'':<24}{'raw':>9}{'ledger':>9}{'ratio':>8}   {'aim':<15}{'raw, log extended':>18}{'ratio':>8}")
            raw_rate, extended_rate, our_rate = (count / statistics.median(times) for times in zip(*measured, strict=True))
            ratio = statistics.median(raw / ours for raw, _, ours in measured)
            ratio_extended = statistics.median(extended / ours for _, extended, ours in measured)
            label = f"{callers} concurrent callers" if callers else f"in commits of {batch}"
            line = f"{label:<24}{raw_rate:9.0f}{our_rate:9.0f}{ratio:8.2f}   {aim:.2f} at least  "
            print(f"{line}{extended_rate:18.0f}{ratio_extended:8.2f}", flush=True)
        takes = [
            ("hand-over alone", [hand_over_seconds(count, callers) for _ in range(options.rounds)]),
            ("recorder alone", [recorder_seconds(Nothing, drafts, callers) for _ in range(options.rounds)]),
        ]
        for label, times in takes:
            print(f"{f'{callers} callers, {label}':<33}{count / statistics.median(times):9.0f}", flush=True)


if __name__ == "__main__":
    main()
