"""
Checkpoints (https://c2sp.org/tlog-checkpoint): origin, size and root hash of the tree, as a note's text.

A checkpoint of this ledger has exactly these three lines; the signature over them covers every entry
before `size`. Keeps P5 and P7.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from jupyter_audit.ledger.note import NoteError, decode_base64, parse_note

_ORIGIN = re.compile(r"jupyter-audit/[0-9a-f]{16}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class Checkpoint(NamedTuple):
    """What the head of the tree was when it had `size` entries."""

    origin: str
    size: int
    root: bytes


def is_origin(text: str) -> bool:
    """Return whether a ledger can have this origin: `creation` makes it at random."""
    return _ORIGIN.fullmatch(text) is not None


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text that is signed; the last of its three lines ends in a newline too."""
    root = base64.b64encode(checkpoint.root).decode()
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read exactly what `format_checkpoint` writes; raises `NoteError` for anything else."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise NoteError("a checkpoint has three lines: origin, size, root hash")
    origin, size, root_text, _ = lines
    if not origin or not _SIZE.fullmatch(size):
        raise NoteError(f"not a checkpoint's origin and size: {origin!r}, {size!r}")
    root = decode_base64(root_text)
    if len(root) != 32:
        raise NoteError("a checkpoint's root hash has 32 bytes")
    return Checkpoint(origin, int(size), root)


def unverified_checkpoint(note: str) -> Checkpoint:
    """Return what a signed checkpoint says, without looking at its signatures; raises `NoteError`."""
    return parse_checkpoint(parse_note(note).text)
