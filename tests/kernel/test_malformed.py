"""
Nothing gets past the permit check by being malformed, and stdin takes nothing but a permitted answer.

Each of the first three rows ran its code on an earlier version of this kernel: what the check could not read it
left to ipykernel to refuse, and ipykernel read it in its own way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.kernels import AuditedKernel, wait_until

Frames = tuple[bytes, bytes, bytes]
Change = Callable[[bytes, bytes, bytes], Frames]

PERMIT = b'{"jupyter_audit_permit":{"v":1,"entry":1,"session":"s-0123456789ab","not_after":99999999999,"signature":%b}}'

MALFORMED: dict[str, Change] = {
    "text that is not UTF-8": lambda h, m, c: (h, m, c.replace(b'"silent"', b'"x":"\xff","silent"')),
    "an older protocol": lambda h, m, c: (h.replace(b'"version": "5.', b'"version": "4.'), m, c),
    "metadata that is a list": lambda h, m, c: (h, b"[]", c),
    "metadata that is null": lambda h, m, c: (h, b"null", c),
    "a byte order mark": lambda h, m, c: (h, m, b"\xef\xbb\xbf" + c),
    "deep metadata": lambda h, m, c: (h, b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", c),
    "deeper than any parser goes": lambda h, m, c: (h, b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}", c),
    "a number too long to read": lambda h, m, c: (h, m, c.replace(b'"silent"', b'"x":' + b"9" * 5000 + b',"silent"')),
    "no number": lambda h, m, c: (h, m, c.replace(b'"silent"', b'"x":NaN,"silent"')),
    "a type that is a list": lambda h, m, c: (h.replace(b'"execute_request"', b'["execute_request"]'), m, c),
    "a type said twice": lambda h, m, c: (b'{"msg_type": "kernel_info_request",' + h[1:], m, c),
    "an id that is no text": lambda h, m, c: (h.replace(b'"msg_id": "', b'"msg_id": "\\ud800'), PERMIT % b'"AAAA"', c),
    "a signature that is a number": lambda h, m, c: (h, PERMIT % b"5", c),
    "a signature that is no text": lambda h, m, c: (h, PERMIT % b'"\\ud800"', c),
    "another encoding": lambda h, m, c: (h.decode().encode("utf-16"), m, c),
    "content that is a text": lambda h, m, c: (h, m, json.dumps(c.decode()).encode()),
    "a text's length of nothing": lambda h, m, c: (h, b"", c),
}


def send_frames(kernel: AuditedKernel, channel: str, header: bytes, metadata: bytes, content: bytes) -> None:
    """Send frames as they are, signed with the kernel's own key."""
    session = kernel.client.session
    parts = [header, b"{}", metadata, content]
    getattr(kernel.client, f"{channel}_channel").socket.send_multipart([b"<IDS|MSG>", session.sign(parts), *parts])


def header_of(kernel: AuditedKernel, msg_type: str) -> bytes:
    return json.dumps(kernel.client.session.msg_header(msg_type), default=str).encode()


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_what_cannot_be_read_does_not_run(audited: AuditedKernel, tmp_path: Path, channel: str) -> None:
    traces = {}
    for number, (name, change) in enumerate(MALFORMED.items()):
        traces[name] = trace = tmp_path / f"ran-{number}"
        content = {"code": f"open({str(trace)!r}, 'w').close()", "silent": False, "store_history": False,
                   "user_expressions": {}, "allow_stdin": False}
        header = header_of(audited, "execute_request")
        send_frames(audited, channel, *change(header, b"{}", json.dumps(content).encode()))
    # Both channels are served in order, so once these are answered whatever was to run has run.
    audited.client.execute_interactive("1", timeout=60, output_hook=lambda message: None)
    audited.client.session.send(audited.client.control_channel.socket, "kernel_info_request", {})
    while audited.client.get_control_msg(timeout=60)["header"]["msg_type"] != "kernel_info_reply":
        pass
    assert [name for name, trace in traces.items() if trace.exists()] == []


def test_a_message_that_was_stopped_takes_no_permit_with_it(audited: AuditedKernel) -> None:
    """A permit is used up by the kernel's own key and nothing else: who has not that key cannot spend it."""
    session = audited.client.session
    message = session.msg("execute_request", content={"code": "1", "silent": True})
    message["metadata"] = {"jupyter_audit_permit": audited.terms.permit(message)}
    parts = [json.dumps(message[name], default=str).encode() for name in ("header", "parent_header", "metadata", "content")]
    socket = audited.client.shell_channel.socket
    socket.send_multipart([b"<IDS|MSG>", b"0" * 64, *parts])
    socket.send_multipart([b"<IDS|MSG>", session.sign(parts), *parts])
    answer: dict[str, Any] = audited.client.get_shell_msg(timeout=20)
    assert answer["content"]["status"] == "ok"


@pytest.mark.parametrize("msg_type", ["kernel_info_request", "shutdown_request", "input_reply", "comm_msg"])
def test_an_answer_without_a_permit_is_not_taken(audited: AuditedKernel, tmp_path: Path, msg_type: str) -> None:
    taken = tmp_path / "taken"
    audited.client.execute(f"said = input()\nopen({str(taken)!r}, 'w').write(said)", allow_stdin=True)
    audited.client.get_stdin_msg(timeout=20)
    send_frames(audited, "stdin", header_of(audited, msg_type), b"{}", b'{"value": "from a stranger"}')
    while audited.client.get_iopub_msg(timeout=20)["header"]["msg_type"] != "audit_report":
        pass
    assert not taken.exists()
    audited.client.input("from the server")
    wait_until(lambda: taken.exists() and taken.read_text() == "from the server", "the answer")
