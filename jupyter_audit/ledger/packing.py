"""
Packing: a draft checked for form and written down, its contents committed to and made ready to be stored.

Needs no ledger and no lock, so it is done before the write lock is taken wherever that is possible.
"""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_audit.errors import LedgerError
from jupyter_audit.ledger.auditors import AuditorKey
from jupyter_audit.ledger.content import store
from jupyter_audit.ledger.envelope import OWN_TYPES, EnvelopeError, Unnumbered, write_down
from jupyter_audit.model import Draft

ContentRow = tuple[str, bytes, str, bytes]
"""name, salt, encoding, data"""

Packed = tuple[Unnumbered, Sequence[ContentRow]]
"""An entry that lacks its number and its time, and its contents ready to be stored."""


def pack(draft: Draft, auditors: Sequence[AuditorKey] = (), *, own: bool = False) -> Packed:
    """
    Return `draft` ready to be stored, its contents sealed to `auditors` where there are any.

    Only the ledger's `own` entries may say something of the ledger.
    """
    commitments, rows = {}, []
    for name in sorted(draft.contents) if len(draft.contents) > 1 else draft.contents:
        commitments[name], salt, encoding, stored = store(draft.contents[name], auditors)
        rows.append((name, salt, encoding, stored))
    try:
        if draft.type in OWN_TYPES and not own:
            raise EnvelopeError("only the ledger itself writes entries of that type")
        return write_down(draft, commitments), rows
    except EnvelopeError as error:
        raise LedgerError(f"An entry of type {draft.type!r} cannot be recorded: {error}.") from error
