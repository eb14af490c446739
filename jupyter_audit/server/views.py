"""
What the REST API and the panel show: requests, grants, sessions, entries and findings as JSON-ready dictionaries.

Pure but for reading the ledger. Who may see what is decided by `visible_to`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from jupyter_audit.access.grants import Grant, Request
from jupyter_audit.access.policy import Profile
from jupyter_audit.clock import format_time
from jupyter_audit.gate.sessions import Session
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry, Principal, Role

SEES_ALL = frozenset({Role.APPROVER, Role.AUDITOR, Role.ADMIN})
"""Roles that see other people's entries; an engineer sees what is theirs."""

FIRST_LINE = 160


def sees_all(principal: Principal) -> bool:
    """Say whether a principal may read other people's entries."""
    return bool(SEES_ALL & principal.roles)


def request_view(request: Request, now: datetime) -> dict[str, Any]:
    """Return a request as the API shows it."""
    return {
        "id": request.id,
        "principal": request.principal,
        "profile": request.profile,
        "reason": request.reason,
        "ticket": request.ticket,
        "minutes": int(request.duration.total_seconds() // 60),
        "asked": format_time(request.asked),
        "lapses": format_time(request.lapses),
        "state": request.state(now).value,
        "answered_by": request.answered_by,
        "answer": request.answer,
    }


def grant_view(grant: Grant, now: datetime) -> dict[str, Any]:
    """Return a grant as the API shows it."""
    left = (grant.not_after - now).total_seconds() if grant.is_live(now) else 0
    return {
        "id": grant.id,
        "request": grant.request,
        "principal": grant.principal,
        "profile": grant.profile,
        "reason": grant.reason,
        "ticket": grant.ticket,
        "approver": grant.approver,
        "self_approved": grant.self_approved,
        "not_before": format_time(grant.not_before),
        "not_after": format_time(grant.not_after),
        "state": grant.state(now).value,
        "seconds_left": max(0, int(left)),
        "ended_by": grant.ended_by,
        "ended_why": grant.ended_why,
    }


def session_view(session: Session) -> dict[str, Any]:
    """Return a live session as the API shows it."""
    return {
        "id": session.id,
        "kernel_id": session.kernel_id,
        "kernel_name": session.kernel_name,
        "owner": session.owner.name,
        "grant": session.grant,
        "started": format_time(session.started),
        "state": session.state.value,
        "isolation": session.isolation,
        "notebook": session.notebook,
        "running": len(session.capture.running()),
    }


def profile_view(profile: Profile) -> dict[str, Any]:
    """Return a profile as the API shows it."""
    return {
        "name": profile.name,
        "default_minutes": profile.default_minutes,
        "longest_minutes": profile.longest_minutes,
        "shortest_reason": profile.shortest_reason,
        "ticket_pattern": profile.ticket_pattern,
        "self_approval": profile.self_approval,
        "kernels": list(profile.kernels),
        "recovery": profile.recovery,
    }


def entry_view(entry: Entry) -> dict[str, Any]:
    """Return an entry as the API shows it: all that was signed, without the contents."""
    return {
        "seq": entry.seq,
        "time": format_time(entry.time),
        "type": entry.type,
        "actor": {"name": entry.actor.name, "vouched_by": entry.actor.vouched_by},
        "grant": entry.grant,
        "session": entry.session,
        "body": entry.body,
        "contents": {
            name: {"digest": c.digest, "size": c.size, "media_type": c.media_type} for name, c in entry.contents.items()
        },
    }


def code_of(reader: LedgerReader, entry: Entry) -> str | None:
    """Return the code that a cell's entry holds; None if it was purged or is no cell's."""
    if "message" not in entry.contents:
        return None
    held = reader.content(entry.seq, "message")
    if held is None:
        return None
    code = json.loads(held).get("code")
    return code if isinstance(code, str) else None


def first_line(code: str | None) -> str:
    """Return the first line of some code that says something, cut to what a list can show."""
    if code is None:
        return "(purged)"
    line = next((line.strip() for line in code.splitlines() if line.strip()), "")
    return line[:FIRST_LINE] + ("…" if len(line) > FIRST_LINE else "")


def cell_views(reader: LedgerReader, principal: Principal, limit: int) -> list[dict[str, Any]]:
    """Return the newest cells that the principal may see, admitted and refused, newest first."""
    ends: dict[Any, Entry] = {}
    views: list[dict[str, Any]] = []
    types = ("cell.admitted", "cell.refused", "cell.finished")
    for entry in reader.entries(types=types, newest_first=True):
        if entry.type == "cell.finished":
            ends[entry.body["admitted"]] = entry
            continue
        if entry.body.get("canary") or not (sees_all(principal) or entry.actor.name == principal.name):
            continue
        end = ends.get(entry.seq)
        view = {
            "seq": entry.seq,
            "time": format_time(entry.time),
            "principal": entry.actor.name,
            "session": entry.session,
            "grant": entry.grant,
            "code": first_line(code_of(reader, entry)),
            "lines": entry.body["lines"],
            "refused": entry.body["cause"] if entry.type == "cell.refused" else None,
            "status": "refused" if entry.type == "cell.refused" else (end.body["status"] if end else "running"),
            "error": end.body["error"] if end else "",
            "duration_ms": end.body["duration_ms"] if end else None,
            "outputs": end.body["outputs"] if end else [],
        }
        views.append(view)
        if len(views) >= limit:
            break
    return views


def finding_views(reader: LedgerReader, limit: int) -> list[dict[str, Any]]:
    """Return the newest findings, newest first."""
    return [
        {"seq": entry.seq, "time": format_time(entry.time), "principal": entry.actor.name, "session": entry.session, **entry.body}
        for entry in reader.entries(types=("finding.raised",), newest_first=True, limit=limit)
    ]
