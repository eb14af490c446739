"""The second verifier, written from the specification, gives the same verdict as ours on every good and bad ledger."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ledger_story import EVE, SetClock, Story, a_draft, check, tamper
from nacl.signing import SigningKey
from test_tampering import ATTACKS, Attack, change, sign_again

from jupyter_audit.errors import LedgerError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, envelope, open_ledger
from jupyter_audit.ledger.anchors import FileSink
from jupyter_audit.ledger.canonical import canonicalize
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.cosignature import WitnessKey, cosignature_line, cosigned_message, format_witness_key
from jupyter_audit.ledger.damage import DAMAGES
from jupyter_audit.ledger.envelope import KEY_ROTATED
from jupyter_audit.ledger.keys import Signer, load_signer
from jupyter_audit.ledger.merkle import EMPTY_ROOT, leaf_hash
from jupyter_audit.ledger.note import (
    Note,
    NoteError,
    NoteSignature,
    VerifierKey,
    format_note,
    format_verifier_key,
    parse_note,
)
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.ledger.schema import create_schema
from jupyter_audit.model import Draft
from jupyter_audit.witness.cosigner import Cosigner

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_independently.py"
GOLDEN = Path(__file__).parents[1] / "vectors" / "ledger-v1"
BAD = GOLDEN.parent / "bad"
BY_SQL = GOLDEN.parent / "attacks"
NOTES = json.loads((GOLDEN.parent / "note.json").read_text())


@pytest.fixture(scope="module")
def second() -> ModuleType:
    return load_second()


def load_second() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdict(second: Any, home: Home, kept: str | None = None, witness: str | None = None) -> tuple[str, int | None]:
    try:
        second.verify(home.ledger, home.verifier_key.read_text(), kept, witness=witness)
    except second.DamagedError as damaged:
        return damaged.damage, damaged.seq
    return "whole", None


def ours(home: Home, kept: str | None = None, witness: str | None = None) -> tuple[str, int | None]:
    try:
        if witness is None:
            check(home, since=kept)
        else:
            check(home, witness=witness, cosigned=kept)
    except VerificationError as error:
        return error.damage, error.seq
    return "whole", None


def test_it_knows_nothing_of_us_and_is_short_enough_to_read() -> None:
    source = SCRIPT.read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert imported - sys.stdlib_module_names == {"nacl"}
    assert len(source.splitlines()) < 500


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_both_verifiers_find_the_same_damage_at_the_same_place(second: ModuleType, story: Story, attack: Attack) -> None:
    attack.act(story)
    assert verdict(second, story.home) == ours(story.home)


def test_both_find_a_ledger_whole_that_is(second: ModuleType, story: Story) -> None:
    assert verdict(second, story.home) == ("whole", None)
    assert verdict(second, story.home, story.kept) == ours(story.home, story.kept) == ("whole", None)


@pytest.mark.parametrize("line", [0, 1, 2, 4])
def test_both_judge_a_kept_checkpoint_alike(second: ModuleType, story: Story, line: int) -> None:
    for text in ("", "x", "100000", "A" * 43 + "="):
        lines = story.kept.split("\n")
        lines[line] = text
        kept = "\n".join(lines)
        assert verdict(second, story.home, kept) == ours(story.home, kept)


def cosigned(story: Story, note: str) -> tuple[str, str]:
    """Have a checkpoint cosigned, by a witness that asks nothing; return the note and the witness's key."""
    witness = Cosigner(Signer.generate("witness.example.org/w1"), SetClock())
    parsed = parse_note(note)
    lines = (*parsed.signatures, witness.cosign(parsed.text, not_before=None))
    return format_note(Note(parsed.text, lines)), format_witness_key(witness.key)


def test_both_demand_the_witness_s_cosignature_and_judge_it_alike(second: ModuleType, story: Story) -> None:
    note, key = cosigned(story, story.kept)
    _, other = cosigned(story, story.kept)
    assert verdict(second, story.home, note, key) == ours(story.home, note, key) == ("whole", None)
    assert verdict(second, story.home, None, key) == ours(story.home, None, key) == ("witness", None)
    assert verdict(second, story.home, story.kept, key) == ours(story.home, story.kept, key) == ("witness", None)
    assert verdict(second, story.home, note, other) == ours(story.home, note, other) == ("witness", None)
    lines = note.split("\n")
    unsigned = "\n".join([*lines[:4], *lines[5:]])  # the witness's word alone, without the ledger's own
    assert verdict(second, story.home, unsigned, key) == ours(story.home, unsigned, key) == ("witness", None)
    for line in (0, 1, 2, 4, 5):
        for text in ("", "x", "100000", "A" * 43 + "=", lines[line][:-3] + "AA="):
            changed = "\n".join([*lines[:line], text, *lines[line + 1 :]])
            assert verdict(second, story.home, changed, key) == ours(story.home, changed, key) != ("whole", None)


def test_both_find_rollback_and_fork_with_a_cosigned_checkpoint(second: ModuleType, story: Story) -> None:
    signer = load_signer(story.home.signing_key)
    origin = signer.verifier.name
    for size, root, found in ((story.size + 1, bytes(32), "rollback"), (9, bytes(32), "fork")):
        note, key = cosigned(story, signer.sign(format_checkpoint(Checkpoint(origin, size, root))))
        assert verdict(second, story.home, note, key) == ours(story.home, note, key)
        assert ours(story.home, note, key)[0] == found


@pytest.mark.parametrize("seconds", [0, 1_800_000_000, 253_402_300_799, 253_402_300_800, 2**40, 2**63 + 5])
def test_both_take_a_cosignature_only_of_a_time_that_a_calendar_has(second: ModuleType, story: Story, seconds: int) -> None:
    signer = SigningKey(bytes(32))
    witness = WitnessKey("witness.example.org/w1", bytes(signer.verify_key))
    note = parse_note(story.kept)
    line = cosignature_line(witness, seconds, signer.sign(cosigned_message(note.text, seconds)).signature)
    kept, key = format_note(Note(note.text, (*note.signatures, line))), format_witness_key(witness)
    expected = ("whole" if seconds <= 253_402_300_799 else "witness", None)
    assert verdict(second, story.home, kept, key) == ours(story.home, kept, key) == expected


@pytest.mark.parametrize("more", [99, 100])
def test_both_read_notes_of_a_hundred_lines_and_no_more(second: ModuleType, story: Story, more: int) -> None:
    lines = "".join(f"\u2014 w{number} AAAAAAA=\n" for number in range(more))
    found = "whole" if more == 99 else "remembered"
    assert verdict(second, story.home, story.kept + lines) == ours(story.home, story.kept + lines) == (found, None)
    tamper(story.home, ("UPDATE entry SET note = note || ? WHERE seq = 5", (lines,)))
    expected = ("whole", None) if more == 99 else ("checkpoint_form", 5)
    assert verdict(second, story.home) == ours(story.home) == expected


def test_both_read_notes_of_a_million_characters_and_no_more(second: ModuleType, story: Story) -> None:
    room = 1_000_000 - len(story.kept) - len("\u2014  AAAAAAA=\n")
    for name, found in (("\U0001f600" * room, "whole"), ("\U0001f600" * (room + 1), "remembered")):
        kept = f"{story.kept}\u2014 {name} AAAAAAA=\n"
        assert verdict(second, story.home, kept) == ours(story.home, kept) == (found, None)


def test_both_ask_for_a_kept_checkpoint_s_origin_and_signature_before_they_call_it_a_fork(second: ModuleType, story: Story) -> None:
    signer = load_signer(story.home.signing_key)
    origin = signer.verifier.name
    other = "jupyter-audit/0123456789abcdef"
    cases = {
        "another ledger's": (Signer.generate(other).sign(format_checkpoint(Checkpoint(other, 3, bytes(32)))), "remembered"),
        "unsigned": (f"{format_checkpoint(Checkpoint(origin, 3, bytes(32)))}\n\u2014 {origin} AAAAAAAAAAA=\n", "remembered"),
        "the ledger's, of other entries": (signer.sign(format_checkpoint(Checkpoint(origin, 3, bytes(32)))), "fork"),
        "the ledger's, of no entries and a root": (signer.sign(format_checkpoint(Checkpoint(origin, 0, bytes(32)))), "fork"),
        "the ledger's, of no entries": (signer.sign(format_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT))), "whole"),
        "the ledger's, of more entries": (signer.sign(format_checkpoint(Checkpoint(origin, 999, bytes(32)))), "rollback"),
    }
    for name, (kept, expected) in cases.items():
        found = verdict(second, story.home, kept)
        assert found == ours(story.home, kept), name
        assert found[0] == expected, name


def sign_first_anew(home: Home, **said: object) -> None:
    """Have the holder of the key begin the ledger otherwise."""
    with closing(sqlite3.connect(home.ledger)) as connection:
        value = json.loads(connection.execute("SELECT raw FROM entry WHERE seq = 0").fetchone()[0])
    value["body"] |= said
    raw = canonicalize(value)[0]
    leaf = leaf_hash(raw.encode())
    note = load_signer(home.signing_key).sign(format_checkpoint(Checkpoint(value["body"]["origin"], 1, leaf)))
    tamper(home, ("UPDATE entry SET raw = ?, leaf = ?, note = ?", (raw, leaf, note)))


@pytest.mark.parametrize("said", [{"format": True}, {"epoch": False}, {"format": True, "epoch": False}, {"epoch": None}], ids=str)
def test_both_tell_true_from_1(second: ModuleType, tmp_path: Path, clock: SetClock, said: dict[str, object]) -> None:
    home = Home(tmp_path / "typed")
    create_ledger(home, clock=clock, actor=EVE)
    sign_first_anew(home)
    assert verdict(second, home) == ours(home) == ("whole", None)
    sign_first_anew(home, **said)
    assert verdict(second, home) == ours(home) == ("origin", 0)


def test_both_tell_true_from_1_in_a_key_change(second: ModuleType, tmp_path: Path, clock: SetClock) -> None:
    home = Home(tmp_path / "changed")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        key = format_verifier_key(Signer.generate(ledger.origin).verifier)
        ledger.append_own(lambda: Draft(KEY_ROTATED, {"epoch": True, "verifier_key": key}))
    assert verdict(second, home) == ours(home) == ("key", 1)


@pytest.mark.parametrize("origin", ["jupyter-audit/0123456789ABCDEF", "jupyter-audit/0123", "other/0123456789abcdef"])
def test_both_refuse_an_origin_of_another_form(
    second: ModuleType, tmp_path: Path, clock: SetClock, origin: str
) -> None:
    home = Home(tmp_path / "named")
    create_ledger(home, clock=clock, actor=EVE)
    signer = Signer.generate(origin)
    home.signing_key.write_text(signer.secret_text())
    home.verifier_key.write_text(format_verifier_key(signer.verifier))
    sign_first_anew(home, origin=origin, verifier_key=format_verifier_key(signer.verifier))
    assert verdict(second, home) == ours(home) == ("origin", 0)


def test_both_refuse_text_that_is_not_stored_as_utf_8(second: ModuleType, story: Story) -> None:
    other = story.home.path / "utf-16.db"
    with closing(sqlite3.connect(story.home.ledger)) as source, closing(sqlite3.connect(other)) as copy:
        copy.execute("PRAGMA encoding = 'UTF-16le'")
        create_schema(copy)
        for table in ("entry", "content", "subtree", "place"):
            about = copy.execute(f"SELECT group_concat(name), count(*) FROM pragma_table_xinfo('{table}') WHERE hidden = 0")
            columns, count = about.fetchone()
            rows = source.execute(f"SELECT {columns} FROM {table}")
            copy.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * count)})", rows)
        copy.commit()
    for suffix in ("-wal", "-shm"):
        story.home.ledger.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    other.replace(story.home.ledger)
    assert verdict(second, story.home) == ours(story.home) == ("schema", None)


def test_both_count_a_name_s_characters_by_code_points(second: ModuleType, story: Story) -> None:
    actor = {"name": "\U0001f600" * 256, "vouched_by": "\u0085 \u2028"}
    change(story, 281, actor=actor)
    sign_again(story, 282, load_signer(story.home.signing_key))
    assert verdict(second, story.home) == ours(story.home) == ("whole", None)
    change(story, 281, actor=actor | {"name": "\U0001f600" * 257})
    assert verdict(second, story.home) == ours(story.home) == ("entry_form", 281)


@pytest.mark.parametrize("time", ["2026-11-24T24:00:00.000000Z", "2026-11-24T09:60:00.000000Z", "2026-11-24T09:00:60.000000Z",
                                  "0000-11-24T09:00:00.000000Z", "2026-02-29T09:00:00.000000Z", "2026-00-24T09:00:00.000000Z"])  # fmt: skip
def test_both_refuse_a_time_that_no_calendar_or_clock_has(second: ModuleType, story: Story, time: str) -> None:
    """Also where a later Python reads the hour 24 as the next day's."""
    change(story, 5, time=time)
    assert verdict(second, story.home) == ours(story.home) == ("entry_form", 5)
    if "T09:00:00" not in time:
        assert not re.fullmatch(second.TIME, time)
        assert not envelope._TIME.fullmatch(time)


@pytest.mark.parametrize("narrowed", [{"names": []}, {"names": None}, {"session": None}, {"names": "message"}, {"last": True}], ids=str)
def test_both_refuse_a_purge_that_says_what_it_does_not_mean(
    second: ModuleType, story: Story, narrowed: dict[str, object]
) -> None:
    change(story, 277, body={"contents": [{"first": 1, "last": 4} | narrowed]})
    assert verdict(second, story.home) == ours(story.home) == ("entry_form", 277)


def test_both_find_a_hidden_object_of_the_schema(second: ModuleType, story: Story) -> None:
    """One whose name begins like those that SQLite makes by itself."""
    with closing(sqlite3.connect(story.home.ledger)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        sql = "CREATE VIEW sqlite_autoindex_x AS SELECT 1"
        connection.execute("INSERT INTO sqlite_schema VALUES ('view', 'sqlite_autoindex_x', 'sqlite_autoindex_x', 0, ?)", (sql,))
    assert verdict(second, story.home)[0] == ours(story.home)[0] == "schema"


def as_checkpoint(note: str) -> str:
    """The same note with a checkpoint's three lines for its two, so that its form is all that is wrong with it."""
    return re.sub("then you(.)don't know what your problem is\\.", f"5\n{'A' * 43}=", note)


@pytest.mark.parametrize("vector", NOTES["good"], ids=lambda vector: vector["name"])
def test_the_second_reads_the_notes_of_others(second: Any, vector: dict[str, str]) -> None:
    *_, text, signed = second.parse_checkpoint(as_checkpoint(vector["note"]))
    key = second.Key(vector["verifier_key"])
    assert text == as_checkpoint(vector["note"].partition("\n\n")[0] + "\n")
    assert second.is_signed(vector["note"].partition("\n\n")[0] + "\n", signed, [key])
    assert not second.is_signed(text, signed, [key])


@pytest.mark.parametrize("number", range(len(NOTES["malformed"])))
def test_neither_reads_what_is_no_note(second: Any, number: int) -> None:
    for text in (NOTES["malformed"][number], as_checkpoint(NOTES["malformed"][number])):
        with pytest.raises(NoteError):
            parse_note(text)
        with pytest.raises(ValueError, match=r"."):
            second.parse_checkpoint(text)


ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's group (RFC 8032 section 5.1)."""
ONE, MINUS_ONE = b"\x01" + bytes(31), (2**255 - 20).to_bytes(32, "little")
"""Points of order 1 and 2: under them, anybody can sign."""


@pytest.mark.parametrize("case", ["as it is", "S and the order", "R of order 1", "key of order 1", "key of order 2", "key in another spelling"])
def test_both_hold_signatures_to_the_pages_rules(second: Any, case: str) -> None:
    """Where RFC 8032 leaves a choice, verifiers of two makes would differ over what a key's holder made for that."""
    signer = SigningKey(bytes(32))
    public, signature = bytes(signer.verify_key), signer.sign(b"text\n").signature
    if case == "S and the order":
        scalar = int.from_bytes(signature[32:], "little") + ORDER
        signature = signature[:32] + scalar.to_bytes(32, "little")
    elif case == "R of order 1":
        signature = ONE + bytes(32)
    elif case.startswith("key of order"):
        public, signature = (ONE if case.endswith("1") else MINUS_ONE), ONE + bytes(32)
    elif case == "key in another spelling":
        public, signature = (2**255 - 18).to_bytes(32, "little"), ONE + bytes(32)  # 1 and the field's prime
    key = VerifierKey("jupyter-audit/0123456789abcdef", public)
    note = Note("text\n", (NoteSignature(key.name, key.id, signature),))
    try:
        found = note.verify([key]) == (key,)
    except NoteError:
        found = False
    lines = [(key.name, key.id + signature)]
    assert second.is_signed("text\n", lines, [second.Key(format_verifier_key(key))]) == found == (case == "as it is")


def test_both_say_the_same_of_noise_in_the_file(second: ModuleType, story: Story, clock: SetClock, tmp_path: Path) -> None:
    """Which class noise falls into can differ where several fit; whether there is damage cannot."""
    whole = story.home.ledger.read_bytes()
    luck = random.Random(11)
    for _ in range(60):
        at = luck.randrange(len(whole))
        story.home.ledger.write_bytes(whole[:at] + luck.randbytes(1) + whole[at + 1 :])
        try:
            found = ours(story.home)[0]
        except LedgerError:
            found = "file"
        try:
            other = verdict(second, story.home)[0]
        except OSError:
            other = "file"
        assert (other == "whole") == (found == "whole")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)


def test_the_command_says_what_it_found_and_how_it_is_used(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "golden")
    ledger, key, kept = (str(tmp_path / "golden" / name) for name in ("ledger.db", "ledger.vkey", "kept.checkpoint"))

    good = run(ledger, key, kept)
    assert (good.returncode, good.stdout.startswith("WHOLE")) == (0, True)
    assert run().returncode == 2
    assert run(ledger, "no key").returncode == 2
    assert run(ledger, key, kept, "--witness-key", str(BAD / "witness" / "witness.vkey")).stdout.startswith("DAMAGED (witness)")
    with Path(ledger).open("r+b") as file:
        file.truncate(20_000)
    bad = run(ledger, key)
    assert (bad.returncode, bad.stdout.startswith("DAMAGED (file")) == (1, True)


def test_the_command_does_not_call_damaged_what_is_not_there(tmp_path: Path) -> None:
    key = str(GOLDEN / "ledger.vkey")
    for path in (tmp_path / "missing.db", tmp_path):
        done = run(str(path), key)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"there is no ledger at {path}\n"


def test_the_second_does_not_call_damaged_what_it_cannot_read(
    second: ModuleType, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(story.home.ledger)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0))
        with pytest.raises(OSError, match=r"ledger\.db cannot be read: database is locked"):
            second.verify(story.home.ledger, story.home.verifier_key.read_text())


def test_the_command_reads_good_evidence_on_a_medium_that_cannot_be_written(story: Story, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    for file in (SCRIPT, SCRIPT.with_name("ledger-format.md"), story.home.ledger, story.home.verifier_key):
        shutil.copy(file, medium)
        (medium / file.name).chmod(0o444)
    medium.chmod(0o555)
    assert (medium / "ledger.db").read_bytes()[18:20] == b"\x02\x02"  # it asks for a log beside it
    for folder in [medium, *medium.parents]:  # pytest's own folders are closed to other accounts
        if not folder.stat().st_mode & 0o001 and folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    program = (
        "import os, pathlib, sys\n"
        "folder = os.path.dirname(sys.argv[1])\n"
        "sys.path.insert(0, folder)\n"
        "from verify_independently import canonical, verify\n"
        "canonical({'a': 1})\n"  # what it takes from Python's library is not to be read by everybody here
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "assert not os.access(folder, os.W_OK)\n"
        "print(verify(pathlib.Path(sys.argv[1]), sys.argv[2]))\n"
    )
    words = [sys.executable, "-B", "-c", program, str(medium / "ledger.db"), story.home.verifier_key.read_text()]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    medium.chmod(0o755)
    assert (done.returncode, done.stdout.startswith("WHOLE")) == (0, True), done.stdout + done.stderr


def test_the_newest_checkpoint_is_taken_out_of_a_file_sink_as_the_page_says(story: Story, tmp_path: Path) -> None:
    with LedgerReader.open(story.home.ledger) as reader:
        FileSink(tmp_path / "checkpoints.jsonl").send(reader, 0)
        newest = reader.checkpoint_note()
    page = SCRIPT.with_name("anchors.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^(tail .*checkpoints\.jsonl.*) > newest\.checkpoint", page, re.MULTILINE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    taken = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, env={"PATH": path})
    assert taken.stdout == newest
    (tmp_path / "newest.checkpoint").write_text(taken.stdout, encoding="utf-8")
    words = str(story.home.ledger), str(story.home.verifier_key), str(tmp_path / "newest.checkpoint")
    assert "compared with a kept checkpoint" in run(*words).stdout
    tamper(story.home, "DELETE FROM entry WHERE seq > 279", "DELETE FROM content WHERE seq > 279")
    assert run(*words).stdout.startswith("DAMAGED (rollback, entry 280)")


def test_there_is_a_bad_ledger_for_every_class_of_damage() -> None:
    assert {folder.name for folder in BAD.iterdir()} == set(DAMAGES)


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_both_find_in_a_bad_ledger_what_it_is_bad_for(second: ModuleType, tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "bad")
    shutil.copytree(BAD / name, home.path)
    (home.path / "keys").mkdir()
    (home.path / "ledger.vkey").rename(home.verifier_key)
    kept = (BAD / name / "kept.checkpoint").read_text() if (BAD / name / "kept.checkpoint").exists() else None
    witness = (BAD / name / "witness.vkey").read_text() if (BAD / name / "witness.vkey").exists() else None
    expected = json.loads((BAD / name / "expected.json").read_text())

    found = ours(home, kept, witness)

    assert {"damage": found[0], "seq": found[1]} == expected
    assert verdict(second, home, kept, witness) == found


@pytest.mark.parametrize("name", sorted(path.stem for path in BY_SQL.glob("*.sql")))
def test_both_find_what_the_sql_of_an_attack_does(second: ModuleType, tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "attacked")
    (home.path / "keys").mkdir(parents=True)
    shutil.copy(BY_SQL / "ledger.db", home.ledger)
    shutil.copy(BY_SQL / "ledger.vkey", home.verifier_key)
    statements = (BY_SQL / f"{name}.sql").read_text(encoding="utf-8")
    [(damage, seq)] = re.findall(r"\A-- damage: ([a-z_]+)\n-- entry: (None|-?\d+)\n", statements)
    with closing(sqlite3.connect(home.ledger)) as connection:
        connection.executescript(statements)

    assert ours(home) == verdict(second, home) == (damage, None if seq == "None" else int(seq))
    assert name.startswith(damage)


def test_the_ledger_that_is_attacked_is_whole(second: ModuleType, tmp_path: Path) -> None:
    shutil.copy(BY_SQL / "ledger.db", tmp_path)
    assert second.verify(tmp_path / "ledger.db", (BY_SQL / "ledger.vkey").read_text()).startswith("WHOLE")


def test_a_purge_that_is_hidden_from_searches_is_still_taken_for_one(second: ModuleType, tmp_path: Path, clock: SetClock) -> None:
    home = Home(tmp_path / "hidden")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
        ledger.append([a_draft(number) for number in range(3, 300)])
    tamper(home, "DELETE FROM place WHERE value = 'content.purged'")

    assert ours(home) == verdict(second, home) == ("place", 0)
