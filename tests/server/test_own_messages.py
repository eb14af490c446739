"""What the server says to kernels of its own accord carries a permit that the kernel takes once; nothing else gets one so."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_audit_kernel.formats import PERMIT_KEY, PermitChecker, PermitError
from nacl.signing import SigningKey

from jupyter_audit.server.ownmessages import OWN_TYPES, OwnSession

KEY = SigningKey.generate()
NOW = datetime.now(UTC)
OTHERS = ["execute_request", "input_reply", "comm_msg", "debug_request", "complete_request", "status"]


@pytest.fixture
def session() -> OwnSession:
    audit: Any = SimpleNamespace(id="s-1", signing_key=KEY, own_permits=itertools.count(-1, -1))
    made = OwnSession(key=b"k")
    made.terms = lambda: (audit, NOW)
    return made


def check(message: dict[str, Any], checker: PermitChecker) -> None:
    checker.check(message["header"], message["metadata"], message["content"], NOW)


@pytest.mark.parametrize("msg_type", sorted(OWN_TYPES))
def test_its_own_are_permitted_also_by_clones_and_each_permit_holds_once(session: OwnSession, msg_type: str) -> None:
    checker = PermitChecker("s-1", KEY.verify_key)
    for who in (session, session.clone(), session):
        message = who.msg(msg_type, {"restart": True})
        check(message, checker)
        with pytest.raises(PermitError, match="used before"):
            check(message, checker)


@pytest.mark.parametrize("msg_type", OTHERS)
def test_what_is_not_its_own_gets_no_permit(session: OwnSession, msg_type: str) -> None:
    assert PERMIT_KEY not in session.msg(msg_type, {"code": "1"})["metadata"]


def test_without_a_session_of_the_kernel_nothing_is_permitted(session: OwnSession) -> None:
    session.terms = lambda: None
    assert PERMIT_KEY not in session.msg("shutdown_request", {})["metadata"]
