"""Nothing runs in the audit kernel that its server did not permit, whoever sends it and however."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_audit_kernel.formats import PERMIT_KEY, Permit, PermitChecker, PermitError, content_digest, sign_permit
from nacl.signing import SigningKey
from support.kernels import COMMAND, AuditedKernel, Terms, connect, start

NOW = datetime.now(UTC)


def cell(kernel: AuditedKernel, code: str) -> dict[str, Any]:
    """Return an execute_request without a permit."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
               "stop_on_error": True}
    message: dict[str, Any] = kernel.client.session.msg("execute_request", content=content)
    return message


def send_as_it_is(kernel: AuditedKernel, message: dict[str, Any], channel: str = "shell") -> dict[str, Any]:
    """Send a message past the signing session, and return the kernel's answer."""
    session = kernel.client.session
    session.terms, kept = None, session.terms
    session.send(getattr(kernel.client, f"{channel}_channel").socket, message)
    session.terms = kept
    getter = kernel.client.get_shell_msg if channel == "shell" else kernel.client.get_control_msg
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = getter(timeout=20)
        if answer["parent_header"].get("msg_id") == message["header"]["msg_id"]:
            return dict(answer["content"])
    raise AssertionError("the kernel did not answer")


def reports(kernel: AuditedKernel) -> list[str]:
    """Return the causes that the kernel has reported on iopub so far."""
    found = []
    while True:
        try:
            message = kernel.client.get_iopub_msg(timeout=0.5)
        except Empty:
            return found
        if message["header"]["msg_type"] == "audit_report":
            found.append(message["content"]["cause"])


def forge(kernel: AuditedKernel, how: str, message: dict[str, Any]) -> dict[str, Any]:
    """Return the permit that an attacker of the kind `how` would try on `message`."""
    terms = kernel.terms
    other = Terms(session=terms.session)
    innocent = kernel.client.session.msg("execute_request", content={"code": "1"})
    attempts: dict[str, Any] = {
        "none": None,
        "another message's": lambda: terms.permit(innocent),
        "another key's": lambda: other.permit(message),
        "another session's": lambda: terms.permit(message, session="s-ffffffffffff"),
        "another type's": lambda: terms.permit(message, msg_type="complete_request"),
        "late": lambda: terms.permit(message, not_after=int(time.time()) - 1),
        "garbled": lambda: {**terms.permit(message), "signature": "####"},
        "not even a permit": lambda: "yes",
    }
    made = attempts[how]
    return {} if made is None else {PERMIT_KEY: made()}


HOW = ["none", "another message's", "another key's", "another session's", "another type's", "late", "garbled", "not even a permit"]


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_no_permit_but_its_own_lets_a_message_run(audited: AuditedKernel, tmp_path: Path, channel: str) -> None:
    trace = tmp_path / "it-ran"
    for how in HOW:
        message = cell(audited, f"open({str(trace)!r}, 'w').close()")
        message["metadata"] = forge(audited, how, message)
        answer = send_as_it_is(audited, message, channel)
        assert (answer["status"], answer["ename"]) == ("error", "PermitRefused"), how
        assert "audited server" in answer["evalue"]
        assert not trace.exists(), how
    causes = reports(audited)
    assert len(causes) == len(HOW)
    assert {"missing", "forged", "foreign", "late", "malformed"} == set(causes)


def test_the_same_message_runs_on_a_plain_kernel(tmp_path: Path) -> None:
    """The attack is real: what is refused above is what any kernel runs for whoever finds its ports."""
    trace = tmp_path / "it-ran"
    plain = [argument if argument != "jupyter_audit_kernel" else "ipykernel_launcher" for argument in COMMAND]
    manager = start(tmp_path / "kernel", Terms(), plain)
    client = connect(manager, None)
    try:
        client.execute_interactive(f"open({str(trace)!r}, 'w').close()", timeout=20)
        assert trace.exists()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_permit_works_once(audited: AuditedKernel, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    message = cell(audited, f"open({str(counter)!r}, 'a').write('x')")
    message["metadata"] = {PERMIT_KEY: audited.terms.permit(message)}
    assert send_as_it_is(audited, dict(message))["status"] == "ok"
    again = {**message, "header": {**message["header"], "date": audited.client.session.msg("x")["header"]["date"]}}
    assert send_as_it_is(audited, again)["ename"] == "PermitRefused"
    assert counter.read_text() == "x"
    assert reports(audited) == ["replayed"]


def test_user_expressions_and_silent_cells_need_a_permit_too(audited: AuditedKernel, tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    for silent in (True, False):
        message = cell(audited, "")
        message["content"] |= {"silent": silent, "user_expressions": {"x": f"open({str(trace)!r}, 'w')"}}
        assert send_as_it_is(audited, message)["ename"] == "PermitRefused"
    assert not trace.exists()


def test_a_permitted_kernel_works_as_any_other(audited: AuditedKernel) -> None:
    answer = audited.client.execute_interactive("print(40 + 2)", timeout=20, output_hook=lambda message: None)
    assert answer["content"]["status"] == "ok"
    audited.client.is_complete("for i in x:")
    assert audited.client.get_shell_msg(timeout=20)["content"]["status"] == "incomplete"


def test_the_kernel_does_not_start_without_terms(tmp_path: Path) -> None:
    import subprocess
    import sys

    ended = subprocess.run([sys.executable, "-I", "-m", "jupyter_audit_kernel"], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "only through an audited server" in ended.stderr


def test_the_terms_are_not_left_in_the_environment(audited: AuditedKernel) -> None:
    answer = audited.client.execute_interactive(
        "import os; assert not [n for n in os.environ if n.startswith('JUPYTER_AUDIT_S') or 'PERMIT' in n]", timeout=20
    )
    assert answer["content"]["status"] == "ok"


KEY = SigningKey(b"k" * 32)
TEXTS = st.text(max_size=20)


@given(st.integers(0, 10), TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3), st.integers(0, 5), TEXTS)
def test_changing_anything_under_the_signature_is_noticed(
    entry: int, msg_id: str, msg_type: str, content: dict[str, str], field: int, other: str
) -> None:
    end = int(NOW.timestamp()) + 60
    permit = Permit(entry, "s-1", msg_id, msg_type, content_digest(content), end)
    raw = sign_permit(permit, KEY)
    header = {"msg_id": msg_id, "msg_type": msg_type}
    assert PermitChecker("s-1", KEY.verify_key).check(header, {PERMIT_KEY: raw}, content, NOW) == permit
    changed = dict(raw), dict(header), dict(content)
    if field == 0:
        changed[0]["entry"] = entry + 1
    elif field == 1:
        changed[0]["not_after"] = end + 1
    elif field == 2:
        changed[1]["msg_id"] = msg_id + "x"
    elif field == 3:
        changed[1]["msg_type"] = msg_type + "x"
    elif field == 4:
        changed[2][other + "x"] = other
        if content_digest(changed[2]) == content_digest(content):
            return
    else:
        changed[0]["v"] = 2
    with pytest.raises(PermitError):
        PermitChecker("s-1", KEY.verify_key).check(changed[1], {PERMIT_KEY: changed[0]}, changed[2], NOW)


def test_a_clock_that_goes_back_makes_no_permit_good_again() -> None:
    checker, content, end = PermitChecker("s-1", KEY.verify_key), {"code": "1"}, int(NOW.timestamp()) + 60

    def check(number: int, not_after: int, seconds: float) -> None:
        permit = Permit(number, "s-1", f"m-{number}", "execute_request", content_digest(content), not_after)
        header = {"msg_id": f"m-{number}", "msg_type": "execute_request"}
        checker.check(header, {PERMIT_KEY: sign_permit(permit, KEY)}, content, NOW + timedelta(seconds=seconds))

    check(1, end, 0)
    check(2, end + 100, 90)
    for number in (1, 3):
        with pytest.raises(PermitError) as refused:
            check(number, end, 0)
        assert refused.value.cause == "late"
    check(4, end + 100, 0)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_whatever_stands_where_a_permit_should_is_refused_in_order(value: object) -> None:
    with pytest.raises(PermitError):
        PermitChecker("s-1", KEY.verify_key).check({"msg_id": "a", "msg_type": "b"}, {PERMIT_KEY: value}, {}, NOW)
