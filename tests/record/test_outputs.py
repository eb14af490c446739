"""What is kept of a cell's output: counts and kinds in the entry, digests and the first part in the content."""

from __future__ import annotations

import hmac
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.ledger.canonical import canonicalize
from jupyter_audit.record.outputs import MOST_OUTPUTS, OutputSummary


def details(summary: OutputSummary) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(summary.contents()["outputs"].data)
    return loaded


def test_a_silent_cell_has_no_content() -> None:
    summary = OutputSummary(100)
    assert not summary
    assert summary.facts() == []
    assert summary.contents() == {}


def test_the_entry_says_sizes_and_the_content_says_text() -> None:
    summary = OutputSummary(100)
    summary.add("stream", {"name": "stdout", "text": "secret\nline"})
    assert summary.facts() == [
        {"output": "stream:stdout", "mime": "text/plain", "bytes": 11, "lines": 2, "rows": None, "cut": False}
    ]
    assert "secret" not in json.dumps(summary.facts())
    assert details(summary)["outputs"][0]["preview"] == "secret\nline"


@given(st.lists(st.text(max_size=50), min_size=1, max_size=20), st.integers(0, 60))
def test_however_a_stream_is_split_its_summary_is_the_same(pieces: list[str], keep: int) -> None:
    whole = "".join(pieces).encode("utf-8", "replace")
    summary = OutputSummary(keep)
    for piece in pieces:
        summary.add("stream", {"name": "stdout", "text": piece})
    detail = details(summary)
    [output] = detail["outputs"]
    expected = hmac.new(bytes.fromhex(detail["salt"]), b"".join(p.encode("utf-8", "replace") for p in pieces), "sha256")
    assert output["digest"] == "hmac-sha256:" + expected.hexdigest()
    assert output["bytes"] == len(whole)
    assert output["lines"] == whole.count(b"\n") + (1 if whole and not whole.endswith(b"\n") else 0)
    assert output["cut"] == (len(whole) > keep)


def test_the_digest_of_a_short_output_cannot_be_guessed_without_its_salt() -> None:
    first, second = OutputSummary(10), OutputSummary(10)
    for summary in (first, second):
        summary.add("stream", {"name": "stdout", "text": "yes"})
    assert details(first)["outputs"][0]["digest"] != details(second)["outputs"][0]["digest"]


def test_a_large_output_is_cut_and_said_to_be() -> None:
    summary = OutputSummary(8)
    summary.add("stream", {"name": "stdout", "text": "x" * 1_000_000})
    [output] = details(summary)["outputs"]
    assert (output["bytes"], output["preview"], output["cut"]) == (1_000_000, "x" * 8, True)


def test_a_cell_with_very_many_outputs_is_bounded() -> None:
    summary = OutputSummary(10)
    for _ in range(MOST_OUTPUTS + 50):
        summary.add("display_data", {"data": {"text/plain": "a"}})
    assert summary.facts()[-1]["count"] == 50
    assert len(summary.facts()) == MOST_OUTPUTS + 1


def test_rows_of_a_cut_data_frame_are_those_it_says_it_has() -> None:
    summary = OutputSummary(100)
    html = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>"
    summary.add("execute_result", {"data": {"text/html": html, "text/plain": "   a\n0  1\n\n[50000 rows x 1 columns]"}})
    assert {fact["rows"] for fact in summary.facts()} == {50000}


def test_rows_of_a_small_table_are_counted_without_its_head() -> None:
    summary = OutputSummary(100)
    html = "<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>1</td></tr><tr><td>2</td></tr></tbody></table>"
    summary.add("display_data", {"data": {"text/html": html, "text/plain": "a"}})
    assert {fact["rows"] for fact in summary.facts()} == {2}


TEXTS = st.text() | st.just("\ud800")  # JSON has a spelling for lone surrogates, too
VALUES = st.recursive(st.none() | st.booleans() | st.floats() | TEXTS, lambda x: st.lists(x) | st.dictionaries(TEXTS, x))
BUNDLES = st.dictionaries(st.sampled_from(["text/plain", "text/html"]) | TEXTS, VALUES | st.just("<table><tr>"))


@given(
    st.sampled_from(["stream", "display_data", "execute_result", "error", "comm_msg", "clear_output"]),
    st.dictionaries(st.sampled_from(["name", "text", "ename", "evalue", "traceback"]), VALUES),
    BUNDLES | VALUES,
)
def test_whatever_a_kernel_publishes_is_summarised_without_an_error(msg_type: str, content: dict[str, Any], data: Any) -> None:
    summary = OutputSummary(100)
    summary.add(msg_type, content | {"data": data})
    canonicalize({"outputs": summary.facts(), "error": summary.error})  # so the ledger takes them
    for made in summary.contents().values():
        json.loads(made.data)
