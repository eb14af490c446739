"""
What the panel shows to one principal, put together for its template. Decides nothing and writes nothing.

Two parts: what the event loop knows at once (grants, requests, this server), and what a look through the
ledger gives (cells, refusals, findings).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from jupyter_audit_kernel.version import __version__

from jupyter_audit.access import cellanswers, rules, signatures
from jupyter_audit.access.grants import Grant, Request, RequestState
from jupyter_audit.access.holds import Hold, HoldState
from jupyter_audit.access.inwords import version
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.profiles import Profile
from jupyter_audit.access.views import grant_view, hold_view, request_view
from jupyter_audit.clock import format_time
from jupyter_audit.errors import AccessError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Principal, Role
from jupyter_audit.notify.routes import Routes
from jupyter_audit.notify.standing import Standing, glasses_unheard, standings
from jupyter_audit.server import views
from jupyter_audit.server.services import Services
from jupyter_audit.server.sight import Sight, sees_all

SHOWN_FOR = timedelta(hours=1)
"""How long after it would have lapsed a requester still sees that a request came to nothing."""

MOST_CELLS = 40
MOST_REFUSALS = 15
REFUSALS_LOOKED_THROUGH = 100
MOST_FINDINGS = 20

ROUTINE = frozenset(
    {"debug_request debugInfo", "history_request tail", "comm_open jupyter.widget.control", "comm_msg request_states"}
)
"""What JupyterLab asks each kernel by itself when it connects: the panel tells its refusals from those of what people tried."""

CAUSES = {
    "no_grant": "no live grant",
    "grant_ended": "its grant has ended",
    "not_owner": "another person's kernel",
    "unknown_type": "not a type that is passed on",
    "unknown_command": "not a debugger command that is passed on",
    "never_passed": "a type that is never passed on",
    "wrong_channel": "came on a channel that it may not use",
    "malformed": "does not parse",
    "message_id_reused": "repeats a message id",
    "too_large": "too large",
    "session_ended": "its session has ended",
    "kernel_not_covered": "the grant does not cover this kernel",
    "notebook_not_covered": "the grant does not cover this notebook",
    "session_terms": "the grant asks for another isolation or network",
    "no_room": "the disk is nearly full",
    "not_recorded": "could not be recorded",
    "role": "not theirs to do",
    "no_such_address": "nothing is there on an audited server",
    "closed": "closed on an audited server",
    "kernel_not_allowed": "a kernel that may not start here",
    "export": "an export that starts programs",
    "not_serving": "the server did not serve kernels yet",
    "aborted": "the cell before it failed",
    "canary": "the kernel's canary was not read back",
    "observer": "sent by somebody who only watches",
    "terminal_not_covered": "the grant allows no terminal",
    "not_read": "what runs in the terminal does not read",
    "not_sent": "the connection to the kernel was closed",
    "each_cell": "nobody could approve it: only cells are approved",
    "cell_denied": "an approver said no to it",
    "cell_lapsed": "nobody approved it in time",
    "interrupted": "interrupted while it waited for approval",
    "client_left": "its client left while it waited for approval",
    "too_many_held": "too many cells waited for approval",
    "isolation": "the kernel could not be isolated",
    "gate": "the gate does not let it start",
}
"""The short words of entries, as people read them. A cause that is not here is shown as it stands."""

ROLE_MEANINGS = {
    Role.ENGINEER: "may ask for access",
    Role.APPROVER: "answers requests",
    Role.AUDITOR: "reads what everybody did",
    Role.ADMIN: "runs this server",
}


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What a look through the ledger gave. `anothers` says whether any of it is about another person."""

    cells: list[views.View]
    refusals: list[views.View]
    routine: list[views.View]
    findings: list[views.View]
    alerts: list[Standing]
    checkpoint: str
    origin: str
    size: int
    anothers: bool


def look(
    reader: LedgerReader,
    sight: Sight,
    live: Collection[str],
    owner_of: Callable[[str | None, str | None], str | None],
    routes: Routes,
) -> LedgerView:
    """Return the panel's part of the ledger, as far as it may be seen; how alerts stand, for whoever sees all."""
    cells = views.cell_page(reader, sight, live, MOST_CELLS)
    refusals = views.refusal_page(reader, sight, REFUSALS_LOOKED_THROUGH)
    tried = [row for row in refusals.rows if row["what"] not in ROUTINE]
    findings = views.finding_page(reader, sight, owner_of, MOST_FINDINGS)
    return LedgerView(
        cells=cells.rows,
        refusals=[{**row, "cause": CAUSES.get(row["cause"], row["cause"])} for row in tried[:MOST_REFUSALS]],
        routine=counted_by_session([row for row in refusals.rows if row["what"] in ROUTINE]),
        findings=findings.rows,
        alerts=standings(reader, routes) if sight.everything else [],
        checkpoint=reader.checkpoint_note(),
        origin=reader.origin,
        size=reader.size(),
        anothers=cells.anothers or refusals.anothers or findings.anothers,
    )


def counted_by_session(refusals: list[views.View]) -> list[views.View]:
    """Return the newest of each session's `refusals`, which come newest first, with how many there are (`count`)."""
    newest: dict[tuple[str, str | None], views.View] = {}
    for row in refusals:
        counted = newest.setdefault((row["principal"], row["session"]), {**row, "count": 0})
        counted["count"] += 1
    return list(newest.values())


def standing(services: Services, principal: Principal, now: datetime) -> dict[str, Any]:
    """Return what is in force for the principal and on this server. The book must be up to date."""
    everything = sees_all(principal)
    book, policy = services.book, services.policy
    grants = [_grant(services, grant, now) for grant in reversed(book.unended(now))]
    sessions = [views.session_view(session) for session in services.sessions.all()]
    waiting = [_request(services, principal, request, now) for request in book.requests(now)]
    unreviewed = [grant_view(grant, now) for grant in book.unreviewed(now)]
    name = principal.name
    profiles = [
        views.rules_view(profile, acknowledged=book.acknowledged(name, profile.name, version(profile)))
        | {"needs": _needs(policy, profile)}
        for profile in policy.profiles.values()
        if _allowed(partial(rules.may_hold, policy, name, principal.groups, profile))
    ]
    return {
        "me": {
            "name": name,
            "vouched_by": principal.vouched_by,
            "roles": {role.value: ROLE_MEANINGS[role] for role in sorted(principal.roles)},
        },
        "solo": policy.solo,
        "now": format_time(now),
        "sees_all": everything,
        "may_answer": Role.APPROVER in principal.roles,
        "may_watch": bool({Role.APPROVER, Role.AUDITOR} & principal.roles),
        "may_revoke": bool({Role.APPROVER, Role.ADMIN} & principal.roles),
        "my_grants": [grant for grant in grants if grant["principal"] == name],
        "my_requests": [request for request in waiting if request["principal"] == name],
        "my_refusal": _unanswered_or_denied(services, name, now),
        "my_unreviewed": [grant for grant in unreviewed if grant["principal"] == name],
        "other_requests": [r for r in waiting if everything and r["principal"] != name],
        "other_grants": [g for g in grants if everything and g["principal"] != name],
        "to_review": [g for g in unreviewed if everything and (policy.solo or g["principal"] != name)],
        "anomalies": [asdict(anomaly) for anomaly in book.anomalies()] if everything else [],
        "held": [_held(services, principal, hold, now) for hold in _waiting(services, principal, now)],
        "holds_cells": bool(services.gate.each_cell),
        "sessions_of": _by_grant([s for s in sessions if everything or s["owner"] == name]),
        "profiles": profiles,
        "glasses": [profile for profile in profiles if profile["break_glass"]],
        "glasses_unheard": glasses_unheard(services.alert_routes, policy),
        "nobody_approves": not policy.solo and not policy.roles.get(Role.APPROVER),
        "server": {
            "id": services.server_id,
            "version": __version__,
            "isolation": services.isolation.rung.value,
            "isolation_why": services.isolation.why,
            "assured": list(services.assessment.assured),
            "unassured": list(services.assessment.unassured),
            "recording": services.recorder.failing_for() == 0.0,
        },
    }


def _request(services: Services, principal: Principal, request: Request, now: datetime) -> views.View:
    """Return a request with who must still say yes, and whether this principal may."""
    policy = services.policy
    profile = policy.profiles.get(request.profile)
    if profile is None:
        nothing = {"by": [], "may_approve": False, "may_sign": False, "from_whom": ""}
        return request_view(request, now) | nothing | {"needed": request.approvals}
    needed = rules.approvals_of(policy, request, profile) - len(request.endorsers)
    named = profile.approvers or policy.roles.get(Role.APPROVER, ())
    own = same_person(principal.name, request.principal)
    # One's own yes is the last one, where it is one at all.
    may = (needed == 1 or not own) and _allowed(partial(rules.may_answer, policy, principal, request, profile))
    # What the approver signs is signed on the approver's machine: this page has no key.
    signed = signatures.must_be_signed(request, profile)
    old = services.book.grant(request.takes_over)
    return request_view(request, now) | {
        "from_whom": old.principal if old else "",
        "needed": needed,
        "by": [each for each in named if each not in (*request.endorsers, request.principal)],
        "may_approve": may and not signed,
        "may_sign": may and signed,
    }


def _grant(services: Services, grant: Grant, now: datetime) -> views.View:
    """Return a grant with whether more time may be asked for."""
    view, profile = grant_view(grant, now), services.policy.profiles.get(grant.profile)
    if profile is None:
        return view | {"may_extend": False}
    asked = any(request.extends == grant.id for request in services.book.requests(now))
    may = grant.is_live(now) and not asked and _allowed(partial(rules.may_extend, services.book, profile, grant, now))
    return view | {
        "may_extend": may,
        "more_minutes": profile.default_minutes,
        "most_minutes": profile.longest_minutes,
    }


def _waiting(services: Services, principal: Principal, now: datetime) -> list[Hold]:
    """Return the cells that wait for an approval and that the principal may see, oldest first."""
    everything = sees_all(principal)
    found = [hold for hold in services.book.holds() if hold.state(now) is HoldState.WAITING]
    return [hold for hold in reversed(found) if everything or hold.is_of(principal.name)]


def _held(services: Services, principal: Principal, hold: Hold, now: datetime) -> views.View:
    """Return a held cell with its code, and whether the principal may say yes to it."""
    held = services.gate.held.get(hold.id)
    may = _allowed(partial(cellanswers.may_approve, services.policy, principal, hold))
    signed = cellanswers.must_be_signed(services.policy, hold)
    return hold_view(hold, now, held.text if held is not None else None) | {
        "notebook": held.session.notebook if held is not None else "",
        "may_approve": may and not signed and held is not None,
        "may_sign": may and signed,
    }


def _needs(policy: Policy, profile: Profile) -> str:
    """Return who must say yes to a request for a profile, as a sentence."""
    if policy.solo:
        return "You say yes to it yourself, on purpose."
    who = f" of {', '.join(profile.approvers)}" if profile.approvers else ""
    if profile.approvals == 1:
        return f"One{who or ' approver'} must say yes."
    return f"{profile.approvals} different people{who} must say yes."


def _allowed(judge: Callable[[], object]) -> bool:
    """Say whether a rule lets something pass."""
    try:
        judge()
    except AccessError:
        return False
    return True


def shows_others(standing: dict[str, Any], ledger: LedgerView) -> bool:
    """Say whether the panel shows another person's doings, so that looking at it is put down (P9)."""
    shown = ("other_requests", "other_grants", "to_review", "held")
    return ledger.anothers or any(row["principal"] != standing["me"]["name"] for name in shown for row in standing[name])


def _unanswered_or_denied(services: Services, name: str, now: datetime) -> views.View | None:
    """Return the principal's newest request if it came to nothing not long ago."""
    newest = next((r for r in services.book.all_requests() if r.principal == name), None)
    if newest is None or newest.state(now) not in (RequestState.DENIED, RequestState.LAPSED, RequestState.CLOSED):
        return None
    return request_view(newest, now) if now - newest.lapses < SHOWN_FOR else None


def _by_grant(sessions: list[views.View]) -> dict[str, list[views.View]]:
    found: dict[str, list[views.View]] = {}
    for session in sessions:
        if session["grant"]:
            found.setdefault(session["grant"], []).append(session)
    return found
