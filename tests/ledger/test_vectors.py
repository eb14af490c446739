"""The committed ledger must verify for ever, and the specification must be about it and about the code."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sqlite3
import zlib
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from nacl.pwhash import argon2id
from nacl.signing import VerifyKey

from jupyter_audit.ledger import LedgerReader, checkpoint, envelope, proof, verify_ledger
from jupyter_audit.ledger import note as signed_note
from jupyter_audit.ledger.canonical import MAX_DEPTH
from jupyter_audit.ledger.content import DOMAIN
from jupyter_audit.ledger.cosignature import LATEST
from jupyter_audit.ledger.damage import DAMAGES, damaged, exit_code
from jupyter_audit.ledger.envelope import MAX_ENTRY_BYTES
from jupyter_audit.ledger.passphrase import SHORTEST
from jupyter_audit.ledger.schema import APPLICATION_ID, OBJECTS
from jupyter_audit.ledger.tlog_witness import MOST_BYTES

GOLDEN = Path(__file__).parents[1] / "vectors" / "ledger-v1"
SPEC = Path(__file__).parents[2] / "docs" / "ledger-format.md"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy: reading leaves SQLite's files beside a ledger."""
    shutil.copytree(GOLDEN, tmp_path / "golden")
    return tmp_path / "golden" / "ledger.db"


def test_the_ledger_of_version_1_verifies_and_reports_the_same(golden: Path) -> None:
    expected = json.loads((GOLDEN / "report.json").read_text())

    report = verify_ledger(
        golden,
        verifier_keys=[(GOLDEN / "ledger.vkey").read_text()],
        since=(GOLDEN / "kept.checkpoint").read_text(),
    )

    found = report.to_json()
    assert {name: found[name] for name in expected} == expected  # a later version may report more


def test_the_ledger_of_version_1_is_read(golden: Path) -> None:
    with LedgerReader.open(golden) as reader:
        assert reader.size() == 282
        assert [entry.seq for entry in reader.entries(types=["ledger.", "content."])] == [0, 277, 278]
        assert reader.content(276, "message") == b"x = 1\n" * 400
        assert reader.content(4, "message") is None


def test_the_pages_definitions_alone_are_enough_to_check_it(golden: Path) -> None:
    """Hashes, commitments and signatures as the page defines them, with nothing of ours."""
    with closing(sqlite3.connect(golden)) as connection:
        raws = [raw for (raw,) in connection.execute("SELECT raw FROM entry ORDER BY seq")]
        notes = connection.execute("SELECT seq + 1, note FROM entry WHERE note IS NOT NULL ORDER BY seq").fetchall()
        contents = connection.execute("SELECT seq, name, salt, encoding, data FROM content").fetchall()
    leaves = [sha256(b"\x00" + raw.encode()).digest() for raw in raws]

    def root(first: int, last: int) -> bytes:
        if last - first == 1:
            return leaves[first]
        split = 1 << (last - first - 1).bit_length() - 1
        return sha256(b"\x01" + root(first, first + split) + root(first + split, last)).digest()

    key = (GOLDEN / "ledger.vkey").read_text().strip()
    for size, note in notes:
        name, key_id, public = key.split("+", 2)
        text, _, line = note.partition("\n\n")
        signature = base64.b64decode(line.split(" ")[2])
        assert text == f"{name}\n{size}\n{base64.b64encode(root(0, size)).decode()}"
        assert signature[:4].hex() == key_id
        assert key_id == sha256(name.encode() + b"\n" + base64.b64decode(public)).hexdigest()[:8]
        VerifyKey(base64.b64decode(public)[1:]).verify(text.encode() + b"\n", signature[4:])
        newest = json.loads(raws[size - 1])
        if newest["type"] == "ledger.key_rotated":
            key = newest["body"]["verifier_key"]
    for seq, name, salt, encoding, data in contents:
        commitment = json.loads(raws[seq])["contents"][name]
        whole = zlib.decompress(data) if encoding == "zlib" else data
        assert commitment["size"] == len(whole)
        assert commitment["digest"] == sha256(b"jupyter-audit content v1\x00" + salt + whole).hexdigest()
    assert {encoding for *_, encoding, _ in contents} == {"plain", "zlib"}


def test_the_specifications_example_is_the_ledgers(golden: Path) -> None:
    text = SPEC.read_text(encoding="utf-8")
    [example] = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    checkpoint = re.findall(r"```\n(jupyter-audit/.*?\n)```", text, re.DOTALL)

    with LedgerReader.open(golden) as reader:
        assert example.replace("\n", "") == reader.entry(1).raw
        (note,) = reader.connection.execute("SELECT note FROM entry WHERE seq = 1").fetchone()
    assert checkpoint == [note]


def test_the_specifications_schema_and_damages_are_the_codes() -> None:
    text = SPEC.read_text(encoding="utf-8")
    schema = re.findall(r"```sql\n(.*?)\n```", text, re.DOTALL)
    damages = re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", text.partition("<!-- damages")[2].partition("<!-- end")[0], re.MULTILINE)

    assert schema == [";\n".join(OBJECTS.values()) + ";"]
    assert damages == list(DAMAGES.items())
    assert DOMAIN == b"jupyter-audit content v1\x00"


def test_the_specification_says_of_every_damage_which_entry_is_named() -> None:
    table = SPEC.read_text(encoding="utf-8").partition("<!-- named")[2].partition("<!-- end")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    number = {name: what.strip() for names, what in rows for name in re.findall(r"`([a-z_]+)`", names)}

    assert number.keys() == DAMAGES.keys()
    for damage in DAMAGES:
        seq = json.loads((GOLDEN.parent / "bad" / damage / "expected.json").read_text())["seq"]
        assert seq is None if number[damage] == "none" else seq is not None or "none" in number[damage]


def test_the_specifications_limits_are_the_codes() -> None:
    text = " ".join(SPEC.read_text(encoding="utf-8").split())
    for limit in (
        f"at most {MAX_ENTRY_BYTES:,} bytes. RFC 8785",
        f"stand at most {MAX_DEPTH} deep",
        f"longer than {signed_note._MAX_LENGTH:,} characters, has more than {signed_note._MAX_SIGNATURES} signature lines",
        f"A time is at most {LATEST} ",
        f"`application_id` 0x{APPLICATION_ID:X}",
        f"at most {proof.MOST_CHARACTERS:,} characters",
        f"at most {proof._MOST_HASHES} lines with a hash",
        f"at most {proof._MOST_HASHES * 2} hashes",
        f"in UTF-8, at most {MOST_BYTES:,} bytes",
        f"`{checkpoint._SIZE.pattern}`",
        f"`{checkpoint._ORIGIN.pattern}`",
        f"`{proof._INDEX.pattern.removeprefix('index (').removesuffix(')')}`",
        f"matches `{envelope._TYPE.pattern.replace('?:', '')}`",
        f"name matches `{envelope._CONTENT_NAME.pattern}`",
        f"{argon2id.OPSLIMIT_INTERACTIVE} passes, {argon2id.MEMLIMIT_INTERACTIVE // 1024:,} KiB",
        f"at least {SHORTEST},",
    ):
        assert limit in text, limit


def test_every_damage_class_has_an_exit_code_of_its_own() -> None:
    codes = [exit_code(damage) for damage in DAMAGES]

    assert codes == list(range(40, 40 + len(DAMAGES)))
    assert max(codes) < 126  # from there on a shell speaks for itself
    assert damaged("entry_changed", "x").exit_code == 46
