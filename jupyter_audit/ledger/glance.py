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
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from jupyter_audit.ledger.canonical import MAX_DEPTH, has_ascii_names, is_exact
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.content import DOMAIN, SALT_SIZE, UnopenedError, check_commitment
from jupyter_audit.ledger.envelope import MAX_ENTRY_BYTES, OWN_TYPES, parse_commitments, parse_envelope, parse_moment
from jupyter_audit.ledger.note import NoteSignature, VerifierKey, decode_base64, format_signature
from jupyter_audit.ledger.places import BLOCK, Label, places_of
from jupyter_audit.ledger.tree import STEP
from jupyter_audit.ledger.walk import Counts, Row, Rows, Terms, Walk

_orjson: Any = None
with contextlib.suppress(ImportError):  # no wheel for this platform: every commit is walked entry by entry
    import orjson

    _orjson = orjson

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
        self._envelopes: set[tuple[object, ...]] = set()
        self._media: set[tuple[object, ...]] = set()
        self._moment: tuple[object, datetime] | None = None

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
        counts, time, labels = Counts(checkpoints=1), walk.time, walk.labels.copy()
        contents = iter(commit.contents)
        leaves: list[bytes] = []
        for expected, (seq, stored, note, raw) in enumerate(entries, start):
            text = raw.encode()
            leaf = sha256(b"\x00" + text).digest()
            if seq != expected or leaf != stored or (note is None) is (expected == size - 1):
                raise DoubtError
            leaves.append(leaf)
            label, moment = self._look_at_entry(raw, text, expected, len(entries) if expected == start else 1, contents, counts)
            labels.append(label)
            if len(labels) == BLOCK:
                places = places_of(expected >> STEP, labels)
                if not commit.has_places(places):
                    raise DoubtError
                counts.places += len(places)
                labels = []
            if moment is not time:
                if time is not None and moment < time:
                    raise DoubtError
                time = moment
                counts.first = counts.first or moment
        if next(contents, None) is not None:
            raise DoubtError
        tree = walk.tree.copy()
        for level, position, digest in tree.extend(leaves, levels=STEP):
            counts.subtrees += 1
            if commit.subtree(level, position) != digest:
                raise DoubtError
        _check_note(entries[-1][2], Checkpoint(walk.origin, size, tree.root()), walk.keys[-1])
        walk.believe(tree, time, labels, counts)

    def _look_at_entry(
        self, raw: str, text: bytes, seq: int, commit: int, contents: Iterator[Row], counts: Counts
    ) -> tuple[Label, datetime]:
        """Return what an entry is found by, and its moment, if it has its only spelling and its contents fit."""
        if len(text) > MAX_ENTRY_BYTES:
            raise DoubtError
        value = _orjson.loads(text)
        # It comes out again: so names are in order and none is there twice, and integers are exact.
        if _orjson.dumps(value, option=_orjson.OPT_SORT_KEYS | _orjson.OPT_STRICT_INTEGER) != text:
            raise DoubtError
        body, actor, get = value["body"], value["actor"], value.get
        # Depth is counted at its most: what is no body is as deep as an envelope, or is not what it has to be.
        if not _SCALARS.issuperset(map(type, body.values())) and (
            text.count(b"{") + text.count(b"[") > MAX_DEPTH or not is_exact(body.values())
        ):
            raise DoubtError  # too deep, or a float
        if not raw.isascii() and not has_ascii_names(body):
            raise DoubtError  # which may be in another order
        kind, name, session, grant = value["type"], actor["name"], get("session"), get("grant")
        envelope = (tuple(value), tuple(actor), kind, name, actor["vouched_by"], grant, session)
        if envelope not in self._envelopes:
            parse_envelope(raw)
            if kind in OWN_TYPES or "clock_back" in value:
                raise DoubtError
            _remember(self._envelopes, envelope)
        # All but the envelope's other members, then.
        if value["seq"] != seq or type(value["seq"]) is not int or not text.endswith(b'"v":1}'):
            raise DoubtError
        if get("commit", 1) != commit or ("commit" in value and (commit < 2 or type(value["commit"]) is not int)):
            raise DoubtError
        if "contents" in value:
            self._look_at_contents(seq, session, name, value["contents"], contents, counts)
        last = self._moment
        if last is None or value["time"] != last[0]:
            last = self._moment = value["time"], parse_moment(value["time"])
        return (kind, session, grant), last[1]

    def _look_at_contents(
        self, seq: int, session: str | None, actor: str, committed: Mapping[str, Any], contents: Iterator[Row], counts: Counts
    ) -> None:
        if not committed:
            raise DoubtError
        purges = self.terms.purges
        for name, told in committed.items():
            if purges and purges.cover(seq, session, actor, name):
                parse_commitments({name: told})
                counts.contents_purged += 1
                continue
            number, stored_name, salt, encoding, data = next(contents)
            if number != seq or type(number) is not int or stored_name != name:
                raise DoubtError
            counts.contents_held += 1
            size = told["size"]
            if "sealed" in told or (encoding == "zlib" and size > _MOST_UNPACKED):
                self._look_closely(name, told, (salt, encoding, data), counts)
                continue
            media = (tuple(told), name, told["media_type"])
            if media not in self._media:
                parse_commitments({name: told})
                _remember(self._media, media)
            if encoding == "zlib":
                stream = zlib.decompressobj()
                data = stream.decompress(data, size + 1)
                if not stream.eof or stream.unused_data:
                    raise DoubtError
            elif encoding != "plain":
                raise DoubtError
            if len(data) != size or type(size) is not int or len(salt) != SALT_SIZE:
                raise DoubtError
            if sha256(DOMAIN + salt + data).hexdigest() != told["digest"]:
                raise DoubtError

    def _look_closely(self, name: str, told: object, row: Row, counts: Counts) -> None:
        commitment = parse_commitments({name: told})[name]
        try:
            check_commitment(commitment, *row, auditors=self.terms.auditors)
            counts.contents_opened += commitment.sealed is not None
        except UnopenedError as error:
            counts.sealed_for[", ".join(error.recipients)] += 1


def _remember(known: set[tuple[object, ...]], what: tuple[object, ...]) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known.add(what)


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
