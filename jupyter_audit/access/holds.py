"""
The way of a held cell: a pure state machine over `cell.held` and what answers it, with the clock as an argument (P2, P4).

As `grants` for grants, whose state it needs: a cell is held under a live grant, and answered by somebody who is neither
its holder nor the person whom a service acts for. What does not follow is an anomaly, and lets nothing run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from jupyter_audit.access.approverkeys import ApproverKey
from jupyter_audit.access.bodies import AnomalyError, read_body
from jupyter_audit.access.cellsigning import CellStatement, check_cell
from jupyter_audit.access.grants import AccessState, Anomaly
from jupyter_audit.access.principals import same_person
from jupyter_audit.access.signing import Decision, Signed, SigningError
from jupyter_audit.clock import parse_time
from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.model import Entry
from jupyter_audit.record import kinds

TYPES = (kinds.CellHeld.TYPE, kinds.CellApproved.TYPE, kinds.CellDenied.TYPE, kinds.CellHoldEnded.TYPE)

REMEMBERED = 1000
"""How many answered ones are kept, for people who look at what became of them."""


class HoldState(StrEnum):
    """Where a held cell is. An approved one runs at once, unless something else is against it (`ended`)."""

    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"
    ENDED = "ended"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class Hold:
    """
    One held cell. `leaf` is the hash of its entry, in hex; `answered` the answer that the ledger holds, if any.

    `answer` is why it was denied, or the cause of its end.
    """

    id: str
    seq: int
    leaf: str
    session: str
    grant: str
    principal: str
    on_behalf_of: str
    profile: str
    held: datetime
    lapses: datetime
    signed_approvals: bool
    lines: int
    answered: HoldState | None = None
    answered_by: str = ""
    answer: str = ""

    def is_of(self, name: str) -> bool:
        """Say whether somebody of this name is who wants it run, or whom a service wants it run for."""
        return any(same_person(name, own) for own in (self.principal, self.on_behalf_of) if own)

    def state(self, now: datetime) -> HoldState:
        """Return where the cell is at `now`. At the very moment `lapses` it has lapsed."""
        if self.answered is not None:
            return self.answered
        return HoldState.WAITING if now < self.lapses else HoldState.LAPSED


@dataclass(slots=True)
class Holds:
    """The held cells that the entries so far tell of: by id, in the order of their entries."""

    by_id: dict[str, Hold] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)

    def take(self, access: AccessState, entry: Entry) -> None:
        """Take one more entry in, in ledger order; `access` is what the entries until now mean."""
        access.latest = max(access.latest, entry.time)
        try:
            match entry.type:
                case kinds.CellHeld.TYPE:
                    self._held(access, entry)
                case kinds.CellApproved.TYPE:
                    self._approved(access, entry)
                case kinds.CellDenied.TYPE:
                    self._denied(access, entry)
                case kinds.CellHoldEnded.TYPE:
                    self._ended(entry)
        except (AnomalyError, SigningError) as error:
            access.anomalies.append(Anomaly(entry.seq, str(error)))
        except (LedgerError, ValueError, OverflowError) as error:
            access.anomalies.append(Anomaly(entry.seq, f"{entry.type} cannot be read: {error}"))

    def _held(self, access: AccessState, entry: Entry) -> None:
        said = read_body(entry, kinds.CellHeld)
        grant = access.grants.get(entry.grant or "")
        if said.hold in self.by_id:
            raise AnomalyError(f"the cell {said.hold} was held before")
        if grant is None or grant.principal != entry.actor.name or grant.profile != said.profile:
            raise AnomalyError(f"the cell {said.hold} is held under a grant that is not its owner's")
        self.by_id[said.hold] = Hold(
            id=said.hold,
            seq=entry.seq,
            leaf=leaf_hash(entry.raw.encode()).hex(),
            session=entry.session or "",
            grant=grant.id,
            principal=entry.actor.name,
            on_behalf_of=said.on_behalf_of,
            profile=said.profile,
            held=entry.time,
            lapses=parse_time(said.lapses),
            signed_approvals=said.signed_approvals,
            lines=said.lines,
        )

    def _approved(self, access: AccessState, entry: Entry) -> None:
        said = read_body(entry, kinds.CellApproved)
        signed = Signed(said.statement, said.signature)
        self._check_signature(access, entry, said.hold, signed, Decision.APPROVE)
        hold = self._waiting(access, said.hold)
        if hold.is_of(entry.actor.name):
            raise AnomalyError(f"the cell {hold.id} was approved by {entry.actor.name}, whose own it is")
        if not access.grants[hold.grant].is_live(access.latest):
            raise AnomalyError(f"the cell {hold.id} was approved after its grant had ended")
        if hold.signed_approvals and not signed:
            raise AnomalyError(f"a yes to the cell {hold.id} is not signed, and had to be")
        self._answer(hold, HoldState.APPROVED, entry.actor.name, "")

    def _denied(self, access: AccessState, entry: Entry) -> None:
        said = read_body(entry, kinds.CellDenied)
        signed = Signed(said.statement, said.signature)
        self._check_signature(access, entry, said.hold, signed, Decision.DENY, said.reason)
        hold = self._waiting(access, said.hold)
        self._answer(hold, HoldState.DENIED, entry.actor.name, said.reason)

    def _check_signature(
        self, access: AccessState, entry: Entry, hold_id: str, signed: Signed, decision: Decision, reason: str = ""
    ) -> None:
        """Raise `SigningError` for a signature that does not hold. One that does counts, whatever comes of the answer."""
        hold = self.by_id.get(hold_id)
        if signed and hold is not None:
            _, key = check_cell_answer(access, hold, entry.actor.name, signed, decision, reason)
            access.keys.used(key)

    def _ended(self, entry: Entry) -> None:
        said = read_body(entry, kinds.CellHoldEnded)
        hold = self.by_id.get(said.hold)
        if hold is None or hold.answered not in (None, HoldState.APPROVED):
            raise AnomalyError(f"there is no held cell {said.hold} that could end")
        self._answer(hold, HoldState.ENDED, entry.actor.name, said.cause)

    def _waiting(self, access: AccessState, hold_id: str) -> Hold:
        hold = self.by_id.get(hold_id)
        if hold is None:
            raise AnomalyError(f"there is no held cell {hold_id}")
        state = hold.state(access.latest)
        if state is not HoldState.WAITING:
            raise AnomalyError(f"the cell {hold_id} was {state} already")
        return hold

    def _answer(self, hold: Hold, state: HoldState, by: str, why: str) -> None:
        if hold.answered is None:
            self.answered.append(hold.id)
        self.by_id[hold.id] = replace(hold, answered=state, answered_by=by, answer=why)
        if len(self.answered) > REMEMBERED:
            del self.by_id[self.answered.pop(0)]


def check_cell_answer(
    access: AccessState, hold: Hold, approver: str, signed: Signed, decision: Decision, reason: str = ""
) -> tuple[CellStatement, ApproverKey]:
    """
    Return what `approver` signed, if it is this answer to this cell, and the key or passkey as it is after that.

    Raises `SigningError`.
    """
    by = access.keys.signer(approver, signed.signature)
    said, counter = check_cell(signed, cell_answer_to(access, hold, approver, decision, reason), by.key, by.counter)
    return said, replace(by, counter=counter)


def cell_answer_to(access: AccessState, hold: Hold, approver: str, decision: Decision, reason: str = "") -> CellStatement:
    """Return what an approver signs to answer a held cell so, but for what is up to the key: `key`, `time` and `nonce`."""
    return CellStatement(
        origin=access.origin,
        hold=hold.id,
        entry=hold.leaf,
        requester=hold.principal,
        profile=hold.profile,
        decision=decision.value,
        reason=reason,
        approver=approver,
        key="",
        time="",
    )
