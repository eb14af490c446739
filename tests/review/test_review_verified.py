"""Nothing is read from a ledger before it was verified, and nothing else than what was verified."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from review_day import without_triggers

from jupyter_audit.clock import SystemClock
from jupyter_audit.errors import KeyFileError, LedgerError, LedgerMissingError, UsageError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.model import Actor, Draft
from jupyter_audit.review import open_verified


def test_a_whole_ledger_opens_with_its_public_key_alone(own_day: Home) -> None:
    own_day.signing_key.unlink()
    seen: list[tuple[int, int]] = []
    with open_verified(own_day.ledger, own_day.verifier_key, lambda *done: seen.append(done)) as reader:
        assert reader.size() == reader.report.entries == len(list(reader.entries()))
        assert [entry.seq for entry in reader.entries(newest_first=True, limit=2)] == [47, 46]
    assert seen[-1] == (reader.report.entries, reader.report.entries)


def test_the_key_may_be_given_as_text_or_as_several(day: Home) -> None:
    text, another = day.verifier_key.read_text(), format_verifier_key(Signer.generate("another").verifier)
    for key in (text, [text], [another, text], [text, another], str(day.verifier_key)):
        with open_verified(day.ledger, key) as reader:
            assert reader.report.entries == reader.size() > 0
    with pytest.raises(VerificationError) as caught:
        open_verified(day.ledger, another)
    assert caught.value.damage == "key"


def test_a_changed_entry_is_named_and_nothing_is_opened(own_day: Home) -> None:
    with without_triggers(own_day.ledger) as connection:
        connection.execute("UPDATE entry SET raw = replace(raw, 'alice', 'alicf') WHERE seq = 12")
    with pytest.raises(VerificationError) as caught:
        open_verified(own_day.ledger, own_day.verifier_key)
    assert caught.value.seq == 12


def test_an_entry_changed_after_it_was_verified_is_found_when_it_is_read(own_day: Home) -> None:
    with open_verified(own_day.ledger, own_day.verifier_key) as reader:
        with without_triggers(own_day.ledger) as connection:
            connection.execute("UPDATE entry SET raw = replace(raw, 'alice', 'alicf') WHERE seq = 12")
        assert reader.entry(11).seq == 11
        reads: list[Callable[[], object]] = [
            lambda: reader.entry(12),
            lambda: list(reader.entries()),
            lambda: reader.content(12, "message"),
        ]
        for read in reads:
            with pytest.raises(VerificationError, match="Entry 12 was changed since"):
                read()


def test_content_changed_or_removed_after_it_was_verified_is_found(own_day: Home) -> None:
    with open_verified(own_day.ledger, own_day.verifier_key) as reader:
        assert reader.content(10, "message") is not None
        with without_triggers(own_day.ledger) as connection:
            connection.execute("UPDATE content SET data = x'00' WHERE seq = 10")
            connection.execute("DELETE FROM content WHERE seq = 12")
        with pytest.raises(VerificationError, match="entry 10"):
            reader.content(10, "message")
        with pytest.raises(VerificationError, match="entry 12 was removed"):
            reader.content(12, "message")


def test_purged_content_is_none(day: Home) -> None:
    with open_verified(day.ledger, day.verifier_key) as reader:
        gone = [
            (entry.seq, name)
            for entry in reader.entries()
            for name in entry.contents
            if reader.content(entry.seq, name) is None
        ]
        assert [name for _, name in gone] == ["message", "outputs"]


def test_what_is_appended_after_it_was_verified_is_not_shown(own_day: Home) -> None:
    with open_verified(own_day.ledger, own_day.verifier_key) as reader:
        size, note = reader.size(), reader.checkpoint_note()
        with open_ledger(own_day, clock=SystemClock()) as ledger:
            ledger.append([Draft("server.stopped", {"server": "srv"})])
        assert reader.size() == size == len(list(reader.entries()))
        assert len(list(reader.entries(newest_first=True))) == size
        assert reader.checkpoint_note() == note
        with pytest.raises(LedgerError, match="no verified entry"):
            reader.entry(size)


def test_a_remembered_checkpoint_finds_an_old_copy_put_back(own_day: Home, day: Home) -> None:
    with open_ledger(own_day, clock=SystemClock()) as ledger:
        ledger.append([Draft("server.stopped", {"server": "srv"})])
    with open_verified(own_day.ledger, own_day.verifier_key) as reader:
        kept = reader.checkpoint_note()
    open_verified(own_day.ledger, own_day.verifier_key, since=kept).close()
    with pytest.raises(VerificationError) as caught:
        open_verified(day.ledger, day.verifier_key, since=kept)
    assert caught.value.damage == "rollback"


def test_a_ledger_made_anew_under_another_key_is_refused(day: Home, tmp_path: Path) -> None:
    forged = Home(tmp_path / "forged")
    create_ledger(forged, clock=SystemClock(), actor=Actor("eve", "test"))
    with pytest.raises(VerificationError) as caught:
        open_verified(forged.ledger, day.verifier_key)
    assert caught.value.damage == "key"


def test_what_is_missing_or_no_key_is_named(day: Home, tmp_path: Path) -> None:
    with pytest.raises(LedgerMissingError):
        open_verified(tmp_path / "none.db", day.verifier_key)
    with pytest.raises(KeyFileError, match="cannot be read"):
        open_verified(day.ledger, tmp_path / "none.vkey")
    (tmp_path / "odd.vkey").write_text("not a key")
    with pytest.raises((UsageError, KeyFileError)):
        open_verified(day.ledger, tmp_path / "odd.vkey")
    with pytest.raises(KeyFileError):
        open_verified(day.ledger, "a\0b")
