"""
No sequence of appends, decisions, purges, key changes, crashes and copies loses, doubles or changes what was acknowledged.

The model is the list of what was acknowledged. What the file says is held against it, by both verifiers; and each damage
that is done to a copy is found by both, alike.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from ledger_story import EVE, SetClock, check, tamper
from nacl.pwhash import argon2id
from test_two_verifiers import load_second, ours, verdict

from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import AccessError, LedgerError, RollbackError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.keys import is_protected
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.ledger.note import parse_verifier_key
from jupyter_audit.ledger.passphrase import VARIABLE, passphrase
from jupyter_audit.ledger.proof import ProvenEntry, ProvenGrowth, check_proof
from jupyter_audit.ledger.proving import prove_entry, prove_growth
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.model import Content, Draft, Entry

PICK = st.integers(0, 10_000)
"""Chooses among what there is: entry, checkpoint, copy, by its remainder."""

HANDLES = st.integers(0, 1)
SESSIONS = ["s-0", "s-1", "s-2"]


@dataclass
class Told:
    """What the ledger acknowledged: an entry's text, and its contents; None for what was purged."""

    raw: str
    session: str | None = None
    contents: dict[str, bytes | None] = field(default_factory=dict)

    @property
    def rotation(self) -> bool:
        """Whether it is a key change."""
        return '"type":"ledger.key_rotated"' in self.raw


@dataclass
class Copy:
    """The ledger's files as they were, and what they held then."""

    home: Home
    size: int


def drafts(first: int, count: int, length: int) -> list[Draft]:
    """Drafts that say their numbers, in one session or none, the odd ones with code of this length."""
    return [
        Draft(
            "cell.admitted",
            {"number": number},
            actor=EVE,
            session=[*SESSIONS, None][number % 4],
            contents={"message": Content(f"x = {number}\n".encode() * length)} if number % 2 else {},
        )
        for number in range(first, first + count)
    ]


class LedgerMachine(RuleBasedStateMachine):
    """Two handles on one ledger, and everything that can happen to it."""

    second: ModuleType = load_second()

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jupyter-audit-test-"))
        self.saved = argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE
        argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE = argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN
        secret = self.folder / "passphrase"
        secret.touch(0o600)
        secret.write_text("correct horse battery staple")
        os.environ[f"{VARIABLE}_FILE"] = str(secret)
        passphrase.cache_clear()
        self.clock = SetClock()
        self.home = Home(self.folder / "audit")
        create_ledger(self.home, clock=self.clock, actor=EVE)
        self.handles = [self.open(), self.open()]
        self.told = [Told(self.handles[0].entry(0).raw)]
        self.notes = [self.handles[0].checkpoint_note()]
        self.copies: list[Copy] = []
        self.number = 0
        self.made = 0

    def teardown(self) -> None:
        if not hasattr(self, "made"):
            return
        try:
            self.look()
        finally:
            for handle in self.handles:
                handle.close()
            argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE = self.saved
            os.environ.pop(f"{VARIABLE}_FILE", None)
            passphrase.cache_clear()
            shutil.rmtree(self.folder)

    def open(self) -> Ledger:
        return open_ledger(self.home, clock=self.clock)

    def fresh(self) -> Home:
        self.made += 1
        return Home(self.folder / f"copy-{self.made}")

    def copied(self) -> Home:
        """The files as a crash would leave them now. Another process copies: closing them here would drop SQLite's locks."""
        copy = self.fresh()
        subprocess.run(["cp", "-r", str(self.home.path), str(copy.path)], check=True)
        copy.ledger.with_name("ledger.db-shm").unlink(missing_ok=True)
        return copy

    def take(self, entries: list[Entry], given: list[Draft]) -> None:
        """Put down what was acknowledged."""
        for entry, draft in zip(entries, given, strict=True):
            assert entry.seq == len(self.told)
            contents = {name: content.data for name, content in draft.contents.items()}
            self.told.append(Told(entry.raw, entry.session, dict(contents)))
        self.notes.append(self.handles[0].checkpoint_note())

    # --- what is meant to happen -----------------------------------------------------------------------

    @rule(which=HANDLES, count=st.integers(1, 5), length=st.sampled_from([1, 3, 400]))
    def append(self, which: int, count: int, length: int) -> None:
        given = drafts(self.number, count, length)
        self.number += count
        self.take(self.handles[which].append(given), given)

    @rule(which=HANDLES)
    def append_more_than_a_subtree(self, which: int) -> None:
        if len(self.told) < 600:
            given = drafts(self.number, 260, 1)
            self.number += 260
            self.take(self.handles[which].append(given), given)

    @rule(which=HANDLES, count=st.integers(0, 2))
    def decide(self, which: int, count: int) -> None:
        given = drafts(self.number, count, 1)

        def judge(reader: LedgerReader) -> list[Draft]:
            assert reader.size() == len(self.told)
            return given

        entries = self.handles[which].transact(judge)
        self.number += count
        self.take(entries, given)

    @rule(which=HANDLES)
    def refuse(self, which: int) -> None:
        def judge(reader: LedgerReader) -> list[Draft]:
            raise AccessError("no")

        with pytest.raises(AccessError):
            self.handles[which].transact(judge)
        with pytest.raises(LedgerError, match="cannot be recorded"):
            self.handles[which].append([*drafts(self.number, 2, 1), Draft("cell.admitted", {"share": 0.5})])  # type: ignore[dict-item]
        assert self.handles[which].size() == len(self.told)

    @rule(which=HANDLES, session=st.sampled_from([*SESSIONS, None]))
    def purge(self, which: int, session: str | None) -> None:
        gone = [told for told in self.told if told.contents.get("message") and session in (None, told.session)]
        done = purge(self.handles[which], Wanted(session=session), actor=EVE, reason="asked for")
        assert done.extent.contents == len(gone)
        assert (done.entry is None) == (not gone)
        for told in gone:
            told.contents["message"] = None
        if done.entry is not None:
            self.told.append(Told(done.entry.raw))
            self.notes.append(self.handles[0].checkpoint_note())

    @rule(which=HANDLES)
    def rotate(self, which: int) -> None:
        self.told.append(Told(self.handles[which].rotate_key(actor=EVE, reason="test").raw))
        self.notes.append(self.handles[0].checkpoint_note())

    @rule(which=HANDLES, protected=st.booleans())
    def protect(self, which: int, protected: bool) -> None:
        self.handles[which].protect_key(protected=protected)
        assert is_protected(self.home.signing_key) == protected

    @rule(which=HANDLES)
    def reopen(self, which: int) -> None:
        self.handles[which].close()
        self.handles[which] = self.open()
        assert unverified_checkpoint(self.home.remembered_checkpoint.read_text()).size == len(self.told)

    @rule(hours=st.integers(1, 3))
    def set_the_clock_back(self, hours: int) -> None:
        self.clock.moment -= timedelta(hours=hours)

    # --- what is held against the model ----------------------------------------------------------------

    @rule()
    def look(self) -> None:
        report = check(self.home, since=self.notes[len(self.notes) // 2])
        assert verdict(self.second, self.home, self.notes[-1]) == ("whole", None)
        assert report.entries == len(self.told)
        held = sum(content is not None for told in self.told for content in told.contents.values())
        assert report.contents_held == held
        with LedgerReader.open(self.home.ledger) as reader:
            assert [entry.raw for entry in reader.entries()] == [told.raw for told in self.told]
            for seq, told in enumerate(self.told):
                for name, content in told.contents.items():
                    assert reader.content(seq, name) == content

    @rule(pick=PICK)
    def prove_an_entry(self, pick: int) -> None:
        seq = pick % len(self.told)
        with LedgerReader.open(self.home.ledger) as reader:
            proven = check_proof(prove_entry(reader, seq, with_contents=True), [self.first_key()])
        assert isinstance(proven, ProvenEntry)
        assert proven.entry.raw == self.told[seq].raw
        assert proven.checkpoint.size == len(self.told)
        assert proven.contents == {name: data for name, data in self.told[seq].contents.items() if data is not None}

    @rule(one=PICK, other=PICK)
    def prove_growth(self, one: int, other: int) -> None:
        older, newer = sorted((one % len(self.notes), other % len(self.notes)))
        with LedgerReader.open(self.home.ledger) as reader:
            proven = check_proof(prove_growth(reader, self.notes[older], self.notes[newer]), [self.first_key()])
        assert isinstance(proven, ProvenGrowth)
        assert [proven.old, proven.new] == [unverified_checkpoint(self.notes[n]) for n in (older, newer)]

    def first_key(self) -> Any:
        return parse_verifier_key(self.home.verifier_key.read_text().strip())

    # --- crashes ---------------------------------------------------------------------------------------

    @rule(which=HANDLES, step=st.integers(0, 9), count=st.integers(1, 3))
    def crash_on_a_copy_in_the_middle_of_an_append(self, which: int, step: int, count: int) -> None:
        """The files as they are before one of an append's statements are a ledger with all that came before."""
        ledger, copy = self.handles[which], None
        left = step

        def trace(sql: str) -> None:
            nonlocal left, copy
            if left == 0:
                copy = self.copied()
            left -= 1

        given = drafts(self.number, count, 3)
        self.number += count
        ledger.connection.set_trace_callback(trace)
        try:
            entries = ledger.append(given)
        finally:
            ledger.connection.set_trace_callback(None)
        before = len(self.told)
        self.take(entries, given)
        if copy is None:
            copy, before = self.copied(), len(self.told)
        with open_ledger(copy, clock=SystemClock()) as crashed:
            assert crashed.size() in (before, len(self.told))
            assert [entry.raw for entry in crashed.entries()] == [told.raw for told in self.told[: crashed.size()]]
            crashed.append(drafts(0, 1, 1))
        assert ours(copy) == verdict(self.second, copy) == ("whole", None)
        shutil.rmtree(copy.path)

    @rule(acknowledged=st.integers(0, 12), delay=st.integers(0, 20))
    def kill_a_writer(self, acknowledged: int, delay: int) -> None:
        """A process that appends is killed at any moment; what it was told is there, and nothing twice."""
        for handle in self.handles:  # a child must not inherit SQLite's connections
            handle.close()
        told = kill_while_appending(self.home, acknowledged, delay / 10_000)
        self.handles = [self.open(), self.open()]
        before = len(self.told)
        found = list(self.handles[0].entries(start=before))
        assert [entry.body["number"] for entry in found] == list(range(len(found)))
        assert told == [[before + number, number] for number in range(len(told))]
        assert len(told) <= len(found) <= len(told) + 2
        for entry in found:
            self.told.append(Told(entry.raw, entry.session, {"message": b"killed"}))
        self.notes.append(self.handles[0].checkpoint_note())

    # --- copies and hands on them ----------------------------------------------------------------------

    @rule()
    def keep_a_copy(self) -> None:
        if len(self.copies) < 4:
            self.copies.append(Copy(self.copied(), len(self.told)))

    @precondition(lambda self: self.copies)
    @rule(pick=PICK)
    def put_an_old_copy_back(self, pick: int) -> None:
        """In a home that remembers more it is refused; with a newer checkpoint both verifiers find it."""
        old = self.copies[pick % len(self.copies)]
        back = self.fresh()
        shutil.copytree(old.home.path, back.path)
        for handle in self.handles:
            handle.remember()
        shutil.copy(self.home.remembered_checkpoint, back.remembered_checkpoint)
        if old.size == len(self.told):
            open_ledger(back, clock=self.clock).close()
            assert ours(back, self.notes[-1]) == verdict(self.second, back, self.notes[-1]) == ("whole", None)
        else:
            with pytest.raises(RollbackError, match="rolled back"):
                open_ledger(back, clock=self.clock)
            # A checkpoint under a key that came later is unknown to the copy, and said to be: it is not passed over.
            changed = any(told.rotation for told in self.told[old.size : -1])
            expected = ("remembered", None) if changed else ("rollback", old.size)
            assert ours(back, self.notes[-1]) == verdict(self.second, back, self.notes[-1]) == expected
        shutil.rmtree(back.path)

    @rule(what=st.sampled_from(sorted(["text", "entry", "leaf", "note", "checkpoint", "content", "salt", "purged", "unsigned", "tail",
                                       "trigger", "swap"])), pick=PICK)  # fmt: skip
    def damage_a_copy(self, what: str, pick: int) -> None:
        copy = self.copied()
        if HANDS[what](copy, self.told, pick):
            found = ours(copy, self.notes[-1])
            assert found[0] != "whole"
            assert verdict(self.second, copy, self.notes[-1]) == found
        shutil.rmtree(copy.path)


# --- a hand on the file: each returns whether there was something to do -----------------------------------


def change_text(home: Home, told: list[Told], pick: int) -> bool:
    seq = pick % len(told)
    raw = told[seq].raw.replace('"name":"', '"name":"x')
    tamper(home, ("UPDATE entry SET raw = ?, leaf = ? WHERE seq = ?", (raw, leaf_hash(raw.encode()), seq)))
    return True


def statement(sql: str) -> Callable[[Home, list[Told], int], bool]:
    def act(home: Home, told: list[Told], pick: int) -> bool:
        tamper(home, (sql, (pick % len(told),)))
        return True

    return act


def of_content(sql: str) -> Callable[[Home, list[Told], int], bool]:
    """Do it to one of the contents that are held."""

    def act(home: Home, told: list[Told], pick: int) -> bool:
        held = [seq for seq, one in enumerate(told) if one.contents.get("message") is not None]
        if held:
            tamper(home, (sql, (held[pick % len(held)],)))
        return bool(held)

    return act


def put_purged_back(home: Home, told: list[Told], pick: int) -> bool:
    gone = [seq for seq, one in enumerate(told) if "message" in one.contents and one.contents["message"] is None]
    if gone:
        seq = gone[pick % len(gone)]
        tamper(home, ("INSERT INTO content VALUES (256 * ?, 'message', zeroblob(32), 'plain', x'78')", (seq,)))
    return bool(gone)


def add_unsigned(home: Home, told: list[Told], pick: int) -> bool:
    value = json.loads(told[-1].raw) | {"seq": len(told), "type": "cell.finished"}
    for name in ("contents", "commit", "clock_back"):
        value.pop(name, None)
    raw = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    tamper(home, ("INSERT INTO entry (seq, raw, leaf) VALUES (?, ?, ?)", (len(told), raw, leaf_hash(raw.encode()))))
    return True


def cut_off(home: Home, told: list[Told], pick: int) -> bool:
    """Take away everything from an entry on, checkpoints and cached hashes too: only a kept checkpoint shows it."""
    seq = max(1, pick % len(told))
    if seq >= len(told):
        return False
    levels = [f"DELETE FROM subtree WHERE level = {level} AND position >= {seq >> level}" for level in (8, 16)]
    tamper(home, *(f"DELETE FROM {table} WHERE seq >= {seq}" for table in ("entry", "content")),
           f"DELETE FROM place WHERE block >= {seq >> 8}", *levels)  # fmt: skip
    return True


def drop_trigger(home: Home, told: list[Told], pick: int) -> bool:
    with closing(sqlite3.connect(home.ledger)) as connection, connection:
        connection.execute(f"DROP TRIGGER {['entry', 'content', 'place', 'subtree'][pick % 4]}_kept")
    return True


def swap(home: Home, told: list[Told], pick: int) -> bool:
    if len(told) < 2:
        return False
    one = pick % (len(told) - 1)
    for seq, raw in ((one, told[one + 1].raw), (one + 1, told[one].raw)):
        tamper(home, ("UPDATE entry SET raw = ?, leaf = ? WHERE seq = ?", (raw, leaf_hash(raw.encode()), seq)))
    return True


HANDS: dict[str, Callable[[Home, list[Told], int], bool]] = {
    "text": change_text,
    "entry": statement("DELETE FROM entry WHERE seq = ?"),
    "leaf": statement("UPDATE entry SET leaf = zeroblob(32) WHERE seq = ?"),
    "note": statement("UPDATE entry SET note = replace(note, 'A', 'B') || char(10) WHERE seq = 0 * ?"),
    "checkpoint": statement("UPDATE entry SET note = NULL WHERE seq = (SELECT min(seq) FROM entry WHERE seq >= ? AND note IS NOT NULL)"),
    "content": of_content("DELETE FROM content WHERE seq = ?"),
    "salt": of_content("UPDATE content SET salt = zeroblob(32) WHERE seq = ?"),
    "purged": put_purged_back,
    "unsigned": add_unsigned,
    "tail": cut_off,
    "trigger": drop_trigger,
    "swap": swap,
}


def kill_while_appending(home: Home, acknowledged: int, delay: float) -> list[list[int]]:
    """Let a child append until so much was acknowledged and a little longer, kill it, and return what it had been told."""
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(told)
            with open_ledger(home, clock=SystemClock()) as ledger:
                for number in range(100_000):
                    draft = Draft("cell.admitted", {"number": number}, actor=EVE, contents={"message": Content(b"killed")})
                    [entry] = ledger.append([draft])
                    os.write(telling, f"[{entry.seq}, {number}]\n".encode())
        finally:
            os._exit(1)
    os.close(telling)
    with os.fdopen(told, "rb") as pipe:
        lines = [pipe.readline() for _ in range(acknowledged)]
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += pipe.readlines()
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


SUPPRESSED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=12, stateful_step_count=20, report_multiple_bugs=False, suppress_health_check=SUPPRESSED)


@pytest.mark.soak
class TestLedgerForLong(LedgerMachine.TestCase):  # type: ignore[name-defined,misc]
    """The same, through hundreds of longer stories."""

    settings = settings(max_examples=100, stateful_step_count=50, report_multiple_bugs=False, suppress_health_check=SUPPRESSED)
