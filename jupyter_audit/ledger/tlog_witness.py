"""
The words between a ledger and a witness (https://c2sp.org/tlog-witness): the request, and what is decided about it.

Both sides use this module: the witness reads and judges, the anchor writes. Pure: no network, no files, no secrets.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from jupyter_audit.ledger.checkpoint import Checkpoint, parse_checkpoint
from jupyter_audit.ledger.merkle import EMPTY_ROOT, HASH_SIZE, ProofError, verify_consistency
from jupyter_audit.ledger.note import Note, NoteError, VerifierKey, decode_base64, parse_note

ADD_CHECKPOINT = "add-checkpoint"
ADD_KEY_CHANGE = "add-key-change"
"""Ours, beside the specification's: shows a witness the ledger's next key (docs/anchors.md)."""

SIZE_TYPE = "text/x.tlog.size"
"""The media type of the body that tells which size the witness knows."""

MOST_BYTES = 256 * 1024
"""The longest request that is read."""

_MOST_HASHES = 63
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,18})\n")


class RefusedError(Exception):
    """What a witness answers instead of a cosignature: the HTTP status, the sentence, and with 409 the size it knows."""

    def __init__(self, status: int, why: str, known: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.known = known


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to cosign: the size that the witness is believed to know, the proof from there, and the signed note."""

    old: int
    proof: tuple[bytes, ...]
    note: str


def format_request(request: AddCheckpoint) -> str:
    """Return the body that `parse_request` reads."""
    hashes = "".join(base64.b64encode(step).decode() + "\n" for step in request.proof)
    return f"old {request.old}\n{hashes}\n{request.note}"


def parse_request(body: bytes) -> AddCheckpoint:
    """Read the body of `add-checkpoint`; raises `RefusedError` (400) for anything that is not one."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(400, "the request is not UTF-8") from error
    head, separator, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    old = _OLD.fullmatch(first)
    if not separator or old is None:
        raise RefusedError(400, "the request does not begin with an old size, proof lines and an empty line")
    if len(lines) > _MOST_HASHES:
        raise RefusedError(400, f"there are more than {_MOST_HASHES} proof lines")
    try:
        proof = tuple(decode_base64(line) for line in lines)
    except NoteError as error:
        raise RefusedError(400, f"a proof line is malformed: {error}") from error
    if any(len(step) != HASH_SIZE for step in proof):
        raise RefusedError(400, "a proof line is no hash")
    return AddCheckpoint(int(old[1]), proof, note)


def parse_size(body: bytes) -> int:
    """Read the body of a 409; raises `ValueError` if it is no size."""
    found = _SIZE.fullmatch(body.decode("ascii"))
    if found is None:
        raise ValueError("not a tree size")
    return int(found[1])


def read_checkpoint(note: str) -> tuple[Note, Checkpoint]:
    """Read the checkpoint of a request; raises `RefusedError` (400)."""
    try:
        parsed = parse_note(note)
        return parsed, parse_checkpoint(parsed.text)
    except NoteError as error:
        raise RefusedError(400, f"the checkpoint is malformed: {error}") from error


def judge(request: AddCheckpoint, known: Checkpoint | None, keys: Sequence[VerifierKey]) -> tuple[Note, Checkpoint]:
    """
    Return the note and checkpoint to cosign, once it is shown to grow from the one `known`, the last that was cosigned.

    `keys` are those that the witness trusts for the origin. Raises `RefusedError` as the specification has it: 400 for
    what is malformed, 403 unless one of `keys` signed, 409 for another size or root than the one known, 422 for a proof
    that does not hold.
    """
    note, checkpoint = read_checkpoint(request.note)
    try:
        note.verify(keys)
    except NoteError as error:
        raise RefusedError(403, f"the checkpoint is not signed by a key that is trusted for it: {error}") from error
    if request.old > checkpoint.size:
        raise RefusedError(400, "the old size is larger than the checkpoint's")
    size, root = (0, EMPTY_ROOT) if known is None else (known.size, known.root)
    if request.old != size:
        raise RefusedError(409, f"the last checkpoint that was cosigned has {size} entries, not {request.old}", size)
    if checkpoint.size == size and checkpoint.root != root:
        raise RefusedError(409, f"another checkpoint of {size} entries was cosigned", size)
    try:
        verify_consistency(size, root, checkpoint.size, checkpoint.root, request.proof)
    except ProofError as error:
        raise RefusedError(422, f"the proof does not hold: {error}") from error
    return note, checkpoint
