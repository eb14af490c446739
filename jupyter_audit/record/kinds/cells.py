"""Kinds of entries about what went to a kernel or a terminal, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_audit.model import Json
from jupyter_audit.record.kinds.base import Kind


@dataclass(frozen=True, slots=True)
class CellAdmitted(Kind):
    """
    An execute_request was covered by the grant in the envelope and went to the kernel after this entry was durable.

    Content `message` is the whole content of the message that was sent on, code included. `cell` is the
    client's name for the notebook cell; `msg_id` its name for the message: both are its word. `warned` names the guardrails
    that it breaks and that the profile only warns of, `held` is the number of the cell.held that was approved, or -1.
    """

    TYPE = "cell.admitted"
    kernel_id: str
    msg_id: str
    channel: str
    cell: str
    silent: bool
    store_history: bool
    lines: int
    canary: bool
    warned: Sequence[str] = ()
    held: int = -1


@dataclass(frozen=True, slots=True)
class CellHeld(Kind):
    """
    A cell waits for somebody's approval: its grant's profile asks for one of each cell. It has not reached the kernel.

    Content `message` as in cell.admitted: what is approved, and nothing else, is what may run. `hold` names it, `lapses` is
    when it goes unanswered. A service holds it `on_behalf_of` a person. `signed_approvals` says that only a yes that its
    approver signed counts (docs/signed-approvals.md). `cell` and `msg_id` are the client's word.
    """

    TYPE = "cell.held"
    hold: str
    kernel_id: str
    msg_id: str
    channel: str
    cell: str
    silent: bool
    lines: int
    profile: str
    lapses: str
    on_behalf_of: str
    signed_approvals: bool


@dataclass(frozen=True, slots=True)
class CellApproved(Kind):
    """An approver, who is the actor, says yes to a held cell. It runs once, by the cell.admitted that names cell.held."""

    TYPE = "cell.approved"
    hold: str
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class CellDenied(Kind):
    """An approver says no to a held cell, and why. `statement` and `signature` as in access.approved."""

    TYPE = "cell.denied"
    hold: str
    reason: str
    statement: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class CellHoldEnded(Kind):
    """
    A held cell will not run, and nobody denied it. One that was approved meanwhile does not run either.

    `cause` is one of `lapsed` (nobody answered in time), `interrupted`, `client_left`, `refused` (approved, and then
    something else was against it: `cell.refused` says what), `not_recorded`, `server_died` (put down by a later server), or
    why its session ended, as in session.ended.
    """

    TYPE = "cell.hold_ended"
    hold: str
    cause: str


@dataclass(frozen=True, slots=True)
class CellRefused(Kind):
    """
    An execute_request was refused and never reached the kernel. Content `message` as in cell.admitted; `cut` if not whole.

    `guardrails` names those that it breaks, where the cause is `guardrail`; `unreadable` is code that none could judge.
    `held` is the number of its cell.held, if it waited for an approval, or -1.
    """

    TYPE = "cell.refused"
    kernel_id: str
    msg_id: str
    channel: str
    cell: str
    cause: str
    lines: int
    cut: bool = False
    guardrails: Sequence[str] = ()
    held: int = -1


@dataclass(frozen=True, slots=True)
class CellAnswered(Kind):
    """
    A cell that was `%audit …` alone: the server answered it, and no kernel saw it. Put down before the server did anything.

    Content `message` as in cell.admitted. `verb` is what was asked for, empty if it is none that there is; what came of it
    is in the entries that follow (`access.requested`, `access.refused`, `feedback.given`, `note.made`).
    """

    TYPE = "cell.answered"
    kernel_id: str
    msg_id: str
    channel: str
    cell: str
    verb: str


@dataclass(frozen=True, slots=True)
class CellFinished(Kind):
    """
    An admitted cell came to its end. What it put out is the kernel's word, seen by the server's own watcher.

    `admitted` is the number of its entry. `status` is `ok`, `error`, `aborted`, `ended` (the session ended
    first) or `unknown`. `duration_ms` is how long it took from when it was sent on, `waited_ms` how much of that it waited
    for the kernel to begin it, behind other cells. `outputs` lists for each output its MIME type, bytes, lines, rows and
    whether its text was cut; content `outputs` holds digests (over the whole) and the first part of each text.
    """

    TYPE = "cell.finished"
    kernel_id: str
    admitted: int
    status: str
    error: str
    duration_ms: int
    outputs: Sequence[Mapping[str, Json]]
    complete: bool
    reported_by: str
    waited_ms: int = 0


@dataclass(frozen=True, slots=True)
class CellLateOutput(Kind):
    """
    Output that carried a cell's name after the cell had finished: something it started lives on.

    `admitted` is the number of that cell's entry, or of the other message's that it carried the name of. It is -1 of output
    under no name that was ever sent: of what a kernel does as it starts, and of code that hides whose it is.
    """

    TYPE = "cell.late_output"
    kernel_id: str
    admitted: int
    outputs: Sequence[Mapping[str, Json]]
    reported_by: str


@dataclass(frozen=True, slots=True)
class MessageAdmitted(Kind):
    """
    A message other than execute_request that can make the kernel run code went to it, under the grant.

    An interrupt that was asked for over REST is put down so, too, without a `msg_id`.
    Content `message` is the whole content of the message. `masked` says that it was a password, which is not kept;
    `buffers` counts binary buffers, of which content `buffers` keeps sizes and digests.
    """

    TYPE = "message.admitted"
    kernel_id: str
    msg_id: str
    msg_type: str
    channel: str
    masked: bool = False
    buffers: int = 0
    warned: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class MessageRefused(Kind):
    """
    A message other than execute_request was refused: no grant, unknown type, it did not parse, or it breaks `guardrails`.
    """

    TYPE = "message.refused"
    kernel_id: str
    msg_id: str
    msg_type: str
    channel: str
    cause: str
    cut: bool = False
    masked: bool = False
    buffers: int = 0
    guardrails: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class KernelReport(Kind):
    """Something the audit kernel says of itself, such as a message without a good permit. Its word only."""

    TYPE = "kernel.report"
    kernel_id: str
    report: str
    detail: Mapping[str, Json]
    reported_by: str


@dataclass(frozen=True, slots=True)
class TerminalInput(Kind):
    """
    Something was typed into a terminal, and went to it after this entry was durable.

    `kernel_id` is the terminal's id, `at_ms` the milliseconds since it started. Content `input` holds the text.
    `masked` says that a line was typed while the terminal did not echo, as for a password, and is not kept; `bytes`
    counts it all the same.
    """

    TYPE = "terminal.input"
    kernel_id: str
    at_ms: int
    bytes: int
    masked: bool


@dataclass(frozen=True, slots=True)
class TerminalRefused(Kind):
    """Something was typed into a terminal and did not reach it, and why. Content `input` as in terminal.input."""

    TYPE = "terminal.refused"
    kernel_id: str
    at_ms: int
    bytes: int
    cause: str


@dataclass(frozen=True, slots=True)
class TerminalOutput(Kind):
    """
    What a terminal showed from `at_ms` to `until_ms`, in milliseconds since its start: the word of what runs in it.

    `bytes` counts all of it. Content `output` holds events of time, kind (`o` output, `r` new size) and text, and a
    digest over the whole; `cut` says that not all of the text is kept.
    """

    TYPE = "terminal.output"
    kernel_id: str
    at_ms: int
    until_ms: int
    bytes: int
    cut: bool
