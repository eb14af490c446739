"""The Merkle tree against known answers, against RFC 6962's own recursive definition, and against forgers."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.ledger.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    peak_positions,
    root_of,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "merkle.json").read_text())
MOST = 70
LEAVES = [leaf_hash(bytes([n])) for n in range(MOST)]


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def subtree(level: int, position: int) -> bytes:
    return mth(LEAVES[position << level : (position + 1) << level])


ROOTS = [mth(LEAVES[:size]) for size in range(MOST + 1)]


def test_roots_are_the_known_ones() -> None:
    tree = CompactRange()
    for leaf, root in zip(VECTORS["leaves"], VECTORS["roots"], strict=True):
        tree.append(leaf_hash(bytes.fromhex(leaf)))
        assert tree.root().hex() == root
    assert EMPTY_ROOT.hex() == VECTORS["empty_root"]


def test_every_size_has_the_root_of_the_definition() -> None:
    tree = CompactRange()
    for size in range(MOST):
        assert tree.root() == root_of(subtree, 0, size) == ROOTS[size]
        assert tree.peaks == [subtree(level, at) for level, at in peak_positions(size)]
        for level, position, digest in tree.append(LEAVES[size], levels=2):
            assert digest == subtree(level, position)
            assert (position + 1) << level == tree.size


def test_every_leaf_of_every_size_is_proven_and_at_no_other_place() -> None:
    for size in range(1, MOST):
        for index in range(size):
            path = inclusion_proof(subtree, index, size)
            verify_inclusion(index, size, LEAVES[index], path, ROOTS[size])
            for other in (index - 1, index + 1, size):
                with pytest.raises(ProofError):
                    verify_inclusion(other, size, LEAVES[index], path, ROOTS[size])
            with pytest.raises(ProofError):
                verify_inclusion(index, size, LEAVES[index], [*path, ROOTS[1]], ROOTS[size])
            with pytest.raises(ProofError):
                verify_inclusion(index, size, LEAVES[index], path[:-1], ROOTS[size] if path else ROOTS[0])


def test_every_size_extends_every_smaller_one_and_no_other() -> None:
    for new in range(MOST):
        for old in range(new + 1):
            path = consistency_proof(subtree, old, new)
            verify_consistency(old, ROOTS[old], new, ROOTS[new], path)
            with pytest.raises(ProofError):
                verify_consistency(old, ROOTS[old], new, ROOTS[new], [*path, ROOTS[1]])
            if new:
                with pytest.raises(ProofError):
                    verify_consistency(old, leaf_hash(b"other"), new, ROOTS[new], path)
            if 0 < old < new:
                with pytest.raises(ProofError):
                    verify_consistency(old, ROOTS[old], new, leaf_hash(b"other"), path)
                with pytest.raises(ProofError):
                    verify_consistency(old, ROOTS[old], new, ROOTS[new], path[:-1])


@given(st.data())
def test_a_proof_with_one_bit_changed_proves_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, MOST - 1))
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(subtree, index, size)
    step = data.draw(st.integers(0, len(path) - 1))
    bit = data.draw(st.integers(0, 255))
    path[step] = (int.from_bytes(path[step], "big") ^ 1 << bit).to_bytes(32, "big")

    with pytest.raises(ProofError):
        verify_inclusion(index, size, LEAVES[index], path, ROOTS[size])


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (9, 5), (0, 0), (2**70, 5)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        inclusion_proof(subtree, index, size)
    with pytest.raises(ProofError):
        verify_inclusion(index, size, LEAVES[0], [LEAVES[1]] * 3, ROOTS[5])


@pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5)])
def test_a_tree_does_not_extend_a_larger_one(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        consistency_proof(subtree, old, new)
    with pytest.raises(ProofError):
        verify_consistency(old, ROOTS[5], new, ROOTS[5], [])


def test_a_tree_needs_a_peak_for_each_bit_of_its_size() -> None:
    with pytest.raises(ValueError, match="2 peaks"):
        CompactRange(5, [LEAVES[0]])
