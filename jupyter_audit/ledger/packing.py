"""
Packing: a draft checked for form, its contents committed to and made ready to be stored.

Needs no ledger and no lock, so it is done before the write lock is taken wherever that is possible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.auditors import AuditorKey
from jupyter_audit.ledger.content import store
from jupyter_audit.ledger.envelope import OWN_TYPES, EnvelopeError, check_draft
from jupyter_audit.model import Commitment, Draft


class Packed(NamedTuple):
    """A draft with its contents committed to and ready to be stored."""

    draft: Draft
    commitments: Mapping[str, Commitment]
    rows: Sequence[tuple[str, bytes, str, bytes]]  # name, salt, encoding, data


def pack(draft: Draft, auditors: Sequence[AuditorKey] = (), *, own: bool = False) -> Packed:
    """
    Return `draft` ready to be stored, its contents sealed to `auditors` where there are any.

    Only the ledger's `own` entries may say something of the ledger.
    """
    try:
        check_draft(draft)
        if draft.type in OWN_TYPES and not own:
            raise EnvelopeError("only the ledger itself writes entries of that type")
    except EnvelopeError as error:
        raise LedgerError(f"An entry of type {draft.type!r} cannot be recorded: {error}.") from error
    if not draft.contents:
        return Packed(draft, {}, ())
    commitments, rows = {}, []
    for name in sorted(draft.contents) if len(draft.contents) > 1 else draft.contents:
        commitments[name], salt, encoding, stored = store(draft.contents[name], auditors)
        rows.append((name, salt, encoding, stored))
    return Packed(draft, commitments, rows)
