"""
Checkpoints that somebody kept elsewhere, to compare a ledger with: what was cut off or put back then shows.

One that a witness cosigned is more: it was seen to grow from all before by somebody who does not hold the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from jupyter_audit.errors import UsageError
from jupyter_audit.ledger.checkpoint import Checkpoint, parse_checkpoint
from jupyter_audit.ledger.cosignature import (
    Cosignature,
    WitnessKey,
    format_witness_key,
    parse_witness_key,
    verify_cosignatures,
)
from jupyter_audit.ledger.damage import damaged
from jupyter_audit.ledger.merkle import EMPTY_ROOT, CompactRange
from jupyter_audit.ledger.note import Note, NoteError, VerifierKey, parse_note
from jupyter_audit.ledger.report import Witnessed


class Kept:
    """
    A checkpoint that the caller kept, until it was compared.

    `damage` is the class to name if it is not a checkpoint of this ledger.
    """

    def __init__(self, text: str, damage: str = "remembered") -> None:
        self._damage = damage
        self._what = "The cosigned checkpoint" if damage == "witness" else "The checkpoint to compare with"
        try:
            self.note: Note = parse_note(text)
            self.checkpoint: Checkpoint = parse_checkpoint(self.note.text)
        except NoteError as error:
            advice = "Give it as `jupyter audit checkpoint` printed it, or as a witness or the file of an anchor has it."
            raise damaged(damage, f"{self._what} cannot be used: {error}.", advice=advice) from error

    def agrees(self, tree: CompactRange) -> bool:
        """Return False if the ledger had another root at this size: a fork, if it is a checkpoint of this ledger at all."""
        return self.checkpoint.size != tree.size or self.checkpoint.root == tree.root()

    def conclude(self, origin: str, keys: Sequence[VerifierKey], size: int, forks: Collection[Checkpoint]) -> None:
        """
        Raise unless it is a checkpoint of this ledger, under one of its keys, and the ledger extends it.

        `size` is how many entries the ledger has; `forks` are the checkpoints that did not agree with its tree.
        """
        if self.checkpoint.origin != origin:
            advice = "Give the checkpoint that was kept of this ledger, or verify the ledger that it is of."
            raise damaged(self._damage, f"{self._what} is of {self.checkpoint.origin}, not of {origin}.", advice=advice)
        try:
            self.note.verify(keys)
        except NoteError as error:
            what = "Either an old copy was put back, from before a key change, or this is another ledger's checkpoint"
            advice = "`jupyter audit keys` lists the keys of this copy: if there should be more, keep both for evidence."
            raise damaged(self._damage, f"{what}: {error}.", advice=advice) from error
        if self.checkpoint.size > size:
            raise damaged(
                "rollback",
                f"The ledger has {size} entries; a checkpoint of {self.checkpoint.size} was kept.",
                advice="Entries were cut off, or an old copy was put back. Keep both, for evidence.",
                seq=size,
            )
        if self.checkpoint in forks or (self.checkpoint.size == 0 and self.checkpoint.root != EMPTY_ROOT):
            raise damaged(
                "fork",
                f"The first {self.checkpoint.size} entries are not those of the checkpoint that was kept.",
                advice="Keep both, for evidence: the ledger was replaced, or there are two of them.",
            )


class Witnesses:
    """The witnesses whose cosignatures are demanded, and the newest checkpoint that each of them cosigned."""

    def __init__(self, keys: Sequence[str], cosigned: Sequence[str]) -> None:
        wanted = [_parse_key(text) for text in keys]
        self._newest: dict[WitnessKey, tuple[Kept, Cosignature]] = {}
        for text in cosigned:
            kept = Kept(text, "witness")
            for key, cosignature in self._verified(kept.note, wanted).items():
                before = self._newest.get(key)
                if before is None or kept.checkpoint.size >= before[0].checkpoint.size:
                    self._newest[key] = (kept, cosignature)
        for key in wanted:
            if key not in self._newest:
                raise damaged(
                    "witness",
                    f"No checkpoint that {key.name} cosigned was given.",
                    advice="Ask the witness for the newest that it cosigned, and give it with --cosigned (docs/anchors.md).",
                )

    @property
    def kept(self) -> list[Kept]:
        """Every checkpoint that is to be compared with."""
        return [kept for kept, _ in self._newest.values()]

    def said(self, entries: int) -> Iterator[Witnessed]:
        """Yield what each witness said of a ledger that has so many `entries`."""
        for key, (kept, cosignature) in self._newest.items():
            size = kept.checkpoint.size
            yield Witnessed(key.name, format_witness_key(key), size, cosignature.time, entries - size)

    @staticmethod
    def _verified(note: Note, keys: Sequence[WitnessKey]) -> Mapping[WitnessKey, Cosignature]:
        try:
            return verify_cosignatures(note, keys)
        except NoteError as error:
            advice = "Ask the witness itself for the newest that it cosigned, and look whether the key given is its own."
            raise damaged("witness", f"The cosigned checkpoint cannot be used: {error}.", advice=advice) from error


def _parse_key(text: str) -> WitnessKey:
    try:
        return parse_witness_key(text)
    except NoteError as error:
        raise UsageError(
            f"That is not a witness's key: {error}.",
            advice="`jupyter audit witness init` printed it; it is in witness.vkey of the witness's folder.",
        ) from error
