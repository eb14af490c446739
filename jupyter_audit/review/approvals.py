"""
Who signed which approval: a pass over a verified ledger's entries about access and held cells (docs/signed-approvals.md). Pure.

It believes no more than the fold that grants come from. Keys that an auditor was given by the approvers themselves (`pins`)
are compared with those that were registered: so a registration that somebody forged is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_audit.access import holds
from jupyter_audit.access.approverkeys import ApproverKey, Trust
from jupyter_audit.access.grants import AccessState, Request, check_answer, fold
from jupyter_audit.access.holds import Hold, Holds, check_cell_answer
from jupyter_audit.access.passkey import Passkey
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.signing import Decision, Signed, SigningError
from jupyter_audit.access.views import key_view
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds
from jupyter_audit.review.demands import GIVING, POLICIES, Demands

TYPES = ("access.", *holds.TYPES, *POLICIES)
JUDGED_BY_POLICY = GIVING | {kinds.AccessRequested.TYPE, kinds.AccessBreakGlass.TYPE}
YESES = frozenset({kinds.AccessEndorsed.TYPE, kinds.AccessApproved.TYPE, kinds.AccessExtended.TYPE})
ANSWERS = YESES | {kinds.AccessDenied.TYPE}
CELL_ANSWERS = frozenset({kinds.CellApproved.TYPE, kinds.CellDenied.TYPE})
ABOUT_KEYS = frozenset(
    {kinds.AccessKeyRegistered.TYPE, kinds.AccessPasskeyRegistered.TYPE, kinds.AccessKeyWithdrawn.TYPE}
)


@dataclass(frozen=True, slots=True)
class Forged:
    """An entry that says of an approver what their key does not."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class ApprovalsReport:
    """How many yeses had an effect, by approver: signed, and not; the keys; what was given to compare; what is wrong."""

    signed: Mapping[str, int]
    unsigned: Mapping[str, int]
    keys: tuple[ApproverKey, ...]
    compared: frozenset[str]
    forged: tuple[Forged, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {
            "signed": dict(self.signed),
            "unsigned": dict(self.unsigned),
            "keys": [{**key_view(key), "compared": key.text in self.compared} for key in self.keys],
            "forged": [{"seq": each.seq, "what": each.what} for each in self.forged],
        }

    def text(self) -> str:
        """Return the report for a person to read; empty where there is nothing to say."""
        if not (self.signed or self.unsigned or self.keys or self.forged):
            return ""
        lines = [("Approvals", f"{_count(self.signed)} signed by their approvers; {_count(self.unsigned)} on the server's word")]
        for key in self.keys:
            ended = "" if key.ended is None else f", ended by entry {key.ended} of {key.ended_by}"
            how = "as given" if key.text in self.compared else "NOT COMPARED with one from the approver (--approver-key)"
            called = f" (passkey {key.key.label!r} at {key.key.rp_id})" if isinstance(key.key, Passkey) else ""
            lines.append(("Approver", f"{key.person}: {key.text}{called}, entry {key.seq} ({key.trust}){ended}; {how}"))
        lines += [("FORGED", f"entry {each.seq}: {each.what}") for each in self.forged]
        return "\n".join(f"{name:<14}{value}" for name, value in lines)


def judge_approvals(entries: Iterable[Entry], origin: str, pins: Mapping[str, Sequence[str]]) -> ApprovalsReport:
    """
    Return who signed what. `entries` are those of `TYPES`, in ledger order; `pins` are verifier keys by their approver's name.
    """
    state, held, demands = AccessState(origin=origin), Holds(), Demands()
    signed, unsigned, forged = Counter[str](), Counter[str](), list[Forged]()
    for entry in entries:
        if entry.type in POLICIES:
            demands.take(entry)
            continue
        request = state.requests.get(str(entry.body.get("request")))
        before = len(state.anomalies)
        # Before the entry counts: a passkey's counter goes on with it.
        wrong = _wrong_with(state, request, entry) if entry.type in ANSWERS else ""
        if entry.type in CELL_ANSWERS:
            wrong = _wrong_with_cell(state, held.by_id.get(str(entry.body.get("hold"))), entry)
        if entry.type in holds.TYPES:
            held.take(state, entry)
        else:
            fold(state, entry)
        had_effect = len(state.anomalies) == before
        if entry.type in ABOUT_KEYS and not had_effect:
            forged.append(Forged(entry.seq, state.anomalies[-1].what))
        elif wrong:
            forged.append(Forged(entry.seq, f"an answer in the name of {entry.actor.name}: {wrong}"))
        if had_effect and entry.type in JUDGED_BY_POLICY and (short := demands.wrong_with(entry, request)):
            forged.append(Forged(entry.seq, f"{entry.type} of {entry.actor.name}: {short}"))
        if not wrong and had_effect and (entry.type in YESES or entry.type == kinds.CellApproved.TYPE):
            (signed if entry.body.get("statement") else unsigned)[entry.actor.name] += 1
    keys = tuple(state.keys)
    compared = _compared(keys, pins)
    forged += [
        Forged(key.seq, f"a key registered for {key.person} that is neither the one given nor signed in by it")
        for key in keys
        if key.text not in compared and any(same_person(key.person, name) for name in pins)
    ]
    return ApprovalsReport(signed, unsigned, keys, compared, tuple(sorted(forged, key=lambda each: each.seq)))


def _wrong_with(state: AccessState, request: Request | None, entry: Entry) -> str:
    """Return what is wrong with the signature of an answer, or with its having none; empty where nothing is."""
    statement, signature = entry.body.get("statement", ""), entry.body.get("signature", "")
    if not statement and not signature:
        demanded = request is not None and request.signed_approvals and entry.type in YESES
        return "it is not signed, and had to be" if demanded else ""
    if request is None or not isinstance(statement, str) or not isinstance(signature, str):
        return "it is signed, and answers no request"
    denies = entry.type == kinds.AccessDenied.TYPE
    try:
        decision = Decision.DENY if denies else Decision.APPROVE
        reason = str(entry.body.get("reason")) if denies else ""
        check_answer(state, request, entry.actor.name, Signed(statement, signature), decision, reason)
    except SigningError as error:
        return str(error)
    return ""


def _wrong_with_cell(state: AccessState, hold: Hold | None, entry: Entry) -> str:
    """Return what is wrong with the signature of an answer to a held cell, or with its having none."""
    statement, signature = entry.body.get("statement", ""), entry.body.get("signature", "")
    denies = entry.type == kinds.CellDenied.TYPE
    if not statement and not signature:
        return "it is not signed, and had to be" if hold is not None and hold.signed_approvals and not denies else ""
    if hold is None or not isinstance(statement, str) or not isinstance(signature, str):
        return "it is signed, and answers no held cell"
    decision, reason = (Decision.DENY, str(entry.body.get("reason"))) if denies else (Decision.APPROVE, "")
    try:
        check_cell_answer(state, hold, entry.actor.name, Signed(statement, signature), decision, reason)
    except SigningError as error:
        return str(error)
    return ""


def _compared(keys: Sequence[ApproverKey], pins: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the keys that are as given, or that one of those signed in."""
    good: set[str] = set()
    for key in keys:
        given = {text for name, texts in pins.items() if same_person(name, key.person) for text in texts}
        if key.text in given or (key.trust is Trust.VOUCHED and key.voucher in good):
            good.add(key.text)
    return frozenset(good)


def _count(by_name: Mapping[str, int]) -> str:
    names = ", ".join(f"{name} {count}" for name, count in sorted(by_name.items()))
    return f"{sum(by_name.values())} ({names})" if names else "0"
