"""Where contents are sealed, no field of any kind keeps what a person or a kernel wrote."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.model import Content, Draft
from jupyter_audit.record import kinds
from jupyter_audit.record.fresh import FreshContents
from jupyter_audit.record.masking import CONTENT, MASKED, MASKS, mask

IN_CLEAR = {
    "access.requested": "request profile reason ticket duration_s lapses target starts extends takes_over approvals groups on_behalf_of ticket_checked "
    "signed_approvals",
    "access.endorsed": "request statement signature",
    "access.approved": "request principal vouched_by profile not_before not_after self_approved solo takes_over "
    "statement signature",
    "access.extended": "request not_after self_approved solo statement signature",
    "access.break_glass": "profile reason ticket target not_before not_after",
    "access.reviewed": "justified comment",
    "access.denied": "request reason statement signature",
    "access.withdrawn": "request",
    "access.closed": "request reason",
    "access.lapsed": "request",
    "access.revoked": "reason everyone",
    "access.expired": "not_after",
    "access.refused": "action target cause refusal",
    "people.added": "person kind groups on_behalf_of credential digest",
    "people.changed": "person what groups digest",
    "people.removed": "person digest",
    "people.accepted": "people digest",
    "access.key_registered": "key proof replaces vouched",
    "access.passkey_registered": "key credential rp_id label aaguid proof vouched",
    "access.key_withdrawn": "person key reason signature",
    "server.started": "server version mode launched isolation policy policy_digest assured unassured",
    "server.stopped": "server",
    "access.acknowledged": "profile version",
    "feedback.given": "about about_type",
    "note.made": "answered",
    "policy.changed": "digest previous changes policy noticed_by",
    "session.started": "server kernel_id kernel_name isolation network network_by account",
    "session.moved": "kernel_id",
    "witness.alarm": "sink stands since said",
    "session.bound": "kernel_id not_after",
    "session.ended": "kernel_id cause processes clean",
    "session.refused": "cause",
    "session.watched": "owner watching through",
    "session.end_ordered": "owner reason",
    "request.refused": "door target cause",
    "file.changed": "action bytes piece",
    "session.canary": "kernel_id cell passed failure",
    "cell.admitted": "kernel_id channel silent store_history lines canary warned held",
    "cell.held": "hold kernel_id channel silent lines profile lapses on_behalf_of signed_approvals",
    "cell.approved": "hold statement signature",
    "cell.denied": "hold reason statement signature",
    "cell.hold_ended": "hold cause",
    "cell.refused": "kernel_id cause lines cut guardrails held",
    "cell.answered": "kernel_id channel verb",
    "cell.finished": "kernel_id admitted status duration_ms complete reported_by waited_ms",
    "cell.late_output": "kernel_id admitted reported_by",
    "message.admitted": "kernel_id msg_type channel masked buffers warned",
    "message.refused": "kernel_id cause cut masked buffers guardrails",
    "kernel.report": "kernel_id reported_by",
    "terminal.input": "kernel_id at_ms bytes masked",
    "terminal.refused": "kernel_id at_ms bytes cause",
    "terminal.output": "kernel_id at_ms until_ms bytes cut",
    "finding.raised": "rule title level entries",
    "detection.judged": "through rules",
    "gap.recorded": "what detail",
    "alert.routed": "targets people routes finding_level",
    "alert.sent": "event target count through about attempts",
    "alert.failed": "event target count through about error given_up",
    "ledger.read": "view detail",
    "ledger.exported": "form to contents entries filters auditors",
}
"""What stays as it is: reasons and tickets, which approvers read; what the server itself says; numbers and names of ours."""


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=lambda kind: kind.TYPE)
def test_each_field_of_each_kind_is_known_to_be_clear_or_masked(kind: Any) -> None:
    if kind.TYPE not in IN_CLEAR:
        pytest.fail(f"{kind.TYPE}: say of each field whether it can hold what a person or a kernel wrote")
    fields = {field.name for field in dataclasses.fields(kind)}
    assert fields == set(IN_CLEAR[kind.TYPE].split()) | set(MASKS.get(kind.TYPE, {}))


@given(st.sampled_from(sorted(MASKS)), st.text(min_size=1))
def test_a_text_is_gone_from_the_body_and_whole_in_the_content(kind: str, text: str) -> None:
    word = f"secret {text}"
    values: dict[str, Any] = {"outputs": [{"output": "display", "mime": word, "bytes": 1}], "detail": {"why": word}}
    body = {name: values.get(name, word) for name in MASKS[kind]}
    masked = mask(Draft(kind, body, contents={"message": Content(b"x")}))
    assert "secret" not in json.dumps(masked.body)
    assert masked.contents["message"] == Content(b"x")
    held = json.loads(masked.contents[CONTENT].data)
    assert set(held) == set(body)
    assert json.dumps(held).count("secret") == len(body)


def test_what_says_nothing_stays() -> None:
    outputs = [{"output": "result", "mime": mime, "bytes": 1} for mime in ("text/plain", "application/vnd.plotly.v1+json", "")]
    draft = Draft("cell.finished", {"error": "KeyError", "outputs": outputs})
    assert mask(draft) is draft
    draft = Draft("cell.admitted", {"msg_id": "a1_2-3.4:5", "cell": ""})
    assert mask(draft) is draft
    assert mask(Draft("cell.finished", {"error": "OrderMissing"})).body["error"] == MASKED


def test_code_asked_for_before_it_was_kept_is_waited_for() -> None:
    """An entry can be seen the moment it is durable, which is before the recorder has it back."""
    fresh, got, asking = FreshContents(), [], threading.Event()

    def ask() -> None:
        asking.set()
        got.append(fresh.get(1))

    asker = threading.Thread(target=ask)
    with fresh.recording():
        asker.start()
        asking.wait(10)
        entry: Any = dataclasses.make_dataclass("E", ["seq"])(1)
        fresh.keep([entry], [Draft("cell.admitted", {}, contents={"message": Content(b"x")})])
    asker.join(10)
    assert got == [b"x"]


def test_new_code_is_held_for_the_detections_until_judged_and_never_beyond_its_bound() -> None:
    def entries(*numbers: int) -> list[Any]:
        return [dataclasses.make_dataclass("E", ["seq"])(number) for number in numbers]

    def drafts(*sizes: int) -> list[Draft]:
        return [Draft("cell.admitted", {}, contents={"message": Content(b"x" * size)} if size else {}) for size in sizes]

    fresh = FreshContents(most=100)
    fresh.keep(entries(1, 2, 3), drafts(60, 0, 30))
    assert (fresh.get(1), fresh.get(2), fresh.get(3)) == (b"x" * 60, None, b"x" * 30)
    fresh.keep(entries(4), drafts(50))
    assert (fresh.get(1), fresh.was_dropped(1)) == (None, True)
    assert (fresh.was_dropped(2), fresh.was_dropped(3)) == (False, False)
    fresh.forget(3)
    assert (fresh.get(3), fresh.get(4)) == (None, b"x" * 50)
    assert not fresh.was_dropped(1)
    fresh.keep(entries(5), drafts(50))
    assert fresh.get(4) == fresh.get(5)
