"""
The audit kernel's session: no message gets out of its frames without a good permit.

Every road by which ipykernel comes to a message's content leads through `deserialize`. Here that gives out only what
`admit` has read and checked before, each time once; so what was checked is what is dispatched (it is parsed one time
only), and a road that somebody forgot leads nowhere. A permit keeps out whoever else reaches the kernel's ports.
It does not guard the kernel against code that already runs in it: nothing inside a process can.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import zmq
from jupyter_audit_kernel.formats import PermitChecker, PermitError
from jupyter_client.session import Session, json_unpacker
from traitlets import Callable as CallableTrait

Message = dict[str, Any]


class RefusedError(Exception):
    """A message of somebody with the kernel's own key, but without a good permit. `error` says why."""

    def __init__(self, message: Message, error: PermitError) -> None:
        super().__init__(str(error))
        self.message = message
        self.error = error


class AuditSession(Session):
    """
    A session that asks for permits.

    `checker` judges them. `on_refused` is told of each stdin message that was refused; those of the other channels
    are the business of who called `admit`. `on_unreadable` is told, in any thread, of what is no message of somebody with
    the kernel's key.
    """

    # The digest in a permit is of what Python's own json reads; a faster parser reads some numbers differently.
    unpack = CallableTrait(json_unpacker)

    checker: PermitChecker | None = None
    on_refused: Callable[[RefusedError], None] | None = None
    on_unreadable: Callable[[], None] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lock = threading.Lock()
        self._admitted: dict[bytes, Message] = {}

    def admit(self, frames: list[Any], *, copy: bool, stdin: bool = False) -> Message:
        """
        Return the message in `frames` (from its signature on) if it has a good permit, which is used up.

        Raises `RefusedError` if it has not, and whatever `Session.deserialize` raises for what is no message or is not
        signed with the kernel's key.
        """
        try:
            message: Message = super().deserialize(frames, content=True, copy=copy)
        except ValueError as error:
            again = self._repeated(frames) if str(error).startswith("Duplicate Signature") else None
            if again is None:
                raise
            raise RefusedError(again, PermitError("replayed", "This very message was sent before.")) from error
        try:
            self._check(message, stdin=stdin)
        except PermitError as error:
            raise RefusedError(message, error) from error
        return message

    def _repeated(self, frames: list[Any]) -> Message | None:
        """
        Return of a message that came a second time, byte for byte, what an answer and a report need.

        None for what only carries the signature of another: that takes no key, and must not look like an insider's doing.
        """
        parts = [bytes(getattr(frame, "bytes", frame)) for frame in frames[:5]]
        if len(parts) < 5 or not hmac.compare_digest(self.sign(parts[1:]), parts[0]):
            return None
        try:
            header = json_unpacker(parts[1])
            return {"header": header, "msg_id": header["msg_id"], "msg_type": header["msg_type"], "metadata": {}, "content": {}}
        except (KeyError, TypeError, ValueError):
            return None

    def vouch(self, frames: list[Any], message: Message) -> None:
        """Let `deserialize` give `message` out, once, when it is asked for these frames."""
        self._admitted[_signature(frames)] = message

    def withdraw(self, frames: list[Any]) -> None:
        """Take back what was vouched for and not asked for."""
        self._admitted.pop(_signature(frames), None)

    def deserialize(self, msg_list: list[Any], content: bool = True, copy: bool = True) -> Message:
        """Return a message that was admitted; of any other its header alone (`content=False`)."""
        if not content:
            try:
                message: Message = super().deserialize(msg_list, content=False, copy=copy)
            except (TypeError, ValueError):
                if self.on_unreadable is not None:
                    self.on_unreadable()
                raise
            return message
        admitted = self._admitted.pop(_signature(msg_list), None)
        if admitted is None:
            raise ValueError("The message was not admitted.")
        return admitted

    def recv(self, socket: Any, mode: int = zmq.NOBLOCK, content: bool = True, copy: bool = True) -> Any:
        """Receive from the stdin channel; what is no permitted input_reply is as if it had not come."""
        try:
            frames = socket.recv_multipart(mode, copy=copy)
        except zmq.Again:
            return None, None
        idents, frames = self.feed_identities(frames, copy)
        try:
            return idents, self.admit(frames, copy=copy, stdin=True)
        except RefusedError as refused:
            if self.on_refused is not None:
                self.on_refused(refused)
            return None, None

    def _check(self, message: Message, *, stdin: bool) -> None:
        header, metadata, content = message["header"], message["metadata"], message["content"]
        for part in (header, metadata, content):
            if not isinstance(part, dict):
                raise PermitError("malformed", "A part of the message is not a JSON object.")
        msg_type = header["msg_type"]
        if not isinstance(msg_type, str):
            raise PermitError("malformed", "The message's type is not a text.")
        # ipykernel takes whatever comes on stdin for the answer, of whatever type it says that it is.
        if stdin and msg_type != "input_reply":
            raise PermitError("malformed", "A message on stdin is not an input_reply.")
        if self.checker is None:
            raise PermitError("missing", "The kernel has no terms to judge permits by.")
        with self._lock:
            self.checker.check(header, metadata, content, datetime.now(UTC))


def _signature(frames: list[Any]) -> bytes:
    first = frames[0] if frames else b""
    return bytes(getattr(first, "bytes", first))
