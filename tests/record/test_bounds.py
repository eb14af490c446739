"""Nothing is cut silently: what does not fit is said, and its whole is kept or digested."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.errors import LedgerError
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.drafts import MOST_CODE, contents_of, is_too_large
from jupyter_audit.model import Draft
from jupyter_audit.record.bounds import ENTRY_CAP, WHOLE, bounded, cap
from jupyter_audit.record.capture import Capture
from jupyter_audit.record.outputs import MOST_OUTPUTS, OutputSummary
from jupyter_audit.record.recorder import DROPPED, MOST_OWED, Recorder


@given(st.text(), st.integers(1, 30))
def test_a_text_that_was_cut_says_so(text: str, most: int) -> None:
    shown = bounded(text, most)
    assert len(shown) <= most
    assert shown.endswith("…") if len(text) > most else len(shown) == len(text)


JSON = st.recursive(
    st.text(max_size=60_000) | st.integers(-1000, 1000) | st.none(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=20).filter(lambda name: name != "cut"), JSON, max_size=6))
def test_a_body_over_the_cap_keeps_its_whole_in_a_content_and_names_what_was_cut(body: dict[str, Any]) -> None:
    capped = cap(Draft("kernel.report", body))
    size = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    if size <= ENTRY_CAP // 2:
        assert capped.body == body
    if WHOLE in capped.contents:
        assert json.loads(capped.contents[WHOLE].data) == body
        assert len(json.dumps(capped.body, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")) <= ENTRY_CAP
        assert {name for name in body if capped.body[name] != body[name]} <= set(capped.body["cut"])  # type: ignore[arg-type]
    else:
        assert capped.body == body


def test_a_body_of_many_entries_is_capped() -> None:
    capped = cap(Draft("finding.raised", {"entries": list(range(100_000)), "title": "x"}))
    assert capped.body["entries"] == list(range(20))
    assert capped.body["cut"] == ["entries"]
    assert json.loads(capped.contents[WHOLE].data)["entries"][-1] == 99_999


def message(msg_type: str, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> ClientMessage:
    return ClientMessage("shell", {"msg_id": "m", "msg_type": msg_type}, {}, {}, content, buffers)


@pytest.mark.parametrize("msg_type", ["execute_request", "debug_request", "input_reply", "comm_msg", "complete_request"])
def test_what_can_run_code_is_kept_whole_or_too_large_to_be_admitted(msg_type: str) -> None:
    code = "x" * (MOST_CODE - 100)
    whole = message(msg_type, {"code": code})
    assert not is_too_large(whole)
    assert json.loads(contents_of(whole)["message"].data) == {"code": code}

    larger = message(msg_type, {"code": code + "x" * 200})
    assert is_too_large(larger)
    cut = json.loads(contents_of(larger)["message"].data)
    assert (cut["cut"], cut["bytes"], len(cut["sha256"])) == (True, MOST_CODE + 100 + len('{"code":""}'), 64)


def test_outputs_beyond_those_kept_one_by_one_are_measured_and_digested() -> None:
    def digest_of(last: str) -> tuple[Any, Any]:
        summary = OutputSummary(10)
        summary._salt = bytes(16)
        summary._more.salt = bytes(16)
        summary._more.__post_init__()
        for _ in range(MOST_OUTPUTS):
            summary.add("display_data", {"data": {"text/plain": "a"}})
        for text in ("four", last):
            summary.add("display_data", {"data": {"text/plain": text}})
            summary.add("stream", {"name": "stdout", "text": "\n"})
        held = json.loads(summary.contents()["outputs"].data)["outputs"]
        return summary.facts()[-1], held[-1]["digest"]

    facts, digest = digest_of("more")
    assert (facts["count"], facts["bytes"], facts["cut"]) == (3, 10, True)
    assert digest != digest_of("less")[1]


def test_a_kernels_report_says_that_it_was_cut() -> None:
    capture = Capture("s-1", "k-1", 100, "audit_report")
    content = {"report": "r" * 200, **{f"k{number}": "v" * 600 for number in range(25)}}
    [draft] = capture.observe("audit_report", {}, content, 0.0).drafts
    detail = draft.body["detail"]
    assert isinstance(detail, dict)
    assert str(draft.body["report"]).endswith("…")
    assert detail["k1"].endswith("…")  # type: ignore[union-attr]
    assert detail["…"] == "5 more"


# --- the recorder ---------------------------------------------------------------------------------


class Failing:
    """A ledger that stores nothing as long as it is told to fail."""

    def __init__(self) -> None:
        self.fails = True
        self.stored: list[Draft] = []

    def append(self, drafts: Sequence[Draft]) -> list[Any]:
        if self.fails:
            raise LedgerError("the disk is full")
        self.stored += drafts
        return list(drafts)

    def transact(self, decide: Callable[[Any], Sequence[Draft]]) -> list[Any]:
        return self.append(decide(self))

    def make_room(self) -> None: ...

    def close(self) -> None: ...


def test_what_was_owed_is_stored_before_the_recorder_closes() -> None:
    ledger = Failing()
    recorder = Recorder(lambda: ledger)  # type: ignore[arg-type, return-value]
    recorder.owe(Draft("cell.finished", {"number": 1}))
    with pytest.raises(Exception, match="disk is full"):
        recorder.record(Draft("cell.admitted", {})).result(10)
    ledger.fails = False
    recorder.close()
    assert [draft.type for draft in ledger.stored] == ["cell.finished"]


def test_what_had_to_be_dropped_is_counted_by_type() -> None:
    ledger = Failing()
    recorder = Recorder(lambda: ledger)  # type: ignore[arg-type, return-value]
    for number in range(MOST_OWED + 3):
        recorder.owe(Draft("cell.late_output", {"number": number}))
    with pytest.raises(Exception, match="disk is full"):
        recorder.record(Draft("cell.admitted", {})).result(10)
    ledger.fails = False
    recorder.record(Draft("cell.admitted", {})).result(10)
    recorder.close()
    [gap] = [draft for draft in ledger.stored if draft.type == "gap.recorded"]
    assert gap.body == {"what": DROPPED, "detail": {"count": 3, "types": {"cell.late_output": 3}}}
