"""
Makes what is missing of `attacks/`: a ledger with every feature, and for each attack the SQL that does it. Run it for a new attack:

    python tests/vectors/build_attacks.py

`bad/` has one small ledger for each class of damage; here are the ways in which a class can be meant. The first run makes the ledger and
its keys; the one that signed last lies beside it, as `insider.key`, so that attacks which need it can be added.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGET = HERE / "attacks"
sys.path.insert(0, str(HERE.parent / "ledger"))

from ledger_story import SetClock, Story, tell_story  # noqa: E402
from test_tampering import change, salt_and_content, sign_again, swap, swap_all_but_numbers  # noqa: E402

from jupyter_audit.home import Home  # noqa: E402
from jupyter_audit.ledger.keys import Signer, load_signer  # noqa: E402
from jupyter_audit.ledger.note import format_verifier_key  # noqa: E402
from jupyter_audit.ledger.schema import OBJECTS  # noqa: E402

Act = str | Callable[[Story], object]
COLUMNS = {
    "entry": ("seq", "leaf", "note", "raw"),
    "content": ("id", "name", "salt", "encoding", "data"),
}


def signed(seq: int, **members: Any) -> Callable[[Story], None]:
    """The holder of today's key changes one of the newest entries, and signs the newest checkpoint anew."""

    def act(story: Story) -> None:
        change(story, seq, **members)
        sign_again(story, story.size, load_signer(story.home.signing_key))

    return act


def rotated(seq: int, epoch: object, name: str | None = None) -> Callable[[Story], None]:
    def act(story: Story) -> None:
        successor = Signer.generate(name or load_signer(story.home.signing_key).verifier.name)
        signed(seq, type="ledger.key_rotated", body={"epoch": epoch, "verifier_key": format_verifier_key(successor.verifier)})(story)

    return act


def purged(contents: object) -> Callable[[Story], None]:
    return signed(281, type="content.purged", body={"contents": contents, "reason": "asked for"})


ATTACKS: list[tuple[str, str, int | None, Act]] = [
    ("schema-trigger-dropped", "schema", None, "DROP TRIGGER entry_kept"),
    ("schema-trigger-of-another-table", "schema", None,
     "DROP TRIGGER entry_kept; CREATE TRIGGER entry_kept BEFORE DELETE ON content\n"
     "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: entry keeps what it has'); END"),
    ("schema-index-added", "schema", None, "CREATE INDEX by_note ON entry (note)"),
    ("schema-column-added", "schema", None, "ALTER TABLE content ADD COLUMN more TEXT"),
    ("schema-statistics", "schema", None, "ANALYZE"),
    ("schema-another-version", "schema", None, "PRAGMA user_version = 2"),
    ("schema-another-application", "schema", None, "PRAGMA application_id = 1"),
    ("origin-another-type", "origin", 0, lambda story: change(story, 0, type="server.started")),
    ("origin-format-true", "origin", 0, lambda story: beginning(story, format=True)),
    ("origin-another", "origin", 0, lambda story: beginning(story, origin="jupyter-audit/0000000000000000")),
    ("origin-a-second", "origin", 281, signed(281, type="ledger.created")),
    ("key-change-names-none", "key", 281, signed(281, type="ledger.key_rotated", body={"epoch": 2, "verifier_key": "x"})),
    ("key-change-of-another-epoch", "key", 281, rotated(281, 3)),
    ("key-change-of-epoch-true", "key", 281, rotated(281, True)),
    ("key-change-of-another-name", "key", 281, rotated(281, 2, "jupyter-audit/0000000000000000")),
    ("key-change-inside-a-commit", "key", 280, rotated(280, 2)),
    ("sequence-deleted", "sequence", 100, "DELETE FROM entry WHERE seq = 100"),
    ("sequence-swapped", "sequence", 5, swap),
    ("sequence-before-the-first", "sequence", 0, "INSERT INTO entry (seq, leaf, raw) VALUES (-1, x'', '{}')"),
    ("sequence-beyond-all-numbers", "sequence", 281, "UPDATE entry SET seq = 1152921504606846976 WHERE seq = 281"),
    ("entry_form-another-version", "entry_form", 5, lambda story: change(story, 5, v=2)),
    ("entry_form-version-true", "entry_form", 5, lambda story: change(story, 5, v=True)),
    ("entry_form-a-member-more", "entry_form", 5, lambda story: change(story, 5, more=1)),
    ("entry_form-without-actor", "entry_form", 5, lambda story: change(story, 5, actor=None)),
    ("entry_form-a-day-that-is-none", "entry_form", 5, lambda story: change(story, 5, time="2026-02-30T09:00:00.000000Z")),
    ("entry_form-a-commit-of-one", "entry_form", 5, lambda story: change(story, 5, commit=1)),
    ("entry_form-a-purge-without-last", "entry_form", 281, purged([{"first": 3}])),
    ("entry_form-a-purge-of-itself", "entry_form", 281, purged([{"first": 3, "last": 281}])),
    ("entry_form-a-purge-of-no-names", "entry_form", 281, purged([{"first": 3, "last": 4, "names": []}])),
    ("entry_changed-numbers-kept", "entry_changed", 5, swap_all_but_numbers),
    ("entry_changed-with-its-content", "entry_changed", 3, salt_and_content),
    ("entry_changed-in-a-commit", "entry_changed", 100, "UPDATE entry SET raw = replace(raw, 'eve', 'bob') WHERE seq = 100"),
    ("entry_changed-clock-hidden", "entry_changed", 12, lambda story: change(story, 12, clock_back=None)),
    ("time-said-and-not-so", "time", 281, signed(281, clock_back=True)),
    ("time-so-and-not-said", "time", 281, signed(281, time="2026-11-24T07:00:00.000000Z")),
    ("leaf-in-a-commit", "leaf", 100, "UPDATE entry SET leaf = zeroblob(32) WHERE seq = 100"),
    ("subtree-changed", "subtree", 0, "UPDATE subtree SET hash = zeroblob(32)"),
    ("subtree-deleted", "subtree", 0, "DELETE FROM subtree"),
    ("place-hides-an-entry", "place", 0, "UPDATE place SET offsets = '[0]' WHERE value = 's-0'"),
    ("place-hides-a-type", "place", 0, "DELETE FROM place WHERE value = 'cell.admitted'"),
    ("place-of-the-newest-block", "place", None, "INSERT INTO place VALUES ('type', 'cell.admitted', 1, '[24]')"),
    ("place-beyond-all-blocks", "place", None, "INSERT INTO place VALUES ('type', 'ledger.created', 1152921504606846976, '[0]')"),
    ("place-spelled-otherwise", "place", 0, "UPDATE place SET offsets = offsets || ' ' WHERE value = 's-0'"),
    ("truncated-a-commit", "truncated", 281, "DELETE FROM entry WHERE seq = 281; DELETE FROM content WHERE seq = 281"),
    ("checkpoint_missing-the-newest", "checkpoint_missing", 280, "UPDATE entry SET note = NULL WHERE seq = 281"),
    ("checkpoint_missing-a-commit-split", "checkpoint_missing", 14, lambda story: change(story, 14, commit=None)),
    ("checkpoint_missing-a-commit-in-a-commit", "checkpoint_missing", 20, lambda story: change(story, 20, commit=2)),
    ("checkpoint_form-another-size", "checkpoint_form", 5, "UPDATE entry SET note = (SELECT note FROM entry WHERE seq = 6) WHERE seq = 5"),
    ("checkpoint_form-more-behind-it", "checkpoint_form", 5, "UPDATE entry SET note = note || 'x' WHERE seq = 5"),
    ("checkpoint_signature-by-a-later-key", "checkpoint_signature", 5,
     lambda story: sign_again(story, 6, load_signer(story.home.signing_key))),
    ("content_missing-in-a-commit", "content_missing", 100, "DELETE FROM content WHERE seq = 100"),
    ("content_changed-salt", "content_changed", 5, "UPDATE content SET salt = zeroblob(32) WHERE seq = 5"),
    ("content_changed-salt-cut", "content_changed", 5, "UPDATE content SET salt = x'' WHERE seq = 5"),
    ("content_changed-encoding", "content_changed", 5, "UPDATE content SET encoding = 'rot13' WHERE seq = 5"),
    ("content_changed-bytes-behind-its-end", "content_changed", 276, "UPDATE content SET data = CAST(data || x'00' AS BLOB) WHERE seq = 276"),
    ("content_foreign-another-number", "content_foreign", 5, "UPDATE content SET id = id + 1 WHERE seq = 5"),
    ("content_foreign-of-no-entry", "content_foreign", 999, "INSERT INTO content VALUES (255744, 'a', x'', 'plain', x'')"),
    ("content_foreign-before-the-first", "content_foreign", -1, "INSERT INTO content VALUES (-256, 'a', x'', 'plain', x'')"),
    ("content_unpurged-a-purge-of-more", "content_unpurged", 3, purged([{"first": 3, "last": 3, "names": ["message"]}])),
]  # fmt: skip


def beginning(story: Story, **members: object) -> None:
    """Another first entry; nobody who has the first key signed it, and it is malformed before that is asked."""
    with closing(sqlite3.connect(story.home.ledger)) as connection:
        (body,) = connection.execute("SELECT json_extract(raw, '$.body') FROM entry WHERE seq = 0").fetchone()
    change(story, 0, body=json.loads(body) | members)


def disarmed(statements: str) -> str:
    """The statements of somebody who first takes the triggers away, and then puts them back."""
    triggers = {name: sql for (kind, name), sql in OBJECTS.items() if kind == "trigger"}
    drops = "".join(f"DROP TRIGGER {name};\n" for name in triggers)
    return drops + statements + "".join(f"{sql};\n" for sql in triggers.values())


def differences(before: Path, after: Path) -> Iterator[str]:
    """Yield the statements that make the rows of one ledger into those of the other."""
    with closing(sqlite3.connect(before)) as connection:
        connection.execute("ATTACH ? AS after", (str(after),))
        for table, columns in COLUMNS.items():
            names = ", ".join(columns)
            key = columns[0]
            changed = f"SELECT {key} FROM (SELECT {{0}} FROM main.{table} EXCEPT SELECT {{0}} FROM after.{table})".format(names)
            for (number,) in connection.execute(changed):
                yield f"DELETE FROM {table} WHERE {key} = {number};\n"
            quoted = " || ', ' || ".join(f"quote({column})" for column in columns)
            new = f"SELECT {quoted} FROM (SELECT {{0}} FROM after.{table} EXCEPT SELECT {{0}} FROM main.{table})".format(names)
            for (values,) in connection.execute(new):
                yield f"INSERT INTO {table} ({names}) VALUES ({values});\n"


def text_of(story: Story, act: Act) -> str:
    if not isinstance(act, str):
        before = story.home.path / "before.db"
        shutil.copy(story.home.ledger, before)
        act(story)
        return disarmed("".join(differences(before, story.home.ledger)))
    return f"{act};\n" if re.match(r"(DROP|CREATE|ALTER|ANALYZE|PRAGMA)\b", act) else disarmed(f"{act};\n")


def main() -> None:
    if not TARGET.exists():
        TARGET.mkdir()
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder) / "audit")
            tell_story(home, SetClock())
            with closing(sqlite3.connect(home.ledger, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")
                connection.execute("VACUUM")
            for path, name in ((home.ledger, "ledger.db"), (home.verifier_key, "ledger.vkey"), (home.signing_key, "insider.key")):
                shutil.copy(path, TARGET / name)
    for name, damage, seq, act in ATTACKS:
        place = TARGET / f"{name}.sql"
        if place.exists():
            continue  # an attack stays what it is
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder) / "audit")
            (home.path / "keys").mkdir(parents=True)
            for name_of, path in (("ledger.db", home.ledger), ("ledger.vkey", home.verifier_key), ("insider.key", home.signing_key)):
                shutil.copy(TARGET / name_of, path)
            home.signing_key.chmod(0o600)
            place.write_text(f"-- damage: {damage}\n-- entry: {seq}\n{text_of(Story(home, ''), act)}", encoding="utf-8")


if __name__ == "__main__":
    main()
