"""What is found by words: the folding, the syntax, and the index that only names what is worth looking at."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_day import ALICE, BOB, MALLORY, START, SetClock, without_triggers

from jupyter_audit.errors import LedgerError, UsageError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader, create_ledger, open_ledger
from jupyter_audit.ledger.auditors import parse_auditor_secret
from jupyter_audit.ledger.caches import locked_caches
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.model import Content, Draft, Entry
from jupyter_audit.review import searchindex
from jupyter_audit.review.filters import Filters
from jupyter_audit.review.search import ContentOf, Query, Reading, content_text, fold, match, parse_query, search, texts_of
from jupyter_audit.review.searchindex import Nominated, nominate

# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("DROP table", ("drop", "table"), ()),
        ('"DROP  TABLE"', ("drop table",), ()),
        ('orders -test -"old stuff"', ("orders",), ("test", "old stuff")),
        ('"-rf" x', ("-rf", "x"), ()),
        ("- --", ("-",), ("-",)),
        ('say "unfinished', ("say", '"unfinished'), ()),
        ("a:b AND (c* OR NEAR(d, 2)) ^e", ("a:b", "and", "(c*", "or", "near(d,", "2))", "^e"), ()),
        ("' ; DROP TABLE words --x", ("'", ";", "drop", "table", "words"), ("-x",)),
    ],
)
def test_words_phrases_and_what_must_not_be_there(text: str, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
    assert parse_query(text) == Query(wanted, unwanted)


@pytest.mark.parametrize("text", ["", "   ", "-only -not", '""', "\u200b"])
def test_without_a_word_to_look_for_it_is_said_how(text: str) -> None:
    with pytest.raises(UsageError, match="no word"):
        parse_query(text)


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("ｏｓ.system", "os.system"),
        ("DROP\n\t TABLE", '"drop table"'),
        ("cust\u200bom\u00ader\u2060s", "customers"),
        ("ﬁnal Straße", "FINAL STRASSE"),
        ("x = 1\0\nsecret", "secret"),
        ("a\U000e0041b", "ab"),
        ("caf\u0065\u0301", "caf\u00e9"),
    ],
)
def test_no_spelling_hides_a_word(written: str, asked: str) -> None:
    assert match(parse_query(asked), {"code": written})


def test_all_wanted_words_are_in_one_entry_and_no_unwanted_one() -> None:
    texts = {"reason": "orders are stuck", "ticket": "SHOP-7"}
    assert match(parse_query("stuck shop-7"), texts)
    assert not match(parse_query("stuck -shop"), texts)
    assert not match(parse_query("stuck elsewhere"), texts)
    assert not match(parse_query('"stuck shop-7"'), texts)


@pytest.mark.parametrize(
    ("name", "content", "where", "words"),
    [
        ("message", '{"code": "a\\nb"}', "code", "a\nb"),
        ("message", '{"head": "x = \\"1\\"", "cut": true, "bytes": 9}', "message", 'x = "1"'),
        ("message", '{"code": 7}', "message", ""),
        ("message", "no JSON", "message", "no JSON"),
        ("outputs", '{"outputs": [{"preview": "a"}, {"count": 3}, {"preview": "b"}]}', "output", "a\nb"),
        ("output", '{"events": [[1, "o", "\\u001b[31mr"], [2, "o", "m -rf\\u001b[0m /"], [3, "r", "80x24"]]}', "output", "rm -rf /"),
        ("output", '{"events": [[1, "o", "\\u001b]0;title\\u0007$ ls"]]}', "output", "$ ls"),
        ("output", '{"events": 7}', "output", ""),
        ("input", '{"text": "rm -rf /"}', "input", "rm -rf /"),
        ("blob", "[" * 100_000, "blob", "[" * 100_000),
    ],
)
def test_contents_are_searched_without_the_form_around_them(name: str, content: str, where: str, words: str) -> None:
    assert content_text(name, content) == (where, words)


# --- the index and the ledger ---------------------------------------------------------------------


def seqs(home: Home, words: str, *, scan: bool = False, said: list[str] | None = None, **filters: object) -> list[int]:
    """Return the entries that a search finds, oldest first."""
    query = parse_query(words)
    with LedgerReader.open(home.ledger) as reader:
        tell = said.append if said is not None else lambda _: None
        candidates = None if scan else nominate(home, reader, query, tell=tell).candidates
        found = search(Reading(reader), query, Filters(**filters), candidates)  # type: ignore[arg-type]
        return [hit.entry.seq for hit in found][::-1]


def entry_types(home: Home, words: str, **filters: object) -> set[str]:
    with LedgerReader.open(home.ledger) as reader:
        return {reader.entry(seq).type for seq in seqs(home, words, **filters)}


def test_code_reasons_tickets_outputs_and_findings_are_found(own_day: Home) -> None:
    assert entry_types(own_day, "from customers") == {"cell.admitted"}
    assert entry_types(own_day, "charged SHOP-1042") == {"access.requested"}
    assert entry_types(own_day, "rows x 1 columns") == {"cell.finished"}
    assert "finding.raised" in entry_types(own_day, "onerror=")
    assert entry_types(own_day, "/etc/shadow") == {"cell.refused"}
    assert entry_types(own_day, "customers -select") <= {"access.requested", "finding.raised"}


def test_parts_of_names_and_words_shorter_than_a_trigram_are_found(own_day: Home) -> None:
    assert seqs(own_day, "ustome") == seqs(own_day, "ustome", scan=True) != []
    assert seqs(own_day, "pd") == seqs(own_day, "pd", scan=True) != []
    assert seqs(own_day, "pd import") == seqs(own_day, "pd import", scan=True) != []


def test_filters_narrow_to_a_person_a_session_a_type_and_a_time(own_day: Home) -> None:
    assert entry_types(own_day, "hello", person="alice") == {"cell.admitted", "cell.finished"}  # the server wrote of her cell
    assert seqs(own_day, "hello", person="bob") == []
    assert seqs(own_day, "hello", session="s-mallory00001") == []
    assert entry_types(own_day, "hello", types=["cell.f"]) == set()
    assert entry_types(own_day, "hello", types=["cell."]) == {"cell.admitted", "cell.finished"}
    assert seqs(own_day, "hello", until=START) == []
    assert seqs(own_day, "hello", since=START) == seqs(own_day, "hello")


QUERIES = ("customers", "a", '"select * from"', "é -x", "\\href{javascript", "y" * 5000, '"""', "% _ * ^ : ( ) AND NOT NEAR", "\ud800")


@pytest.mark.parametrize("words", QUERIES)
def test_the_index_finds_exactly_what_reading_everything_finds(own_day: Home, words: str) -> None:
    assert seqs(own_day, words) == seqs(own_day, words, scan=True)


@given(st.text(min_size=1, max_size=12))
def test_whatever_people_type_is_no_error_of_syntax_and_misses_nothing(words: str) -> None:
    text = f"before{words}after"
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=none, tokenize='trigram case_sensitive 1')")
    database.execute("INSERT INTO words (rowid, text) VALUES (7, ?)", (fold(text),))
    term = fold(words)
    if not term:
        return
    query = Query((term,))
    if match(query, {"code": text}):
        found = searchindex._matching(database, query, 8)  # type: ignore[arg-type]
        assert found is None or found == [7]
    database.close()


def test_what_is_appended_later_is_found_and_only_that_is_read_again(own_day: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seqs(own_day, "zebra") == []
    with open_ledger(own_day, clock=SetClock(START)) as ledger:
        added = ledger.append([Draft("cell.admitted", {}, contents={"message": Content(b'{"code": "zebra()"}')})])
    read: list[int] = []
    monkeypatch.setattr(searchindex, "texts_of", lambda entry, of: read.append(entry.seq) or texts_of(entry, of))
    assert seqs(own_day, "zebra") == [added[0].seq]
    assert read == [added[0].seq]
    assert seqs(own_day, "zebra") == [added[0].seq]
    assert read == [added[0].seq]


def test_an_index_whose_making_was_broken_off_goes_on_where_it_was(own_day: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searchindex, "_BATCH", 10)
    read: list[int] = []

    def interrupted(entry: Entry, of: ContentOf) -> dict[str, str]:
        if entry.seq == 25 and 25 not in read:
            read.append(25)
            raise KeyboardInterrupt
        read.append(entry.seq)
        return texts_of(entry, of)

    monkeypatch.setattr(searchindex, "texts_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seqs(own_day, "customers")
    read[:] = [25]
    assert seqs(own_day, "customers") == seqs(own_day, "customers", scan=True)
    assert min(read) == 20


def test_several_people_search_at_once(own_day: Home) -> None:
    right = seqs(own_day, "customers", scan=True)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: seqs(own_day, "customers"), range(8))) == [right] * 8


def index_of(home: Home) -> Path:
    return home.caches / searchindex.FILE


def test_the_index_is_private_and_keeps_no_text(own_day: Home) -> None:
    seqs(own_day, "customers")
    assert index_of(own_day).stat().st_mode & 0o777 == 0o600
    assert own_day.caches.stat().st_mode & 0o777 == 0o700
    assert b"customers" not in index_of(own_day).read_bytes()


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 500)


def _torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return change


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_garbage, "damaged"),
        (_torn, "damaged"),
        (_emptied, "another version"),
        (_sql("DROP TABLE words"), "damaged"),
        (_sql("DROP TABLE unread"), "damaged"),
        (_sql("DELETE FROM state"), "another version"),
        (_sql("UPDATE state SET version = 0"), "another version"),
        (_sql("UPDATE state SET origin = 'jupyter-audit/0000000000000000'"), "another ledger"),
        (_sql("UPDATE state SET size = 1000000"), "old copy"),
        (_sql("UPDATE state SET size = -1"), "the ledger has"),
        (_sql("UPDATE state SET root = ''"), "not those that it knows"),
        (lambda path: path.chmod(0o644), "others could read"),
    ],
)
def test_an_index_that_cannot_be_relied_on_is_made_anew_with_a_word(
    own_day: Home, spoil: Callable[[Path], None], why: str
) -> None:
    right = seqs(own_day, "customers")
    spoil(index_of(own_day))
    said: list[str] = []
    assert seqs(own_day, "customers", said=said) == right
    assert len(said) == 1
    assert why in said[0]
    assert seqs(own_day, "customers", said=said) == right
    assert len(said) == 1


def test_an_index_of_another_ledger_or_of_a_longer_one_is_not_asked(own_day: Home, tmp_path: Path) -> None:
    seqs(own_day, "customers")
    other = Home(tmp_path / "other")
    create_ledger(other, clock=SetClock(START), actor=ALICE)
    other.caches.mkdir(mode=0o700)
    index_of(other).write_bytes(index_of(own_day).read_bytes())
    index_of(other).chmod(0o600)
    said: list[str] = []
    assert seqs(other, "customers", said=said) == []
    assert "another ledger" in said[0]


def test_nothing_that_somebody_wrote_into_the_index_is_shown(own_day: Home) -> None:
    assert seqs(own_day, "zebra") == []
    _sql("INSERT INTO words (rowid, text) VALUES (3, 'zebra'), (-5, 'zebra'), (999999, 'zebra')")(index_of(own_day))
    assert seqs(own_day, "zebra") == []


def test_who_thins_out_the_index_is_found_by_reading_everything(own_day: Home) -> None:
    right = seqs(own_day, "customers")
    path = index_of(own_day)
    _sql("INSERT INTO words (words) VALUES ('delete-all')")(path)
    assert seqs(own_day, "customers") == []
    assert seqs(own_day, "customers", scan=True) == right


# --- what is gone, or changed ---------------------------------------------------------------------


WORD = "жук".encode()
"""A word that no other shares letters with: FTS5 keeps it whole, not only how it differs from the one before."""


def fill(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    create_ledger(home, clock=SetClock(START), actor=ALICE)
    with open_ledger(home, clock=SetClock(START)) as ledger:
        for session in ("s-1", "s-2"):
            code = Content(f'{{"code": "жук_{session}()"}}'.encode(), "application/json")
            ledger.append([Draft("cell.admitted", {}, actor=MALLORY, session=session, contents={"message": code})])
    return home


def bytes_in(folder: Path) -> bytes:
    """Return every byte below a folder of caches."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_purged_words_are_in_no_byte_of_any_cache(tmp_path: Path) -> None:
    home = fill(tmp_path)
    assert seqs(home, "жук") == [1, 2]
    held = hold_open(index_of(home))
    assert WORD in bytes_in(home.caches)

    with open_ledger(home, clock=SetClock(START)) as ledger:
        done = purge(ledger, Wanted(session="s-1"), actor=BOB, reason="asked for")

    assert done.caches_dropped
    assert WORD not in bytes_in(home.caches)
    assert WORD not in held()  # also not in the blocks that the file had: it was overwritten, not only removed
    assert seqs(home, "жук") == [2]
    with open_ledger(home, clock=SetClock(START)) as ledger:
        purge(ledger, Wanted(), actor=BOB, reason="asked for")
    assert seqs(home, "жук") == []
    assert WORD not in bytes_in(home.caches)


def hold_open(path: Path) -> Callable[[], bytes]:
    """Keep a file open, to look at its bytes after it was removed."""
    file = path.open("rb")

    def read() -> bytes:
        with file:
            return file.read()

    return read


def test_a_purge_that_could_not_drop_the_index_is_made_good_by_the_next_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fill(tmp_path)
    seqs(home, "жук")
    monkeypatch.setattr("jupyter_audit.ledger.caches.PATIENCE_S", 0.0)
    with open_ledger(home, clock=SetClock(START)) as ledger, locked_caches(home):
        done = purge(ledger, Wanted(session="s-1"), actor=BOB, reason="asked for")
    assert not done.caches_dropped
    said: list[str] = []
    assert seqs(home, "жук", said=said) == [2]
    assert "contents were purged" in said[0]


def test_a_purge_overwrites_nothing_outside_the_folder_of_caches(tmp_path: Path) -> None:
    home = fill(tmp_path)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    home.caches.mkdir(mode=0o700)
    (home.caches / "link").symlink_to(precious)
    with open_ledger(home, clock=SetClock(START)) as ledger, pytest.raises(LedgerError, match="could not be dropped") as caught:
        purge(ledger, Wanted(session="s-1"), actor=BOB, reason="asked for")
    assert str(home.caches) in caught.value.advice
    assert precious.read_text() == "precious"
    with LedgerReader.open(home.ledger) as reader:
        assert reader.content(1, "message") is None  # the purge itself is done, and said


def test_what_is_purged_while_the_index_is_made_does_not_stay_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = fill(tmp_path)
    monkeypatch.setattr("jupyter_audit.ledger.caches.PATIENCE_S", 0.0)
    purged: list[bool] = []

    def read_then_purge(entry: object, of: object) -> dict[str, str]:
        texts = texts_of(entry, of)  # type: ignore[arg-type]
        if "жук_s-1()" in texts.values() and not purged:
            with open_ledger(home, clock=SetClock(START)) as ledger:
                purged.append(purge(ledger, Wanted(), actor=BOB, reason="asked for").caches_dropped)
        return texts

    monkeypatch.setattr(searchindex, "texts_of", read_then_purge)
    assert seqs(home, "жук") == []
    assert purged == [False]
    assert WORD not in bytes_in(home.caches)


def test_a_content_that_was_changed_is_told_of_and_the_others_are_found(tmp_path: Path) -> None:
    home = fill(tmp_path)
    with without_triggers(home.ledger) as connection:
        connection.execute("UPDATE content SET data = ? WHERE seq = 1", (b'{"code": "harmless()"}',))
    query = parse_query("жук")
    with LedgerReader.open(home.ledger) as reader:
        assert nominate(home, reader, query, tell=lambda _: None) == Nominated([2], damaged=1)
        assert nominate(home, reader, query, tell=lambda _: None) == Nominated([2], damaged=1)
        reading = Reading(reader)
        assert [hit.entry.seq for hit in search(reading, query, Filters())] == [2]
        assert list(reading.damaged) == [(1, "message")]


def test_an_entry_that_no_longer_says_what_the_index_knows_is_not_shown(tmp_path: Path) -> None:
    home = fill(tmp_path)
    assert seqs(home, "жук") == [1, 2]
    with without_triggers(home.ledger) as connection:
        connection.execute("UPDATE content SET data = ? WHERE seq = 1", (b'{"code": "harmless()"}',))
    assert seqs(home, "жук") == [2]


SEALED = Path(__file__).parents[1] / "vectors" / "sealed-v1"


def test_sealed_contents_are_counted_and_what_an_auditor_opens_never_gets_into_the_index(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    shutil.copy(SEALED / "ledger.db", home.ledger)
    query = parse_query("print('sealed')")
    with LedgerReader.open(home.ledger) as reader:
        nominated = nominate(home, reader, query, tell=lambda _: None)
        assert (nominated.candidates, nominated.damaged) == ([], 0)
        reading = Reading(reader)
        assert list(search(reading, query, Filters())) == []
        assert len(reading.sealed) == nominated.sealed > 0
    before = bytes_in(home.caches)
    anna = parse_auditor_secret((SEALED / "anna.auditor").read_text())
    with LedgerReader.open(home.ledger, auditors=[anna]) as reader:
        assert nominate(home, reader, query, tell=lambda _: None) == Nominated(None)
        assert [hit.entry.seq for hit in search(Reading(reader), query, Filters())] == [2]
    assert bytes_in(home.caches) == before
