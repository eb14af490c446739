"""The words of tlog-witness: what is written is read back, and nothing else is taken for a request."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.cosignature import (
    WitnessKey,
    cosignature_line,
    cosigned_message,
    format_witness_key,
    parse_witness_key,
    verify_cosignatures,
)
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.merkle import CompactRange, consistency_proof, leaf_hash, root_of
from jupyter_audit.ledger.note import Note, NoteError, format_verifier_key, parse_note
from jupyter_audit.ledger.tlog_witness import (
    AddCheckpoint,
    RefusedError,
    format_request,
    judge,
    parse_request,
    parse_size,
    read_checkpoint,
)
from jupyter_audit.witness.service import keys_in_force

SIGNER = Signer("jupyter-audit/0123456789abcdef", bytes(32))
STRANGER = Signer(SIGNER.verifier.name, bytes([1]) * 32)
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]
HASHES = st.binary(min_size=32, max_size=32)


def subtree(level: int, index: int) -> bytes:
    tree = CompactRange()
    for leaf in LEAVES[index << level : (index + 1) << level]:
        tree.append(leaf)
    return tree.root()


def signed(size: int, signer: Signer = SIGNER, root: bytes | None = None) -> str:
    return signer.sign(format_checkpoint(Checkpoint(SIGNER.verifier.name, size, root or root_of(subtree, 0, size))))


@given(st.integers(0, 10**19 - 1), st.lists(HASHES, max_size=63), st.integers(0, 40))
def test_a_request_is_read_back_as_it_was_written(old: int, proof: list[bytes], size: int) -> None:
    request = AddCheckpoint(old, tuple(proof), signed(size))
    assert parse_request(format_request(request).encode()) == request


@given(st.binary(max_size=400))
def test_noise_is_refused_or_is_a_request_in_its_one_spelling(body: bytes) -> None:
    with contextlib.suppress(RefusedError):
        assert format_request(parse_request(body)).encode() == body
    with contextlib.suppress(ValueError):
        assert f"{parse_size(body)}\n".encode() == body


@given(st.data())
def test_a_changed_request_is_refused_or_says_the_same_in_its_one_spelling(data: st.DataObject) -> None:
    body = bytearray(format_request(AddCheckpoint(3, tuple(consistency_proof(subtree, 3, 11)), signed(11))).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    known = Checkpoint(SIGNER.verifier.name, 3, root_of(subtree, 0, 3))
    try:
        request = parse_request(bytes(body))
        _, checkpoint = judge(request, known, [SIGNER.verifier])
    except RefusedError as refused:
        assert refused.status in (400, 403, 409, 422)  # noqa: PT017
        return
    # Whatever it was made into, what is cosigned is what the ledger's key signed, and grew from what is known.
    assert format_request(request).encode() == bytes(body)
    assert checkpoint == Checkpoint(SIGNER.verifier.name, 11, root_of(subtree, 0, 11))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.booleans(), st.booleans())
def test_only_growth_from_what_is_known_is_cosigned(known: int, old: int, size: int, honest: bool, ours: bool) -> None:
    proof = tuple(consistency_proof(subtree, old, size)) if old <= size else ()
    request = AddCheckpoint(old, proof, signed(size, SIGNER if ours else STRANGER, None if honest else bytes(32)))
    remembered = Checkpoint(SIGNER.verifier.name, known, root_of(subtree, 0, known)) if known else None
    try:
        _, checkpoint = judge(request, remembered, [SIGNER.verifier])
    except RefusedError as refused:
        right = (
            403 if not ours else 400 if old > size else 409 if old != known or (size == known and not honest) else 422
        )
        assert refused.status == right  # noqa: PT017
        assert (refused.known is not None) == (refused.status == 409)  # noqa: PT017
        assert not (ours and honest and old == known <= size)
    else:
        assert ours
        assert old == known <= size
        # From nothing, anything grows: that the first one is the right one no witness can know.
        assert honest or known == 0
        assert checkpoint.size == size


@given(st.integers(0, 253402300799), st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="+"), min_size=1))
def test_a_cosignature_holds_for_its_time_and_text_alone(seconds: int, name: str) -> None:
    try:
        signer = Signer(name, bytes(32))
    except NoteError:
        return
    key = WitnessKey(name, signer.verifier.public)
    assert parse_witness_key(format_witness_key(key)) == key
    text = parse_note(signed(5)).text
    signature = signer.signature(cosigned_message(text, seconds))
    line = cosignature_line(key, seconds, signature)
    assert verify_cosignatures(Note(text, (line,)), [key])[key].time.timestamp() == seconds
    for wrong in (cosignature_line(key, seconds + 1, signature), cosignature_line(key, seconds, signature[:-1])):
        with pytest.raises(NoteError):
            verify_cosignatures(Note(text, (wrong,)), [key])
    with pytest.raises(NoteError):
        verify_cosignatures(Note(parse_note(signed(6)).text, (line,)), [key])


@pytest.mark.parametrize("seconds", [253402300800, 2**63 - 1, 2**64 - 1])
def test_a_time_that_no_calendar_has_is_no_cosignature(seconds: int) -> None:
    key = WitnessKey("w", SIGNER.verifier.public)
    line = cosignature_line(key, seconds, SIGNER.signature(cosigned_message("x\n", seconds)))
    with pytest.raises(NoteError):
        verify_cosignatures(Note("x\n", (line,)), [key])


def test_a_ledger_s_key_is_not_a_witness_s_nor_the_other_way() -> None:
    with pytest.raises(NoteError, match="signature type 4"):
        parse_witness_key(format_verifier_key(SIGNER.verifier))
    key = WitnessKey(SIGNER.verifier.name, SIGNER.verifier.public)
    assert key.id != SIGNER.verifier.id
    with pytest.raises(RefusedError, match="malformed"):
        read_checkpoint("none\n")


def test_the_key_in_force_is_where_the_changes_lead_from_a_key_that_the_operator_named() -> None:
    keys = [Signer("l", bytes([number]) * 32).verifier for number in range(5)]
    text = [format_verifier_key(key) for key in keys]
    changes = {text[0]: text[1], text[1]: text[2]}
    assert keys_in_force([keys[0]], changes) == [keys[2]]
    assert keys_in_force([keys[0], keys[1]], changes) == [keys[2]]
    assert keys_in_force([keys[3]], changes) == [keys[3]]  # after a theft: what the thief was followed to does not count
    assert keys_in_force([keys[0], keys[3]], changes) == [keys[2], keys[3]]
    assert keys_in_force([keys[0]], {text[0]: text[1], text[1]: text[0]}) == [keys[0]]  # a circle ends
