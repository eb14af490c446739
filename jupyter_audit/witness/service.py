"""
The witness's duty: cosign a checkpoint only if it grew from the last one, and remember it before answering.

`add_checkpoint` and `add_key_change` each decide and change in one transaction, so that requests at the same time, to
one process or to several, cannot make it say two things.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from jupyter_audit.clock import Clock, format_time
from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.cosignature import verify_cosignatures
from jupyter_audit.ledger.note import (
    Note,
    VerifierKey,
    format_note,
    format_signature,
    format_verifier_key,
    parse_note,
    parse_verifier_key,
)
from jupyter_audit.ledger.proof import check_key_change, unverified_origin
from jupyter_audit.ledger.tlog_witness import AddCheckpoint, RefusedError, judge, parse_request, read_checkpoint
from jupyter_audit.witness.cosigner import Cosigner
from jupyter_audit.witness.memory import Memory

CONTRADICTIONS = (409, 422)


def keys_in_force(named: Sequence[VerifierKey], changes: Mapping[str, str]) -> list[VerifierKey]:
    """Return the keys that sign now: each that the operator named, or what its key changes lead to."""
    found = []
    for key in named:
        text, passed = format_verifier_key(key), set[str]()
        while text in changes and text not in passed:
            passed.add(text)
            text = changes[text]
        found.append(parse_verifier_key(text))
    return list(dict.fromkeys(found))


class Witness:
    """One witness: its key, its memory, and the ledgers that its operator named by their keys."""

    def __init__(
        self, cosigner: Cosigner, memory: Memory, ledger_keys: Sequence[VerifierKey], clock: Clock, log: logging.Logger
    ) -> None:
        self._cosigner = cosigner
        self._memory = memory
        self._clock = clock
        self._log = log
        self._named: dict[str, list[VerifierKey]] = {}
        for key in ledger_keys:
            self._named.setdefault(key.name, []).append(key)

    @property
    def origins(self) -> list[str]:
        """The ledgers that it knows."""
        return sorted(self._named)

    def add_checkpoint(self, body: bytes) -> str:
        """Return the cosignature line for a request; raises `RefusedError`. What was cosigned is on disk when it returns."""
        request = parse_request(body)
        _, claimed = read_checkpoint(request.note)
        named = self._named_for(claimed.origin)
        refused: RefusedError | None = None
        with self._memory.changing():
            kept = self._memory.cosigned(claimed.origin)
            known = None if kept is None else read_checkpoint(kept)
            keys = keys_in_force(named, self._memory.key_changes(claimed.origin))
            try:
                note, checkpoint = judge(request, None if known is None else known[1], keys)
            except RefusedError as error:
                refused = error
                self._keep_evidence(request, error, known[1].size if known is not None else 0)
            else:
                before = None if known is None else verify_cosignatures(known[0], [self._cosigner.key])[self._cosigner.key].time
                line = self._cosigner.cosign(note.text, not_before=before)
                signers = [signature for signature in note.signatures if self._is_by(signature.name, signature.key_id, keys)]
                self._memory.keep_cosigned(checkpoint.origin, format_note(Note(note.text, (*signers, line))))
        if refused is not None:
            raise refused
        self._log.info("cosigned %d entries of %s", checkpoint.size, checkpoint.origin)
        return format_signature(line)

    def add_key_change(self, body: bytes) -> None:
        """
        Follow a ledger to its next key. Raises `RefusedError`.

        The change must be the last entry of the very checkpoint that was cosigned last, under a key that is in force: a
        thief of a key that has ended cannot name another one with it.
        """
        try:
            text = body.decode("utf-8")
            origin = unverified_origin(text)
        except (UnicodeDecodeError, VerificationError) as error:
            raise RefusedError(400, f"that shows no key change: {error}") from error
        named = self._named_for(origin)
        with self._memory.changing():
            changes = self._memory.key_changes(origin)
            everybody = [*named, *(parse_verifier_key(key) for pair in changes.items() for key in pair)]
            try:
                ended, successor, checkpoint = check_key_change(text, everybody)
            except VerificationError as error:
                raise RefusedError(403, f"the key change is not shown under a key that is trusted: {error}") from error
            if changes.get(format_verifier_key(ended)) == format_verifier_key(successor):
                return  # it was shown before
            if ended not in keys_in_force(named, changes):
                raise RefusedError(403, "the key change is signed by a key that has ended")
            kept = self._memory.cosigned(origin)
            known = None if kept is None else read_checkpoint(kept)[1]
            if known != checkpoint:
                size = 0 if known is None else known.size
                raise RefusedError(409, f"the key change does not end the checkpoint of {size} entries cosigned last", size)
            self._memory.keep_key_change(origin, format_verifier_key(ended), format_verifier_key(successor))
        self._log.warning("%s has a new key from entry %d on: %s", origin, checkpoint.size, format_verifier_key(successor))

    def newest(self, origin: str) -> str:
        """Return the last checkpoint of a ledger that was cosigned, a signed note; raises `RefusedError` (404)."""
        self._named_for(origin)
        note = self._memory.cosigned(origin)
        if note is None:
            raise RefusedError(404, "no checkpoint of this ledger was cosigned yet")
        parse_note(note)
        return note

    def _named_for(self, origin: str) -> list[VerifierKey]:
        if origin not in self._named:
            raise RefusedError(404, "this witness does not know the ledger: its operator must name the ledger's key")
        return self._named[origin]

    def _keep_evidence(self, request: AddCheckpoint, error: RefusedError, known: int) -> None:
        """Put down a checkpoint that contradicts: its own key signed it, and it does not extend what was cosigned."""
        _, checkpoint = read_checkpoint(request.note)
        if error.status not in CONTRADICTIONS or (error.status == 409 and request.old != known):
            return
        self._log.critical("REFUSED %d entries of %s: %s", checkpoint.size, checkpoint.origin, error)
        self._memory.keep_evidence(checkpoint.origin, format_time(self._clock.now()), str(error), request.note)

    @staticmethod
    def _is_by(name: str, key_id: bytes, keys: Sequence[VerifierKey]) -> bool:
        return any((key.name, key.id) == (name, key_id) for key in keys)
