"""
When a kernel was last active and whether it is busy, told from what it publishes: what `/api/kernels` shows and culling goes by.

Jupyter Server's own watch does the same (`MappingKernelManager.start_watching_activity`), with every message read a further time
in the event loop that cells wait for. Here the watcher tells of what it has read anyway, in its thread. Nothing here decides or
records anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_server._tz import utcnow

from jupyter_audit.server.watch import Listener


def activity_of(kernels: Any, kernel: Any) -> Listener:
    """Return what is to be called with each iopub message of `kernel`, which is one of `kernels`."""

    def note(msg_type: str, parent: Mapping[str, Any], content: Mapping[str, Any], size: int) -> None:
        parent_type = parent.get("msg_type")
        tracked = kernels.track_message_type(parent_type)
        if tracked or kernel.execution_state == "busy" or kernels.track_message_type(msg_type):
            kernels.last_kernel_activity = kernel.last_activity = utcnow()
        # A kernel can publish anything, and nothing of it may end the watch.
        state = content.get("execution_state") if msg_type == "status" else None
        if isinstance(state, str):
            if tracked:
                kernel.execution_state = state
            elif kernel.execution_state == "starting" and state != "starting":
                # Whatever answers is up, though nobody's own message made it so.
                kernel.execution_state = "idle"

    return note
