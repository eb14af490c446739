"""
Programs that know nothing of us read what we sign: notes, checkpoints, proofs and cosignatures are those of the C2SP specifications.

- metamorphic-log: a verifier of signed notes, checkpoints and RFC 6962 proofs, in Rust.
- tlog-scales: a reader of transparency logs, in Python over OpenSSL; the one of the two that knows cosignatures.
"""

from __future__ import annotations

import base64
from pathlib import Path

import metamorphic_log
import pytest
from ledger_story import EVE, SetClock, a_draft
from tlog_scales import signing, tlog
from witness_house import RunningWitness

from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger
from jupyter_audit.ledger.anchors import Anchors
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.keys import load_signer
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.ledger.witness_sink import cosigned_path

LEDGERS = 2
GOLDEN = Path(__file__).parents[1] / "vectors" / "ledger-v1"


def swapped(note: str) -> str:
    """The note with one bit of its last signature changed."""
    head, _, line = note[:-1].rpartition(" ")
    data = base64.b64decode(line)
    return f"{head} {base64.b64encode(data[:-1] + bytes([data[-1] ^ 1])).decode()}\n"


def test_a_checkpoint_of_the_vectors_is_read_by_both() -> None:
    key = (GOLDEN / "ledger.vkey").read_text().strip()
    note = (GOLDEN / "kept.checkpoint").read_text()
    ours = unverified_checkpoint(note)
    head = metamorphic_log.checkpoint_verify(note, [key])
    assert (head.origin, head.size, head.root) == (ours.origin, ours.size, ours.root)
    with pytest.raises(metamorphic_log.VerifyError):
        metamorphic_log.checkpoint_verify(swapped(note), [key])
    theirs = tlog.Checkpoint.from_text(note)
    theirs.verify(signing.Vkey.from_string(key))
    assert (theirs.origin, theirs.size, theirs.root_hash) == (ours.origin, ours.size, ours.root)


def test_our_proofs_hold_for_both(ledger: Ledger, home: Home) -> None:
    for number in range(12):
        ledger.append([a_draft(number)])
    key = format_verifier_key(load_signer(home.signing_key).verifier)
    new = ledger.checkpoint_note()
    size = unverified_checkpoint(new).size
    for seq in range(size):
        path = ledger.inclusion_proof(seq, size)
        metamorphic_log.checkpoint_verify_inclusion(new, [key], seq, leaf_hash(ledger.entry(seq).raw.encode()), path)
    for old in range(1, size):
        earlier = ledger.checkpoint_at(old)
        path = ledger.consistency_proof(old, size)
        metamorphic_log.checkpoint_verify_consistency(earlier, new, [key], path)
        tlog.ConsistencyProof(old, size, path).check(unverified_checkpoint(earlier).root, unverified_checkpoint(new).root)
    with pytest.raises(metamorphic_log.VerifyError):
        metamorphic_log.checkpoint_verify_consistency(ledger.checkpoint_at(5), new, [key], ledger.consistency_proof(6, size))


def test_what_the_witness_cosigned_is_a_cosignature_for_others(witness: RunningWitness, ledger: Ledger, home: Home, clock: SetClock) -> None:
    ledger.append([a_draft(1)])
    ledger.rotate_key(actor=EVE, reason="yearly")
    ledger.append([a_draft(2)])
    Anchors(home, [witness.setting], clock).send(ledger)
    note = cosigned_path(home.cosigned, witness.key).read_text()
    ledger_key = format_verifier_key(load_signer(home.signing_key).verifier)

    theirs = tlog.Checkpoint.from_text(note)
    keys = signing.VkeySet(signing.Vkey.from_string(witness.key_text), signing.Vkey.from_string(ledger_key))
    assert {key.name for key, _ in keys.verify(theirs.signatures, theirs)} == {witness.key.name, ledger.origin}
    changed = tlog.Checkpoint.from_text(swapped(note))
    assert {key.name for key, _ in keys.verify(changed.signatures, changed)} == {ledger.origin}
    # Whoever does not know the witness still reads the ledger's own word.
    assert metamorphic_log.checkpoint_verify(note, [ledger_key]).size == 4
