"""
What the gate asks of guardrails: may this code of this profile run? Who answers is no part of the gate.

The answer comes from a callable that the server passes in, made from what detections go by. Where a profile has
guardrails and there is nobody to ask, nothing runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_audit.access.guardrails import UNREADABLE, Guardrail, Mode
from jupyter_audit.access.profiles import Profile
from jupyter_audit.gate.messages import Judging, judging_of
from jupyter_audit.model import Principal

if TYPE_CHECKING:
    from jupyter_audit.gate.clientmessage import ClientMessage
    from jupyter_audit.gate.sessions import Session


@dataclass(frozen=True, slots=True)
class Judged:
    """
    What guardrails said of a message. `refused` and `warned` are the names of those that it breaks, by what the profile
    makes of them. `sentence` is what the user reads; empty if it breaks none.
    """

    refused: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    sentence: str = ""


JudgeCode = Callable[[Profile, "ClientMessage", "Session", Principal], Awaitable[Judged]]

UNBROKEN = Judged()

NOBODY_TO_ASK = Judged(
    refused=(UNREADABLE,),
    sentence="Not run: this profile has guardrails, and this server has nothing to judge them with. Tell an admin.",
)


async def judged(
    judge: JudgeCode | None, profile: Profile | None, message: ClientMessage, session: Session, principal: Principal
) -> Judged:
    """Return what the guardrails of `profile` say of `message`; nothing is asked where it has none, or carries no code."""
    if profile is None or not profile.guardrails or judging_of(message.msg_type) is Judging.PASSED:
        return UNBROKEN
    return NOBODY_TO_ASK if judge is None else await judge(profile, message, session, principal)


def verdict(profile: Profile, broken: Mapping[str, str], unread: str) -> Judged:
    """
    Return what a profile makes of code: `broken` has a sentence for each guardrail that it breaks, `unread` says why it
    could not be read. Pure.
    """
    told = dict(broken)
    if unread:
        advice = "Write it so that it can be read, in smaller cells, or ask an admin for a profile without guardrails."
        told[UNREADABLE] = f"It cannot be judged: {unread}. {advice}"
    refused = [one for one in profile.guardrails if one.name in told and one.mode is Mode.REFUSE]
    warned = [one for one in profile.guardrails if one.name in told and one.mode is Mode.WARN]
    if not refused and not warned:
        return UNBROKEN
    said = " ".join(_said(one, told[one.name]) for one in refused or warned)
    if refused:
        sentence = f"Not run: the profile {profile.name} does not allow this. {said} This attempt is recorded."
    else:
        sentence = f"Warning: the profile {profile.name} watches for this, and auditors are told. {said}"
    return Judged(_names(refused), _names(warned), sentence)


def _said(guardrail: Guardrail, sentence: str) -> str:
    return f"Guardrail {guardrail.name}: {sentence}"


def _names(guardrails: Sequence[Guardrail]) -> tuple[str, ...]:
    return tuple(one.name for one in guardrails)
