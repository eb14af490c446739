"""Requests and grants as the API, the command line and the panel show them: one set of keys for all. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jupyter_audit.access.approverkeys import ApproverKey
from jupyter_audit.access.grants import Grant, Request
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
