"""
Make a web shop's production database to debug: `python notebooks/shop shop.db`.

What it is for: `make lab` and the tests need a database that looks like somebody's production (50,000 orders
over half a year, with the rhythm of days and weeks, campaigns, failed payments, returns, late parcels, a
support inbox) and holds one fault that takes an engineer some cells to find. Everybody in it is made up:
names are drawn from lists, addresses end in example.org.

It needs Python's standard library alone, asks neither the clock nor the network, and writes nothing but the
file it was told to, which it replaces only with --force. One seed, one day, one number of orders: one file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is to be written beside these files

from make_shop import LAST_DAY, ORDERS, SEED, make_shop


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description="Make a web shop's database with one planted fault.")
    parser.add_argument("target", type=Path, help="the SQLite file to make")
    parser.add_argument("--orders", type=int, default=ORDERS, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="one seed, one shop (default: %(default)s)")
    parser.add_argument(
        "--until",
        type=date.fromisoformat,
        default=LAST_DAY,
        metavar="DAY",
        help="the last day with orders, as YYYY-MM-DD (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    options = parser.parse_args(arguments)
    try:
        make_shop(
            options.target,
            orders=options.orders,
            seed=options.seed,
            last_day=options.until,
            force=options.force,
        )
    except (OSError, ValueError, OverflowError) as error:
        print(f"shop: {error}", file=sys.stderr)
        return 1
    size = options.target.stat().st_size / 1e6
    print(f"{options.target}: {options.orders:,} orders up to {options.until}, {size:.1f} MB")
    return 0


sys.exit(main())
