"""
What an approver signs of one held cell (docs/signed-approvals.md). Pure.

The statement names the leaf hash of `cell.held`, and that entry commits to every byte of the message: a yes is to this
very code, and to no other.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace

from jupyter_audit.access.signing import (
    LONGEST_STATEMENT,
    PublicKey,
    Signed,
    SigningError,
    SignsBytes,
    check_said,
    check_seal,
    seal,
)
from jupyter_audit.ledger.canonical import CanonicalError, canonicalize, parse_canonical
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.model import Json

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
        values: dict[str, Json] = dataclasses.asdict(self)
        if not self.nonce:
            del values["nonce"]
        return canonicalize(values)[0]


def sign_cell(signer: SignsBytes, statement: CellStatement) -> Signed:
    """Return the statement under the signer's key and signature."""
    text = replace(statement, key=format_verifier_key(signer.verifier)).text()
    return Signed(text, seal(signer, CELL_APPROVAL, text))


def check_cell(signed: Signed, expected: CellStatement, key: PublicKey, counter: int = 0) -> tuple[CellStatement, int]:
    """
    Return the statement and the key's new counter, if it says what is `expected` (but for `key`, `time` and `nonce`) and `key`
    signed it.

    Raises `SigningError` naming the first thing that differs.
    """
    said = _parse(signed.statement)
    check_said(said, expected, key)
    return said, check_seal(key, CELL_APPROVAL, signed.statement, signed.signature, counter)


def _parse(text: str) -> CellStatement:
    try:
        value = parse_canonical(text) if len(text) <= LONGEST_STATEMENT else {}
    except (CanonicalError, UnicodeEncodeError) as error:
        raise SigningError(f"the statement is {error}") from error
    names = {field.name for field in dataclasses.fields(CellStatement)}
    if value.keys() | {"nonce"} != names or not all(isinstance(each, str) for each in value.values()):
        raise SigningError("the statement does not have the members of one about a cell")
    if value.get("nonce") == "":
        raise SigningError("the statement has an empty nonce")
    return CellStatement(**{name: str(each) for name, each in value.items()})
