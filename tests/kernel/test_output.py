"""The streams of the audit kernel: what was printed is sent before a flush returns, and nothing is waited for in vain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from ipykernel.iostream import IOPubThread
from jupyter_audit_kernel.output import AuditOutStream
from jupyter_client.session import Session

KEY = b"key"


class Published:
    """A stream, its thread, and what a subscriber hears."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        publisher = self.context.socket(zmq.PUB)
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        self.heard = self.context.socket(zmq.SUB)
        self.heard.subscribe(b"")
        self.heard.connect(f"tcp://127.0.0.1:{port}")
        self.thread = IOPubThread(publisher)
        self.thread.start()
        self.stream = AuditOutStream(Session(key=KEY), self.thread, "stdout", watchfd=False)
        self.stream.set_parent({"header": {"msg_id": "m", "session": "s", "username": "u", "date": "d", "msg_type": "t"}})
        while not self.heard.poll(20):  # the subscription takes a moment to arrive
            self.stream.write("?")
            self.stream.flush()
        while self.heard.poll(50):
            self.text()

    def text(self) -> str:
        frames = self.heard.recv_multipart()
        text: str = Session(key=KEY).deserialize(Session(key=KEY).feed_identities(frames)[1])["content"]["text"]
        return text

    def close(self) -> None:
        self.thread.stop()
        self.thread.close()
        self.context.destroy(linger=0)


@pytest.fixture
def published() -> Iterator[Published]:
    made = Published()
    yield made
    made.close()


def test_what_was_printed_is_sent_before_a_flush_returns(published: Published) -> None:
    for number in range(50):
        published.stream.write(f"{number}\n")
        published.stream.flush()
    assert "".join(published.text() for _ in range(50)) == "".join(f"{number}\n" for number in range(50))


def test_a_flush_of_nothing_asks_nothing_of_the_other_thread(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(published.thread, "schedule", asked.append)
    published.stream.flush()
    assert asked == []
    published.stream.write("x")
    assert asked != []


def test_a_flush_waits_for_what_the_other_thread_is_sending(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    sending, go_on = threading.Event(), threading.Event()
    plain = published.stream._flush_buffers

    def held() -> Any:
        sending.set()
        assert go_on.wait(60)
        return plain()

    monkeypatch.setattr(published.stream, "_flush_buffers", held)
    published.stream.write("late\n")
    first = threading.Thread(target=published.stream.flush)
    first.start()
    assert sending.wait(60)
    second = threading.Thread(target=published.stream.flush)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    go_on.set()
    first.join(60)
    second.join(60)
    assert published.text() == "late\n"
