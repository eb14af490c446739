"""
The message table: for each message type that a client may send, what it takes and how it is put down.

The only place that says so: the gate reads each column here. What stands beside the table is in ANSWERED_HERE.
A type that is not here, or comes on a channel that is not named here, is refused and recorded. Every type is
recorded: once an earlier cell has replaced a handler inside the kernel, any message at all can make code run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from jupyter_audit.record.kinds import CellAdmitted, CellAnswered, CellRefused, MessageAdmitted, MessageRefused

SHELL = "shell"
CONTROL = "control"
STDIN = "stdin"

NOT_PASSED: frozenset[str] = frozenset()
"""The channels of a type that no client may send."""


class Judging(StrEnum):
    """What guardrails make of a message, under a profile that has some."""

    WHOLE = "judged; refused if it cannot be read"
    AS_FAR = "judged as far as it can be read"
    PASSED = "passed"


JUDGED: Mapping[str, tuple[Judging, str]] = {
    "execute_request": (Judging.WHOLE, "its code and its user_expressions"),
    "debug_request": (Judging.WHOLE, "what it has evaluated: expressions, values, conditions, log messages, a dumped cell"),
    "input_reply": (Judging.AS_FAR, "what was typed, which may be an answer as well as code; a password is not judged"),
    "complete_request": (Judging.AS_FAR, "a completer may evaluate the code before the cursor, which is seldom whole"),
    "inspect_request": (Judging.PASSED, "it looks up dotted names, and runs none of the code around them"),
    "is_complete_request": (Judging.PASSED, "the code is looked at, and not run"),
    "history_request": (Judging.PASSED, "what was run before was judged then"),
    "comm_open": (Judging.PASSED, "data for a handler, whose code was judged when it came"),
    "comm_msg": (Judging.PASSED, "data for a handler, whose code was judged when it came"),
    "comm_close": (Judging.PASSED, "data for a handler, whose code was judged when it came"),
    "usage_request": (Judging.PASSED, "it carries no code"),
}
"""What guardrails make of each type that needs a grant, and of what in it. What needs no grant carries no code."""


def judging_of(msg_type: str) -> Judging:
    """Return what guardrails make of a type of message that may pass; of one that nobody thought of the strictest."""
    if msg_type in JUDGED:
        return JUDGED[msg_type][0]
    rule = MESSAGES.get(msg_type)
    return Judging.PASSED if rule is not None and not rule.needs_grant else Judging.WHOLE


def waits(msg_type: str) -> bool:
    """Say whether a message goes on only after its entry is durable; of a type that nobody thought of: it does."""
    rule = MESSAGES.get(msg_type)
    return rule is None or rule.waits


def refused_as(msg_type: str) -> str:
    """Return the type of the entry that a refused message becomes, also one of a type that is not in the table."""
    rule = MESSAGES.get(msg_type)
    return MessageRefused.TYPE if rule is None else rule.refused_as


class EachCell(StrEnum):
    """What becomes of a message where each cell is approved by somebody (`cell_approval` of the profile)."""

    HELD = "held"
    PASSED = "passed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class MessageRule:
    """
    One row of the table.

    `channels`: where it may come from; none for a type that is known and never passed on. `needs_grant`: refused
    without a live grant. `waits`: goes on only after its entry is durable; an interrupt alone does not wait, because
    it must not be stuck behind a disk, and runs nothing but what an admitted cell put where the signal arrives.
    `reply`: the type of the answer that a client waits for, empty if none. `each_cell`: what becomes of it where cells
    are approved one by one: no code may come another way, and what an approved cell has registered may not be set off
    by what nobody approved. `why`: what it makes a kernel do, or why it is not passed on.
    """

    msg_type: str
    channels: frozenset[str]
    needs_grant: bool
    waits: bool
    reply: str
    each_cell: EachCell
    why: str

    @property
    def is_cell(self) -> bool:
        """Whether it is put down as a cell."""
        return self.msg_type == "execute_request"

    @property
    def admitted_as(self) -> str:
        """The type of the entry that an admitted one becomes; empty if none is ever admitted."""
        if not self.channels:
            return ""
        return CellAdmitted.TYPE if self.is_cell else MessageAdmitted.TYPE

    @property
    def refused_as(self) -> str:
        """The type of the entry that a refused one becomes."""
        return CellRefused.TYPE if self.is_cell else MessageRefused.TYPE


def _rule(
    msg_type: str,
    channels: set[str] | frozenset[str],
    *,
    grant: bool,
    why: str,
    waits: bool = True,
    passes: bool = False,
) -> MessageRule:
    each_cell = EachCell.HELD if msg_type == "execute_request" else EachCell.PASSED if passes else EachCell.REFUSED
    reply = msg_type.removesuffix("_request") + "_reply" if msg_type.endswith("_request") else ""
    return MessageRule(msg_type, frozenset(channels), grant, waits, reply, each_cell, why)


# ipykernel serves shell messages on its control channel too, past a busy shell; so both are named.
_BOTH = {SHELL, CONTROL}

MESSAGES: dict[str, MessageRule] = {
    rule.msg_type: rule
    for rule in (
        _rule("execute_request", _BOTH, grant=True, why="runs code, and evaluates user_expressions"),
        _rule("inspect_request", _BOTH, grant=True, why="evaluates attribute access"),
        _rule("complete_request", _BOTH, grant=True, why="evaluates attribute access and custom completers"),
        _rule("is_complete_request", _BOTH, grant=True, why="runs input transformers"),
        _rule("history_request", _BOTH, grant=True, passes=True, why="reads what was run before"),
        _rule("comm_open", _BOTH, grant=True, why="calls a target that code registered"),
        _rule("comm_msg", _BOTH, grant=True, why="calls a handler that code registered"),
        _rule("comm_close", _BOTH, grant=True, why="calls a handler that code registered"),
        _rule("debug_request", {CONTROL}, grant=True, why="evaluates expressions in the debugger, by command (below)"),
        _rule("input_reply", {STDIN}, grant=True, why="is read by running code, which may run it"),
        _rule("usage_request", {CONTROL}, grant=True, passes=True, why="tells of the kernel's processes and memory"),
        _rule("comm_info_request", _BOTH, grant=False, passes=True, why="lists comms; JupyterLab asks when it connects"),
        _rule("kernel_info_request", _BOTH, grant=False, passes=True, why="describes the kernel; clients ask when they connect"),
        _rule("create_subshell_request", {CONTROL}, grant=False, passes=True, why="makes a thread that waits for messages"),
        _rule("delete_subshell_request", {CONTROL}, grant=False, passes=True, why="ends such a thread"),
        _rule("list_subshell_request", {CONTROL}, grant=False, passes=True, why="lists such threads"),
        _rule("interrupt_request", {CONTROL}, grant=False, waits=False, passes=True, why="stops what runs"),
        # Known, and never passed on.
        _rule("shutdown_request", NOT_PASSED, grant=True, why="is for the REST API, which ends kernels and says who did it"),
        _rule("connect_request", NOT_PASSED, grant=True, why="tells the kernel's ports, which only the server uses"),
        _rule("apply_request", NOT_PASSED, grant=True, why="runs a function of ipyparallel's, which no reviewer could read"),
        _rule("clear_request", NOT_PASSED, grant=True, why="is ipyparallel's: it wipes what a cell is being reviewed for"),
        _rule("abort_request", NOT_PASSED, grant=True, why="is ipyparallel's: it takes back cells that are put down as sent"),
    )
}
"""
Every type of ipykernel 7 (`Kernel.msg_types`, `Kernel.control_msg_types`, its comm manager's), and the protocol's
`input_reply`; a test compares.
"""

ANSWERED_HERE = (
    f"An execute_request that is `%audit …` alone (`gate/intents.py`) needs no grant and reaches no kernel: the server answers "
    f"its sender once it is on disk, as `{CellAnswered.TYPE}`. An observer's kernel_info_request is answered by the server, from "
    "what the kernel said when it started, and makes no entry; whatever else an observer sends is refused. And what no client "
    "sent is in no row: when a kernel starts, and when a client connects, the server asks by itself for the kernel's "
    "kernel_info, and it orders it to end or, where its kind wants that, to stop, under permits of its own, without an entry for "
    f"each; and it runs one cell as a trial before any other, put down as `{CellAdmitted.TYPE}` (`canary`)."
)
"""What is not in the table: what the server answers itself, and what it sends by itself."""

DEBUG_COMMANDS: Mapping[str, str] = {
    # The Debug Adapter Protocol's own.
    "initialize": "begins a debugging session",
    "attach": "has the kernel debugged",
    "configurationDone": "ends the setting up",
    "disconnect": "ends a debugging session",
    "terminate": "ends a debugging session",
    "cancel": "takes back a request",
    "evaluate": "evaluates an expression",
    "setExpression": "evaluates and assigns",
    "setVariable": "evaluates and assigns",
    "completions": "looks through live objects",
    "setBreakpoints": "may carry conditions and log messages, which are evaluated",
    "setFunctionBreakpoints": "may carry conditions, which are evaluated",
    "setExceptionBreakpoints": "may carry conditions, which are evaluated",
    "continue": "goes on running",
    "next": "goes on running",
    "stepIn": "goes on running",
    "stepInTargets": "lists where to go on",
    "stepOut": "goes on running",
    "pause": "stops what runs",
    "goto": "goes on running somewhere else",
    "gotoTargets": "lists where to go on",
    "restartFrame": "runs a frame again",
    "threads": "lists threads",
    "stackTrace": "lists frames",
    "scopes": "lists variables",
    "variables": "shows variables, by their own __repr__",
    "exceptionInfo": "shows an exception, by its own __repr__",
    "loadedSources": "lists files",
    "modules": "lists modules",
    "source": "reads a file",
    # Jupyter's additions.
    "debugInfo": "tells the debugger's state; JupyterLab asks when it connects",
    "dumpCell": "writes a cell's code into a temporary file",
    "inspectVariables": "shows variables, by their own __repr__",
    "richInspectVariables": "shows a variable, by its own display methods",
    "copyToGlobals": "assigns a variable",
}
"""
The commands that a debug_request may carry, and what each makes a kernel do. Any other is refused and recorded: the
debugger's adapter also starts and attaches to processes (`launch`, `runInTerminal`) and changes its own settings
(pydevd's commands), which no front end of a kernel needs.
"""
