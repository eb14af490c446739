"""docs/rest-api.md says what openapi.yaml says."""

from __future__ import annotations

import re
from pathlib import Path

from web_house import description

from jupyter_audit import errors
from jupyter_audit.server.problems import CODES

DOCS = Path(__file__).parents[3] / "docs" / "rest-api.md"
BETWEEN = re.compile(r"(<!-- operations:.*?-->\n)(.*?)(<!-- end of operations -->)", re.DOTALL)


def operations() -> str:
    """Return the table of operations, as it must stand in the docs."""
    lines = [
        f"| {method.upper()} | `{path[1:]}` | {item[method]['summary']} |"
        for path, item in description()["paths"].items()
        for method in ("get", "post")
        if method in item
    ]
    return "\n".join(["| | | |", "|---|---|---|", *lines]) + "\n"


def test_the_table_of_operations_is_the_described_one() -> None:
    found = BETWEEN.search(DOCS.read_text(encoding="utf-8"))
    assert found is not None
    assert found[2] == operations(), "put the table that this test expects into docs/rest-api.md"


def test_every_code_of_an_error_that_the_docs_name_is_there() -> None:
    known = set(CODES.values()) | {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AuditError)
    }
    sentence = re.search(r"`code` is for programs:(.*?)\n- ", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert sentence is not None
    assert set(re.findall(r"`([a-z_]+)`", sentence[1])) <= known
