"""The shop's database: what it promises, and one fault in exactly the orders that it should be in."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
from make_shop import make_shop
from shop_facts import DAYS

SCRIPT = Path(__file__).parents[2] / "notebooks" / "shop"

CHARGED = """
    SELECT o.id, o.country, o.coupon_code, o.parcels, o.placed_at, o.vat_cents,
           sum((i.net * i.vat_bp + 5000) / 10000) AS vat
    FROM orders o JOIN (
        SELECT order_id, parcel, vat_bp, sum(quantity * unit_net_cents - discount_cents) AS net
        FROM order_items GROUP BY order_id, parcel, vat_bp
    ) i ON i.order_id = o.id GROUP BY o.id
"""


@pytest.fixture(scope="module")
def connection(shop: Path) -> sqlite3.Connection:
    opened = sqlite3.connect(f"file:{shop}?mode=ro", uri=True)
    opened.row_factory = sqlite3.Row
    return opened


def one(connection: sqlite3.Connection, sql: str) -> int:
    (value,) = connection.execute(sql).fetchone()
    return int(value or 0)


def test_it_has_the_size_of_a_small_production_database(connection: sqlite3.Connection) -> None:
    assert one(connection, "SELECT count(*) FROM orders") == 50_000
    assert one(connection, "SELECT count(DISTINCT date(placed_at)) FROM orders") == DAYS
    assert one(connection, "SELECT count(*) FROM customers") > 10_000
    assert one(connection, "SELECT count(*) FROM deployments") > 20


def test_every_reference_leads_somewhere(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_nobody_in_it_exists(connection: sqlite3.Connection) -> None:
    assert one(connection, "SELECT count(*) FROM customers WHERE email NOT LIKE '%@example.org'") == 0


def test_evenings_and_sundays_are_busier(connection: sqlite3.Connection) -> None:
    hours = dict(
        connection.execute("SELECT strftime('%H', placed_at), count(*) FROM orders GROUP BY 1").fetchall()
    )
    assert hours["20"] > 10 * hours["03"]
    days = dict(
        connection.execute("SELECT strftime('%w', placed_at), count(*) FROM orders GROUP BY 1").fetchall()
    )
    assert days["0"] > days["6"]


def test_payments_add_up_to_the_orders(connection: sqlite3.Connection) -> None:
    sql = """
        SELECT count(*) FROM orders o WHERE total_cents <> (
            SELECT sum(amount_cents) FROM payments
            WHERE order_id = o.id AND kind = 'charge' AND status = 'captured'
        ) OR total_cents <> goods_net_cents - discount_cents + vat_cents + shipping_cents
    """
    assert one(connection, sql) == 0
    refunded = """
        SELECT count(*) FROM (
            SELECT o.total_cents, sum(p.amount_cents) AS back
            FROM orders o JOIN payments p ON p.order_id = o.id
            WHERE p.kind = 'refund' GROUP BY o.id HAVING back > o.total_cents
        )
    """
    assert one(connection, refunded) == 0


def test_the_fault_is_in_all_orders_of_its_kind_and_in_no_other(connection: sqlite3.Connection) -> None:
    release = "SELECT deployed_at FROM deployments WHERE service = 'checkout' AND version = '4.10.0'"
    (since,) = connection.execute(release).fetchone()
    wrong = 0
    for order in connection.execute(CHARGED):
        of_its_kind = (
            order["country"] == "NL"
            and order["coupon_code"] is not None
            and order["parcels"] > 1
            and order["placed_at"] >= since
        )
        excess = order["vat_cents"] - order["vat"]
        assert (excess > 20) == of_its_kind, dict(order)
        assert of_its_kind or excess == 0, dict(order)
        wrong += of_its_kind
    assert 100 < wrong < 400


def test_it_took_no_longer_than_somebody_waits(tmp_path: Path) -> None:
    begun = time.process_time()
    make_shop(tmp_path / "shop.db", orders=10_000)
    assert time.process_time() - begun < 5


def test_one_seed_makes_one_shop(tmp_path: Path) -> None:
    def digest(name: str, **options: object) -> str:
        make_shop(tmp_path / name, orders=2000, **options)
        return hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()

    assert digest("a.db") == digest("b.db") != digest("c.db", seed=7)
    digest("d.db", last_day=date(2027, 3, 31))
    with sqlite3.connect(tmp_path / "d.db") as connection:
        assert connection.execute("SELECT max(date(placed_at)) FROM orders").fetchone()[0] == "2027-03-31"


@pytest.mark.parametrize("seed", range(3))
def test_every_seed_has_the_fault_and_complaints(tmp_path: Path, seed: int) -> None:
    make_shop(tmp_path / "shop.db", orders=20_000, seed=seed)
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        linked = connection.execute("SELECT count(*) FROM support_tickets WHERE linked_issue = 'SHOP-1042'")
        assert linked.fetchone()[0] >= 5


def test_it_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    target = tmp_path / "shop.db"
    target.write_text("precious")
    command = [sys.executable, "-I", str(SCRIPT), str(target), "--orders", "50"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "exists already; --force replaces it" in refused.stderr
    assert target.read_text() == "precious"
    assert subprocess.run([*command, "--force"], capture_output=True, check=False).returncode == 0
    assert target.read_bytes().startswith(b"SQLite format 3")
    assert [path.name for path in tmp_path.iterdir()] == ["shop.db"]


@pytest.mark.parametrize(
    "arguments", [["--orders", "0"], ["--until", "yesterday"], ["--until", "0001-01-01"], ["--seed", "x"]]
)
def test_what_it_cannot_make_it_refuses_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "shop.db"), *arguments]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode in (1, 2)
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []
