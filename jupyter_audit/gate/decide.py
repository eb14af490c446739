"""
The judge: may this message of this person pass to this kernel, now? Pure; the clock is an argument (P2).

What it says in a refusal is what the user reads in the notebook, so each sentence ends in what to do.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from jupyter_audit.access.grants import Grant
from jupyter_audit.gate.messages import DEBUG_COMMANDS, MESSAGES, EachCell, MessageRule


class Cause(StrEnum):
    """Why something was refused; the short word that entries and clients carry."""

    NO_GRANT = "no_grant"
    GRANT_ENDED = "grant_ended"
    NOT_OWNER = "not_owner"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_COMMAND = "unknown_command"
    NEVER_PASSED = "never_passed"
    WRONG_CHANNEL = "wrong_channel"
    MALFORMED = "malformed"
    MESSAGE_ID_REUSED = "message_id_reused"
    TOO_LARGE = "too_large"
    SESSION_ENDED = "session_ended"
    KERNEL_NOT_COVERED = "kernel_not_covered"
    NOTEBOOK_NOT_COVERED = "notebook_not_covered"
    SESSION_TERMS = "session_terms"
    NO_ROOM = "no_room"
    NOT_RECORDED = "not_recorded"
    CANARY = "canary"
    ABORTED = "aborted"
    OBSERVER = "observer"
    TERMINAL_NOT_COVERED = "terminal_not_covered"
    NOT_READ = "not_read"
    NOT_SENT = "not_sent"
    GUARDRAIL = "guardrail"
    EACH_CELL = "each_cell"
    CELL_DENIED = "cell_denied"
    CELL_LAPSED = "cell_lapsed"
    INTERRUPTED = "interrupted"
    CLIENT_LEFT = "client_left"
    TOO_MANY_HELD = "too_many_held"


@dataclass(frozen=True, slots=True)
class Admit:
    """The message may pass. `grant` is None only for types that need none, in a session without one."""

    rule: MessageRule
    grant: Grant | None


@dataclass(frozen=True, slots=True)
class Hold:
    """The cell may pass once somebody has approved it, by itself (`cell_approval` of the grant's profile)."""

    rule: MessageRule
    grant: Grant


@dataclass(frozen=True, slots=True)
class Refuse:
    """The message may not pass; `sentence` tells the user why and what to do. `rules` are the guardrails that it breaks."""

    cause: Cause
    sentence: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """
    What the judge needs to know.

    `bound` is the grant that the session is bound to, if any message of it was admitted before. Otherwise `live` are
    the grants of `principal` in force at `now`, and `fulfilled` the profiles whose isolation and network its kernel
    keeps to. `outside` are the profiles that are for other notebooks than it is used for, of which `notebook` is the newest.
    Under the profiles in `each_cell` every cell is approved by somebody. `short_of_room` says how little room the ledger has
    left, if it is too little for any but the `exempt` profiles. `panel` is where to ask for access.
    """

    principal: str
    owner: str
    kernel_name: str
    session_open: bool
    bound: Grant | None
    outside: Container[str]
    notebook: str
    each_cell: Container[str]
    exempt: Container[str]
    short_of_room: str
    panel: str
    now: datetime
    live: Sequence[Grant] = ()
    covered_kernels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fulfilled: Container[str] = ()


def decide(msg_type: str, channel: str, situation: Situation, command: str = "") -> Admit | Hold | Refuse:
    """
    Return what is to happen to a message of `msg_type` that came on `channel`.

    `command` is what a debug_request asks for; other messages have none.
    """
    rule = MESSAGES.get(msg_type)
    if rule is None:
        return Refuse(Cause.UNKNOWN_TYPE, f"Messages of type {msg_type!r} are not passed on to audited kernels.")
    if not rule.channels:
        return Refuse(Cause.NEVER_PASSED, f"{msg_type} is not passed on to audited kernels: it {rule.why}.")
    if channel not in rule.channels:
        return Refuse(Cause.WRONG_CHANNEL, f"{msg_type} is not passed on from the {channel!r} channel.")
    if msg_type == "debug_request" and command not in DEBUG_COMMANDS:
        return Refuse(Cause.UNKNOWN_COMMAND, f"The debugger's command {command[:100]!r} is not passed on to audited kernels.")
    if not situation.session_open:
        return Refuse(
            Cause.SESSION_ENDED,
            f"This kernel's session has ended. Ask for a new grant ({how_to_ask(situation.panel)}), then restart the kernel.",
        )
    if situation.principal != situation.owner:
        return Refuse(
            Cause.NOT_OWNER,
            f"This kernel belongs to {situation.owner}; only its owner may use it. Start one of your own.",
        )
    if situation.bound is not None:
        # The session lives and dies with its first grant: a later one does not carry on what the first began.
        if situation.bound.is_live(situation.now):
            if rule.needs_grant and situation.bound.profile in situation.outside:
                return _not_for_notebook(situation.bound, situation)
            return _with_room(rule, situation.bound, situation)
        return Refuse(
            Cause.GRANT_ENDED,
            f"The grant {situation.bound.id} behind this session has ended. Ask for a new one "
            f"({how_to_ask(situation.panel)}), then restart the kernel.",
        )
    if not rule.needs_grant:
        return Admit(rule, None)
    if not situation.live:
        return Refuse(Cause.NO_GRANT, no_grant_sentence(situation.panel))
    covering = [grant for grant in situation.live if covers(situation.covered_kernels.get(grant.profile, ()), situation)]
    fitting = [grant for grant in covering if grant.profile not in situation.outside]
    for grant in fitting:
        if grant.profile in situation.fulfilled:
            return _with_room(rule, grant, situation)
    if covering and not fitting:
        return _not_for_notebook(covering[0], situation)
    if fitting:
        return Refuse(
            Cause.SESSION_TERMS,
            f"The profile {fitting[0].profile!r} of your grant {fitting[0].id} asks for another isolation or network than this "
            "kernel was started with, before there was a grant. Restart the kernel, and run the cell again.",
        )
    return Refuse(
        Cause.KERNEL_NOT_COVERED,
        f"No grant of yours covers the kernel {situation.kernel_name!r}. Ask for one that does: "
        f"{how_to_ask(situation.panel)}.",
    )


def _with_room(rule: MessageRule, grant: Grant, situation: Situation) -> Admit | Hold | Refuse:
    """Admit or hold, unless the disk is so full that what runs could stop the recording."""
    if rule.needs_grant and situation.short_of_room and grant.profile not in situation.exempt:
        return Refuse(
            Cause.NO_ROOM,
            f"Not run: {situation.short_of_room}. Make room (an admin with a grant of the profile `recovery` can), and run "
            "the cell again.",
        )
    if grant.profile in situation.each_cell and rule.each_cell is not EachCell.PASSED:
        return Hold(rule, grant) if rule.each_cell is EachCell.HELD else _not_approvable(rule, grant)
    return Admit(rule, grant)


def _not_approvable(rule: MessageRule, grant: Grant) -> Refuse:
    return Refuse(
        Cause.EACH_CELL,
        f"Under the profile {grant.profile!r} each cell is approved by somebody, and {rule.msg_type} {rule.why}: it is not "
        "passed on. Put what you need into a cell.",
    )


def _not_for_notebook(grant: Grant, situation: Situation) -> Refuse:
    return Refuse(
        Cause.NOTEBOOK_NOT_COVERED,
        f"Your grant {grant.id}, of the profile {grant.profile!r}, is for certain notebooks, and "
        f"{told_notebook(situation.notebook)} is none of them. Work in one that it covers (`jupyter audit rules {grant.profile}` "
        "lists them; a notebook that was moved can be moved back), or ask for a grant of another profile.",
    )


def told_notebook(path: str) -> str:
    """Return how the notebook of a kernel is called in a sentence."""
    return repr(path[:200]) if path else "a kernel without a notebook"


def covers(kernels: Sequence[str], situation: Situation) -> bool:
    """Whether a profile that names `kernels` (none: every one) is for this kernel."""
    return not kernels or situation.kernel_name in kernels


def how_to_ask(panel: str) -> str:
    """Return the ways to ask for access, for the end of a sentence."""
    return f"`%audit request` in a cell, {panel}, or `jupyter audit request`"


def no_grant_sentence(panel: str) -> str:
    """Return what an engineer without a grant is told."""
    return (
        "No active grant. Ask for one: run in a cell of its own\n"
        "    %audit request 30m why you need it --ticket TICKET-1\n"
        f"or open {panel} (menu Audit in JupyterLab), or run in a terminal\n"
        '    jupyter audit request --reason "why" --ticket "TICKET-1"\n'
        "and run this cell again once it is approved. The cell was not run; this attempt is recorded."
    )
