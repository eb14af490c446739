"""What the message table says of waiting for the disk is what the gate does."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from jupyter_audit.clock import SystemClock
from jupyter_audit.gate.admit import Gate, Passed
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.decide import Admit, Cause, Refuse
from jupyter_audit.gate.messages import MESSAGES

PASSING = [rule.msg_type for rule in MESSAGES.values() if rule.channels]


class DeadDisk:
    """A recorder that never stores anything: whatever waits for it waits in vain."""

    def store(self, drafts: Any) -> DeadDisk:
        return self

    async def within(self, seconds: float) -> Any:
        raise TimeoutError

    def then(self, tell: Any) -> None:
        """Nothing comes."""

    def owe(self, draft: Any) -> None:
        """Put down later: here never."""


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that takes a message of a type, which the judge lets pass, to the gate, and returns the gate's verdict."""
    for name in ("admission_drafts", "refusal_draft"):
        monkeypatch.setattr(f"jupyter_audit.gate.admit.{name}", lambda *_: [None])
    monkeypatch.setattr("jupyter_audit.gate.admit.own_permit", lambda *_: {})

    def judge(msg_type: str) -> Passed | Refuse:
        monkeypatch.setattr(Gate, "_judge", lambda *_: Admit(MESSAGES[msg_type], None))
        gate = Gate.__new__(Gate)
        gate.recorder, gate.timeout, gate.clock = DeadDisk(), 0.0, SystemClock()  # type: ignore[assignment]
        gate.held = type("NoneHeld", (), {"cancel": lambda *_, **__: None})()
        message = ClientMessage("control", {"msg_id": "m", "msg_type": msg_type}, {}, {}, {})
        return asyncio.run(gate.admit(message, None, None, None))  # type: ignore[arg-type]

    return judge


@pytest.mark.parametrize("msg_type", PASSING)
@pytest.mark.parametrize("waits", [True, False])
def test_with_a_dead_disk_nothing_passes_but_what_the_table_lets_go_on_without_waiting(
    judged: Any, monkeypatch: pytest.MonkeyPatch, msg_type: str, waits: bool
) -> None:
    monkeypatch.setitem(MESSAGES, msg_type, dataclasses.replace(MESSAGES[msg_type], waits=waits))
    verdict = judged(msg_type)
    if waits:
        assert isinstance(verdict, Refuse)
        assert verdict.cause is Cause.NOT_RECORDED
    else:
        assert verdict == Passed(-1, {})


def test_an_interrupt_alone_does_not_wait() -> None:
    assert [name for name in PASSING if not MESSAGES[name].waits] == ["interrupt_request"]
