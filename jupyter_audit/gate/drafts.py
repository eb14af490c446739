"""What the gate puts down of a client's message: the drafts of its entries, and how much of it they keep. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import cast

from jupyter_audit_kernel.formats import content_text

from jupyter_audit.access.grants import Grant
from jupyter_audit.access.profiles import Profile
from jupyter_audit.clock import format_time
from jupyter_audit.gate.clientmessage import ClientMessage
from jupyter_audit.gate.decide import Admit, Hold, Refuse
from jupyter_audit.gate.guardrails import Judged
from jupyter_audit.gate.messages import refused_as
from jupyter_audit.gate.sessions import Session
from jupyter_audit.model import Actor, Content, Draft, Principal
from jupyter_audit.record import kinds
from jupyter_audit.record.bounds import bounded

MOST_CODE = 4 * 1024 * 1024
"""Bytes of one message's content. What is larger is refused, whatever its type: nothing runs that is not kept whole."""

MOST_REFUSED = 64 * 1024
"""Bytes kept of a message that was refused for its size; the whole is digested, and the entry says that it is cut."""


def admission_drafts(
    verdict: Admit,
    message: ClientMessage,
    session: Session,
    principal: Principal,
    code: Judged,
    held: int,
) -> list[Draft]:
    """
    Return what an admitted message is put down as, its own entry last. `held` is the number of its cell.held, or -1.

    The first of a session binds it to its grant.
    """
    drafts = _begin(verdict.grant, session, principal)
    kind: kinds.Kind
    if verdict.rule.admitted_as == kinds.CellAdmitted.TYPE:
        kind = cell_admitted(message, session, warned=list(code.warned), held=held)
    else:
        kind = kinds.MessageAdmitted(
            kernel_id=session.kernel_id,
            msg_id=clean(message.msg_id),
            msg_type=message.msg_type,
            channel=message.channel,
            masked=_is_password(message, session),
            buffers=len(message.buffers),
            warned=list(code.warned),
        )
    drafts.append(_drafted(kind, message, session, principal, verdict.grant.id if verdict.grant else None))
    return drafts


def refusal_draft(
    verdict: Refuse,
    message: ClientMessage,
    kernel_id: str,
    principal: Principal,
    session: Session | None,
    held: int = -1,
) -> Draft:
    """Return what a refused message is put down as; `held` as in `admission_drafts`."""
    kind: kinds.Kind
    if refused_as(message.msg_type) == kinds.CellRefused.TYPE:
        kind = kinds.CellRefused(
            kernel_id=kernel_id,
            msg_id=clean(message.msg_id),
            channel=clean(message.channel, 20),
            cell=_cell_of(message),
            cause=verdict.cause.value,
            lines=_lines(message),
            cut=is_too_large(message),
            guardrails=list(verdict.rules),
            held=held,
        )
    else:
        kind = kinds.MessageRefused(
            kernel_id=kernel_id,
            msg_id=clean(message.msg_id),
            msg_type=clean(message.msg_type, 100),
            channel=clean(message.channel, 20),
            cause=verdict.cause.value,
            cut=is_too_large(message),
            masked=_is_password(message, session),
            buffers=len(message.buffers),
            guardrails=list(verdict.rules),
        )
    return kinds.draft(
        kind,
        actor=Actor.of(principal),
        grant=session.grant if session else None,
        session=session.id if session else None,
        contents=contents_of(message, hide=_is_password(message, session)),
    )


def hold_drafts(
    hold: str, lapses: datetime, profile: Profile, verdict: Hold, message: ClientMessage, session: Session, principal: Principal
) -> list[Draft]:
    """Return what a cell is put down as that waits for somebody's approval until `lapses`, its own entry last."""
    kind = kinds.CellHeld(
        hold=hold,
        kernel_id=session.kernel_id,
        msg_id=clean(message.msg_id),
        channel=message.channel,
        cell=_cell_of(message),
        silent=bool(message.content.get("silent", False)),
        lines=_lines(message),
        profile=profile.name,
        lapses=format_time(lapses),
        on_behalf_of=principal.on_behalf_of,
        signed_approvals=profile.signed_approvals,
    )
    return [*_begin(verdict.grant, session, principal), _drafted(kind, message, session, principal, verdict.grant.id)]


def cell_admitted(
    message: ClientMessage, session: Session, *, canary: bool = False, warned: Sequence[str] = (), held: int = -1
) -> kinds.CellAdmitted:
    """Return what an admitted execute_request is put down as."""
    return kinds.CellAdmitted(
        kernel_id=session.kernel_id,
        msg_id=clean(message.msg_id),
        channel=message.channel,
        cell=_cell_of(message),
        silent=bool(message.content.get("silent", False)),
        store_history=bool(message.content.get("store_history", True)),
        lines=_lines(message),
        canary=canary,
        warned=warned,
        held=held,
    )


def contents_of(message: ClientMessage, *, hide: bool = False) -> dict[str, Content]:
    """
    Return the contents under which a message is kept: `message`, its content as JSON, and `buffers`, their digests.

    A password typed into `getpass` is left out (`hide`). What is too large (and therefore refused) is cut, and said to be.
    """
    if hide:
        return {"message": Content(b'{"value":"(a password, not recorded)"}', "application/json")}
    text = message.text
    contents: dict[str, Content] = {}
    if len(text) <= MOST_CODE:
        contents["message"] = Content(text, "application/json")
    else:
        cut = {"cut": True, "bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
        head = text[:MOST_REFUSED].decode("utf-8", "replace")
        contents["message"] = Content(content_text({**cut, "head": head}), "application/json")
    if message.buffers:
        listed = [{"bytes": len(b), "sha256": hashlib.sha256(b).hexdigest()} for b in message.buffers]
        contents["buffers"] = Content(content_text({"buffers": listed}), "application/json")
    return contents


def is_too_large(message: ClientMessage) -> bool:
    """Say whether a message's content is larger than what the ledger keeps whole."""
    return len(message.text) > MOST_CODE


def clean(text: str, most: int = 200) -> str:
    """Return a client's text as a body can hold it: bounded (… where it was cut), and without lone surrogates."""
    return bounded(text, most)


def _begin(grant: Grant | None, session: Session, principal: Principal) -> list[Draft]:
    """Return the entry that binds a session to its grant, if that was not put down before."""
    if grant is None or session.bound:
        return []
    bound = kinds.SessionBound(kernel_id=session.kernel_id, not_after=format_time(grant.not_after))
    return [kinds.draft(bound, actor=Actor.of(principal), grant=grant.id, session=session.id)]


def _drafted(
    kind: kinds.Kind, message: ClientMessage, session: Session, principal: Principal, grant: str | None
) -> Draft:
    contents = contents_of(message, hide=_is_password(message, session))
    return kinds.draft(kind, actor=Actor.of(principal), grant=grant, session=session.id, contents=contents)


def _is_password(message: ClientMessage, session: Session | None) -> bool:
    # Without a session nobody knows whether a password was asked for, so an answer may be one.
    return message.msg_type == "input_reply" and (session is None or bool(session.passwords_asked))


def _lines(message: ClientMessage) -> int:
    code = message.content.get("code")
    return code.count("\n") + 1 if isinstance(code, str) and code else 0


def _cell_of(message: ClientMessage) -> str:
    return clean(str(cast(object, message.metadata.get("cellId", ""))))
