"""The engineer's notebook runs to its end on an ordinary kernel, and its conclusion is right."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "investigation.ipynb"


@pytest.fixture(scope="module")
def executed(shop: Path) -> dict[str, Any]:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = shop.stat().st_mtime_ns
    where = {"metadata": {"path": shop.parent}}
    NotebookClient(notebook, kernel_name="python3", timeout=60, resources=where).execute()
    assert shop.stat().st_mtime_ns == before
    assert [path.name for path in shop.parent.iterdir()] == ["shop.db"]
    return {cell["id"]: cell for cell in notebook.cells if cell.cell_type == "code"}


def text_of(cell: Any, mime: str = "text/plain") -> str:
    return "".join(output["data"].get(mime, "") for output in cell.outputs if "data" in output)


def cents(text: str) -> int:
    return int(text.replace(",", "").replace(".", ""))


def test_no_outputs_are_committed_and_it_asks_for_the_audited_kernel() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "audit"
    assert not [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")]


def test_the_first_cell_says_how_to_ask_for_access() -> None:
    first = nbformat.read(NOTEBOOK, as_version=4).cells[0].source
    for expected in (
        "Audit panel",
        "/audit/panel",
        "jupyter audit request",
        "jupyter audit approve",
        "SHOP-1042",
    ):
        assert expected in first


def test_the_connection_cannot_write(shop: Path) -> None:
    source = next(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell["id"] == "open")
    assert '"file:shop.db?mode=ro", uri=True' in source
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        sqlite3.connect(f"file:{shop}?mode=ro", uri=True).execute("DELETE FROM orders")


def test_the_chart_shows_something(executed: dict[str, Any]) -> None:
    assert text_of(executed["when"], "image/png")


def test_the_conclusion_names_the_fault(executed: dict[str, Any]) -> None:
    told = text_of(executed["harm"], "text/markdown")
    for expected in ("checkout 4.10.0", "**NL**", "coupon", "several parcels", "Next step: runbook"):
        assert expected in told


def test_the_conclusions_numbers_are_those_of_the_database(executed: dict[str, Any], shop: Path) -> None:
    sql = """
        WITH parcel AS (
            SELECT order_id, parcel, vat_bp, sum(quantity * unit_net_cents - discount_cents) AS net
            FROM order_items GROUP BY 1, 2, 3
        ), excess AS (
            SELECT o.id, o.vat_cents - sum((p.net * p.vat_bp + 5000) / 10000) AS cents
            FROM orders o JOIN parcel p ON p.order_id = o.id GROUP BY o.id HAVING cents > 5
        )
        SELECT count(*), sum(cents), sum(max(0, cents - coalesce(
            (SELECT sum(amount_cents) FROM payments WHERE order_id = excess.id AND kind = 'refund'), 0)))
        FROM excess
    """
    with sqlite3.connect(shop) as connection:
        orders, excess, owed = connection.execute(sql).fetchone()
    told = text_of(executed["harm"], "text/markdown")
    row = r"\| (Orders affected|Charged too much|Still owed)[^|]*\| \*\*(?:€ )?([\d.,]+)\*\*"
    numbers = dict(re.findall(row, told))
    assert int(numbers["Orders affected"]) == orders
    # The notebook rounds each line, the shop each parcel: a cent or so for each order.
    assert abs(cents(numbers["Charged too much"]) - excess) <= 2 * orders
    assert abs(cents(numbers["Still owed"]) - owed) <= 2 * orders


def test_the_mechanism_is_predicted_to_the_cent(executed: dict[str, Any]) -> None:
    row = text_of(executed["mechanism"]).splitlines()[-1].split()
    assert row[:3] == ["since", "the", "release"]
    assert row[3] == row[4] == row[5]
