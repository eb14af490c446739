"""What a server could not take in, or would not, is said in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import zmq
from support.servers import AuditedServer, wait_for

from jupyter_audit.gate.drafts import MOST_CODE
from jupyter_audit.gate.sessions import Session
from jupyter_audit.model import Draft
from jupyter_audit.record.capture import Capture, Observed
from jupyter_audit.server.watch import NOT_SEEN, IopubAddress, Watcher


def test_code_in_any_message_is_kept_whole_or_refused(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    hidden = "x = 1 #" + "-" * 200_000 + "\nprint('the end')"
    client.wait(client.send("inspect_request", {"code": hidden, "cursor_pos": 0, "detail_level": 0}))
    admitted = server.await_entry("message.admitted", lambda e: e.body["msg_type"] == "inspect_request")
    held = server.reader.content(admitted.seq, "message")
    assert held is not None
    assert json.loads(held)["code"] == hidden

    larger = {"command": "evaluate", "arguments": {"expression": "1" * MOST_CODE}}
    client.send("debug_request", larger, channel="control")
    refused = server.await_entry("message.refused", lambda e: e.body["msg_type"] == "debug_request")
    assert (refused.body["cause"], refused.body["cut"]) == ("too_large", True)
    cut = server.reader.content(refused.seq, "message")
    assert cut is not None
    assert json.loads(cut)["bytes"] > MOST_CODE


def test_a_burst_of_outputs_is_counted_to_the_last(server: AuditedServer, grant: str) -> None:
    client = server.kernel()
    client.run("from IPython.display import display, Pretty\nfor i in range(3000): display(Pretty('a'))")
    admitted = server.await_entry("cell.admitted", lambda e: e.body["kernel_id"] == client.kernel_id and not e.body["canary"])
    finished = server.finished(admitted.seq)
    outputs = finished.body["outputs"]
    assert isinstance(outputs, list)
    counted = len(outputs) - 1 + outputs[-1]["count"]  # type: ignore[index, call-overload, operator]
    assert (counted, finished.body["complete"]) == (3000, True)


# --- the watcher ----------------------------------------------------------------------------------


@pytest.fixture
def publisher() -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.set(zmq.LINGER, 0)
    yield socket
    socket.close()
    context.term()


def test_what_was_not_read_before_the_end_is_said(
    publisher: zmq.Socket[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jupyter_audit.server.watch.LAST_READ_S", 0.0)
    monkeypatch.setattr(Watcher, "_drain", lambda self, watched: None)  # it never comes to reading
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    drafts: list[Draft] = []
    session = Session.__new__(Session)
    session.id, session.kernel_id, session.grant = "s-1", "k-1", None
    session.capture = Capture("s-1", "k-1", 100, "audit_report")
    watcher = Watcher(lambda _, seen: drafts.extend(seen.drafts))
    try:
        watcher.watch(session, IopubAddress(f"tcp://127.0.0.1:{port}", b"key", "hmac-sha256"), lambda: None)
        publisher.recv()  # it has subscribed
        publisher.send_multipart([b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"])
        wait_for(lambda: any(socket.poll(0) for socket in list(watcher._watched)), "the message to arrive")
        watcher.unwatch(session)
    finally:
        watcher.close()
    [gap] = drafts
    assert gap.body["detail"] == {"kernel_id": "k-1", "unread_at_the_end": True, "unreadable": 0}


def test_messages_that_cannot_be_read_are_said_at_once_and_counted_at_the_end(publisher: zmq.Socket[bytes]) -> None:
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    drafts: list[Draft] = []

    def observed(session: object, seen: Observed) -> None:
        drafts.extend(seen.drafts)

    session = Session.__new__(Session)
    session.id, session.kernel_id, session.grant = "s-1", "k-1", None
    session.capture = Capture("s-1", "k-1", 100, "audit_report")
    watcher = Watcher(observed)
    try:
        watcher.watch(session, IopubAddress(f"tcp://127.0.0.1:{port}", b"key", "hmac-sha256"), lambda: None)
        publisher.recv()  # it has subscribed
        for _ in range(5):
            publisher.send_multipart([b"<IDS|MSG>", b"no signature", b"{}", b"{}", b"{}", b"{}"])
        wait_for(lambda: drafts, "the first gap")
        wait_for(lambda: watcher._watched[next(iter(watcher._watched))].unreadable == 5, "all five")
        watcher.unwatch(session)
    finally:
        watcher.close()
    first, last = (draft.body for draft in drafts)
    assert first["what"] == "iopub messages that cannot be read"
    assert last["what"] == NOT_SEEN
    assert last["detail"] == {"kernel_id": "k-1", "unread_at_the_end": False, "unreadable": 5}
