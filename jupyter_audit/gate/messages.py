"""
The message table: for each message type that a client may send, what it takes and how it is put down.

The only place that says so. A type that is not here, or comes on a channel that is not named here, is
refused and recorded. Every type is recorded: once an earlier cell has replaced a handler inside the
kernel, any message at all can make code run.
"""

from __future__ import annotations

from dataclasses import dataclass

SHELL = "shell"
CONTROL = "control"
STDIN = "stdin"


@dataclass(frozen=True, slots=True)
class MessageRule:
    """
    One row of the table.

    `needs_grant`: refused without a live grant. `waits`: goes on only after its entry is durable; an
    interrupt alone does not wait, because it runs nothing and must not be stuck behind a disk.
    `reply`: the type of the answer that a client waits for, empty if none.
    """

    msg_type: str
    channels: frozenset[str]
    needs_grant: bool
    waits: bool
    reply: str
    why: str


def _rule(msg_type: str, channels: set[str], *, grant: bool, why: str, waits: bool = True) -> MessageRule:
    reply = msg_type.removesuffix("_request") + "_reply" if msg_type.endswith("_request") else ""
    return MessageRule(msg_type, frozenset(channels), grant, waits, reply, why)


# ipykernel serves shell messages on its control channel too, past a busy shell; so both are named.
_BOTH = {SHELL, CONTROL}

MESSAGES: dict[str, MessageRule] = {
    rule.msg_type: rule
    for rule in (
        _rule("execute_request", _BOTH, grant=True, why="runs code, and evaluates user_expressions"),
        _rule("inspect_request", _BOTH, grant=True, why="evaluates attribute access"),
        _rule("complete_request", _BOTH, grant=True, why="evaluates attribute access and custom completers"),
        _rule("is_complete_request", _BOTH, grant=True, why="runs input transformers"),
        _rule("history_request", _BOTH, grant=True, why="reads what was run before"),
        _rule("comm_open", _BOTH, grant=True, why="calls a target that code registered"),
        _rule("comm_msg", _BOTH, grant=True, why="calls a handler that code registered"),
        _rule("comm_close", _BOTH, grant=True, why="calls a handler that code registered"),
        _rule("debug_request", _BOTH, grant=True, why="evaluates expressions in the debugger"),
        _rule("input_reply", {STDIN}, grant=True, why="is read by running code, which may run it"),
        _rule("comm_info_request", _BOTH, grant=False, why="lists comms; JupyterLab asks when it connects"),
        _rule("kernel_info_request", _BOTH, grant=False, why="describes the kernel; clients ask when they connect"),
        _rule("create_subshell_request", {CONTROL}, grant=False, why="makes a thread that waits for messages"),
        _rule("delete_subshell_request", {CONTROL}, grant=False, why="ends such a thread"),
        _rule("list_subshell_request", {CONTROL}, grant=False, why="lists such threads"),
        _rule("interrupt_request", {CONTROL}, grant=False, waits=False, why="stops what runs"),
    )
}
"""Not here on purpose: shutdown_request (the REST API ends kernels, and says who did it)."""
