"""
Proof files read by section 9 of docs/ledger-format.md and nothing of ours: what the page says must be enough.

Entries, notes, keys and contents are read by the second verifier, which is written from the same page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from nacl.exceptions import CryptoError


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def need(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(what)


def included(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, found = index, size - 1, leaf
    for part in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node(part, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node(found, part)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def grown(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2."""
    if old > new or old == new or old == 0:
        empty = old_root == sha256().digest() if old == 0 else old_root == new_root
        return not path and old <= new and empty
    parts = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not parts:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = parts[0]
    for part in parts[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node(part, first), node(part, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node(second, part)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


class Reader:
    """Reads proof files with the first key, and an auditor's secret line if there is one."""

    def __init__(self, second: Any, key: str, auditor: str | None = None) -> None:
        self.second, self.first = second, second.Key(key.strip())
        self.auditors = dict([second.parse_auditor(auditor)]) if auditor else {}

    def check(self, text: str) -> dict[str, Any]:
        """Return what a proof file shows; raises ValueError."""
        try:
            return self._check(text)
        except (RecursionError, CryptoError) as error:
            raise ValueError(str(error)) from error

    def _check(self, text: str) -> dict[str, Any]:
        need(len(text) <= 268_435_456, "too long")
        value = json.loads(text, object_pairs_hook=once)
        need(isinstance(value, dict), "no object")
        if value.get("format") == "jupyter-audit/entry-proof@v1":
            need(value.keys() == {"format", "entry", "proof", "key_changes", "contents"}, "members")
            changed = self.changed(value["key_changes"])
            entry, size = self.entry(value, changed[-1:] or [self.first])[:2]
            return {"seq": entry["seq"], "size": size, **self.contents(entry, value["contents"])}
        need(value.get("format") == "jupyter-audit/consistency-proof@v1", "format")
        need(value.keys() == {"format", "old", "new", "proof", "key_changes"}, "members")
        need(isinstance(value["proof"], list) and len(value["proof"]) <= 126, "hashes")
        changed = self.changed(value["key_changes"])
        old_origin, old, old_root = self.checkpoint(value["old"], [self.first, *changed])
        origin, new, root = self.checkpoint(value["new"], changed[-1:] or [self.first])
        need(old_origin == origin, "origins")
        need(grown(old, old_root, new, root, [self.hash(part) for part in value["proof"]]), "growth")
        return {"old": old, "new": new}

    def changed(self, changes: object) -> list[Any]:
        need(isinstance(changes, list), "key changes")
        keys: list[Any] = []
        for change in changes:  # type: ignore[attr-defined]
            need(isinstance(change, dict) and change.keys() == {"entry", "proof"}, "key change")
            entry, size, origin = self.entry(change, keys[-1:] or [self.first])
            need(entry["type"] == "ledger.key_rotated" and entry["seq"] + 1 == size, "key change that ends nothing")
            keys.append(self.second.Key(entry["body"].get("verifier_key")))
            need(keys[-1].name == origin, "another's key")
        return keys

    def entry(self, value: dict[str, Any], keys: list[Any]) -> tuple[dict[str, Any], int, str]:
        entry = self.second.parse_entry(value["entry"])
        need(isinstance(value["proof"], str), "proof")
        head, separator, note = value["proof"].partition("\n\n")
        found = re.fullmatch(r"c2sp\.org/tlog-proof@v1\nindex (0|[1-9][0-9]{0,18})((?:\n[^\n]+){0,63})", head)
        need(separator and found, "tlog-proof")
        origin, size, root = self.checkpoint(note, keys)
        path = [self.hash(line) for line in found[2].split("\n")[1:]]  # type: ignore[index]
        need(entry["seq"] == int(found[1]), "index")  # type: ignore[index]
        need(included(entry["seq"], size, sha256(b"\0" + value["entry"].encode()).digest(), path, root), "inclusion")
        return entry, size, origin

    def checkpoint(self, note: object, keys: list[Any]) -> tuple[str, int, bytes]:
        origin, size, root, text, signed = self.second.parse_checkpoint(note)
        need(self.second.is_signed(text, signed, [key for key in keys if key.name == origin]), "signature")
        return origin, size, root

    def hash(self, text: object) -> bytes:
        need(isinstance(text, str), "hash")
        data: bytes = self.second.decode(text)
        need(len(data) == 32, "hash")
        return data

    def contents(self, entry: dict[str, Any], shown: object) -> dict[str, Any]:
        need(isinstance(shown, dict), "contents")
        found: dict[str, list[str]] = {"contents": [], "sealed": []}
        for name, part in shown.items():  # type: ignore[attr-defined]
            commitment = entry.get("contents", {}).get(name)
            need(commitment and isinstance(part, dict) and all(isinstance(text, str) for text in part.values()), "content")
            data = {member: self.second.decode(text) for member, text in part.items()}
            if data.keys() == {"sealed"}:
                need("sealed" in commitment, "not sealed")
                need(not self.second.judge(commitment, b"", "sealed", data["sealed"], self.auditors), "sealed content")
                opened = bool(self.second.unseal(data["sealed"], self.auditors))
                found["contents" if opened else "sealed"].append(name)
            else:
                need(data.keys() == {"salt", "data"}, "members of a content")
                need(self.second.fits(commitment, data["salt"], "plain", data["data"]), "content")
                found["contents"].append(name)
        return {name: sorted(names) for name, names in found.items()}


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(len(dict(pairs)) == len(pairs), "a name twice")
    return dict(pairs)
