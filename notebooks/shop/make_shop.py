"""Writes a shop's database into a file, whole or not at all."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from shop_facts import COUNTRIES
from shop_schema import INDEXES, SCHEMA
from shop_story import Rows, Shop

LAST_DAY = date(2026, 11, 22)
ORDERS = 50_000
SEED = 1042


def make_shop(
    target: Path,
    *,
    orders: int = ORDERS,
    seed: int = SEED,
    last_day: date = LAST_DAY,
    force: bool = False,
) -> None:
    """
    Write the shop's database to `target`, whole or not at all.

    Raises `FileExistsError` if there is something already and `force` is false, `ValueError` for fewer
    than one order.
    """
    if orders < 1:
        raise ValueError(f"a shop needs at least one order, got {orders}")
    if target.exists() and not force:
        raise FileExistsError(f"{target} exists already; --force replaces it")
    rows = Shop(orders=orders, seed=seed, last_day=last_day).draw()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        draft = Path(folder) / target.name
        connection = sqlite3.connect(draft)
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        about = (
            ("what", "A made-up web shop. Nobody in it exists."),
            ("seed", str(seed)),
            ("last_day", str(last_day)),
        )
        connection.executemany("INSERT INTO about VALUES (?, ?)", about)
        for statement, values in _inserts(rows):
            connection.executemany(statement, values)
        connection.commit()
        connection.executescript(INDEXES + "PRAGMA journal_mode = DELETE;")
        connection.close()
        draft.replace(target)


def _inserts(rows: Rows) -> Iterator[tuple[str, Sequence[tuple[object, ...]]]]:
    """Yield each table's insert statement with its rows, referenced tables first."""
    countries = [
        (c.code, c.name, c.standard_bp, c.reduced_bp, c.price_list, c.shipping_cents) for c in COUNTRIES
    ]
    yield "INSERT INTO countries VALUES (?, ?, ?, ?, ?, ?)", countries
    yield "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)", rows.customers
    yield "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?)", rows.products
    yield "INSERT INTO coupons VALUES (?, ?, ?, ?)", rows.coupons
    yield "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows.orders
    yield "INSERT INTO order_items VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.order_items
    yield "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows.payments
    yield "INSERT INTO shipments VALUES (?, ?, ?, ?, ?, ?, ?)", rows.shipments
    yield "INSERT INTO deployments VALUES (?, ?, ?, ?, ?, ?)", rows.deployments
    yield "INSERT INTO config_changes VALUES (?, ?, ?, ?, ?, ?, ?)", rows.config_changes
    yield "INSERT INTO support_tickets VALUES (?, ?, ?, ?, ?, ?, ?)", rows.support_tickets
