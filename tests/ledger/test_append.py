"""Appending and reading: what goes in comes out, in order, filtered by index, one checkpoint a commit."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_story import EVE, SetClock, a_draft, check

from jupyter_audit.errors import AccessError, LedgerError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger, verify_ledger
from jupyter_audit.ledger.canonical import MAX_INTEGER
from jupyter_audit.ledger.checkpoint import unverified_checkpoint
from jupyter_audit.ledger.envelope import MOST_CONTENTS, parse_envelope
from jupyter_audit.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from jupyter_audit.model import Content, Draft


def test_an_entry_is_what_its_draft_said_and_reads_back_the_same(ledger: Ledger) -> None:
    draft = Draft(
        "cell.admitted",
        {"lines": 2, "nested": {"list": [1, None, True, "ü\u2028"]}},
        actor=EVE,
        grant="g-1",
        session="s-1",
        contents={"message": Content(b"x" * 5000), "more": Content(b"", "application/json")},
    )

    [entry] = ledger.append([draft])

    assert (entry.seq, entry.type, entry.actor, entry.grant, entry.session) == (
        1,
        draft.type,
        EVE,
        "g-1",
        "s-1",
    )
    assert entry.body == draft.body
    assert ledger.entry(1) == entry
    assert ledger.content(1, "message") == b"x" * 5000
    assert ledger.content(1, "more") == b""
    assert entry.contents["message"].size == 5000
    assert entry.contents["more"].media_type == "application/json"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts.filter(lambda name: name and not any(c < " " or c == "\x7f" for c in name))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
drafts = st.builds(
    Draft,
    st.from_regex(r"\A[a-z][a-z0-9_]{0,8}(\.[a-z][a-z0-9_]{0,8}){1,2}\Z"),
    st.dictionaries(texts, values, max_size=4),
    grant=st.none() | names,
    session=st.none() | names,
    contents=st.dictionaries(
        st.from_regex(r"\A[a-z][a-z0-9_]{0,8}\Z"),
        st.builds(Content, st.binary(max_size=40), st.from_regex(r"\A[\x20-\x7e]{1,20}\Z")),
        max_size=3,
    ),
)


@given(st.lists(drafts, min_size=1, max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_can_be_a_draft_reads_back_as_it_was(ledger: Ledger, batch: list[Draft]) -> None:
    entries = ledger.append(batch)

    for entry, draft in zip(entries, batch, strict=True):
        assert ledger.entry(entry.seq) == entry == parse_envelope(entry.raw).entry
        assert (entry.type, entry.body, entry.grant) == (draft.type, draft.body, draft.grant)
        assert {name: ledger.content(entry.seq, name) for name in entry.contents} == {
            name: content.data for name, content in draft.contents.items()
        }
    assert parse_envelope(entries[0].raw).commit == len(entries)
    assert list(ledger.entries(session=entries[0].session, start=entries[0].seq, limit=1)) == entries[:1]


@pytest.mark.parametrize(
    "draft",
    [
        Draft("cell.admitted", {"share": 0.5}),  # type: ignore[dict-item]
        Draft("cell.admitted", {"number": 2**53}),
        Draft("cell.admitted", {"text": "\ud800"}),
        Draft("cell.admitted", {"long": "x" * 1_100_000}),
        Draft("cell.admitted", {"long": "ü" * 600_000}),
        Draft("cell", {}),
        Draft("Cell.Admitted", {}),
        Draft("cell.admitted\n", {}),
        Draft("cell.admitted", {}, session=""),
        Draft("cell.admitted", {}, session="s\n1"),
        Draft("cell.admitted", {}, grant="g\ud800"),
        Draft("cell.admitted", {}, grant="g" * 257),
        Draft("cell.admitted", {}, contents={"a b": Content(b"")}),
        Draft("cell.admitted", {}, contents={"a": Content(b"", "text/plain\n")}),
        Draft("cell.admitted", {}, contents={"a": Content(b"", "")}),
        Draft("cell.admitted", {}, contents={f"c{number}": Content(b"") for number in range(MOST_CONTENTS + 1)}),
        Draft("ledger.created", {}),
        Draft("ledger.key_rotated", {}),
        Draft("content.purged", {}),
    ],
    ids=lambda draft: repr(draft)[:60],
)
def test_what_cannot_be_recorded_is_refused_and_nothing_of_its_commit_is_stored(
    ledger: Ledger, draft: Draft
) -> None:
    with pytest.raises(LedgerError, match="cannot be recorded"):
        ledger.append([a_draft(1), draft, a_draft(2)])

    assert ledger.size() == 1
    assert ledger.append([a_draft(1)])[0].seq == 1


def test_an_append_of_nothing_is_nothing(ledger: Ledger) -> None:
    before = ledger.checkpoint_note()

    assert ledger.append([]) == []
    assert ledger.transact(lambda reader: []) == []
    assert ledger.checkpoint_note() == before


def test_every_commit_has_its_own_checkpoint(ledger: Ledger) -> None:
    sizes = []
    for batch in (1, 3, 1, 2):
        ledger.append([a_draft(number) for number in range(batch)])
        sizes.append(unverified_checkpoint(ledger.checkpoint_note()).size)

    rows = ledger.connection.execute("SELECT seq + 1 FROM entry WHERE note IS NOT NULL ORDER BY seq").fetchall()

    assert sizes == [2, 5, 6, 8]
    assert [row[0] for row in rows] == [1, *sizes]


def test_a_clock_that_went_back_is_put_down_as_it_is_and_said_once(ledger: Ledger, clock: SetClock) -> None:
    ledger.append([a_draft(1)])
    clock.moment -= timedelta(hours=2)
    went_back = ledger.append([a_draft(2), a_draft(3)])
    after = ledger.append([a_draft(4)])

    assert went_back[0].time < ledger.entry(1).time
    assert [parse_envelope(entry.raw).clock_back for entry in [*went_back, *after]] == [True, False, False]


def test_a_decision_sees_the_newest_state_and_is_stored_with_it(home: Home, clock: SetClock) -> None:
    with open_ledger(home, clock=clock) as one, open_ledger(home, clock=clock) as other:
        one.append([a_draft(1)])

        def decide(reader: LedgerReader) -> list[Draft]:
            return [a_draft(reader.size())]

        [entry] = other.transact(decide)

    assert (entry.seq, entry.body["number"]) == (2, 2)


def test_what_a_decision_raises_goes_through_and_stores_nothing(ledger: Ledger) -> None:
    def refuse(reader: LedgerReader) -> list[Draft]:
        raise AccessError("no")

    with pytest.raises(AccessError):
        ledger.transact(refuse)

    assert ledger.append([a_draft(1)])[0].seq == 1


def test_a_decision_cannot_append(ledger: Ledger) -> None:
    def meddle(reader: LedgerReader) -> list[Draft]:
        ledger.append([a_draft(1)])
        return []

    with pytest.raises(LedgerError, match="inside a decision"):
        ledger.transact(meddle)

    assert ledger.append([a_draft(1)])[0].seq == 1


def test_a_ledger_can_be_handed_to_another_thread(home: Home, clock: SetClock) -> None:
    ledger = open_ledger(home, clock=clock)
    stored: list[int] = []
    thread = threading.Thread(target=lambda: stored.extend(e.seq for e in ledger.append([a_draft(1)])))
    thread.start()
    thread.join()
    ledger.close()
    ledger.close()

    assert stored == [1]


def fill(ledger: Ledger) -> Ledger:
    kinds = ["cell.admitted", "cell.finished", "cellar.opened", "access.requested", "cell.late_output"]
    ledger.append([a_draft(number, kind=kinds[number % 5]) for number in range(600)])
    ledger.append([Draft("server.stopped", {})])
    return ledger


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    return fill(ledger)


@pytest.fixture(scope="module")
def questioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerReader]:
    home = Home(tmp_path_factory.mktemp("questioned") / "audit")
    create_ledger(home, clock=SetClock(), actor=EVE)
    with open_ledger(home, clock=SetClock()) as ledger:
        yield fill(ledger)
    check(home)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 0, 1, 7, 300])
@pytest.mark.parametrize(
    "question",
    [
        {},
        {"types": ["cell.admitted"]},
        {"types": ["cell."]},
        {"types": ["cell.", "cell.admitted", "access.requested", "no.such"]},
        {"types": []},
        {"types": ["no."]},
        {"session": "s-100"},
        {"session": "s-none"},
        {"grant": "g-33"},
        {"grant": "g-33", "session": "s-67"},
        {"grant": "g-33", "types": ["cell.", "access."]},
        {"session": "s-100", "types": []},
        {"start": 255, "stop": 258},
        {"start": 590},
        {"stop": 5},
        {"start": -5, "stop": 10_000},
        {"start": 9, "stop": 3},
        {"types": ["cell."], "start": 100, "stop": 500},
    ],
    ids=repr,
)
def test_entries_are_those_that_match_every_filter(
    questioned: LedgerReader, question: dict[str, Any], limit: int | None, newest_first: bool
) -> None:
    def matches(entry: dict[str, Any]) -> bool:
        types = question.get("types")
        return (
            question.get("start", 0) <= entry["seq"] < question.get("stop", 10_000)
            and entry.get("session", "") == question.get("session", entry.get("session", ""))
            and entry.get("grant", "") == question.get("grant", entry.get("grant", ""))
            and (
                types is None
                or any(
                    entry["type"] == kind or (kind[-1] == "." and entry["type"].startswith(kind))
                    for kind in types
                )
            )
        )

    every = [
        json.loads(raw) for (raw,) in questioned.connection.execute("SELECT raw FROM entry ORDER BY seq")
    ]
    expected = [entry["seq"] for entry in every if matches(entry)]
    if newest_first:
        expected.reverse()

    found = questioned.entries(newest_first=newest_first, limit=limit, **question)

    assert [entry.seq for entry in found] == expected[:limit]


def test_a_slow_reader_holds_no_transaction_and_does_not_see_what_comes_later(
    filled: Ledger, home: Home
) -> None:
    with LedgerReader.open(home.ledger) as reader:
        entries = reader.entries()
        assert next(entries).seq == 0
        assert not reader.connection.in_transaction

        filled.append([a_draft(1)])
        busy, _, _ = filled.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

        assert busy == 0  # a read transaction left open would hold the log's end back
        assert [entry.seq for entry in entries][-1] == 601
        assert reader.size() == 603


def test_no_filter_reads_the_whole_ledger(filled: Ledger) -> None:
    asked: list[str] = []
    filled.connection.set_trace_callback(asked.append)
    for question in (
        {"types": ["cell."]},
        {"session": "s-1"},
        {"grant": "g-1"},
        {"session": "s-1", "types": ["cell."]},
    ):
        for newest_first in (False, True):
            list(filled.entries(newest_first=newest_first, **question))
    filled.connection.set_trace_callback(None)

    for sql in asked:
        plan = " ".join(row[3] for row in filled.connection.execute(f"EXPLAIN QUERY PLAN {sql}"))
        assert "SCAN entry" not in plan or sql.endswith("ORDER BY seq DESC LIMIT 1"), sql
        assert "TEMP B-TREE" not in plan, sql


def test_a_content_that_was_never_there_is_not_a_purged_one(ledger: Ledger) -> None:
    ledger.append([a_draft(1)])

    with pytest.raises(LedgerError, match="no content named other"):
        ledger.content(1, "other")
    with pytest.raises(LedgerError, match="no entry 2; the ledger has 2"):
        ledger.content(2, "message")


def test_as_many_contents_as_an_entry_can_have_are_told_apart_from_those_of_its_neighbours(ledger: Ledger, home: Home) -> None:
    many = Draft("cell.admitted", {}, contents={f"c{number:03}": Content(b"%d" % number) for number in range(MOST_CONTENTS)})
    ledger.append([many, many])
    ledger.append([a_draft(3)])

    for name, content in many.contents.items():
        assert ledger.content(1, name) == ledger.content(2, name) == content.data
    assert ledger.content(3, "message") == b"print(3)"
    assert check(home).contents_held == 2 * MOST_CONTENTS + 1


def test_proofs_from_the_stored_tree_hold(filled: Ledger) -> None:
    for size in (1, 2, 255, 256, 257, 511, 512, 602):
        root = filled.root(size)
        for seq in {0, size // 2, size - 1}:
            path = filled.inclusion_proof(seq, size)
            verify_inclusion(seq, size, leaf_hash(filled.entry(seq).raw.encode()), path, root)
        for old in {1, size // 3, size}:
            verify_consistency(old, filled.root(old), size, root, filled.consistency_proof(old, size))
    assert unverified_checkpoint(filled.checkpoint_note()).root == filled.root(602)


def test_a_readers_connection_cannot_write(ledger: Ledger, home: Home) -> None:
    with LedgerReader.open(home.ledger) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.connection.execute("DELETE FROM entry")


@pytest.mark.parametrize("table", ["entry", "content", "subtree", "place"])
def test_a_mistake_cannot_change_what_is_stored(filled: Ledger, table: str) -> None:
    for statement in (
        f"DELETE FROM {table}",
        f"UPDATE {table} SET rowid = rowid",
        f"UPDATE {table} SET {{}} = {{}}",
    ):
        (column,) = filled.connection.execute(
            f"SELECT name FROM pragma_table_info('{table}') LIMIT 1"
        ).fetchone()
        with pytest.raises(sqlite3.Error):
            filled.connection.execute(statement.format(column, column))


def test_verification_reports_what_it_saw_and_its_progress(filled: Ledger, home: Home) -> None:
    seen: list[tuple[int, int]] = []
    report = verify_ledger(
        home.ledger,
        verifier_keys=[home.verifier_key.read_text()],
        progress=lambda done, total: seen.append((done, total)),
    )

    assert seen == sorted(set(seen))
    assert seen[-1] == (602, 602)
    assert (report.entries, report.checkpoints, report.contents_held) == (602, 3, 600)
    assert json.loads(json.dumps(report.to_json()))["origin"] == filled.origin
    text = report.text()
    assert filled.origin in text
    assert "WHOLE" in text
    assert "cut off" in text  # what was not checked is said
    assert "cut off" not in check(home, since=filled.checkpoint_note()).text()
