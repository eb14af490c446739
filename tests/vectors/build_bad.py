"""
Makes what is missing of `bad/`: a small ledger for each class of damage, and what a verifier must find. Run it for a new class:

    python tests/vectors/build_bad.py

The keys are made for it and thrown away.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "ledger"))

from ledger_story import EVE, SetClock, a_draft, tamper  # noqa: E402

from jupyter_audit.clock import format_time  # noqa: E402
from jupyter_audit.home import Home  # noqa: E402
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger  # noqa: E402
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint  # noqa: E402
from jupyter_audit.ledger.cosignature import format_witness_key  # noqa: E402
from jupyter_audit.ledger.keys import Signer, load_signer  # noqa: E402
from jupyter_audit.ledger.note import Note, NoteSignature, format_note, format_verifier_key, parse_note  # noqa: E402
from jupyter_audit.ledger.purging import Wanted, purge  # noqa: E402
from jupyter_audit.ledger.writer import Ledger  # noqa: E402
from jupyter_audit.witness.cosigner import Cosigner  # noqa: E402

SIZE = 10
Damage = Callable[[Home], object]


def build(home: Home, clock: SetClock) -> None:
    """Write entries 0 to 9: a beginning, one, a commit of two, a purge of entry 1's content, a new key, two more, a commit of two."""
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        ledger.append([a_draft(2), a_draft(3)])
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
        ledger.rotate_key(actor=EVE, reason="yearly")
        ledger.append([a_draft(6)])
        ledger.append([a_draft(7)])
        ledger.append([a_draft(8), a_draft(9)])


def sql(*statements: str | tuple[str, tuple[object, ...]]) -> Damage:
    return lambda home: tamper(home, *statements)


def note_of(home: Home, size: int, *, root: bytes | None = None, signer: Signer | None = None) -> str:
    """A checkpoint of this size by the newest key, or by another, over the ledger's root or over another."""
    with LedgerReader.open(home.ledger) as reader:
        checkpoint = Checkpoint(reader.origin, size, root or reader.root(size))
    return (signer or load_signer(home.signing_key)).sign(format_checkpoint(checkpoint))


def strangers_note(home: Home) -> None:
    stranger = Signer.generate(load_signer(home.signing_key).verifier.name)
    tamper(home, ("UPDATE entry SET note = ? WHERE seq = 6", (note_of(home, 7, signer=stranger),)))


def strangers_key(home: Home) -> None:
    stranger = Signer.generate(load_signer(home.signing_key).verifier.name)
    home.verifier_key.write_text(format_verifier_key(stranger.verifier) + "\n")


def a_lie_about_the_clock(home: Home) -> None:
    """The key's holder appends an entry that does not say that the clock was set back."""
    clock = SetClock()
    with open_ledger(home, clock=clock) as ledger:
        assert isinstance(ledger, Ledger)
        ledger._head = ledger._head._replace(time=format_time(clock.moment.replace(year=2000)))
        clock.moment = clock.moment.replace(year=2001)
        ledger.append([a_draft(10)])


def kept(text: Callable[[Home], str]) -> Damage:
    return lambda home: (home.path / "kept.checkpoint").write_text(text(home), encoding="utf-8")


def a_kept_one_that_is_newer(home: Home) -> None:
    """What somebody kept of a ledger that later lost its end."""
    (home.path / "kept.checkpoint").write_text(note_of(home, SIZE), encoding="utf-8")
    tamper(home, "DELETE FROM entry WHERE seq > 7", "DELETE FROM content WHERE seq > 7")


def half(home: Home) -> None:
    home.ledger.write_bytes(home.ledger.read_bytes()[: home.ledger.stat().st_size // 2])


def cosigned_by_another(home: Home) -> None:
    """A witness's key, and a checkpoint that somebody else cosigned under the witness's name."""
    witness, other = (Cosigner(Signer.generate("witness.example.org/w1"), SetClock()) for _ in range(2))
    note = parse_note(note_of(home, SIZE))
    line = other.cosign(note.text, not_before=None)
    line = NoteSignature(line.name, witness.key.id, line.signature)
    (home.path / "witness.vkey").write_text(format_witness_key(witness.key) + "\n", encoding="utf-8")
    (home.path / "kept.checkpoint").write_text(format_note(Note(note.text, (*note.signatures, line))), encoding="utf-8")


A_SALT = bytes(32)
BAD: list[tuple[str, int | None, Damage]] = [
    ("file", None, half),
    ("schema", None, sql("CREATE VIEW approvals AS SELECT 1")),
    ("origin", 0, sql("DELETE FROM entry")),
    ("key", 0, strangers_key),
    ("sequence", 1, sql("DELETE FROM entry WHERE seq = 1")),
    ("entry_form", 6, sql("UPDATE entry SET raw = raw || ' ' WHERE seq = 6")),
    ("entry_changed", 3, sql("UPDATE entry SET raw = replace(raw, 'eve', 'bob') WHERE seq = 3")),
    ("time", 10, a_lie_about_the_clock),
    ("leaf", 6, sql("UPDATE entry SET leaf = zeroblob(32) WHERE seq = 6")),
    ("subtree", None, sql("INSERT INTO subtree VALUES (8, 0, zeroblob(32))")),
    ("truncated", 9, sql("DELETE FROM entry WHERE seq = 9", "DELETE FROM content WHERE seq = 9")),
    ("checkpoint_missing", 1, sql("UPDATE entry SET note = NULL WHERE seq = 1")),
    ("checkpoint_foreign", 2, sql("UPDATE entry SET note = (SELECT note FROM entry WHERE seq = 1) WHERE seq = 2")),
    ("checkpoint_form", 6, sql("UPDATE entry SET note = 'none' WHERE seq = 6")),
    ("checkpoint_signature", 6, strangers_note),
    ("content_missing", 6, sql("DELETE FROM content WHERE seq = 6")),
    ("content_changed", 6, sql("UPDATE content SET data = CAST('print(9)' AS BLOB) WHERE seq = 6")),
    ("content_foreign", 7, sql(("INSERT INTO content VALUES (7 * 256 + 1, 'more', ?, 'plain', x'00')", (A_SALT,)))),
    ("content_unpurged", 1, sql(("INSERT INTO content VALUES (256, 'message', ?, 'plain', x'00')", (A_SALT,)))),
    ("remembered", None, kept(lambda home: "no checkpoint")),
    ("rollback", 8, a_kept_one_that_is_newer),
    ("fork", None, kept(lambda home: note_of(home, 7, root=bytes(32)))),
    ("witness", None, cosigned_by_another),
    ("place", None, sql("INSERT INTO place VALUES ('type', 'cell.admitted', 0, '[1]')")),
]


def main() -> None:
    target = HERE / "bad"
    for damage, seq, act in BAD:
        place = target / damage
        if place.exists():
            continue  # the bytes of a class stay what they are
        place.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder) / "audit")
            build(home, SetClock())
            with closing(sqlite3.connect(home.ledger)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.execute("VACUUM")
                connection.execute("PRAGMA journal_mode = DELETE")
            act(home)
            for suffix in ("-wal", "-shm"):
                assert not (home.path / f"ledger.db{suffix}").exists()
            shutil.copy(home.ledger, place / "ledger.db")
            shutil.copy(home.verifier_key, place / "ledger.vkey")
            for name in ("kept.checkpoint", "witness.vkey"):
                if (home.path / name).exists():
                    shutil.copy(home.path / name, place / name)
        (place / "expected.json").write_text(json.dumps({"damage": damage, "seq": seq}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
