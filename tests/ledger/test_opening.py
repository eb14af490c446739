"""Creating and opening: on purpose, never by accident, never over something, and with suspicion."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, Story, a_draft, check

from jupyter_audit.errors import HomeError, KeyFileError, LedgerError, LedgerMissingError, RollbackError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger, verify_ledger
from jupyter_audit.ledger import creation as creation_module
from jupyter_audit.ledger import writer as writer_module
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.schema import verify_schema
from jupyter_audit.ledger.store import connect


def test_a_new_ledger_begins_with_who_it_is(home: Home) -> None:
    with LedgerReader.open(home.ledger) as reader:
        entry = reader.entry(0)

    assert entry.type == "ledger.created"
    assert entry.actor == EVE
    assert entry.body["origin"] == reader.origin
    assert entry.body["verifier_key"] == home.verifier_key.read_text().strip()
    assert stat.S_IMODE(home.ledger.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.signing_key.stat().st_mode) == 0o600
    assert sorted(path.name for path in home.path.iterdir() if not path.name.endswith(("-wal", "-shm"))) == [
        "jupyter",
        "keys",
        "ledger.db",
        "remembered.checkpoint",
        "run",
    ]


@pytest.mark.parametrize("left", ["ledger", "signing_key", "verifier_key", "remembered_checkpoint"])
def test_nothing_is_ever_overwritten(tmp_path: Path, clock: SetClock, left: str) -> None:
    home = Home(tmp_path / "audit")
    home.create()
    path: Path = getattr(home, left)
    path.write_text("precious")

    with pytest.raises(LedgerError, match="already"):
        create_ledger(home, clock=clock, actor=EVE)

    assert path.read_text() == "precious"
    assert [p for p in home.path.rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize("step", ["_create_file", "create_key_files", "remember", "link"])
def test_a_creation_that_fails_leaves_nothing_behind(
    tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    home = Home(tmp_path / "audit")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "link" else creation_module, step, fail)
    with pytest.raises(LedgerError, match=r"No space left on device\. Nothing was left behind"):
        create_ledger(home, clock=clock, actor=EVE)

    assert not [path for path in home.path.rglob("*") if path.is_file()]
    monkeypatch.undo()
    create_ledger(home, clock=clock, actor=EVE)
    check(home)


def test_starting_creates_nothing(tmp_path: Path, clock: SetClock) -> None:
    home = Home(tmp_path / "audit")

    with pytest.raises(HomeError):
        open_ledger(home, clock=clock)
    home.create()
    with pytest.raises(LedgerMissingError, match="no ledger"):
        open_ledger(home, clock=clock)
    with pytest.raises(LedgerMissingError):
        LedgerReader.open(home.ledger)
    with pytest.raises(LedgerMissingError):
        verify_ledger(home.ledger, verifier_keys=[])

    assert not [path for path in home.path.rglob("*") if path.is_file()]


def test_a_home_that_others_can_enter_is_refused(home: Home, clock: SetClock) -> None:
    home.path.chmod(0o755)
    with pytest.raises(HomeError, match="open to other accounts"):
        open_ledger(home, clock=clock)
    home.path.chmod(0o700)


def test_another_ledgers_key_is_refused(home: Home, clock: SetClock) -> None:
    with LedgerReader.open(home.ledger) as reader:
        other = Signer.generate(reader.origin)
    mine = home.signing_key.read_text()
    home.signing_key.write_text(other.secret_text())

    with pytest.raises(KeyFileError, match="not the one"):
        open_ledger(home, clock=clock)

    home.signing_key.write_text(mine)


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage"])
def test_a_remembered_checkpoint_that_is_gone_is_no_reason_to_go_on(
    home: Home, clock: SetClock, damage: str
) -> None:
    if damage == "missing":
        home.remembered_checkpoint.unlink()
    else:
        home.remembered_checkpoint.write_text("" if damage == "empty" else "garbage\n")

    with pytest.raises(RollbackError, match="could not be noticed") as refused:
        open_ledger(home, clock=clock)

    # What the advice says to do works, once somebody has made sure.
    assert "verify" in refused.value.advice
    with LedgerReader.open(home.ledger) as reader:
        home.remembered_checkpoint.write_text(reader.checkpoint_note())
    open_ledger(home, clock=clock).close()


def test_another_ledger_in_its_place_is_refused(home: Home, clock: SetClock, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    create_ledger(other, clock=clock, actor=EVE)
    kept = tmp_path / "kept"
    shutil.copytree(home.path, kept)
    shutil.copy(other.ledger, home.ledger)
    shutil.copy(other.signing_key, home.signing_key)

    with pytest.raises(RollbackError, match="The remembered checkpoint is of"):
        open_ledger(home, clock=clock)

    shutil.rmtree(home.path)
    shutil.copytree(kept, home.path)


def test_the_newest_checkpoint_is_remembered_at_closing_and_never_an_older_one(
    home: Home, clock: SetClock
) -> None:
    ledger = open_ledger(home, clock=clock)
    with open_ledger(home, clock=clock) as other:
        other.append([a_draft(1), a_draft(2)])
    newest = home.remembered_checkpoint.read_text()
    ledger.close()

    assert unverified_checkpoint(newest).size == 3
    assert home.remembered_checkpoint.read_text() == newest
    assert stat.S_IMODE(home.remembered_checkpoint.stat().st_mode) == 0o600


def test_a_checkpoint_is_remembered_while_appending(
    home: Home, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_REMEMBER_EVERY_S", 0.0)
    ledger = open_ledger(home, clock=clock)

    ledger.append([a_draft(1)])

    assert unverified_checkpoint(home.remembered_checkpoint.read_text()).size == 2
    ledger.close()


def test_what_others_append_while_it_is_opened_is_no_rollback(
    home: Home, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(connection: sqlite3.Connection) -> None:
        verify_schema(connection)  # the snapshot is taken by now
        monkeypatch.undo()
        with open_ledger(home, clock=clock) as other:
            other.append([a_draft(1)])

    monkeypatch.setattr(writer_module, "verify_schema", look)
    with open_ledger(home, clock=clock) as ledger:
        [entry] = ledger.append([a_draft(2)])

    assert entry.seq == 2


def test_opening_takes_no_longer_for_a_longer_ledger(home: Home, clock: SetClock) -> None:
    def steps() -> int:
        """How much SQLite does while the ledger is opened, in hundreds of its machine's instructions."""
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        def counting(path: Path, *, writable: bool) -> sqlite3.Connection:
            connection = connect(path, writable=writable)
            connection.set_progress_handler(count, 100)
            return connection

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer_module, "connect", counting)
            open_ledger(home, clock=clock).close()
        return counted

    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(number) for number in range(767)])
        short = steps()
        ledger.append([a_draft(number) for number in range(8192)])

    assert steps() <= short * 1.5


def test_a_copy_in_a_folder_that_cannot_be_written_is_read_and_verified(
    ledger: Ledger, home: Home, tmp_path: Path
) -> None:
    ledger.append([a_draft(1)])
    ledger.close()
    medium = tmp_path / "medium"
    medium.mkdir()
    shutil.copy(home.ledger, medium / "ledger.db")
    (medium / "ledger.db").chmod(0o444)
    medium.chmod(0o555)
    program = (
        "import os, sys, pathlib\n"
        "from jupyter_audit.ledger import LedgerReader, verify_ledger\n"
        "path, key = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    (path.parent / 'probe').write_text('')\n"
        "    sys.exit('the folder can be written')\n"
        "except PermissionError: pass\n"
        "print(verify_ledger(path, verifier_keys=[key]).entries, LedgerReader.open(path).size())\n"
    )
    for folder in [medium, *medium.parents]:  # pytest's own folders are closed to other accounts
        if not folder.stat().st_mode & 0o001 and folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o011)

    done = subprocess.run(
        [sys.executable, "-c", program, str(medium / "ledger.db"), home.verifier_key.read_text()],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )
    medium.chmod(0o755)

    assert done.stdout.split() == ["2", "2"], done.stderr


def test_size_is_cheap_enough_to_ask_for_every_cell(ledger: Ledger, home: Home) -> None:
    with LedgerReader.open(home.ledger) as reader:
        began = time.perf_counter()
        for _ in range(2000):
            reader.size()
        assert (time.perf_counter() - began) / 2000 < 0.0005
        ledger.append([a_draft(1)])
        assert reader.size() == 2


@pytest.mark.parametrize(("version", "says"), [(2, "newer Jupyter Audit"), (0, "somebody changed the number"), (-1, "changed")])
def test_a_ledger_of_another_format_is_left_alone_and_it_is_said_what_to_do(
    story: Story, clock: SetClock, version: int, says: str
) -> None:
    with closing(sqlite3.connect(story.home.ledger)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = story.home.ledger.read_bytes()
    for use in (lambda: open_ledger(story.home, clock=clock), lambda: LedgerReader.open(story.home.ledger)):
        with pytest.raises(VerificationError, match=f"format {version}; this program knows 1") as caught:
            use()
        assert says in caught.value.advice
    assert story.home.ledger.read_bytes() == before
