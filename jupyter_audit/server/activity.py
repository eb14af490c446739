"""
When a kernel was last active and whether it is busy, told from what it publishes: what `/api/kernels` shows and culling goes by.

Jupyter Server's own watch does the same (`MappingKernelManager.start_watching_activity`) with every message read twice and its
dates parsed, in the event loop that cells wait for. Nothing here decides or records anything: the watcher does (watch.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from jupyter_client.session import Session
from jupyter_server._tz import utcnow

from jupyter_audit.server.wire import check_signature


def activity_of(kernels: Any, kernel: Any) -> Callable[[list[Any]], None]:
    """Return what is to be called with each iopub message of `kernel`, which is one of `kernels`."""
    wire = Session(key=kernel.session.key, signature_scheme=kernel.session.signature_scheme)

    def note(frames: list[Any]) -> None:
        parts: list[Any] = wire.feed_identities(frames)[1]
        check_signature(parts, wire)
        header, parent = json.loads(parts[1]), json.loads(parts[2])
        parent_type = parent.get("msg_type") if parent else None
        tracked = kernels.track_message_type(parent_type)
        if tracked or kernel.execution_state == "busy" or kernels.track_message_type(header["msg_type"]):
            kernels.last_kernel_activity = kernel.last_activity = utcnow()
        if header["msg_type"] == "status":
            state = json.loads(parts[4])["execution_state"]
            if tracked:
                kernel.execution_state = state
            elif kernel.execution_state == "starting" and state != "starting":
                # Whatever answers is up, though nobody's own message made it so.
                kernel.execution_state = "idle"

    return note
