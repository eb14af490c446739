"""
The insider with write access to the file: each way to change the past is found, named and placed (P5).

`DAMAGES` in the product has every class; `ATTACKS` here has at least one attack for each.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from ledger_story import EVE, SetClock, Story, a_draft, check, tamper

from jupyter_audit.errors import LedgerError, RollbackError, UsageError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger, verify_ledger
from jupyter_audit.ledger.canonical import canonicalize
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.content import commit
from jupyter_audit.ledger.damage import DAMAGES
from jupyter_audit.ledger.keys import Signer, load_signer
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.schema import OBJECTS
from jupyter_audit.ledger.tree import read_leaves


def raw_of(story: Story, seq: int) -> str:
    with closing(sqlite3.connect(story.home.ledger)) as connection:
        (raw,) = connection.execute("SELECT raw FROM entry WHERE seq = ?", (seq,)).fetchone()
    return str(raw)


def put(story: Story, seq: int, raw: object, *, forge_leaf: bool = True) -> None:
    """Put another text in the place of an entry, with the leaf hash that fits it."""
    leaf = leaf_hash(str(raw).encode())
    tamper(story.home, ("UPDATE entry SET raw = ? WHERE seq = ?", (raw, seq)))
    if forge_leaf:
        tamper(story.home, ("UPDATE entry SET leaf = ? WHERE seq = ?", (leaf, seq)))


def change(story: Story, seq: int, **members: Any) -> None:
    """Change members of an entry's envelope; its spelling stays canonical and its leaf hash fits."""
    value = json.loads(raw_of(story, seq))
    value.update(members)
    put(story, seq, canonicalize({name: member for name, member in value.items() if member is not None})[0])


def sign_again(story: Story, size: int, signer: Signer) -> None:
    """Sign a checkpoint over what the file holds now."""
    with closing(sqlite3.connect(story.home.ledger)) as connection:
        tree = CompactRange()
        for leaf in read_leaves(connection, 0, size):
            tree.append(leaf)
    note = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, size, tree.root())))
    tamper(story.home, ("UPDATE entry SET note = ? WHERE seq = ?", (note, size - 1)))


def sql(*statements: str | tuple[str, tuple[object, ...]]) -> Callable[[Story], None]:
    return lambda story: tamper(story.home, *statements)


def swap(story: Story) -> None:
    first, second = raw_of(story, 5), raw_of(story, 6)
    put(story, 5, second)
    put(story, 6, first)


def swap_all_but_numbers(story: Story) -> None:
    first, second = json.loads(raw_of(story, 5)), json.loads(raw_of(story, 6))
    first["seq"], second["seq"] = 6, 5
    put(story, 5, canonicalize(second)[0])
    put(story, 6, canonicalize(first)[0])


def other_schema(statement: str) -> Callable[[Story], None]:
    def attack(story: Story) -> None:
        with closing(sqlite3.connect(story.home.ledger)) as connection, connection:
            connection.execute(statement)

    return attack


def sloppily(statement: str | tuple[str, tuple[object, ...]]) -> Callable[[Story], None]:
    """Change the file with triggers off, and leave them off."""

    def attack(story: Story) -> None:
        with closing(sqlite3.connect(story.home.ledger)) as connection, connection:
            disarm(connection)
            connection.execute(*((statement,) if isinstance(statement, str) else statement))

    return attack


def disarm(connection: sqlite3.Connection) -> None:
    for kind, name in OBJECTS:
        if kind == "trigger":
            connection.execute(f"DROP {kind} {name}")


def overwrite(seq: int, edit: Callable[[str], str]) -> Callable[[Story], None]:
    """Change an entry in the pages of the file: SQLite itself would refuse what is no JSON."""

    def attack(story: Story) -> None:
        raw = raw_of(story, seq)
        edit_file(story.home, raw.encode(), edit(raw).encode("latin-1"))

    return attack


def edit_file(home: Home, old: bytes, new: bytes) -> None:
    assert len(old) == len(new)
    with closing(sqlite3.connect(home.ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = home.ledger.read_bytes()
    assert data.count(old) == 1
    home.ledger.write_bytes(data.replace(old, new))


def page_of_zeros(story: Story) -> None:
    with closing(sqlite3.connect(story.home.ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entry'").fetchone()
    with story.home.ledger.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


def not_a_database(story: Story) -> None:
    story.home.ledger.write_bytes(b"no database" * 1000)


def sign_with(key: Callable[[Story], Signer], size: int) -> Callable[[Story], None]:
    return lambda story: sign_again(story, size, key(story))


def stranger(story: Story) -> Signer:
    return Signer.generate(LedgerReader.open(story.home.ledger).origin)


def successor(story: Story) -> Signer:
    return load_signer(story.home.signing_key)


def change_and_sign_with_todays_key(story: Story) -> None:
    change(story, 3, actor={"name": "mallory", "vouched_by": "os-account"})
    with closing(sqlite3.connect(story.home.ledger)) as connection:
        sizes = [size for (size,) in connection.execute("SELECT seq + 1 FROM entry WHERE note IS NOT NULL AND seq > 2")]
    for size in sizes:
        sign_again(story, size, successor(story))


def salt_and_content(story: Story) -> None:
    """Other code, with a commitment that fits it, in the entry too."""
    value = json.loads(raw_of(story, 3))
    value["contents"]["message"] |= {"digest": commit(b"harmless", b"s" * 32), "size": 8}
    put(story, 3, canonicalize(value)[0])
    tamper(story.home, ("UPDATE content SET data = ?, salt = ? WHERE seq = 3", (b"harmless", b"s" * 32)))


def append_unsigned(story: Story) -> None:
    value = json.loads(raw_of(story, 281)) | {"seq": 282}
    raw = canonicalize(value)[0]
    tamper(
        story.home,
        ("INSERT INTO entry (seq, raw, leaf) VALUES (282, ?, ?)", (raw, leaf_hash(raw.encode()))),
        "INSERT INTO content SELECT 282 * 256, name, salt, encoding, data FROM content WHERE seq = 281",
    )


def zip_bomb(story: Story) -> None:
    import zlib

    bomb = zlib.compress(bytes(50_000_000), 9)
    tamper(story.home, ("UPDATE content SET encoding = 'zlib', data = ? WHERE seq = 3", (bomb,)))


def purge_without_purging(story: Story) -> None:
    tamper(
        story.home,
        ("INSERT INTO content VALUES (4 * 256, 'message', ?, 'plain', ?)", (b"s" * 32, b"print(4)")),
    )


@dataclass(frozen=True)
class Attack:
    name: str
    act: Callable[[Story], object]
    damage: str
    seq: int | None


ATTACKS = [
    Attack("the file is no database", not_a_database, "file", None),
    Attack("a page is zeroed", page_of_zeros, "file", None),
    Attack("a trigger is dropped", other_schema("DROP TRIGGER entry_unchanged"), "schema", None),
    Attack("a table is added", other_schema("CREATE TABLE approvals (a)"), "schema", None),
    Attack("a view is added", other_schema("CREATE VIEW seen AS SELECT 1"), "schema", None),
    Attack("an index is added", other_schema("CREATE INDEX by_note ON entry (note)"), "schema", None),
    Attack(
        "a trigger is added",
        other_schema("CREATE TRIGGER t AFTER INSERT ON entry BEGIN SELECT 1; END"),
        "schema",
        None,
    ),
    Attack("a table is altered", other_schema("ALTER TABLE content ADD COLUMN more TEXT"), "schema", None),
    Attack("it claims another format", other_schema("PRAGMA user_version = 2"), "schema", None),
    Attack("it claims another application", other_schema("PRAGMA application_id = 1"), "schema", None),
    Attack("statistics are planted", other_schema("ANALYZE"), "schema", None),
    Attack("no entry is left", sql("DELETE FROM entry"), "origin", 0),
    Attack("the first entry is another", lambda s: change(s, 0, type="server.started"), "origin", 0),
    Attack(
        "another ledger's beginning",
        lambda s: change(s, 0, body=json.loads(raw_of(s, 0))["body"] | {"origin": "jupyter-audit/0"}),
        "origin",
        0,
    ),
    Attack("the first entry is deleted", sql("DELETE FROM entry WHERE seq = 0"), "sequence", 0),
    Attack("an entry is deleted", sql("DELETE FROM entry WHERE seq = 5"), "sequence", 5),
    Attack("an entry of a batch is deleted", sql("DELETE FROM entry WHERE seq = 100"), "sequence", 100),
    Attack("entries are renumbered", sql("UPDATE entry SET seq = seq + 1000 WHERE seq > 9"), "sequence", 10),
    Attack(
        "an entry before the first",
        sql("INSERT INTO entry (seq, raw, leaf) VALUES (-1, '{}', x'')"),
        "sequence",
        0,
    ),
    Attack("two entries are swapped", swap, "sequence", 5),
    Attack("two entries swap all but numbers", swap_all_but_numbers, "entry_changed", 5),
    Attack(
        "a trigger is dropped to change an entry, and left off",
        sloppily("UPDATE entry SET raw = replace(raw, 'eve', 'bob') WHERE seq = 5"),
        "entry_changed",
        5,
    ),
    Attack("an entry is emptied", overwrite(5, lambda raw: " " * len(raw)), "entry_form", 5),
    Attack("an entry is spelled otherwise", lambda s: put(s, 5, raw_of(s, 5) + " "), "entry_form", 5),
    Attack("an entry is nested deep", overwrite(5, lambda raw: "[" * len(raw)), "entry_form", 5),
    Attack(
        "an entry is no Unicode",
        overwrite(5, lambda raw: raw.replace("eve", "\xff\xfe\xfd")),
        "entry_form",
        5,
    ),
    Attack("an entry has another version", lambda s: change(s, 5, v=2), "entry_form", 5),
    Attack("an entry has one more member", lambda s: change(s, 5, more=1), "entry_form", 5),
    Attack("an entry lacks its actor", lambda s: change(s, 5, actor=None), "entry_form", 5),
    Attack(
        "an entry has a float",
        lambda s: put(s, 5, raw_of(s, 5).replace('"number":5', '"number":5.5')),
        "entry_form",
        5,
    ),
    Attack(
        "an entry's time is none", lambda s: change(s, 5, time="2026-13-24T09:00:00.000000Z"), "entry_form", 5
    ),
    Attack("an entry's body is changed", lambda s: change(s, 5, body={"number": 6}), "entry_changed", 5),
    Attack(
        "an actor is changed",
        lambda s: change(s, 5, actor={"name": "bob", "vouched_by": "os-account"}),
        "entry_changed",
        5,
    ),
    Attack("a grant is taken away", lambda s: change(s, 5, grant=None), "entry_changed", 5),
    Attack(
        "a time is changed", lambda s: change(s, 5, time="2026-11-24T09:00:06.000001Z"), "entry_changed", 5
    ),
    Attack(
        "a time is put far ahead",
        lambda s: change(s, 5, time="2027-11-24T09:00:06.000001Z"),
        "entry_changed",
        5,
    ),
    Attack("a clock's going back is hidden", lambda s: change(s, 12, clock_back=None), "entry_changed", 12),
    Attack("code is changed and committed to", salt_and_content, "entry_changed", 3),
    Attack(
        "an entry of a batch is changed",
        lambda s: put(s, 100, raw_of(s, 100).replace("eve", "bob"), forge_leaf=False),
        "entry_changed",
        100,
    ),
    Attack(
        "an entry of a batch is changed, its leaf too",
        lambda s: put(s, 100, raw_of(s, 100).replace("eve", "bob")),
        "entry_changed",
        14,
    ),
    Attack("a commit is split", lambda s: change(s, 14, commit=None), "checkpoint_missing", 14),
    Attack(
        "a leaf hash is changed", sql("UPDATE entry SET leaf = zeroblob(32) WHERE seq = 100"), "leaf", 100
    ),
    Attack("a subtree hash is changed", sql("UPDATE subtree SET hash = zeroblob(32)"), "subtree", 0),
    Attack("a subtree hash is deleted", sql("DELETE FROM subtree"), "subtree", 0),
    Attack(
        "a subtree hash is added", sql("INSERT INTO subtree VALUES (8, 1, zeroblob(32))"), "subtree", None
    ),
    Attack("an entry is hidden from searches", sql("UPDATE place SET offsets = '[0]' WHERE value = 's-0'"), "place", 0),
    Attack("a type is hidden from searches", sql("DELETE FROM place WHERE value = 'cell.admitted'"), "place", 0),
    Attack("places are no list", sql("UPDATE place SET offsets = '[' || offsets"), "place", 0),
    Attack("places are nested deep", sql(("UPDATE place SET offsets = ?", ("[" * 100_000,))), "place", 0),
    Attack("places outside of the block", sql("UPDATE place SET offsets = '[0,256]'"), "place", 0),
    Attack("places are spelled otherwise", sql("UPDATE place SET offsets = offsets || ' '"), "place", 0),
    Attack("places are added", sql("INSERT INTO place VALUES ('type', 'cell.admitted', 1, '[24]')"), "place", None),
    Attack(
        "the end is cut off",
        sql("DELETE FROM entry WHERE seq > 280", "DELETE FROM content WHERE seq > 280"),
        "truncated",
        281,
    ),
    Attack(
        "the end of a batch is cut off, and a purge with it",
        sql(
            "DELETE FROM entry WHERE seq > 200",
            "DELETE FROM content WHERE seq > 200",
        ),
        "content_missing",
        4,
    ),
    Attack("an entry is put in at the end", append_unsigned, "checkpoint_missing", 282),
    Attack("a checkpoint is deleted", sql("UPDATE entry SET note = NULL WHERE seq = 5"), "checkpoint_missing", 5),
    Attack(
        "the newest checkpoint is deleted",
        sql("UPDATE entry SET note = NULL WHERE seq = 281"),
        "checkpoint_missing",
        280,
    ),
    Attack("all checkpoints are deleted", sql("UPDATE entry SET note = NULL"), "checkpoint_missing", 0),
    Attack(
        "a checkpoint is put in",
        sql("UPDATE entry SET note = (SELECT note FROM entry WHERE seq = 4) WHERE seq = 99"),
        "checkpoint_foreign",
        99,
    ),
    Attack(
        "a checkpoint is malformed",
        sql("UPDATE entry SET note = note || 'x' WHERE seq = 5"),
        "checkpoint_form",
        5,
    ),
    Attack(
        "a checkpoint is another's",
        sql("UPDATE entry SET note = (SELECT note FROM entry WHERE seq = 6) WHERE seq = 5"),
        "checkpoint_form",
        5,
    ),
    Attack("signed by a stranger", sign_with(stranger, 6), "checkpoint_signature", 5),
    Attack("signed by a later key", sign_with(successor, 6), "checkpoint_signature", 5),
    Attack("changed and signed with today's key", change_and_sign_with_todays_key, "checkpoint_signature", 3),
    Attack("content is deleted", sql("DELETE FROM content WHERE seq = 5"), "content_missing", 5),
    Attack(
        "content of a batch is deleted", sql("DELETE FROM content WHERE seq = 100"), "content_missing", 100
    ),
    Attack(
        "content is changed",
        sql("UPDATE content SET data = CAST('print(9)' AS BLOB) WHERE seq = 5"),
        "content_changed",
        5,
    ),
    Attack(
        "content is made longer",
        sql("UPDATE content SET data = CAST(data || x'00' AS BLOB) WHERE seq = 5"),
        "content_changed",
        5,
    ),
    Attack(
        "a salt is changed", sql("UPDATE content SET salt = zeroblob(32) WHERE seq = 5"), "content_changed", 5
    ),
    Attack("a salt is cut", sql("UPDATE content SET salt = x'' WHERE seq = 5"), "content_changed", 5),
    Attack(
        "an encoding is changed",
        sql("UPDATE content SET encoding = 'zlib' WHERE seq = 5"),
        "content_changed",
        5,
    ),
    Attack(
        "an encoding is unknown",
        sql("UPDATE content SET encoding = 'rot13' WHERE seq = 5"),
        "content_changed",
        5,
    ),
    Attack("content is a bomb", zip_bomb, "content_changed", 3),
    Attack(
        "contents are swapped",
        sql(
            "UPDATE content SET id = 5000 * 256 WHERE seq = 5",
            "UPDATE content SET id = 5 * 256 WHERE seq = 6",
            "UPDATE content SET id = 6 * 256 WHERE seq = 5000",
        ),
        "content_changed",
        5,
    ),
    Attack(
        "content has another name",
        sql("UPDATE content SET name = 'other' WHERE seq = 5"),
        "content_foreign",
        5,
    ),
    Attack("content has another number", sql("UPDATE content SET id = id + 1 WHERE seq = 5"), "content_foreign", 5),
    Attack(
        "content is there twice",
        sql("INSERT INTO content SELECT id + 1, name, salt, encoding, data FROM content WHERE seq = 5"),
        "content_foreign",
        5,
    ),
    Attack(
        "content of no entry",
        sql("INSERT INTO content VALUES (999 * 256, 'a', x'', 'plain', x'')"),
        "content_foreign",
        999,
    ),
    Attack(
        "content before the first",
        sql("INSERT INTO content VALUES (-256, 'a', x'', 'plain', x'')"),
        "content_foreign",
        -1,
    ),
    Attack("purged content is put back", purge_without_purging, "content_unpurged", 4),
    Attack(
        "a purge takes more",
        lambda s: change(s, 277, body={"contents": [{"first": 3, "last": 5}]}),
        "content_unpurged",
        3,
    ),
    Attack(
        "a purge is malformed", lambda s: change(s, 277, body={"contents": [{"first": 3}]}), "entry_form", 277
    ),
    Attack(
        "a key change is another",
        lambda s: change(s, 278, body={"epoch": 1, "verifier_key": "x"}),
        "entry_changed",
        278,
    ),
]


def test_the_untouched_ledger_verifies(story: Story) -> None:
    report = check_story(story)

    assert (report.entries, report.contents_purged, report.clock_went_back) == (story.size, 1, 1)
    assert len(report.keys) == 2
    assert report.since == 12


def check_story(story: Story) -> Any:
    # The key that the auditor holds is the first one, not the one that lies beside the ledger.
    return verify_ledger(story.home.ledger, verifier_keys=[first_key(story)], since=story.kept)


def first_key(story: Story) -> str:
    return (story.home.path / "keys" / "ledger.vkey").read_text()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_found_and_placed(story: Story, attack: Attack) -> None:
    attack.act(story)

    with pytest.raises(VerificationError) as found:
        check_story(story)

    assert (found.value.damage, found.value.seq) == (attack.damage, attack.seq), str(found.value)
    assert found.value.exit_code != 0
    assert str(found.value).endswith(".") or ":" in str(found.value)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_opening_or_reading_it_fails_in_words_or_not_at_all(story: Story, attack: Attack) -> None:
    attack.act(story)

    with contextlib.suppress(LedgerError), open_ledger(story.home, clock=SetClock()) as ledger:
        for entry in ledger.entries():
            for name in entry.contents:
                ledger.content(entry.seq, name)


@pytest.mark.parametrize("attack", {attack.damage: attack for attack in ATTACKS}.values(), ids=lambda attack: attack.damage)
def test_a_verification_that_found_something_lets_go_of_the_file(story: Story, attack: Attack) -> None:
    """An error that keeps what it came through alive keeps the file locked: a purge could not finish, a writer would wait."""
    attack.act(story)
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(story.home.ledger)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # here readers lock writers out
    gc.disable()
    try:
        with contextlib.suppress(VerificationError):
            check_story(story)
        with contextlib.suppress(sqlite3.DatabaseError), closing(sqlite3.connect(story.home.ledger, timeout=0)) as connection:
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                assert "locked" not in str(error)  # noqa: PT017
    finally:
        gc.enable()


@pytest.mark.parametrize("what", ["a page", "an entry"])
def test_what_was_whole_before_the_damage_is_told_with_it(story: Story, what: str) -> None:
    with closing(sqlite3.connect(story.home.ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if what == "a page":
        data = story.home.ledger.read_bytes()
        page = data.index(raw_of(story, 200).encode()) // 4096 * 4096
        story.home.ledger.write_bytes(data[:page] + bytes(4096) + data[page + 4096 :])
    else:
        change(story, 279, body={"number": 6})

    with pytest.raises(VerificationError) as found:
        check_story(story)

    before = found.value.before
    with LedgerReader.open(story.home.ledger) as reader:
        last = reader.entry(before.whole - 1)
    assert found.value.damage == ("file" if what == "a page" else "entry_changed")
    assert before.whole == (14 if what == "a page" else 279)
    assert (before.origin, before.stored) == (first_key(story).partition("+")[0], story.size)
    assert (before.first, before.last) == ("2026-11-24T09:00:01.000000Z", json.loads(last.raw)["time"])


def test_every_damage_class_has_an_attack() -> None:
    elsewhere = {"key", "time", "remembered", "rollback", "fork", "content_false", "witness"}  # the tests below; test_sealing.py; test_two_verifiers.py

    assert {attack.damage for attack in ATTACKS} | elsewhere == set(DAMAGES)


def test_a_ledger_made_anew_is_not_the_one_the_key_is_of(story: Story, tmp_path: Any) -> None:
    forged = Home(tmp_path / "forged")
    create_ledger(forged, clock=SetClock(), actor=EVE)

    with pytest.raises(VerificationError) as found:
        verify_ledger(forged.ledger, verifier_keys=[first_key(story)])

    assert found.value.damage == "key"
    with pytest.raises(UsageError):
        verify_ledger(forged.ledger, verifier_keys=["no key"])
    with pytest.raises(VerificationError):
        verify_ledger(forged.ledger, verifier_keys=[])


@pytest.mark.parametrize(
    ("number", "members"),
    [(281, {"clock_back": True}), (281, {"time": "2026-11-24T08:00:00.000000Z"})],
)
def test_the_holder_of_the_key_cannot_lie_about_the_clock(
    story: Story, number: int, members: dict[str, Any]
) -> None:
    change(story, number, **members)
    sign_again(story, number + 1, successor(story))

    with pytest.raises(VerificationError) as found:
        check_story(story)

    assert (found.value.damage, found.value.seq) == ("time", number)


def test_a_key_change_that_the_old_key_did_not_sign_last_is_refused(story: Story) -> None:
    change(story, 281, type="ledger.key_rotated", body={"epoch": 7, "verifier_key": "x"})
    sign_again(story, 282, successor(story))

    with pytest.raises(VerificationError) as found:
        check_story(story)

    assert (found.value.damage, found.value.seq) == ("key", 281)


def test_a_cut_off_end_with_its_checkpoints_is_found_by_whoever_kept_one(story: Story) -> None:
    kept = LedgerReader.open(story.home.ledger).checkpoint_note()
    tamper(story.home, *(f"DELETE FROM {table} WHERE seq > 279" for table in ("entry", "content")))

    check_story(story)  # an older checkpoint does not show it
    with pytest.raises(VerificationError) as found:
        verify_ledger(story.home.ledger, verifier_keys=[first_key(story)], since=kept)

    assert (found.value.damage, found.value.seq) == ("rollback", 280)
    assert "cut off" in found.value.advice


def test_a_past_signed_anew_by_the_keys_holder_is_found_by_whoever_kept_a_checkpoint(
    story: Story,
) -> None:
    kept = LedgerReader.open(story.home.ledger).checkpoint_note()
    change(story, 281, actor={"name": "bob", "vouched_by": "os-account"})
    sign_again(story, 282, successor(story))

    check_story(story)
    with pytest.raises(VerificationError) as found:
        verify_ledger(story.home.ledger, verifier_keys=[first_key(story)], since=kept)

    assert found.value.damage == "fork"


@pytest.mark.parametrize("since", ["", "no note", "another's", "another's of other entries", "a stranger's", "of no signature"])
def test_a_checkpoint_that_proves_nothing_is_not_compared_with(
    story: Story, tmp_path: Any, since: str
) -> None:
    if since == "another's":
        other = Home(tmp_path / "other")
        create_ledger(other, clock=SetClock(), actor=EVE)
        since = other.remembered_checkpoint.read_text()
    elif since == "another's of other entries":
        origin = "jupyter-audit/0123456789abcdef"
        since = Signer.generate(origin).sign(format_checkpoint(Checkpoint(origin, 3, bytes(32))))
    elif since == "of no signature":
        origin = LedgerReader.open(story.home.ledger).origin
        since = f"{format_checkpoint(Checkpoint(origin, 3, bytes(32)))}\n\u2014 {origin} AAAAAAAAAAA=\n"
    elif since == "a stranger's":
        origin = LedgerReader.open(story.home.ledger).origin
        since = stranger(story).sign(format_checkpoint(Checkpoint(origin, 1, bytes(32))))

    with pytest.raises(VerificationError) as found:
        verify_ledger(story.home.ledger, verifier_keys=[first_key(story)], since=since)

    assert found.value.damage == "remembered"


def test_any_one_byte_of_any_entry_is_found_and_its_entry_named(tmp_path: Any, clock: SetClock) -> None:
    home = Home(tmp_path / "small")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        ledger.append([a_draft(2), a_draft(3), a_draft(4)])
        ledger.append([a_draft(5)])
        raws = [entry.raw for entry in ledger.entries()]

    for seq, raw in enumerate(raws):
        # Every byte of one entry that is a commit of its own and of one in a batch; of the others some.
        for at in range(0, len(raw), 1 if seq in (1, 3) else 23):
            changed = raw[:at] + chr(ord(raw[at]) ^ 1) + raw[at + 1 :]
            edit_file(home, raw.encode(), changed.encode())
            with pytest.raises(VerificationError) as found:
                check(home)
            assert found.value.seq == seq, (at, changed, str(found.value))
            edit_file(home, changed.encode(), raw.encode())
    check(home)


def test_an_old_copy_put_back_is_refused_at_opening(story: Story, tmp_path: Any) -> None:
    shutil.copy(story.home.ledger, tmp_path / "old.db")
    with open_ledger(story.home, clock=SetClock()) as ledger:
        ledger.append([a_draft(282)])
    for suffix in ("", "-wal", "-shm"):
        story.home.ledger.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "old.db", story.home.ledger)

    with pytest.raises(RollbackError, match="rolled back: it has 282 entries of 283") as refused:
        open_ledger(story.home, clock=SetClock())

    assert "Keep both files" in refused.value.advice


def test_a_past_signed_anew_is_refused_at_opening(story: Story) -> None:
    change(story, 281, actor={"name": "bob", "vouched_by": "os-account"})
    sign_again(story, 282, successor(story))

    with pytest.raises(RollbackError, match="not those remembered"):
        open_ledger(story.home, clock=SetClock())


def test_a_past_signed_anew_while_it_is_open_is_refused_at_the_next_append(story: Story) -> None:
    with open_ledger(story.home, clock=SetClock()) as ledger:
        change(story, 281, actor={"name": "bob", "vouched_by": "os-account"})
        sign_again(story, 282, successor(story))

        with pytest.raises(RollbackError, match="changed while it was open"):
            ledger.append([a_draft(282)])
        assert ledger.size() == 282
