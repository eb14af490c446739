"""
`make bench`: the audited server against a plain one, in one run on one machine, in turn.

Prints medians and 95th percentiles and their ratios. Absolute times say more about the machine than about
the product; the ratios are what docs/performance.md quotes.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import Server, audited_server, plain_server, start_kernel

Pair = tuple[list[float], list[float]]
"""Seconds taken: plain, audited."""


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def row(name: str, plain: list[float], audited: list[float], aim: str) -> None:
    """Print one comparison: median and 95th percentile in milliseconds, and the ratios."""
    for label, pick in (("median", statistics.median), ("p95", lambda values: percentile(values, 0.95))):
        a, b = pick(plain) * 1000, pick(audited) * 1000
        print(f"{name:<34} {label:<7} {a:9.2f} {b:9.2f} {b / a:7.2f}   {aim if label == 'median' else ''}")


def measure_cells(plain: Server, audited: Server, rounds: int, cells: int) -> Pair:
    """Return the latencies of a trivial cell on each side, measured in alternating blocks."""
    clients = [start_kernel(server)[1] for server in (plain, audited)]
    taken: Pair = ([], [])
    for client in clients:
        for _ in range(20):
            client.run("1")
    for turn in range(rounds):
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        for side in order:
            taken[side].extend(clients[side].run("1") for _ in range(cells))
    return taken


def measure_starts(plain: Server, audited: Server, rounds: int) -> Pair:
    """Return the times from asking for a kernel to its being ready, on each side in turn."""
    taken: Pair = ([], [])
    for turn in range(rounds + 1):
        for side, server in enumerate((plain, audited)):
            kernel_id, client, took = start_kernel(server)
            client.socket.close()
            server.request("DELETE", f"/api/kernels/{kernel_id}")
            if turn:  # the first start of each side warms the disk cache
                taken[side].append(took)
    return taken


OPENS = "for _ in range(1000): open(os.__file__, 'rb').close()"


def measure_opens(plain: Server, audited: Server, rounds: int) -> Pair:
    """Return the times of a cell that opens a file a thousand times, on each side in turn: what a sandbox may cost."""
    clients = [start_kernel(server)[1] for server in (plain, audited)]
    taken: Pair = ([], [])
    for client in clients:
        client.run("import os")
        client.run(OPENS)
    for _ in range(rounds):
        for side, client in enumerate(clients):
            taken[side].append(client.run(OPENS))
    return taken


LINES = 10_000
STREAM = f"for number in range({LINES}): print(number, flush=True)"


def measure_streams(plain: Server, audited: Server, rounds: int) -> Pair:
    """Return the stream messages a second of a cell that prints ten thousand lines, each flushed, on each side in turn."""
    clients = [start_kernel(server)[1] for server in (plain, audited)]
    expected = "".join(f"{number}\n" for number in range(LINES))
    rates: Pair = ([], [])
    for turn in range(rounds + 1):
        for side, client in enumerate(clients):
            took = client.run(STREAM)
            if "".join(client.printed) != expected:
                raise RuntimeError(f"not all of {LINES} lines came, or not in order")
            if turn:  # the first turn warms up
                rates[side].append(client.streams / took)
    return rates


def measure(folder: Path, options: argparse.Namespace) -> tuple[Pair, Pair, Pair, Pair]:
    """Return kernel starts, cell latencies, opens and stream rates, each plain and audited, with both servers up at once."""
    with plain_server(folder / "plain") as plain, audited_server(folder / "audited") as audited:
        starts = measure_starts(plain, audited, options.starts)
        cells = measure_cells(plain, audited, options.rounds, options.cells)
        opens = measure_opens(plain, audited, options.rounds)
        return starts, cells, opens, measure_streams(plain, audited, options.streams)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="blocks of cells on each side")
    parser.add_argument("--cells", type=int, default=50, help="cells in a block")
    parser.add_argument("--starts", type=int, default=8, help="kernel starts on each side")
    parser.add_argument("--streams", type=int, default=5, help="cells that print 10,000 lines, on each side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jupyter-audit-bench-") as folder:
        starts, cells, opens, streams = measure(Path(folder), options)
    print(f"{'':<34} {'':<7} {'plain ms':>9} {'audit ms':>9} {'ratio':>7}   aim")
    row("trivial cell over the websocket", *cells, aim="<= 1.10")
    row("kernel start until it answers", *starts, aim="<= 1.50")
    row("opening 1,000 files in a cell", *opens, aim="<= 3.00")
    a, b = (statistics.median(rates) for rates in streams)
    ratio = statistics.median(ours / theirs for theirs, ours in zip(*streams, strict=True))
    print(f"\n{'stream messages a second, of 10,000':<42} {a:9.0f} {b:9.0f} {ratio:7.2f}   >= 0.90\n", flush=True)
    for script in ("ledger_append.py", "ledger_scale.py"):
        subprocess.run([sys.executable, str(Path(__file__).with_name(script))], check=True)


if __name__ == "__main__":
    main()
