"""
The Merkle tree of RFC 6962 (RFC 9162 section 2.1): hashes, the growing tree, proofs and their checks.

Pure functions over hashes; no I/O. Positions and sizes are checked before anything is computed from
them, because they come from whoever made the proof. Keeps P5 and P7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

# To copy a hash that has begun takes half as long as to begin one.
_new_leaf = sha256(b"\x00").copy
_new_node = sha256(b"\x01").copy

Subtree = Callable[[int, int], bytes]
"""`subtree(level, index)`: the hash over leaves `index << level` up to `(index + 1) << level`."""


class ProofError(ValueError):
    """A proof does not show what it should."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(0x00 ‖ data)."""
    leaf = _new_leaf()
    leaf.update(data)
    return leaf.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    node = _new_node()
    node.update(left + right)
    return node.digest()


class CompactRange:
    """
    A tree that only grows, kept as the hashes of its perfect subtrees, largest first.

    One per set bit of the size: appending costs one hash on average, the root at most one per bit.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(peaks)}")
        self.size = size
        self.peaks = list(peaks)

    def copy(self) -> CompactRange:
        """Return a tree that grows apart from this one."""
        other = object.__new__(CompactRange)
        other.size = self.size
        other.peaks = self.peaks.copy()
        return other

    def append(self, leaf: bytes, *, levels: int = 8) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; return (level, index, hash) of the subtrees completed at multiples of `levels`."""
        completed = []
        peaks, rest, level = self.peaks, self.size, 0
        while rest & 1:
            leaf = node_hash(peaks.pop(), leaf)
            rest >>= 1
            level += 1
            if level % levels == 0:
                completed.append((level, self.size >> level, leaf))
        peaks.append(leaf)
        self.size += 1
        return completed

    def extend(self, leaves: Sequence[bytes], *, levels: int = 8) -> list[tuple[int, int, bytes]]:
        """Add leaf hashes, as `append` does each of them: whole levels at a time, which is faster."""
        if len(leaves) == 1:
            return self.append(leaves[0], levels=levels)
        completed: list[tuple[int, int, bytes]] = []
        peaks, hashes, start, level = self.peaks, list(leaves), self.size, 0
        self.size += len(hashes)
        left: list[bytes] = []
        while hashes:
            if start & 1:
                hashes.insert(0, peaks.pop())
            if len(hashes) & 1:
                left.append(hashes.pop())
            hashes = list(map(node_hash, hashes[::2], hashes[1::2]))
            start >>= 1
            level += 1
            if level % levels == 0:
                completed += [(level, start + at, digest) for at, digest in enumerate(hashes)]
        peaks += reversed(left)
        return completed

    def root(self) -> bytes:
        """Return the root hash; of an empty tree SHA-256 of nothing."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def peak_positions(size: int) -> list[tuple[int, int]]:
    """Return (level, index) of the perfect subtrees that make up a tree of `size`, largest first."""
    positions, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            positions.append((level, start >> level))
            start += 1 << level
    return positions


def root_of(subtree: Subtree, start: int, stop: int) -> bytes:
    """
    Return MTH over leaves `start` up to `stop` (RFC 6962 section 2.1), from perfect subtrees.

    `start` must be a position at which such a node begins in a tree that has one.
    """
    width = stop - start
    if width == 0:
        return EMPTY_ROOT
    if width & (width - 1) == 0 and start % width == 0:
        level = width.bit_length() - 1
        return subtree(level, start >> level)
    split = 1 << ((width - 1).bit_length() - 1)
    return node_hash(root_of(subtree, start, start + split), root_of(subtree, start + split, stop))


def inclusion_proof(subtree: Subtree, index: int, size: int) -> list[bytes]:
    """
    Return the path that shows leaf `index` in the tree of `size` (RFC 9162 section 2.1.3.1).

    Raises `ProofError` if there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        split = 1 << ((stop - start - 1).bit_length() - 1)
        if index - start < split:
            path.append(root_of(subtree, start + split, stop))
            stop = start + split
        else:
            path.append(root_of(subtree, start, start + split))
            start += split
    path.reverse()
    return path


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """
    Raise `ProofError` unless `path` shows `leaf` at `index` of the tree with this `size` and `root`.

    RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofError(f"there is no leaf {index} in a tree of {size}")
    node, last, computed = index, size - 1, leaf
    for sibling in path:
        if len(sibling) != HASH_SIZE or last == 0:
            raise ProofError("the inclusion proof has the wrong length")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while node & 1 == 0 and node != 0:
                node >>= 1
                last >>= 1
        else:
            computed = node_hash(computed, sibling)
        node >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the inclusion proof has the wrong length")
    if computed != root:
        raise ProofError(f"leaf {index} is not in the tree of {size} with this root")


def consistency_proof(subtree: Subtree, old: int, new: int) -> list[bytes]:
    """
    Return the proof that the tree of `new` leaves extends that of `old` (RFC 9162 section 2.1.4.1).

    Raises `ProofError` unless 0 <= old <= new. Empty if `old` is 0 or the sizes are equal.
    """
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} cannot extend one of {old}")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, stop, whole = 0, new, True
    while stop != old:
        split = 1 << ((stop - start - 1).bit_length() - 1)
        if old - start <= split:
            path.append(root_of(subtree, start + split, stop))
            stop = start + split
        else:
            path.append(root_of(subtree, start, start + split))
            start += split
            whole = False
    if not whole:
        path.append(root_of(subtree, start, stop))
    path.reverse()
    return path


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """
    Raise `ProofError` unless `path` shows that the tree (`new`, `new_root`) extends (`old`, `old_root`).

    RFC 9162 section 2.1.4.2. Nothing follows from an empty old tree but that its root is the empty one.
    """
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} cannot extend one of {old}")
    if old in (0, new):
        if path:
            raise ProofError("the consistency proof has the wrong length")
        if old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise ProofError(f"two different trees of {old}")
        return
    if any(len(step) != HASH_SIZE for step in path):
        raise ProofError("the consistency proof has a step that is not a hash")
    steps = list(path)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise ProofError("the consistency proof has the wrong length")
    node, last = old - 1, new - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old_computed = new_computed = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofError("the consistency proof has the wrong length")
        if node & 1 or node == last:
            old_computed = node_hash(step, old_computed)
            new_computed = node_hash(step, new_computed)
            while node & 1 == 0 and node != 0:
                node >>= 1
                last >>= 1
        else:
            new_computed = node_hash(new_computed, step)
        node >>= 1
        last >>= 1
    if last != 0:
        raise ProofError("the consistency proof has the wrong length")
    if old_computed != old_root or new_computed != new_root:
        raise ProofError(f"the tree of {new} does not extend this tree of {old}")
