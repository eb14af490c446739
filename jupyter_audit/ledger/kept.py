"""A checkpoint that somebody kept elsewhere, to compare a ledger with: what was cut off or put back then shows."""

from __future__ import annotations

from collections.abc import Sequence

from jupyter_audit.ledger.checkpoint import Checkpoint, parse_checkpoint
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.merkle import CompactRange
from jupyter_audit.ledger.note import Note, NoteError, VerifierKey, parse_note


class Kept:
    """The checkpoint that the caller kept, until it was compared."""

    def __init__(self, text: str) -> None:
        try:
            self.note: Note = parse_note(text)
            self.checkpoint: Checkpoint = parse_checkpoint(self.note.text)
        except NoteError as error:
            raise damaged("remembered", f"The checkpoint to compare with cannot be used: {error}.") from error

    def verify_signer(self, origin: str, keys: Sequence[VerifierKey]) -> None:
        """Raise unless it is a checkpoint of this ledger, under one of its keys."""
        if self.checkpoint.origin != origin:
            other = self.checkpoint.origin
            raise damaged("remembered", f"The checkpoint to compare with is of {other}, not of {origin}.")
        try:
            self.note.verify(keys)
        except NoteError as error:
            message = f"The checkpoint to compare with cannot be used: {error}."
            advice = "It is not of this ledger; or it is, and an old copy was put back that lacks the key change before it."
            raise damaged("remembered", message, advice=advice) from error

    def compare(self, tree: CompactRange) -> None:
        """Raise if the ledger had another root at this size."""
        if self.checkpoint.size == tree.size and self.checkpoint.root != tree.root():
            raise damaged(
                "fork",
                f"The first {tree.size} entries are not those of the checkpoint that was kept.",
                advice="Keep both, for evidence: the ledger was replaced, or there are two of them.",
            )
