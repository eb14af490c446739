"""
Tells one client, in the kernel's place, what the server has to say: refusals, what a cell waits for, a session's end.

Says it in the messages that a kernel would send, so that every client shows it and none waits for ever. Decides nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.websocket import WebSocketClosedError

from jupyter_audit.access.policy import Policy
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.decide import Cause, Refuse
from jupyter_audit.gate.holding import HELD_KEY, HeldCell
from jupyter_audit.gate.messages import MESSAGES
from jupyter_audit.gate.sessions import Session
from jupyter_audit.server.services import find_services
from jupyter_audit.server.wire import V1_PROTOCOL, format_message

REFUSED_NAMES = {
    Cause.NO_GRANT: "NoActiveGrant",
    Cause.GRANT_ENDED: "GrantEnded",
    Cause.SESSION_ENDED: "SessionEnded",
    Cause.NOT_RECORDED: "NotRecorded",
    Cause.GUARDRAIL: "GuardrailBroken",
    Cause.CELL_DENIED: "CellDenied",
    Cause.CELL_LAPSED: "CellNotApproved",
    Cause.INTERRUPTED: "KeyboardInterrupt",
}
"""The error names that a notebook shows; any other refusal is `Refused`."""


class Teller:
    """Writes to the client of one connection."""

    def __init__(self, connection: ZMQChannelsWebsocketConnection) -> None:
        self._connection = connection
        self._over: tuple[str, str] | None = None

    def write(
        self,
        channel: str,
        msg_type: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Send one message of the server's own, under the header `parent`; nothing if the client has left."""
        connection = self._connection
        message = connection.session.msg(msg_type, content=dict(content), parent=None, metadata=metadata)
        message["parent_header"] = dict(parent)
        framed = format_message(message, channel, connection.subprotocol, connection.session.pack)
        with contextlib.suppress(WebSocketClosedError):
            connection.write_message(framed, binary=connection.subprotocol == V1_PROTOCOL)

    def state(self, state: str, parent: Mapping[str, Any]) -> None:
        """Say what the kernel is at, in Jupyter's words: `busy`, `idle` or `dead`."""
        self.write("iopub", "status", {"execution_state": state}, parent)

    def printed(self, stream: str, text: str, parent: Mapping[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Show a text under the cell whose header is `parent`, on `stdout` or `stderr`."""
        self.write("iopub", "stream", {"name": stream, "text": self._hinting(text)}, parent, metadata)

    def error(self, name: str, sentence: str, parent: Mapping[str, Any]) -> None:
        """Show `sentence` as an error output of the cell whose header is `parent`."""
        red, plain = "\x1b[31m", "\x1b[0m"
        traceback = [f"{red}{name}{plain}: {sentence}"]
        self.write("iopub", "error", {"ename": name, "evalue": sentence, "traceback": traceback}, parent)

    def refusal(self, message: ClientMessage, refusal: Refuse, session: Session | None) -> None:
        """Answer in the kernel's place, so that the client shows the sentence and does not wait for ever."""
        name, sentence = REFUSED_NAMES.get(refusal.cause, "Refused"), self._hinting(refusal.sentence)
        if refusal.cause is Cause.SESSION_ENDED and self._over is not None:
            name, sentence = self._over
        rule = MESSAGES.get(message.msg_type)
        is_cell = message.msg_type == "execute_request"
        parent = message.header
        self.state("busy", parent)
        if is_cell and not message.content.get("silent"):
            self.error(name, sentence, parent)
        if message.msg_type == "input_reply" and session is not None:
            self._still_waiting(refusal, session)
        if rule is not None and rule.reply:
            content: dict[str, Any] = {"status": "error", "ename": name, "evalue": sentence, "traceback": []}
            if message.msg_type == "debug_request":
                # The Debug Adapter Protocol's own way to say no; JupyterLab stumbles over an answer without a body.
                body = {"isStarted": False, "breakpoints": [], "stoppedThreads": []}
                content |= {"type": "response", "success": False, "message": sentence, "body": body}
            if is_cell:
                content |= {"execution_count": 0, "user_expressions": {}, "payload": []}
            reply_on = message.channel if message.channel in ("shell", "control") else "shell"
            self.write(reply_on, rule.reply, content, parent)
        self.state("idle", parent)

    def _hinting(self, text: str) -> str:
        services = find_services(self._connection.websocket_handler.settings)
        return text if services is None else services.hinting(text)

    def _still_waiting(self, refusal: Refuse, session: Session) -> None:
        """Say in the output of the cell that reads input why it got none: an answer has no output of its own."""
        text = f"{refusal.sentence} The cell still waits for input: interrupt the kernel, and run it again.\n"
        for sent in session.capture.running():
            self.printed("stderr", text, sent.header)

    def aborted(self, message: ClientMessage) -> None:
        """Answer a cell that is not run because the one before it failed."""
        self.state("busy", message.header)
        self.write(message.channel, "execute_reply", {"status": "aborted"}, message.header)
        self.state("idle", message.header)

    def held(self, held: HeldCell, policy: Policy) -> None:
        """Show under a cell that it waits for somebody's approval, and whose."""
        parent = held.message.header
        self.state("busy", parent)
        if held.message.content.get("silent"):
            return
        profile = policy.profiles[held.profile]
        whose = ", ".join(profile.approvers) or "an approver"
        text = (
            f"Waiting for approval by {whose}, for {profile.cell_approval_minutes} minutes at most: "
            f"`jupyter audit approve-cell {held.id}`, or in the panel. Interrupt to give up.\n"
        )
        self.printed("stderr", text, parent, {HELD_KEY: held.id})

    def held_no_more(self, held: HeldCell) -> None:
        """Take that away again from a cell that runs: what comes now is its own output."""
        if not held.message.content.get("silent"):
            self.write("iopub", "clear_output", {"wait": False}, held.message.header, {HELD_KEY: ""})

    def ended(self, name: str, sentence: str, running: list[Mapping[str, Any]]) -> None:
        """
        Say that the session is over in each running cell's output, and from now on to whatever is sent to its kernel.

        Not that the kernel is dead: JupyterLab then lets go of the connection and runs the next cell without one, which waits for
        ever. Nor can the sentence be left to the running cells: a page that was loaded meanwhile does not know them.
        """
        sentence = self._hinting(sentence)
        self._over = name, sentence
        for parent in running:
            self.error(name, sentence, parent)
            content = {"status": "error", "ename": name, "evalue": sentence, "traceback": [], "execution_count": 0}
            self.write("shell", "execute_reply", content, parent)
            self.state("idle", parent)
