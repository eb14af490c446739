"""
What an approver signs of one held cell (docs/signed-approvals.md). Pure.

The statement names the leaf hash of `cell.held`, and that entry commits to every byte of the message: a yes is to this
very code, and to no other.
"""

from __future__ import annotations

from dataclasses import dataclass

from jupyter_audit.access.signing import PublicKey, Signed, SignsBytes, check_as, sign_as, text_of

CELL_APPROVAL = b"jupyter-audit cell approval v1"


@dataclass(frozen=True, slots=True)
class CellStatement:
    """
    What is signed of a held cell. `entry` is the leaf hash of its `cell.held`, in hex, `requester` that entry's actor.

    `reason` is why it was denied; `key`, `time` and `nonce` are as in `signing.Statement`.
    """

    origin: str
    hold: str
    entry: str
    requester: str
    profile: str
    decision: str
    reason: str
    approver: str
    key: str
    time: str
    nonce: str = ""

    def text(self) -> str:
        """Return the canonical JSON."""
        return text_of(self)


def sign_cell(signer: SignsBytes, statement: CellStatement) -> Signed:
    """Return the statement under the signer's key and signature."""
    return sign_as(CELL_APPROVAL, signer, statement)


def check_cell(signed: Signed, expected: CellStatement, key: PublicKey, counter: int = 0) -> tuple[CellStatement, int]:
    """Do what `signing.check` does, for a held cell."""
    return check_as(CELL_APPROVAL, signed, expected, key, counter)
