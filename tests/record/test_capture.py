"""Every message that was sent comes to an end in the ledger, and nothing that was not sent goes unnoticed."""

from __future__ import annotations

from typing import Any

import pytest

from jupyter_audit.model import Draft
from jupyter_audit.record.capture import (
    LATE_FLUSH,
    MORE_REPORTS,
    MOST_REPORTS,
    NOT_BEGUN,
    NOT_BEGUN_S,
    REPLY_WAIT,
    Capture,
    Observed,
    Sent,
)
from jupyter_audit.record.kinds import NEVER_BEGUN
from jupyter_audit.record.outputs import OutputSummary

PARENT = {"msg_id": "m1", "msg_type": "execute_request"}


@pytest.fixture
def capture() -> Capture:
    return Capture("s-1", "k-1", 100, "audit_report")


def send(capture: Capture, msg_id: str = "m1", msg_type: str = "execute_request", admitted: int = 7) -> None:
    capture.sent(
        Sent(msg_id, msg_type, admitted, "g-1", {"msg_id": msg_id}, since=10.0, outputs=OutputSummary(100))
    )


def status(capture: Capture, state: str, now: float, parent: dict[str, Any] | None = None) -> Observed:
    return capture.observe("status", parent or PARENT, {"execution_state": state}, now)


def one(observed: Observed) -> Draft:
    [draft] = observed.drafts
    return draft


def test_a_cell_ends_when_it_is_idle_and_replied(capture: Capture) -> None:
    send(capture)
    assert status(capture, "busy", 10.1) == Observed()
    capture.observe("stream", PARENT, {"name": "stdout", "text": "hi"}, 10.2)
    assert status(capture, "idle", 10.5) == Observed()
    draft = one(capture.replied("m1", "ok", "", 10.6))
    assert (draft.type, draft.grant, draft.session) == ("cell.finished", "g-1", "s-1")
    assert draft.body["status"] == "ok"
    assert draft.body["duration_ms"] == 500
    assert draft.body["admitted"] == 7
    assert draft.body["complete"] is True
    assert draft.body["reported_by"] == "kernel"
    assert capture.running() == []


def test_the_wait_behind_other_cells_is_told_apart_from_the_run(capture: Capture) -> None:
    for msg_id in ("m1", "m2"):
        send(capture, msg_id)
    bodies = []
    for msg_id, begin, end in (("m1", 10.0, 13.0), ("m2", 13.0, 13.5)):
        status(capture, "busy", begin, {"msg_id": msg_id, "msg_type": "execute_request"})
        capture.replied(msg_id, "ok", "", end)
        bodies.append(one(status(capture, "idle", end, {"msg_id": msg_id, "msg_type": "execute_request"})).body)
    assert [(body["waited_ms"], body["duration_ms"]) for body in bodies] == [(0, 3000), (3000, 3500)]


def test_a_cell_that_was_never_begun_waited_all_the_time(capture: Capture) -> None:
    send(capture)
    body = one(capture.close(12.0)).body
    assert (body["waited_ms"], body["duration_ms"]) == (2000, 2000)


def test_the_reply_may_come_before_idle(capture: Capture) -> None:
    send(capture)
    assert capture.replied("m1", "error", "ValueError", 10.1) == Observed()
    draft = one(status(capture, "idle", 10.2))
    assert (draft.body["status"], draft.body["error"]) == ("error", "ValueError")


def test_without_a_browser_a_cell_ends_with_idle_alone(capture: Capture) -> None:
    send(capture)
    capture.observe("error", PARENT, {"ename": "KeyError", "evalue": "x"}, 10.1)
    status(capture, "idle", 10.2)
    assert capture.due(10.2 + REPLY_WAIT / 2) == Observed()
    draft = one(capture.due(10.2 + REPLY_WAIT))
    assert (draft.body["status"], draft.body["error"]) == ("error", "KeyError")


def test_an_aborted_cell_is_told_by_its_reply(capture: Capture) -> None:
    send(capture)
    capture.replied("m1", "aborted", "", 10.1)
    assert one(status(capture, "idle", 10.2)).body["status"] == "aborted"


def test_a_cell_that_a_free_kernel_does_not_begin_is_put_down_once(capture: Capture) -> None:
    send(capture)
    send(capture, "m2", admitted=8)
    status(capture, "busy", 10.1)
    assert capture.due(10.1 + 10 * NOT_BEGUN_S) == Observed(), "the second waits behind the first"
    status(capture, "idle", 400.0)
    capture.replied("m1", "ok", "", 400.0)
    assert capture.due(400.0 + NOT_BEGUN_S / 2) == Observed(), "it has its time from when the kernel is free"
    observed = capture.due(400.0 + NOT_BEGUN_S)
    gap = one(observed)
    assert (gap.type, gap.grant, gap.session, gap.body["what"]) == ("gap.recorded", "g-1", "s-1", NOT_BEGUN)
    assert gap.body["detail"]["entries"] == [8]  # type: ignore[index, call-overload]
    assert [message.msg_id for message in observed.not_begun] == ["m2"]
    assert capture.due(9000.0) == Observed(), "once is enough"
    end = one(capture.close(9000.0))
    assert (end.body["status"], end.body["error"], end.body["complete"]) == ("ended", NEVER_BEGUN, False)


def test_a_cell_that_was_cut_off_is_not_one_that_never_began(capture: Capture) -> None:
    send(capture)
    status(capture, "busy", 10.1)
    assert one(capture.close(11.0)).body["error"] == ""


def test_what_was_taken_back_has_no_end_and_its_id_stays_used(capture: Capture) -> None:
    send(capture)
    taken = capture.withdraw("m1")
    assert taken is not None
    assert taken.admitted == 7
    assert capture.close(11.0) == Observed()
    assert capture.knows("m1")


def test_output_after_the_end_is_late_output_of_that_cell(capture: Capture) -> None:
    send(capture)
    capture.replied("m1", "ok", "", 10.1)
    status(capture, "idle", 10.2)
    capture.observe("stream", PARENT, {"name": "stdout", "text": "a"}, 11.0)
    capture.observe("stream", PARENT, {"name": "stdout", "text": "b"}, 11.1)
    assert capture.due(11.0 + LATE_FLUSH / 2) == Observed()
    draft = one(capture.due(11.0 + LATE_FLUSH))
    assert draft.type == "cell.late_output"
    assert draft.body["admitted"] == 7
    assert draft.body["outputs"][0]["bytes"] == 2  # type: ignore[index,call-overload]


def test_what_the_end_of_the_session_cuts_off_is_put_down_as_ended(capture: Capture) -> None:
    send(capture)
    status(capture, "busy", 10.1)
    draft = one(capture.close(12.0))
    assert (draft.body["status"], draft.body["complete"]) == ("ended", False)
    assert capture.close(13.0) == Observed()


def test_a_cell_that_nobody_sent_is_foreign(capture: Capture) -> None:
    assert status(capture, "busy", 1.0, {"msg_id": "x", "msg_type": "execute_request"}).foreign == "x"
    assert capture.observe("execute_input", {"msg_id": "y"}, {"code": "1"}, 1.0).foreign == "y"
    assert capture.observe("execute_result", {}, {"data": {}}, 1.0).foreign == "none"


def test_what_the_server_itself_asks_is_not_foreign(capture: Capture) -> None:
    assert status(capture, "busy", 1.0, {"msg_id": "x", "msg_type": "kernel_info_request"}) == Observed()


def test_late_messages_of_a_known_cell_are_not_foreign(capture: Capture) -> None:
    send(capture)
    capture.replied("m1", "ok", "", 10.1)
    status(capture, "idle", 10.2)
    assert capture.observe("execute_result", PARENT, {"data": {"text/plain": "1"}}, 10.3).foreign == ""


def test_output_of_a_comm_message_is_put_down_too(capture: Capture) -> None:
    send(capture, "c1", "comm_msg", admitted=9)
    parent = {"msg_id": "c1", "msg_type": "comm_msg"}
    capture.observe("stream", parent, {"name": "stdout", "text": "from a callback"}, 10.1)
    draft = one(status(capture, "idle", 10.2, parent))
    assert (draft.type, draft.body["admitted"]) == ("cell.late_output", 9)


def test_a_message_id_is_known_once_it_was_sent_and_stays_known(capture: Capture) -> None:
    assert not capture.knows("m1")
    send(capture)
    assert capture.knows("m1")
    capture.replied("m1", "ok", "", 10.1)
    status(capture, "idle", 10.2)
    assert capture.knows("m1")


def test_the_kernels_report_is_marked_as_its_own_word(capture: Capture) -> None:
    draft = one(capture.observe("audit_report", {}, {"report": "permit_refused", "cause": "forged"}, 1.0))
    assert draft.type == "kernel.report"
    assert draft.body["reported_by"] == "kernel"
    assert draft.body["detail"] == {"cause": "forged"}


def test_a_kernel_cannot_fill_the_ledger_with_reports_on_itself_and_a_refusal_counts_after_any_number(capture: Capture) -> None:
    seen = [capture.observe("audit_report", PARENT, {"report": "x", "n": n}, 10.0) for n in range(MOST_REPORTS + 5)]
    kinds = [draft.type for observed in seen for draft in observed.drafts]
    assert kinds == ["kernel.report"] * MOST_REPORTS + ["gap.recorded"]
    refused = capture.observe("audit_report", PARENT, {"report": "permit_refused", "cause": "missing"}, 10.1)
    assert (one(refused).type, refused.unpermitted) == ("kernel.report", "missing")
    again = capture.observe("audit_report", PARENT, {"report": "permit_refused", "cause": "missing"}, 10.2)
    assert (again.drafts, again.unpermitted) == ((), "missing")
    gap = one(capture.close(11.0))
    assert (gap.type, gap.body["what"], gap.session) == ("gap.recorded", MORE_REPORTS, "s-1")
    assert gap.body["detail"] == {"kernel_id": "k-1", "reports": 6}


def test_a_kernel_cannot_fill_the_ledger_with_output_of_cells_that_it_invents(capture: Capture) -> None:
    for number in range(50):
        capture.observe("stream", {"msg_id": f"invented-{number}"}, {"name": "stdout", "text": "x"}, 10.0)
    late = one(capture.due(10.0 + LATE_FLUSH))
    assert (late.type, late.body["admitted"]) == ("cell.late_output", -1)
    [output] = late.body["outputs"]  # type: ignore[misc,union-attr]
    assert output["bytes"] == 50  # type: ignore[index,call-overload]
