"""
Files that come back other than they were left: a journal lost or swapped, torn pages, an index that lies, a full disk.

After each, what was acknowledged is there, or opening or verifying says in words that it is not.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledger_story import EVE, SetClock, a_draft, check

from jupyter_audit.errors import LedgerError, RollbackError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger


@pytest.fixture
def place(tmp_path: Path, clock: SetClock) -> Home:
    """A home whose ledger is damaged by the test: unlike `home`, nothing is verified at the end."""
    home = Home(tmp_path / "damaged")
    create_ledger(home, clock=clock, actor=EVE)
    return home


def wal_of(home: Home) -> Path:
    return home.ledger.with_name("ledger.db-wal")


def killed_with_a_journal(home: Home, clock: SetClock, entries: int) -> Path:
    """Leave `home` as a killed writer leaves it: newest entries only in the -wal; return a copy of that -wal."""
    kept = home.path / "kept-wal"
    with open_ledger(home, clock=clock) as ledger:
        ledger.connection.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(entries):
            ledger.append([a_draft(number)])
        ledger.remember()
        # What a killed process leaves is what is on disk now; closing in order would take the -wal away.
        shutil.copy(home.ledger, home.path / "kept.db")
        shutil.copy(wal_of(home), kept)
    for suffix in ("", "-wal", "-shm"):
        home.ledger.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    (home.path / "kept.db").rename(home.ledger)
    return kept


def test_a_journal_that_is_there_is_taken_up_whole(place: Home, clock: SetClock) -> None:
    killed_with_a_journal(place, clock, 5).rename(wal_of(place))
    with open_ledger(place, clock=clock) as ledger:
        assert ledger.size() == 6
    check(place)


def test_a_journal_that_is_gone_is_a_rollback_and_refused_at_opening(place: Home, clock: SetClock) -> None:
    killed_with_a_journal(place, clock, 5).unlink()
    with pytest.raises(RollbackError, match=r"1 entries of 6 remembered"):
        open_ledger(place, clock=clock)


def test_a_journal_cut_short_is_a_rollback_and_refused_at_opening(place: Home, clock: SetClock) -> None:
    kept = killed_with_a_journal(place, clock, 5)
    data = kept.read_bytes()
    for share in (0.2, 0.5, 0.9):
        for suffix in ("-wal", "-shm"):
            place.ledger.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
        whole = place.ledger.read_bytes()
        wal_of(place).write_bytes(data[: int(len(data) * share)])
        with pytest.raises(RollbackError):
            open_ledger(place, clock=clock)
        place.ledger.write_bytes(whole)


def test_a_journal_of_another_ledger_is_not_mixed_in(place: Home, clock: SetClock, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    create_ledger(other, clock=clock, actor=EVE)
    foreign = killed_with_a_journal(other, clock, 9)
    killed_with_a_journal(place, clock, 5)
    foreign.rename(wal_of(place))
    with pytest.raises(LedgerError):
        open_ledger(place, clock=clock)


def test_a_journal_of_an_older_copy_is_found(place: Home, clock: SetClock) -> None:
    older = killed_with_a_journal(place, clock, 3).read_bytes()
    wal_of(place).write_bytes(older)
    with open_ledger(place, clock=clock) as ledger:
        for number in range(20):
            ledger.append([a_draft(number)])
    newer = place.ledger.read_bytes()
    wal_of(place).write_bytes(older)
    # SQLite replays the old frames over the newer pages: what comes of it must not pass for the ledger.
    with pytest.raises(LedgerError):
        open_ledger(place, clock=clock).close()
    place.ledger.write_bytes(newer)
    for suffix in ("-wal", "-shm"):
        place.ledger.with_name(f"ledger.db{suffix}").unlink(missing_ok=True)
    assert check(place).entries == 24


def test_a_torn_page_is_found_wherever_it_is(place: Home, clock: SetClock) -> None:
    with open_ledger(place, clock=clock) as ledger:
        ledger.append([a_draft(number) for number in range(300)])
    with closing(sqlite3.connect(place.ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    whole = place.ledger.read_bytes()
    for start in range(0, len(whole), size):
        half = start + size // 2
        torn = whole[:half] + bytes(size - size // 2) + whole[start + size :]
        if torn == whole:
            continue
        place.ledger.write_bytes(torn)
        with pytest.raises(VerificationError):
            check(place)
    place.ledger.write_bytes(whole)
    assert check(place).entries == 301


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this account cannot mount a small file system")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_disk_that_is_really_full_refuses_in_words_and_keeps_what_was_acknowledged(
    small_disk: Path, clock: SetClock
) -> None:
    home = Home(small_disk / "audit")
    create_ledger(home, clock=clock, actor=EVE)
    acknowledged = 1
    with open_ledger(home, clock=clock) as ledger:
        refused: LedgerError | None = None
        while refused is None:
            try:
                acknowledged += len(ledger.append([a_draft(acknowledged, code=os.urandom(8000).hex())]))
            except LedgerError as error:
                refused = error
        assert "full" in str(refused) or "failed" in str(refused)
        assert ledger.size() == acknowledged
        assert acknowledged > 5
    with open_ledger(home, clock=clock) as ledger:
        assert ledger.size() == acknowledged
    check(home)


def test_a_disk_without_room_for_a_longer_log_appends_all_the_same(small_disk: Path, clock: SetClock) -> None:
    home = Home(small_disk / "audit")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        before = wal_of(home).stat().st_size
        ledger.make_room()
        assert wal_of(home).stat().st_size == before
        ledger.append([a_draft(1)])
    assert check(home).entries == 2


def test_a_longer_log_says_nothing_and_hides_nothing(place: Home, clock: SetClock) -> None:
    with open_ledger(place, clock=clock) as ledger, open_ledger(place, clock=clock) as other:
        other.append([a_draft(1)])
        ledger.make_room()
        size = wal_of(place).stat().st_size
        assert size > 4_000_000
        for number in range(2, 20):
            (other if number % 2 else ledger).append([a_draft(number)])
        other.make_room()
        assert wal_of(place).stat().st_size == size
        ledger.remember()
        # As a killed process leaves it: the newest entries are in the log alone, and zeros follow.
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(place.path / name, place.path / f"kept-{name}")
    for name in ("ledger.db", "ledger.db-wal"):
        (place.path / f"kept-{name}").replace(place.path / name)
    with open_ledger(place, clock=clock) as ledger:
        assert ledger.size() == 20
        ledger.append([a_draft(20)])
    assert check(place).entries == 21


def test_a_stale_shared_memory_file_is_not_believed(place: Home, clock: SetClock) -> None:
    """The -shm is an index of the -wal that SQLite can make anew; one of another moment, or noise, must not hide entries."""
    shm = place.ledger.with_name("ledger.db-shm")
    with open_ledger(place, clock=clock) as ledger:
        ledger.append([a_draft(0)])
        shutil.copy(shm, place.path / "stale")
    log = killed_with_a_journal(place, clock, 5).read_bytes()
    data = place.ledger.read_bytes()
    for stale in ((place.path / "stale").read_bytes(), b"", os.urandom(32768), bytes(32768)):
        place.ledger.write_bytes(data)
        wal_of(place).write_bytes(log)
        shm.write_bytes(stale)
        with open_ledger(place, clock=clock) as ledger:
            assert ledger.size() == 7
    check(place)


def test_a_file_system_that_can_only_be_read_is_verified_and_not_written(small_disk: Path, clock: SetClock) -> None:
    home = Home(small_disk / "audit")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(LedgerError, match=r"cannot be written|reading or writing the file failed"):
        open_ledger(home, clock=clock)
    assert check(home).entries == 2
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with open_ledger(home, clock=clock) as ledger:
        assert ledger.append([a_draft(2)])[0].seq == 2


AS_ANOTHER_ACCOUNT = """
import codecs, os, pathlib, sys
sys.path.insert(0, sys.argv[2])
codecs.lookup("ascii")  # the interpreter's own files may be closed to that account
from ledger_story import EVE, SetClock, a_draft, check
from jupyter_audit.errors import LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
home, clock = Home(pathlib.Path(sys.argv[1]) / "audit"), SetClock()
create_ledger(home, clock=clock, actor=EVE)
with open_ledger(home, clock=clock) as ledger:
    ledger.append([a_draft(1)])

def refused(what, path, mode):
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        with open_ledger(home, clock=clock) as ledger:
            ledger.append([a_draft(9)])
        print(what, "NOT REFUSED")
    except LedgerError as error:
        print(what, "refused:", error.explain().replace(chr(10), " "))
    finally:
        path.chmod(before)

refused("file-read-only", home.ledger, 0o400)
refused("file-closed", home.ledger, 0o000)
refused("folder-read-only", home.path, 0o500)
refused("key-closed", home.signing_key, 0o000)
ledger = open_ledger(home, clock=clock)
ledger.append([a_draft(2)])  # what was refused left nothing behind that hinders
home.path.chmod(0o500)
ledger.append([a_draft(3)])  # files that are open are written on; what cannot be remembered is only logged
home.path.chmod(0o700)
ledger.close()
print("entries", check(home).entries)
"""


def test_files_and_folders_without_permission_refuse_in_words(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As an account that modes apply to: root's writes go through."""
    folder = tmp_path_factory.mktemp("closed")
    for parent in [folder, *folder.parents]:  # pytest's own folders are closed to other accounts
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    if os.getuid() == 0:
        os.chown(folder, 65534, 65534)
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_ACCOUNT, str(folder), str(Path(__file__).parent)],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert lines.pop("entries", done.stderr) == "4"
    assert set(lines) == {"file-read-only", "file-closed", "folder-read-only", "key-closed"}
    for said in lines.values():
        assert said.startswith("refused: ")
    assert "signing key" in lines["key-closed"]
