"""Requests, grants and held cells as the API, the command line and the panel show them: one set of keys for all. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jupyter_audit.access.approverkeys import ApproverKey
from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.access.holds import Hold
from jupyter_audit.access.passkey import Passkey
from jupyter_audit.clock import format_time

View = dict[str, Any]


def request_view(request: Request, now: datetime) -> View:
    """Return a request as it is at `now`."""
    return {
        "id": request.id,
        "principal": request.principal,
        "profile": request.profile,
        "reason": request.reason,
        "ticket": request.ticket,
        "target": request.target,
        "minutes": max(1, int(request.duration.total_seconds() // 60)),
        "asked": format_time(request.asked),
        "lapses": format_time(request.lapses),
        "starts": None if request.starts is None else format_time(request.starts),
        "extends": request.extends,
        "takes_over": request.takes_over,
        "approvals": request.approvals,
        "endorsers": list(request.endorsers),
        "signed_approvals": request.signed_approvals,
        "state": request.state(now).value,
        "answered_by": request.answered_by,
        "answer": request.answer,
    }


def grant_view(grant: Grant, now: datetime) -> View:
    """Return a grant as it is at `now`."""
    left = (grant.not_after - now).total_seconds() if grant.is_live(now) else 0
    return {
        "id": grant.id,
        "request": grant.request,
        "principal": grant.principal,
        "profile": grant.profile,
        "reason": grant.reason,
        "ticket": grant.ticket,
        "target": grant.target,
        "approver": grant.approver,
        "self_approved": grant.self_approved,
        "not_before": format_time(grant.not_before),
        "not_after": format_time(grant.not_after),
        "extensions": len(grant.extensions),
        "state": grant.state(now).value,
        "seconds_left": max(0, int(left)),
        "ended_by": grant.ended_by,
        "ended_why": grant.ended_why,
        "successor": grant.successor,
        "break_glass": grant.break_glass,
        "reviewed_by": grant.reviewed_by,
        "justified": grant.justified,
        "review": grant.review,
    }


def hold_view(hold: Hold, now: datetime, message: bytes | None) -> View:
    """
    Return a held cell as it is at `now`, with its `message` (None: it is sealed or purged).

    `besides` is the JSON of what the message holds besides its code that is not as in any cell, such as user_expressions:
    that is approved, too.
    """
    code, besides = parts_of_message(message) if message is not None else (None, None)
    return {
        "id": hold.id,
        "entry": hold.seq,
        "principal": hold.principal,
        "on_behalf_of": hold.on_behalf_of,
        "profile": hold.profile,
        "grant": hold.grant,
        "session": hold.session,
        "held": format_time(hold.held),
        "lapses": format_time(hold.lapses),
        "lines": hold.lines,
        "signed_approvals": hold.signed_approvals,
        "state": hold.state(now).value,
        "answered_by": hold.answered_by,
        "answer": hold.answer,
        "code": code,
        "besides": besides,
    }


ORDINARY: Mapping[str, tuple[object, ...]] = {
    "silent": (False,),
    "store_history": (True,),
    "user_expressions": ({},),
    "allow_stdin": (True, False),
    "stop_on_error": (True, False),
}
"""What an execute_request holds besides its code, as front ends send it, and that changes nothing of what runs."""


def parts_of_message(message: bytes) -> tuple[str, str]:
    """Return the code of an execute_request's content, and the JSON of what else is not ordinary in it; empty if nothing is."""
    content = json.loads(message)
    code = content.get("code")
    rest = {
        name: value
        for name, value in content.items()
        if not (name == "code" and isinstance(code, str)) and not (name in ORDINARY and value in ORDINARY[name])
    }
    # A lone half of a surrogate pair is shown escaped: no JSON could carry it.
    told = code.encode("utf-8", "backslashreplace").decode() if isinstance(code, str) else ""
    return told, json.dumps(rest, sort_keys=True) if rest else ""


def plain(text: str) -> str:
    """Return text with every character escaped that is not seen, or makes others be read in another order than they stand."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def key_view(key: ApproverKey) -> View:
    """Return an approver's key or passkey, and what became of it."""
    passkey = key.key if isinstance(key.key, Passkey) else None
    return {
        "person": key.person,
        "kind": "key" if passkey is None else "passkey",
        "key": key.text,
        "label": "" if passkey is None else passkey.label,
        "host": "" if passkey is None else passkey.rp_id,
        "aaguid": "" if passkey is None else passkey.aaguid,
        "credential": "" if passkey is None else passkey.credential,
        "counter": key.counter,
        "voucher": key.voucher,
        "entry": key.seq,
        "registered": format_time(key.time),
        "trust": key.trust.value,
        "ended": key.ended,
        "ended_by": key.ended_by,
        "ended_signed": key.ended_signed,
    }
