"""What a kernel sends on its way to a client: replies and password prompts are noted, and some of it is not passed on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jupyter_audit.gate.admit import report_type
from jupyter_audit.gate.sessions import Session
from jupyter_audit.server.services import Services


def note(channel: str, message: Mapping[str, Any], frames: list[Any], session: Session, services: Services) -> bool:
    """
    Tell the capture of replies and password prompts; return False for what the client is not to see.

    `message` is what `read_outgoing` made of `frames`, which begin with the signature.
    """
    header = message["header"]
    msg_type = header.get("msg_type")
    if msg_type == report_type():
        return False
    if channel in ("shell", "control") and msg_type == "execute_reply":
        content, parent = json.loads(bytes(frames[4])), json.loads(bytes(frames[2]))
        session.count(content.get("execution_count"))
        services.replied(
            session,
            str(parent.get("msg_id", "")),
            str(content.get("status", "")),
            str(content.get("ename", "")),
        )
    elif channel == "iopub" and session.canary_id:
        # The canary's own traffic would only make a client blink.
        parent = message["parent_header"]
        return bool((json.loads(bytes(frames[2])) if parent is None else parent).get("msg_id") != session.canary_id)
    elif channel == "stdin" and msg_type == "input_request" and json.loads(bytes(frames[4])).get("password"):
        session.passwords_asked.add(str(header.get("msg_id")))
    return True
