"""
What kernels send is passed on as Jupyter Server would pass it on, though it is read another way; and what clients send
is read only if it is one whole message.
"""

from __future__ import annotations

import json
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.jsonutil import json_default
from jupyter_client.session import Session
from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

from jupyter_audit.server.activity import activity_of
from jupyter_audit.server.wire import V1_PROTOCOL, MalformedMessageError, parse_message, read_outgoing, read_parts

KEY = b"key"
CONTENTS: dict[str, dict[str, Any]] = {
    "plain": {"name": "stdout", "text": "a\n"},
    "unicode": {"text": "ä\u2028\U0001f600 \x00"},
    "lone surrogate": {"text": "\ud800"},
    "numbers": {"data": {"application/json": [1, -0.0, 1e300, 2**70, -(2**70), 0.1]}},
    "no number": {"data": {"application/json": [float("inf"), float("-inf")]}},
    "looks like a date": {"text": "2026-11-25T09:00:00.000000Z"},
    "nested": {"a": {"b": [{"c": None}, True, [], {}]}},
}


def sent(content: dict[str, Any], *, parent: dict[str, Any] | None = None, msg_type: str = "stream", **changed: Any) -> list[bytes]:
    """Return the frames of a message, from its signature on."""
    session = Session(key=KEY)
    message = session.msg(msg_type, {}, parent=parent, metadata={"m": 1})
    message["header"].update(changed)
    frames: list[bytes] = session.feed_identities(session.serialize(message))[1]
    frames[4] = json.dumps(content).encode()  # as a kernel can write it that does not use Jupyter's packer
    frames[0] = session.sign(frames[1:5])
    return frames


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
@pytest.mark.parametrize("buffers", [[], [b"\x00\xff", b""]], ids=["without buffers", "with buffers"])
def test_a_message_is_read_as_jupyter_server_reads_it(content: dict[str, Any], buffers: list[bytes]) -> None:
    frames = [*sent(content, parent=Session(key=KEY).msg("execute_request", {})), *buffers]
    theirs = Session(key=KEY).deserialize(list(frames))
    ours = read_outgoing(list(frames), Session(key=KEY), None)
    assert [bytes(one) for one in ours.pop("buffers")] == [bytes(one) for one in theirs.pop("buffers")] == buffers
    assert json.dumps(ours, default=json_default) == json.dumps(theirs, default=json_default)


@pytest.mark.parametrize("part", range(5))
def test_a_message_that_the_kernel_did_not_sign_is_not_read(part: int) -> None:
    frames = sent({"text": "a"})
    frames[part] = frames[part].replace(b"1", b"2").replace(b"a", b"b").replace(b"{}", b'{"x":1}')
    with pytest.raises(ValueError, match=r"(?i)signature"):
        read_outgoing(frames, Session(key=KEY), None)


def test_a_kernel_of_an_older_protocol_is_still_translated() -> None:
    frames = sent({"text": "a", "data": "b", "name": "stdout"}, msg_type="stream", version="4.1")
    assert read_outgoing(frames, Session(key=KEY), None)["content"]["text"] == "b"
    undated = sent({"text": "a"})
    undated[1] = json.dumps({name: value for name, value in json.loads(undated[1]).items() if name != "date"}).encode()
    undated[0] = Session(key=KEY).sign(undated[1:])
    assert read_outgoing(undated, Session(key=KEY), None)["header"]["date"]


def test_in_the_v1_protocol_only_the_header_is_read() -> None:
    frames = sent({"text": "a"})
    frames[4] = b"not JSON"
    message = read_outgoing(frames, Session(key=KEY), V1_PROTOCOL)
    assert message["header"]["msg_type"] == "stream"
    assert message["content"] is None


class Stream:
    """Takes what is to be called with each message."""

    def on_recv(self, callback: Any) -> None:
        self.callback = callback


def followed(*, ours: bool) -> tuple[Any, Any]:
    """Return a kernel, and what is told of its messages: Jupyter's own watch, or ours."""
    kernel = SimpleNamespace(session=Session(key=KEY), execution_state="starting", last_activity=None, connect_iopub=Stream)
    kernels = MappingKernelManager()  # type: ignore[no-untyped-call]
    kernels._kernels["k"] = kernel
    kernels.start_watching_activity("k")  # type: ignore[no-untyped-call]
    kernel.last_activity = None
    return kernel, activity_of(kernels, kernel) if ours else kernel._activity_stream.callback


def test_activity_is_told_as_jupyter_server_tells_it() -> None:
    def request(msg_type: str) -> Any:
        return Session(key=KEY).msg(msg_type, {})

    steps: list[tuple[str, dict[str, Any], Any]] = [
        ("status", {"execution_state": "starting"}, None),
        ("status", {"execution_state": "busy"}, request("kernel_info_request")),
        ("stream", {"text": "a"}, None),
        ("status", {"execution_state": "busy"}, request("execute_request")),
        ("stream", {"text": "a"}, None),
        ("comm_msg", {}, None),
        ("status", {"execution_state": "idle"}, request("execute_request")),
        ("status", {"execution_state": "busy"}, request("comm_info_request")),
        ("execute_result", {}, request("execute_request")),
        ("audit_report", {}, None),
    ]
    (mine, note), (theirs, record) = followed(ours=True), followed(ours=False)
    for msg_type, content, parent in steps:
        mine.last_activity = theirs.last_activity = None
        frames = sent(content, parent=parent, msg_type=msg_type)
        header, parent_header, read = read_parts(frames, Session(key=KEY))
        note(header["msg_type"], parent_header, read, 0)
        record([b"<IDS|MSG>", *frames])
        assert mine.execution_state == theirs.execution_state, msg_type
        assert (mine.last_activity is None) == (theirs.last_activity is None), msg_type


@pytest.mark.parametrize("content", [{}, {"execution_state": 3}, {"execution_state": None}, {"execution_state": ["busy"]}])
def test_a_kernel_that_publishes_a_state_that_is_none_does_not_end_the_watch(content: dict[str, Any]) -> None:
    kernel, note = followed(ours=True)
    for parent in ({}, {"msg_type": "execute_request"}, {"msg_type": ["execute_request"]}):
        note("status", parent, content, 0)
    assert kernel.execution_state == "starting"


PARTS = [b"shell", b'{"msg_id": "a", "msg_type": "execute_request"}', b"null", b"{}", b'{"code": "1"}', b"one", b"", b"two"]
WHOLE = b'{"header": {"msg_id": "a", "msg_type": "execute_request"}, "metadata": {}, "content": {"code": "1"}}'


def framed(subprotocol: str | None, offsets: list[int] | None = None) -> tuple[bytes, list[int]]:
    """Return a frame with two buffers in a protocol and its offsets, or with `offsets` in their place."""
    number, parts, ends = ("<Q", PARTS, 1) if subprotocol else ("!I", [WHOLE, *PARTS[5:]], 0)
    at = [struct.calcsize(number) * (1 + len(offsets or [*parts, *range(ends)]))]
    for part in parts:
        at.append(at[-1] + len(part))
    used = offsets or at[: len(at) + ends - 1]
    table = b"".join(struct.pack(number, value) for value in (len(used), *used))
    return table + b"".join(parts), used


@pytest.mark.parametrize("subprotocol", [None, V1_PROTOCOL], ids=["default", "v1"])
def test_a_frame_is_read_only_if_its_parts_lie_one_behind_the_other(subprotocol: str | None) -> None:
    """Each part that lies over others is copied: one frame could have the server take gigabytes of memory."""
    whole, offsets = framed(subprotocol)
    message = parse_message(whole, subprotocol)
    assert (message.msg_type, message.parent_header, message.content) == ("execute_request", {}, {"code": "1"})
    assert message.buffers == (b"one", b"", b"two")
    for place, before in enumerate(offsets[:-1], 1):
        for wrong in (before - 1, len(whole) + 1, 0):
            changed = [*offsets[:place], wrong, *offsets[place + 1 :]]
            with pytest.raises(MalformedMessageError, match="one behind the other"):
                parse_message(framed(subprotocol, changed)[0], subprotocol)
    for count in (0, 1, len(offsets) + 1, 10_001, 2**31):
        size = 8 if subprotocol else 4
        with pytest.raises(MalformedMessageError):
            parse_message(count.to_bytes(size, "little" if subprotocol else "big") + whole[size:], subprotocol)
