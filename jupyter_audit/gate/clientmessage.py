"""A message of a client's, as the gate has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jupyter_audit_kernel.formats import content_text


@dataclass(frozen=True)
class ClientMessage:
    """A message as it was parsed from the wire: what is judged, put down and sent on, and nothing else."""

    channel: str
    header: Mapping[str, Any]
    parent_header: Mapping[str, Any]
    metadata: Mapping[str, Any]
    content: Mapping[str, Any]
    buffers: Sequence[bytes] = ()

    @property
    def msg_id(self) -> str:
        """The client's name for the message. Its choice: never a key of ours."""
        return str(self.header["msg_id"])

    @property
    def msg_type(self) -> str:
        """The type in the header, which is the one that the kernel goes by."""
        return str(self.header["msg_type"])

    @cached_property
    def text(self) -> bytes:
        """The content as it is put down, and as its permit digests it. Made once: cells can be large."""
        return content_text(self.content)

    @property
    def command(self) -> str:
        """What a debug_request asks the debugger to do; empty for any other message, or if it is no text."""
        command = self.content.get("command") if self.msg_type == "debug_request" else None
        return command if isinstance(command, str) else ""
