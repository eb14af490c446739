"""
A glance: whole commits that are beyond doubt, seen quickly.

Nearly every commit of a ledger is as it should be, so a verification first asks for that alone. What a glance has any
doubt about, it leaves to `Walk.go`, which judges entry by entry and finds the words; what it has no doubt about,
`Walk.go` would accept and count in just the same way. Tests hold one to the other. It makes no objects of entries, and adds
a commit's leaves to the tree at once. Pure; must never accept what it has not fully compared.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from jupyter_audit.ledger.canonical import MAX_DEPTH, has_ascii_names, is_exact
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.content import UnopenedError, check_commitment
from jupyter_audit.ledger.content import commit as commitment_of
from jupyter_audit.ledger.envelope import (
    ENTRY_VERSION,
    MAX_ENTRY_BYTES,
    MOST_CONTENTS,
    OWN_TYPES,
    parse_commitments,
    parse_envelope,
    parse_moment,
)
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.ledger.note import NoteSignature, VerifierKey, decode_base64, format_signature
from jupyter_audit.ledger.places import BLOCK, Label, places_of
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.ledger.walk import Counts, Row, Rows, Terms, Walk

_orjson: Any = None
with contextlib.suppress(ImportError):  # no wheel for this platform: every commit is walked entry by entry
    import orjson

    _orjson = orjson

_CANONICAL = _orjson and _orjson.OPT_SORT_KEYS | _orjson.OPT_STRICT_INTEGER
_INTEGERS = frozenset({int})
_SCALARS = frozenset({str, int, bool, type(None)})
_MOST_KNOWN = 10_000
_MOST_UNPACKED = 256 * 1024
"""Bytes: what is longer is unpacked in pieces."""


class DoubtError(Exception):
    """Something is not as it nearly always is; it may be right all the same."""


class Glance:
    """Looks at commits, of any stretches of one ledger."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        # What comes again and again, as it was when it was read carefully.
        self._labels: dict[tuple[object, ...], Label] = {}
        self._media: set[tuple[object, ...]] = set()

    def follow(self, walk: Walk, commit: Rows) -> bool:
        """Take `walk` to the end of `commit` and return True if it is beyond doubt; otherwise leave `walk` as it is."""
        if _orjson is None:
            return False
        try:
            self._follow(walk, list(commit.entries), commit)
        except Exception:  # whatever it is: the careful walk comes upon it, and says so
            return False
        return True

    def _follow(self, walk: Walk, entries: list[Row], commit: Rows) -> None:
        start, size = walk.tree.size, walk.tree.size + len(entries)
        if any(start < kept.checkpoint.size <= size for kept in self.terms.kept):
            raise DoubtError
        # Column by column, for a loop within the interpreter costs more than what is done in it.
        seqs, stored, notes, raws = zip(*entries, strict=True)
        if seqs != tuple(range(start, size)) or notes[:-1] != (None,) * (len(notes) - 1):
            raise DoubtError
        texts = [raw.encode() for raw in raws]
        if sum(map(len, texts)) > MAX_ENTRY_BYTES:
            raise DoubtError  # they become several times as many when they are read
        leaves = list(map(leaf_hash, texts))
        if leaves != list(stored):
            raise DoubtError
        values = [_orjson.loads(text) for text in texts]
        # They come out again: so names are in order and none is there twice, and integers are exact.
        if [_orjson.dumps(value, option=_CANONICAL) for value in values] != texts:
            raise DoubtError
        _expect_numbers([value["seq"] for value in values], list(seqs))
        _expect_numbers([value["v"] for value in values], [ENTRY_VERSION] * len(values))
        if len(values) > 1:
            _expect_numbers([values[0].pop("commit")], [len(values)])
        bodies = [value["body"] for value in values]
        if not _SCALARS.issuperset(map(type, chain.from_iterable([body.values() for body in bodies]))):
            _look_deeper(raws, bodies)
        if not all(map(str.isascii, raws)) and not all(map(has_ascii_names, bodies)):
            raise DoubtError  # which may be in another order
        counts = Counts(checkpoints=1)
        labels = walk.labels + [self._label_of(raw, value) for raw, value in zip(raws, values, strict=True)]
        counts.first, time = _span([value["time"] for value in values], walk.time)
        self._look_at_contents(seqs, values, list(commit.contents), counts)
        for block in range(start >> STEP, size >> STEP):
            places, labels = places_of(block, labels[:BLOCK]), labels[BLOCK:]
            if not commit.has_places(places):
                raise DoubtError
            counts.places += len(places)
        tree = walk.tree.copy()
        for level, position, digest in tree.extend(leaves, levels=STEP):
            counts.subtrees += 1
            if commit.subtree(level, position) != digest:
                raise DoubtError
        _check_note(notes[-1], Checkpoint(walk.origin, size, tree.root()), walk.keys[-1])
        walk.believe(tree, time, labels, counts)

    def _label_of(self, raw: str, value: dict[str, Any]) -> Label:
        """Return what an entry is found by, if its envelope is one; time and contents are looked at apart."""
        actor, get = value["actor"], value.get
        session, grant = get("session"), get("grant")
        # These are all of its members if there are no more: actor, body, seq, time, type and v have been asked for.
        if len(value) != 6 + (session is not None) + (grant is not None) + ("contents" in value) or len(actor) != 2:
            raise DoubtError
        found_by = value["type"], session, grant, actor["name"], actor["vouched_by"]
        return self._labels.get(found_by) or self._read_carefully(raw, found_by)

    def _read_carefully(self, raw: str, found_by: tuple[Any, ...]) -> Label:
        parse_envelope(raw)
        if found_by[0] in OWN_TYPES:
            raise DoubtError
        if len(self._labels) >= _MOST_KNOWN:
            self._labels.clear()
        label = self._labels[found_by] = found_by[:3]
        return label

    def _look_at_contents(self, seqs: Sequence[int], values: list[dict[str, Any]], rows: list[Row], counts: Counts) -> None:
        """Raise unless the rows are the contents that these entries commit to, but for those that were purged."""
        told: list[dict[str, Any]] = []
        numbers: list[int] = []
        names: list[str] = []
        purges = self.terms.purges
        for seq, value in zip(seqs, values, strict=True):
            if "contents" not in value:
                continue
            if not 1 <= len(value["contents"]) <= MOST_CONTENTS:
                raise DoubtError
            for number, (name, content) in enumerate(value["contents"].items(), seq * MOST_CONTENTS):
                if purges and purges.cover(seq, value.get("session"), value["actor"]["name"], name):
                    parse_commitments({name: content})
                    counts.contents_purged += 1
                else:
                    told.append(content)
                    numbers.append(number)
                    names.append(name)
        _expect_numbers([row[0] for row in rows], numbers)
        if names != [row[1] for row in rows]:
            raise DoubtError
        counts.contents_held += len(told)
        if {3}.issuperset(map(len, told)) and {"plain"}.issuperset([row[3] for row in rows]):
            self._look_at_plain(told, rows)
        else:
            for row, content in zip(rows, told, strict=True):
                self._look_at_content(row, content, counts)

    def _look_at_plain(self, told: list[dict[str, Any]], rows: list[Row]) -> None:
        """As `_look_at_content`, of all contents of a commit at once where none is packed or sealed."""
        media = {(row[1], content["media_type"]) for row, content in zip(rows, told, strict=True)}
        if not media <= self._media:
            for row, content in zip(rows, told, strict=True):
                self._read_commitment(row[1], content)
        _expect_numbers([content["size"] for content in told], [len(row[4]) for row in rows])
        if [commitment_of(data, salt) for _, _, salt, _, data in rows] != [content["digest"] for content in told]:
            raise DoubtError

    def _look_at_content(self, row: Row, content: dict[str, Any], counts: Counts) -> None:
        _, name, salt, encoding, data = row
        size = content["size"]
        if len(content) != 3 or (encoding == "zlib" and size > _MOST_UNPACKED):
            self._look_closely(name, content, (salt, encoding, data), counts)
            return
        if (name, content["media_type"]) not in self._media:
            self._read_commitment(name, content)
        if encoding != "plain":
            data = _unpack(data, encoding, size)
        if len(data) != size or type(size) is not int or commitment_of(data, salt) != content["digest"]:
            raise DoubtError

    def _read_commitment(self, name: str, content: dict[str, Any]) -> None:
        parse_commitments({name: content})
        if len(self._media) >= _MOST_KNOWN:
            self._media.clear()
        self._media.add((name, content["media_type"]))

    def _look_closely(self, name: str, told: object, row: Row, counts: Counts) -> None:
        commitment = parse_commitments({name: told})[name]
        try:
            check_commitment(commitment, *row, auditors=self.terms.auditors)
            counts.contents_opened += commitment.sealed is not None
        except UnopenedError as error:
            counts.sealed_for[", ".join(error.recipients)] += 1


def _look_deeper(raws: Sequence[str], bodies: Sequence[dict[str, Any]]) -> None:
    """Raise if one of the bodies is too deep, or has a float in it."""
    for raw, body in zip(raws, bodies, strict=True):
        # Depth is counted at its most: what is no body is as deep as an envelope, or is not what it has to be.
        if not _SCALARS.issuperset(map(type, body.values())) and (
            raw.count("{") + raw.count("[") > MAX_DEPTH or not is_exact(body.values())
        ):
            raise DoubtError


def _span(texts: list[str], before: datetime | None) -> tuple[datetime, datetime]:
    """Return the first and the last of these times, if they are in order, and the first is not before `before`."""
    moments = [parse_moment(text) for text in sorted(set(texts))]  # in this form, they sort as what they mean
    if texts != sorted(texts) or (before is not None and moments[0] < before):
        raise DoubtError
    return moments[0], moments[-1]


def _unpack(data: bytes, encoding: str, size: int) -> bytes:
    """Return the content of `size` bytes that was packed so; never more than one byte beyond that."""
    if encoding != "zlib":
        raise DoubtError
    stream = zlib.decompressobj()
    unpacked = stream.decompress(data, size + 1)
    if not stream.eof or stream.unused_data:
        raise DoubtError
    return unpacked


def _expect_numbers(said: list[object], expected: list[int]) -> None:
    """Raise unless these are the same, and integers: to Python, true and 1.0 are 1."""
    if said != expected or not _INTEGERS.issuperset(map(type, said)):
        raise DoubtError


def _check_note(note: object, checkpoint: Checkpoint, key: VerifierKey) -> None:
    """Raise unless `note` is this checkpoint with this key's signature, and no other."""
    text = format_checkpoint(checkpoint)
    beginning = f"{text}\n\u2014 {key.name} "
    if not isinstance(note, str) or not note.startswith(beginning):
        raise DoubtError
    signed = decode_base64(note[len(beginning) : -1])
    line = NoteSignature(key.name, key.id, signed[4:])
    if note != f"{text}\n{format_signature(line)}":
        raise DoubtError
    key.verify(text, line.signature)
