"""The witness's own key: its file, in the form and with the care of a ledger's signing key, and what it signs with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jupyter_audit.clock import Clock
from jupyter_audit.errors import KeyFileError
from jupyter_audit.ledger.cosignature import WitnessKey, cosignature_line, cosigned_message, format_witness_key
from jupyter_audit.ledger.keys import Signer, create_key_files, load_signer
from jupyter_audit.ledger.note import NoteSignature


class Cosigner:
    """Cosigns checkpoints under one name with one Ed25519 key, which signs nothing else."""

    def __init__(self, signer: Signer, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self.key = WitnessKey(signer.verifier.name, signer.verifier.public)

    def cosign(self, text: str, *, not_before: datetime | None) -> NoteSignature:
        """
        Return the cosignature over a checkpoint's text, now.

        It says no earlier time than `not_before`, that of the last one for the same ledger: a clock that was set back
        must not make the larger checkpoint the older one.
        """
        now = self._clock.now()
        seconds = int((now if not_before is None else max(now, not_before)).astimezone(UTC).timestamp())
        return cosignature_line(self.key, seconds, self._signer.signature(cosigned_message(text, seconds)))


def create_cosigner(name: str, secret: Path, public: Path) -> WitnessKey:
    """Make a key and write both halves; never overwrites. Raises `OSError`, or `NoteError` for a name that is none."""
    signer = Signer.generate(name)
    key = WitnessKey(signer.verifier.name, signer.verifier.public)
    create_key_files(signer, secret, public, format_witness_key(key))
    return key


def load_cosigner(path: Path, clock: Clock) -> Cosigner:
    """Return the cosigner whose key is in `path`; raises `KeyFileError` unless it is ours alone and well formed."""
    if not path.exists():
        raise KeyFileError(
            f"There is no key of a witness at {path}.",
            advice="`jupyter audit witness init` makes one. A key that was lost is not replaced: make a new witness in a new "
            "folder, and give its key to the ledger's admin and to auditors.",
        )
    return Cosigner(load_signer(path), clock)
