"""What a glance takes for good, the careful walk takes for good, and counts alike: whatever was signed, whatever stands beside it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import changed_texts, changed_values

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.content import commit as commitment_of
from jupyter_audit.ledger.glance import Glance
from jupyter_audit.ledger.kept import Kept
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import Note, format_note, parse_note
from jupyter_audit.ledger.places import PlaceRow
from jupyter_audit.ledger.purge import Purges, Selection
from jupyter_audit.ledger.walk import Row, Rows, Standing, Terms, Walk

SIGNER = Signer("jupyter-audit/0123456789abcdef", bytes(range(32)))
LABELS = (("cell.admitted", "s-1", "g-1"),) * 254
START = Standing(SIGNER.verifier.name, (SIGNER.verifier,), 254, tuple(sha256(b"%d" % at).digest() for at in range(7)), None, LABELS)
SALT = bytes(32)
DATA = b"print(1)\n" * 20
CODE = {"digest": commitment_of(DATA, SALT), "media_type": "text/plain", "size": len(DATA)}
FIRST: dict[str, Any] = {
    "actor": {"name": "eve", "vouched_by": "os-account"}, "body": {"number": 3, "list": [1, None, "ü"], "x": {"y": 1, "z": "é"}},
    "commit": 2, "contents": {"message": CODE, "output": CODE}, "grant": "g-1", "seq": 254, "session": "s-1",
    "time": "2026-11-24T09:00:00.000000Z", "type": "cell.admitted", "v": 1,
}  # fmt: skip
AT_ONE = Standing(SIGNER.verifier.name, (SIGNER.verifier,), 1, (bytes(32),))
SHORT_SALT = bytes(31)
SECOND = {name: FIRST[name] for name in ("actor", "time", "type", "v")} | {"body": {"number": 4, "ok": True}, "seq": 255}
LONE = {name: FIRST[name] for name in FIRST if name not in ("commit", "contents")} | {"seq": 1}
CONTENTS = [
    (254 * 256, "message", SALT, "plain", DATA),
    (254 * 256 + 1, "output", SALT, "zlib", zlib.compress(DATA)),
]
PURGES = Purges({250: [Selection(250, 0, 249)], 260: [Selection(260, 240, 259, session="s-1", names=frozenset({"output"}))]})
ROW_CHANGES: list[Callable[[list[Any]], object]] = [
    lambda rows: rows.pop(),
    lambda rows: rows.append(rows[-1]),
    lambda rows: rows.reverse(),
    lambda rows: rows.clear(),
    lambda rows: rows.append((CONTENTS[-1][0] + 1, *rows.pop()[1:])),
    lambda rows: rows.append((256 * 256, *CONTENTS[0][1:])),
]


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def signed(raws: Sequence[str], contents: Sequence[Row], start: Standing = START) -> Rows:
    """A commit of these texts, hashed and signed as they are."""
    tree = CompactRange(start.size, start.peaks)
    hashes = {}
    entries: list[Row] = []
    for seq, raw in enumerate(raws, start.size):
        leaf = leaf_hash(raw.encode("utf-8", "surrogatepass"))
        hashes |= {(level, position): digest for level, position, digest in tree.append(leaf)}
        entries.append((seq, leaf, None, raw))
    note = SIGNER.sign(format_checkpoint(Checkpoint(SIGNER.verifier.name, tree.size, tree.root())))
    entries[-1] = (*entries[-1][:2], note, entries[-1][3])
    return Rows(entries, contents, lambda *at: hashes.get(at), places_stored)


def places_stored(rows: Sequence[PlaceRow]) -> bool:
    """What is stored: the places of blocks whose entries are all of the type and grant of `FIRST`, in one session or none."""
    return {row[:2] for row in rows} == {("type", "cell.admitted"), ("session", "s-1"), ("grant", "g-1")}


def glanced(glance: Glance, commit: Rows, start: Standing = START) -> Walk | None:
    walk = Walk(glance.terms, start)
    return walk if glance.follow(walk, commit) else None


def walked(terms: Terms, commit: Rows, start: Standing) -> Walk | None:
    walk = Walk(terms, start)
    try:
        walk.go(commit)
    except (VerificationError, UnicodeEncodeError):
        return None
    return walk if walk.ended() else None


def compare(terms: Terms, commit: Rows, start: Standing = START) -> bool:
    """Hold a glance, new and used, to the careful walk; return whether it had no doubt."""
    used = Glance(terms)
    for purged in (CONTENTS, CONTENTS[:1]):
        glanced(used, signed([canonical(FIRST), canonical(SECOND)], purged))
    for lone in ([LONE], [LONE | {"commit": 2}, SECOND | {"seq": 2}]):
        assert glanced(used, signed([canonical(value) for value in lone], [], AT_ONE), AT_ONE)
    careful = walked(terms, commit, start)
    sure = []
    for glance in (Glance(terms), used):
        seen = glanced(glance, commit, start)
        sure.append(seen is not None)
        if seen is not None:
            assert careful is not None
            assert seen.standing() == careful.standing()
            assert asdict(seen.counts) == asdict(careful.counts)
    assert sure[0] == sure[1]
    return sure[0]


def terms(purges: Purges | None = None) -> Terms:
    return Terms([SIGNER.verifier], [], purges or Purges({}), ())


@pytest.mark.parametrize("purged", [False, True], ids=["held", "purged"])
def test_what_is_as_it_should_be_is_beyond_doubt(purged: bool) -> None:
    held = terms(PURGES if purged else None)
    assert compare(held, signed([canonical(FIRST), canonical(SECOND)], CONTENTS[:1] if purged else CONTENTS))
    assert not compare(held, signed([canonical(FIRST), canonical(SECOND)], CONTENTS if purged else CONTENTS[:1]))


@settings(max_examples=300)
@given(st.tuples(changed_values([FIRST]), changed_values([SECOND], [FIRST["contents"], CODE])), st.booleans())
def test_no_changed_value_that_was_signed_passes_at_a_glance_only(values: tuple[Any, Any], purged: bool) -> None:
    raws = [canonical(value) for value in values]
    compare(terms(PURGES if purged else None), signed(raws, CONTENTS[:1] if purged else CONTENTS))


@settings(max_examples=300)
@given(st.tuples(changed_texts([canonical(FIRST)]), changed_texts([canonical(SECOND)])))
def test_no_changed_text_that_was_signed_passes_at_a_glance_only(raws: tuple[str, str]) -> None:
    compare(terms(), signed(raws, CONTENTS))


@settings(max_examples=300)
@given(
    changed_values([[list(row) for row in CONTENTS]]), st.sampled_from([*ROW_CHANGES, lambda rows: None]),
    st.sampled_from([0, 0, 1]), st.binary(max_size=3), st.booleans(),
)  # fmt: skip
def test_no_changed_content_passes_at_a_glance_only(
    rows: Any, change: Callable[[list[Any]], object], flip: int, end: bytes, purged: bool
) -> None:
    contents = [list(row) for row in rows if isinstance(row, list) and len(row) == 5] if isinstance(rows, list) else []
    contents = [row for row in contents if not any(isinstance(value, (list, dict)) for value in row)]  # SQLite has none
    contents = contents[:1] if purged else contents
    if contents and isinstance(contents[-1][4], bytes) and contents[-1][4]:
        contents[-1][4] = contents[-1][4][:-1] + bytes([contents[-1][4][-1] ^ flip]) + end
    if contents:
        change(contents)
    held = terms(PURGES if purged else None)
    compare(held, signed([canonical(FIRST), canonical(SECOND)], [tuple(row) for row in contents]))


NOTE = str(list(signed([canonical(FIRST), canonical(SECOND)], CONTENTS).entries)[-1][2])


def with_note(commit: Rows, note: object) -> Rows:
    *others, last = commit.entries
    return replace(commit, entries=[*others, (*last[:2], note, last[3])])


@settings(max_examples=200)
@given(changed_texts([NOTE, f"{NOTE}{NOTE.rpartition(chr(10) * 2)[2]}"]))
def test_no_changed_checkpoint_passes_at_a_glance_only(note: str) -> None:
    compare(terms(), with_note(signed([canonical(FIRST), canonical(SECOND)], CONTENTS), note))


@pytest.mark.parametrize(
    "change",
    [
        {"v": True}, {"v": 2}, {"seq": True}, {"commit": 3}, {"commit": True}, {"clock_back": True}, {"clock_back": False},
        {"time": "2026-11-24T08:59:59.999999Z"}, {"time": "2026-11-24T09:00:00.00000Z"}, {"time": 1}, {"grant": None},
        {"body": [1]}, {"body": {"f": 1.5}}, {"body": {"f": [{"g": 1e16}]}}, {"body": {"n": 2**53}}, {"body": {"n": 2**53 - 1}},
        {"body": {"x": {"é": 1, "z": 2}}}, {"body": {"\ue000": 1, "\U0001f600": 2}}, {"body": {"s": "\U0001f600\u2028\x7f"}}, {"contents": {}}, {"type": "content.purged"},
        {"type": "ledger.key_rotated"}, {"contents": {"message": CODE | {"size": -1}}}, {"actor": {"name": "eve", "vouched_by": ""}},
    ],
    ids=str,
)  # fmt: skip
def test_each_of_these_is_judged_alike_where_many_others_were_seen_before(change: dict[str, Any]) -> None:
    for raws in ([FIRST | change, SECOND], [FIRST, SECOND | change]):
        compare(terms(), signed([canonical(value) for value in raws], CONTENTS))


WHOLE = [canonical(FIRST), canonical(SECOND)]


def first(**change: Any) -> list[str]:
    return [canonical(FIRST | change), canonical(SECOND)]


def with_code(**change: Any) -> list[str]:
    return first(contents={"message": CODE | change})


BY_SHORT_SALT = sha256(b"jupyter-audit content v1\0" + SHORT_SALT + DATA).hexdigest()
ONE = commitment_of(b"x", SALT)
DEEP: Any = []
for _ in range(70):
    DEEP = [DEEP]
DAMAGED: dict[str, tuple[list[str], list[Row]]] = {
    "salt of another length": (with_code(digest=BY_SHORT_SALT), [(254, "message", SHORT_SALT, "plain", DATA)]),
    "size that is true": (with_code(digest=ONE, size=True), [(254, "message", SALT, "plain", b"x")]),
    "row's number with a fraction": (with_code(), [(254.0, *CONTENTS[0][1:])]),
    "name that is none": (first(contents={"Message": CODE}), [(254, "Message", *CONTENTS[0][2:])]),
    "stream that does not end": (with_code(), [(254, "message", SALT, "zlib", zlib.compress(DATA)[:-1])]),
    "sealed, and is not": (with_code(sealed="0" * 64), [CONTENTS[0]]),
    "no content at all": (first(contents={}), []),
    "media type that is none": (with_code(media_type=""), [CONTENTS[0]]),
    "digest in capitals": (with_code(digest=CODE["digest"].upper()), [CONTENTS[0]]),
    "other member in v's place": ([canonical({n: v for n, v in (FIRST | {'"v': 1}).items() if n != "v"}), canonical(SECOND)], CONTENTS),
    "float among many flat bodies": ([canonical(FIRST), canonical(SECOND | {"body": {"x": [1.5]}})], CONTENTS),
    "later entry that begins a commit": ([canonical(FIRST), canonical(SECOND | {"commit": 2})], CONTENTS),
    "content of an entry that has none": ([canonical(FIRST), canonical(SECOND)], [*CONTENTS, (255, *CONTENTS[0][1:])]),
    "contents in another order": ([canonical(FIRST), canonical(SECOND)], CONTENTS[::-1]),
    "too long": (first(body={"s": "x" * 2**20}), CONTENTS),
    "too deep": (first(body={"s": DEEP}), CONTENTS),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_wrong_and_signed_is_doubted(name: str) -> None:
    assert not compare(terms(), signed(*DAMAGED[name]))


@pytest.mark.parametrize("change", [{"seq": True}, {"commit": True}, {"commit": 1}], ids=str)
def test_true_is_not_one(change: dict[str, Any]) -> None:
    assert compare(terms(), signed([canonical(LONE)], [], AT_ONE), AT_ONE)
    assert not compare(terms(), signed([canonical(LONE | change)], [], AT_ONE), AT_ONE)


@pytest.mark.parametrize("change", [{"digest": "0"}, {"size": True}, {"size": -1}, {"sealed": "x"}], ids=str)
def test_what_is_purged_has_its_form_all_the_same(change: dict[str, Any]) -> None:
    purges = Purges({260: [Selection(260, 240, 259)]})
    assert compare(terms(purges), signed(with_code(), []))
    assert not compare(terms(purges), signed(with_code(**change), []))


def test_what_is_stored_to_save_time_is_compared() -> None:
    whole = signed(WHOLE, CONTENTS)
    one, two = whole.entries
    for entries in ([(254, bytes(32), *one[2:]), two], [one, (254, *two[1:])], [one], [two], [one, two, two]):
        assert not compare(terms(), replace(whole, entries=entries))
    assert not compare(terms(), replace(whole, subtree=lambda *at: None))
    assert not compare(terms(), replace(whole, subtree=lambda *at: bytes(32)))
    assert not compare(terms(), replace(whole, has_places=lambda rows: False))


def test_a_signature_is_that_of_the_key_in_force_and_stands_where_the_commit_ends() -> None:
    whole = signed(WHOLE, CONTENTS)
    text = NOTE.rpartition("\n\n")[0] + "\n"
    line = parse_note(NOTE).signatures[0]
    other = Signer(SIGNER.verifier.name, bytes(32))
    forged = [
        other.sign(text),
        format_note(Note(text, (replace(line, signature=other.signature(text.encode())),))),
        format_note(Note(text, (replace(line, key_id=bytes(4)),))),
        None,
        NOTE.encode(),
    ]
    for note in forged:
        assert not compare(terms(), with_note(whole, note))
    one, two = whole.entries
    assert not compare(terms(), replace(whole, entries=[(*one[:2], NOTE, one[3]), two]))


def test_a_checkpoint_that_was_kept_is_compared_entry_by_entry() -> None:
    kept = Kept(SIGNER.sign(format_checkpoint(Checkpoint(SIGNER.verifier.name, 255, bytes(32)))))
    assert not compare(replace(terms(), kept=[kept]), signed(WHOLE, CONTENTS))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
def test_a_tree_that_grows_by_many_is_the_one_that_grows_by_one(steps: list[int]) -> None:
    one, many = CompactRange(), CompactRange()
    for step in steps:
        leaves = [leaf_hash(b"%d" % (one.size + number)) for number in range(step)]
        completed = [done for leaf in leaves for done in one.append(leaf, levels=2)]
        assert sorted(many.extend(leaves, levels=2)) == sorted(completed)
        assert (many.size, many.peaks) == (one.size, one.peaks)


SELECTIONS = st.builds(
    lambda purge, first, length, session, actor, names: Selection(purge, first, first + length, session, actor, names),
    st.integers(50, 60), st.integers(0, 20), st.integers(0, 9), st.sampled_from([None, "s", "t"]), st.sampled_from([None, "eve"]),
    st.sampled_from([None, frozenset({"message"}), frozenset({"message", "output"})]),
)  # fmt: skip


@given(st.lists(SELECTIONS, max_size=6))
def test_purges_are_found_by_their_ranges_as_by_asking_each(selections: list[Selection]) -> None:
    by_purge: dict[int, list[Selection]] = {}
    for selection in selections:
        by_purge.setdefault(selection.purge, []).append(selection)
    purges = Purges(by_purge)
    for seq in range(32):
        for session in (None, "s", "u"):
            for actor in ("eve", "ada"):
                for name in ("message", "output", "stdin"):
                    covered = any(
                        s.first <= seq <= s.last
                        and s.session in (None, session)
                        and s.actor in (None, actor)
                        and (s.names is None or name in s.names)
                        for s in selections
                    )
                    assert purges.cover(seq, session, actor, name) == covered
