"""
A second verifier of ledgers, to be read in ten minutes: the standard library and PyNaCl, nothing of Jupyter Audit.

    python verify_independently.py LEDGER VERIFIER-KEY-OR-ITS-FILE [KEPT-CHECKPOINT-FILE] [--witness-key KEY] [--auditor-key FILE]

Written from ledger-format.md, which must lie beside it (the schema is compared with the page's); "(n)" in a comment is a step
of its section 7. Exits with 0 and a summary if the ledger is whole, 1 and the damage (section 8) if not, 2 if nothing is known.
Sealed contents are opened with the auditor's secret key in FILE (not under a passphrase), else only known to be those recorded.
With a witness's key the kept checkpoint must have that witness's cosignature (section 3).
Work on a copy if a server may be writing: this reads the file slowly and from one snapshot.
"""

import argparse
import base64
import json
import os
import re
import sqlite3
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.secret import SecretBox
from nacl.signing import VerifyKey

PAGE = Path(__file__).with_name("ledger-format.md")
NAME = r"[^\x00-\x1f\x7f]{1,256}"
TYPE = r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
DIGEST = r"[0-9a-f]{64}"
Auditors = dict[bytes, PrivateKey]
REQUIRED = {"v", "seq", "time", "type", "actor", "body"}
OPTIONAL = {"grant", "session", "contents", "commit", "clock_back"}


class DamagedError(Exception):
    """The ledger is not whole: the class of damage, the entry that shows it, and a sentence."""

    def __init__(self, damage: str, seq: int | None, what: str) -> None:
        super().__init__(what)
        self.damage, self.seq = damage, seq


def need(holds: object, damage: str, seq: int | None, what: str) -> None:
    """Raise `DamagedError` unless `holds`."""
    if not holds:
        raise DamagedError(damage, seq, what)


@contextmanager
def means(damage: str, seq: int | None, what: str) -> Iterator[None]:
    """A ValueError in the block raises `DamagedError` instead: `what` is malformed."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise DamagedError(damage, seq, f"{what} is malformed: {error}") from error


def canonical(value: Any, depth: int = 0) -> str:
    """The one spelling of a value (section 1); raises ValueError for what has none."""
    if isinstance(value, (dict, list)) and depth == 64:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name], depth + 1)}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical(item, depth + 1) for item in value) + "]"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > 2**53 - 1):
        raise ValueError("not an integer of 53 bits")
    return json.dumps(value, ensure_ascii=False)


def is_text(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def parse_entry(raw: object) -> dict[str, Any]:
    """(3) The entry that a text spells (section 1); raises ValueError."""
    entry = json.loads(raw) if isinstance(raw, str) and len(raw.encode()) <= 1_048_576 else None
    if not isinstance(entry, dict) or canonical(entry) != raw or not REQUIRED <= entry.keys() <= REQUIRED | OPTIONAL:
        raise ValueError("longer than 1 MiB, not in canonical spelling, or of other members")
    actor, commit = entry["actor"], entry.get("commit", 2)
    names = [entry.get("grant", "-"), entry.get("session", "-"), *(actor.values() if isinstance(actor, dict) else [None])]
    if not all([
        type(entry["v"]) is int and entry["v"] == 1,
        type(entry["seq"]) is int and entry["seq"] >= 0,
        is_text(entry["time"], TIME) and datetime.fromisoformat(entry["time"]),
        is_text(entry["type"], TYPE),
        all(is_text(name, NAME) for name in names) and actor.keys() == {"name", "vouched_by"},
        isinstance(entry["body"], dict),
        type(commit) is int and commit >= 2,
        entry.get("clock_back", True) is True,
        "contents" not in entry or are_commitments(entry["contents"]),
    ]):  # fmt: skip
        raise ValueError("a member does not have its form")
    return entry


def are_commitments(contents: object) -> bool:
    return isinstance(contents, dict) and 1 <= len(contents) <= 256 and all(
        re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name)
        and isinstance(what, dict)
        and what.keys() - {"sealed"} == {"digest", "size", "media_type"}
        and is_text(what["digest"], DIGEST) and is_text(what.get("sealed", what["digest"]), DIGEST)
        and type(what["size"]) is int and what["size"] >= 0
        and is_text(what["media_type"], r"[\x20-\x7e]{1,256}")
        for name, what in contents.items()
    )  # fmt: skip


def decode(text: str) -> bytes:
    """Bytes from base64, of which each has one spelling; raises ValueError."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not the canonical base64")
    return data


class Key:
    """A verifier key: name, key ID, public key (section 4). Raises ValueError."""

    def __init__(self, text: object, kind: int = 1) -> None:
        found = re.fullmatch(r"([^\s+\x00-\x1f]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})", str(text))
        data = decode(found[3]) if found else b"?"
        self.text, self.name = str(text), found[1] if found else ""
        self.id = sha256(self.name.encode() + b"\n" + data).digest()[:4]
        if not found or data[0] != kind or self.id.hex() != found[2]:
            raise ValueError("not a verifier key")
        self.public = VerifyKey(data[1:])


def parse_checkpoint(note: object) -> tuple[str, int, bytes, str, list[tuple[str, bytes]]]:
    """Origin, size, root, the text that is signed, and the signatures (section 3); raises ValueError."""
    form = "(([^\n]+)\n(0|[1-9][0-9]{0,18})\n([^\n]+)\n)\n((?:\u2014 [^\\s+]+ \\S+\n)+)"
    found = re.fullmatch(form, note) if isinstance(note, str) else None
    if not found or re.search(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]", found[0]) or len(found[0]) > 1_000_000:
        raise ValueError("not a checkpoint with signatures")
    root = decode(found[4])
    signed = [(name, decode(data)) for name, data in re.findall("\u2014 (\\S+) (\\S+)\n", found[5])]
    if len(root) != 32 or len(signed) > 100 or any(len(data) < 5 for _, data in signed):
        raise ValueError("not the length of a root or of a signature")
    return found[2], int(found[3]), root, found[1], signed


def is_signed(text: str, signed: list[tuple[str, bytes]], keys: list[Key], *, cosigned: bool = False) -> bool:
    """Whether one of the keys signed, or as a witness cosigned; a line of one of them that does not fit makes it False."""
    lines = [(key, data[4:]) for name, data in signed for key in keys if (name, data[:4]) == (key.name, key.id)]
    for key, data in lines:
        head, data = (f"cosignature/v1\ntime {int.from_bytes(data[:8])}\n", data[8:]) if cosigned else ("", data)
        try:
            key.public.verify((head + text).encode(), data)
        except (CryptoError, ValueError):
            return False
    late = cosigned and any(int.from_bytes(data[:8]) > 253_402_300_799 for _, data in lines)  # the end of the year 9999
    return bool(lines) and not late


class Tree:
    """A growing tree (RFC 6962 section 2.1), kept as its peaks: (level, hash), largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[tuple[int, bytes]] = []

    def add(self, node: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; return (level, position, hash) of what it completes at levels 8, 16, 24, …"""
        level, complete = 0, []
        while self.peaks and self.peaks[-1][0] == level:
            node = sha256(b"\x01" + self.peaks.pop()[1] + node).digest()
            level += 1
            if level % 8 == 0:
                complete.append((level, self.size >> level, node))
        self.peaks.append((level, node))
        self.size += 1
        return complete

    def root(self) -> bytes:
        root = self.peaks[-1][1]
        for _, peak in reversed(self.peaks[:-1]):
            root = sha256(b"\x01" + peak + root).digest()
        return root


def parse_auditor(line: str) -> tuple[bytes, PrivateKey]:
    """An auditor's secret key, with the `name+id` by which sealed contents name it; raises ValueError."""
    found = re.fullmatch(r"AUDITOR\+KEY\+(([!-*,-~]{1,64})\+([0-9a-f]{16}))\+([A-Za-z0-9+/]{43}=)", line.strip())
    if not found:
        raise ValueError("not an auditor's secret key")
    secret = PrivateKey(decode(found[4]))
    text = b"jupyter-audit auditor key v1\0" + found[2].encode() + b"\n" + bytes(secret.public_key)
    if sha256(text).hexdigest()[:16] != found[3]:
        raise ValueError("the auditor's key does not fit its key ID")
    return found[1].encode(), secret


def unseal(sealed: bytes, auditors: Auditors) -> list[bytes]:
    """What is sealed, once for each of the auditors for whom it is; raises ValueError or CryptoError."""
    line = rb"\n([!-*,-~]{1,64}\+[0-9a-f]{16}) ([A-Za-z0-9+/]{107}=)"
    found = re.fullmatch(rb"jupyter-audit/sealed@v1((?:" + line + rb"){1,16})\n\n(.{40,})", sealed, re.DOTALL)
    boxes = {label: decode(box.decode()) for label, box in re.findall(line, found[1])} if found else {}
    if not found or len(boxes) != found[1].count(b"\n"):
        raise ValueError("not sealed content")
    keys = [SealedBox(secret).decrypt(boxes[label]) for label, secret in auditors.items() if label in boxes]
    return [SecretBox(key).decrypt(found[4]) for key in keys]


def judge(commitment: dict[str, Any], salt: bytes, encoding: str, stored: bytes, auditors: Auditors) -> str:
    """(7) What damage a stored content shows (section 2); empty where it is what its entry commits to."""
    if not isinstance(salt, bytes) or not isinstance(stored, bytes):  # a damaged file holds what a STRICT table does not take
        return "content_changed"
    if "sealed" not in commitment:
        return "" if fits(commitment, salt, encoding, stored) else "content_changed"
    if (encoding, salt, sha256(stored).hexdigest()) != ("sealed", b"", commitment["sealed"]):
        return "content_changed"
    try:
        opened = unseal(stored, auditors)
    except (ValueError, CryptoError):
        return "content_false"
    packings = {b"\0": "plain", b"\1": "zlib"}
    right = all(fits(commitment, inner[:32], packings.get(inner[32:33], ""), inner[33:]) for inner in opened)
    return "" if right else "content_false"


def fits(commitment: dict[str, Any], salt: bytes, encoding: str, stored: bytes) -> bool:
    """Whether a content that is not sealed is what its entry commits to, whose size is not believed yet."""
    digest, size, stream = sha256(b"jupyter-audit content v1\0" + salt), 0, zlib.decompressobj()
    for start in range(0, len(stored), 4096):
        piece = stored[start : start + 4096]
        try:
            piece = stream.decompress(piece) if encoding == "zlib" else piece  # 4 MiB at most
        except zlib.error:
            return False
        digest.update(piece)
        size += len(piece)
        if size > commitment["size"]:
            return False
    ended = encoding == "plain" or (encoding == "zlib" and stream.eof and not stream.unused_data)
    return ended and len(salt) == 32 and size == commitment["size"] and digest.hexdigest() == commitment["digest"]


def selections(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """What a `content.purged` says (section 5); raises ValueError."""
    listed = entry["body"].get("contents")
    if not isinstance(listed, list) or not listed:
        raise ValueError("no selections")
    for item in listed:
        if not isinstance(item, dict) or not {"first", "last"} <= item.keys() <= {"first", "last", "session", "actor", "names"}:
            raise ValueError("not a selection")
        first, last, names = item["first"], item["last"], item.get("names", ["-"])
        texts = [item.get("session", "-"), item.get("actor", "-"), *(names if isinstance(names, list) and names else [None])]
        right = type(first) is int and type(last) is int and 0 <= first <= last < entry["seq"]
        if not right or not all(isinstance(text, str) for text in texts):
            raise ValueError("not a selection")
    return listed


def covered(entry: dict[str, Any], name: str, purges: list[dict[str, Any]]) -> bool:
    return any(
        item["first"] <= entry["seq"] <= item["last"]
        and item.get("session", entry.get("session")) == entry.get("session")
        and item.get("actor", entry["actor"]["name"]) == entry["actor"]["name"]
        and name in item.get("names", [name])
        for item in purges
    )


class Verifier:
    """One walk (section 7). `pending` waits until its commit is known to be what was signed."""

    def __init__(self, database: sqlite3.Connection, key: Key, kept: str | None, auditors: Auditors, witness: Key | None) -> None:
        self.database, self.keys, self.tree, self.auditors = database, [key], Tree(), auditors
        self.start, self.end, self.signed, self.places = 0, 1, 0, 0
        self.labels: list[tuple[str, str | None, str | None]] = []
        self.suspect: int | None = None
        self.pending: DamagedError | None = None
        self.unkept, self.forked = "witness" if witness else "remembered", False
        need(kept is not None or not witness, self.unkept, None, "no cosigned checkpoint was given")
        with means(self.unkept, None, "the kept checkpoint"):
            self.kept = parse_checkpoint(kept) if kept is not None else None
        if self.kept and witness:
            need(is_signed(self.kept[3], self.kept[4], [witness], cosigned=True), "witness", None, "not cosigned by the witness")

    def rows(self, sql: str, *values: object) -> Iterator[Any]:
        return iter(self.database.execute(sql, values))

    def suspend(self, holds: object, damage: str, seq: int, what: str) -> None:
        if not holds and self.pending is None:
            self.pending = DamagedError(damage, seq, what)

    def schema(self, *kinds: str) -> None:
        """(1) and (8): the objects of these kinds are those of the page."""
        [text] = re.findall(r"```sql\n(.*?);\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        wanted = {(sql.split()[1].lower(), sql.split()[2]): sql for sql in re.split(r";\n(?=CREATE )", text)}
        found = {(kind, name): sql if kind == "table" or f" ON {table}" in str(sql) else None
                 for kind, name, table, sql in self.rows("SELECT type, name, tbl_name, sql FROM sqlite_schema")
                 if (kind, name, sql) != ("index", f"sqlite_autoindex_{table}_1", None)
                 and (kind != "table" or table == name)}  # fmt: skip
        if kinds:
            wanted = {key: sql for key, sql in wanted.items() if key[0] in kinds}
            found = {key: found.get(key) for key in wanted}
        need(found == wanted, "schema", None, "tables, indexes or triggers are not those of the format")

    def walk(self) -> str:
        for pragma, value in (("application_id", 0x4A41554C), ("user_version", 1), ("encoding", "UTF-8")):
            need(next(self.rows(f"PRAGMA {pragma}"))[0] == value, "schema", None, f"{pragma} is not {value}")
        self.schema("table")
        purges, previous = self.find_purges(), ""
        try:
            for seq, leaf, note, raw in self.rows("SELECT seq, leaf, note, raw FROM entry ORDER BY seq"):
                entry = self.take(seq, raw, leaf, previous)
                previous = entry["time"]
                self.take_contents(entry, purges)
                if note is not None:
                    self.take_checkpoint(entry, note)
                if self.end == self.tree.size != self.signed:
                    need(self.suspect is None, "entry_changed", self.suspect, "an entry is not what was signed")
                    raise DamagedError("checkpoint_missing", self.start, f"the commit from entry {self.start} has no checkpoint")
                self.forked |= bool(self.kept) and self.kept[1] == self.tree.size and self.kept[2] != self.tree.root()
            return self.conclude()
        except DamagedError as error:
            if self.suspect is None or error.seq == self.suspect:
                raise
            raise DamagedError("entry_changed", self.suspect, f"entry {self.suspect} is not what was signed") from error

    def find_purges(self) -> list[dict[str, Any]]:
        found = []
        for seq, raw in self.rows("SELECT seq, raw FROM entry WHERE instr(raw, 'content.purged') ORDER BY seq"):
            with suppress(ValueError, RecursionError):  # the walk comes to it
                if (entry := parse_entry(raw))["type"] == "content.purged":
                    with means("entry_form", seq, f"entry {seq}"):
                        found += selections(entry)
        return found

    def take(self, seq: int, raw: object, leaf: object, previous: str) -> dict[str, Any]:
        number = self.tree.size
        need(seq == number, "sequence", number, f"entry {number} is missing")  # (2)
        if number == self.end:
            self.start, self.end, self.suspect, self.pending = number, number + 1, None, None
        with means("entry_form", number, f"entry {number}"):
            entry = parse_entry(raw)  # (3)
        need(entry["seq"] == number, "sequence", number, f"entry {number} says another number")
        need(number == self.start or "commit" not in entry, "checkpoint_missing", number, f"entry {number} begins a commit")
        self.end = number + entry.get("commit", 1) if number == self.start else self.end
        digest = sha256(b"\x00" + str(raw).encode()).digest()
        if leaf != digest and self.suspect is None:
            self.suspect = number
            self.suspend(False, "leaf", number, f"the leaf hash beside entry {number} is another's")
        self.suspend(("clock_back" in entry) == (entry["time"] < previous), "time", number, "clock_back is wrong")  # (5)
        if number == 0:
            self.take_origin(entry)
        self.suspend(number == 0 or entry["type"] != "ledger.created", "origin", number, "a second ledger.created")
        right = number + 1 == self.end or entry["type"] != "ledger.key_rotated"
        self.suspend(right, "key", number, "a key change does not end its commit")
        for level, position, node in self.tree.add(digest):  # (8)
            row = next(self.rows("SELECT hash FROM subtree WHERE level = ? AND position = ?", level, position), None)
            self.suspend(row == (node,), "subtree", position << level, f"subtree {position} of level {level} is wrong")
        self.labels.append((entry["type"], entry.get("session"), entry.get("grant")))
        if len(self.labels) == 256:
            self.take_places(number >> 8)
        return entry

    def take_places(self, block: int) -> None:
        """(8) Where in a complete block of entries each type, session and grant stands."""
        for name, values in zip(("type", "session", "grant"), zip(*self.labels, strict=True), strict=True):
            for value in set(values) - {None}:
                offsets = canonical([offset for offset in range(256) if values[offset] == value])
                sql = "SELECT offsets FROM place WHERE name = ? AND value = ? AND block = ?"
                right = next(self.rows(sql, name, value, block), None) == (offsets,)
                self.suspend(right, "place", block << 8, f"the places of {name} {value} in block {block} are wrong")
                self.places += 1
        self.labels = []

    def take_origin(self, entry: dict[str, Any]) -> None:
        """(4) Entry 0 names format, origin and the key that the verifier has."""
        body, key = entry["body"], self.keys[0]
        with means("origin", 0, "the key in entry 0"):
            named = Key(body.get("verifier_key"))
        about = canonical([entry["type"], body.get("format"), body.get("epoch"), body.get("origin")])  # for Python, true is 1
        right = about == canonical(["ledger.created", 1, 0, named.name]) and is_text(named.name, r"jupyter-audit/[0-9a-f]{16}")
        need(right, "origin", 0, "entry 0 is no ledger.created of format 1 with origin and key")
        need(named.text == key.text, "key", 0, f"the ledger was begun under another key: {named.text}")

    def take_contents(self, entry: dict[str, Any], purges: list[dict[str, Any]]) -> None:
        seq, commitments, held = entry["seq"], entry.get("contents", {}), {}
        numbered = dict(enumerate(sorted(commitments), 256 * seq))
        for number, name, *row, _ in self.rows("SELECT * FROM content WHERE id BETWEEN 256 * ?1 AND 256 * ?1 + 255", seq):
            self.suspend(numbered.get(number) == name, "content_foreign", seq, f"entry {seq} commits to no content {name!r}")
            held[name] = row
        for name, commitment in commitments.items():
            purged = covered(entry, name, purges)
            if name not in held:
                self.suspend(purged, "content_missing", seq, f"content {name} of entry {seq} is gone unexplained")
                continue
            self.suspend(not purged, "content_unpurged", seq, f"content {name} of entry {seq} should be gone")
            wrong = judge(commitment, *held[name], self.auditors)
            self.suspend(not wrong, wrong, seq, f"content {name} of entry {seq} is not what was recorded")

    def take_checkpoint(self, entry: dict[str, Any], note: object) -> None:
        """(6) The checkpoint where a commit ends."""
        size = self.tree.size
        need(size == self.end, "checkpoint_foreign", size - 1, f"a checkpoint of size {size} where no commit ends")
        with means("checkpoint_form", size - 1, f"checkpoint {size}"):
            origin, signed_size, root, text, signed = parse_checkpoint(note)
        need((origin, signed_size) == (self.keys[0].name, size), "checkpoint_form", size - 1, f"checkpoint {size} is another's")
        need(is_signed(text, signed, self.keys[-1:]), "checkpoint_signature", size - 1, f"checkpoint {size} is not signed")
        seq = self.start if self.suspect is None else self.suspect
        need(root == self.tree.root(), "entry_changed", seq, f"entry {seq}, or one of its commit, is not what was signed")
        self.suspect = None
        if self.pending is not None:
            raise self.pending
        self.signed = size
        if entry["type"] == "ledger.key_rotated":
            with means("key", size - 1, f"the key in entry {size - 1}"):
                key = Key(entry["body"].get("verifier_key"))
            right = key.name == origin and canonical(entry["body"].get("epoch")) == str(len(self.keys))
            need(right, "key", size - 1, f"the key change in entry {size - 1} is of another origin or epoch")
            self.keys.append(key)

    def conclude(self) -> str:
        size = self.tree.size
        need(size, "origin", 0, "there are no entries")
        need(self.signed == size, "truncated", size, f"the commit from entry {self.start} is not whole")
        foreign = next(self.rows("SELECT seq FROM content WHERE id < 0 OR id >= ? LIMIT 1", 256 * size), None)
        need(foreign is None, "content_foreign", foreign and foreign[0], "content is stored for an entry that there is not")
        for table, count in (("subtree", sum(size >> level for level in range(8, 64, 8))), ("place", self.places)):
            more = next(self.rows(f"SELECT 1 FROM {table} LIMIT 1 OFFSET ?", count), None)  # noqa: S608
            need(more is None, table, None, f"table {table} has rows of no entries")
        self.schema()  # (8)
        need(next(self.rows("PRAGMA integrity_check(1)")) == ("ok",), "file", None, "the file's pages contradict each other")
        if self.kept:  # (9)
            origin, kept_size, root, text, signed = self.kept
            ours = origin == self.keys[0].name and is_signed(text, signed, self.keys)
            need(ours, self.unkept, None, "the kept checkpoint is not of this ledger")
            need(kept_size <= size, "rollback", size, f"a checkpoint of {kept_size} entries was kept; there are {size}")
            same = not self.forked and (kept_size > 0 or root == sha256().digest())
            need(same, "fork", None, "the first entries are not those of the kept checkpoint")
        end = "the end was compared with a kept checkpoint" if self.kept else "whether the end was cut off was not checked"
        return f"WHOLE: {self.keys[0].name}, {size} entries, {len(self.keys)} keys, root {self.tree.root().hex()}; {end}"


def connect(ledger: Path) -> sqlite3.Connection:
    """Open the file, never to write; raises OSError where there is none."""
    if not ledger.is_file():
        raise FileNotFoundError(f"there is no ledger at {ledger}")
    log = ledger.with_name(ledger.name + "-wal")
    # On a medium that cannot be written, SQLite cannot make the file that it shares with writers. Without a log there are none.
    mode = "ro" if os.access(ledger.parent, os.W_OK) or (log.exists() and log.stat().st_size) else "ro&immutable=1"
    return sqlite3.connect(f"{ledger.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)


def verify(ledger: Path, key: str, kept: str | None = None, auditor: str | None = None, witness: str | None = None) -> str:
    """Return what was found of a whole ledger; raises `DamagedError`, ValueError for a key that is none, or OSError."""
    auditors = dict([parse_auditor(auditor)]) if auditor is not None else {}
    try:
        with closing(connect(ledger)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            database.execute("BEGIN")
            # Pages that name each other as children are rows without end: no file needs 20 of SQLite's steps a byte.
            left = iter(range(max(30, ledger.stat().st_size // 5000)))
            database.set_progress_handler(lambda: next(left, None) is None, 100_000)
            named = Key(witness.strip(), 4) if witness is not None else None
            return Verifier(database, Key(key.strip()), kept, auditors, named).walk()
    except (sqlite3.Error, UnicodeError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (5, 6, 8, 10, 14):  # busy, locked, read-only, I/O, cannot be opened
            raise OSError(f"{ledger} cannot be read: {error}") from error
        raise DamagedError("file", None, f"the file cannot be read: {error}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("key", help="the first verifier key, or its file")
    parser.add_argument("kept", nargs="?", help="a file with a checkpoint that was kept")
    parser.add_argument("--witness-key", help="a witness's verifier key, or its file")
    parser.add_argument("--auditor-key", help="a file with an auditor's secret key")
    given = parser.parse_args()
    try:
        key, witness = (Path(text).read_text(encoding="utf-8") if text and Path(text).is_file() else text
                        for text in (given.key, given.witness_key))  # fmt: skip
        kept, auditor = (file and Path(file).read_text(encoding="utf-8") for file in (given.kept, given.auditor_key))
        print(verify(given.ledger, key, kept, auditor, witness))
    except DamagedError as error:
        print(f"DAMAGED ({error.damage}{'' if error.seq is None else f', entry {error.seq}'}): {error}")
        return 1
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
