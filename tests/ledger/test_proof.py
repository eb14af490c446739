"""A proof file convinces whoever has the first key alone; anything else in it is refused."""

from __future__ import annotations

import contextlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_story import SetClock, Story, a_draft

from jupyter_audit.errors import LedgerError, UsageError, VerificationError
from jupyter_audit.ledger import LedgerReader, open_ledger
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.merkle import inclusion_proof, leaf_hash
from jupyter_audit.ledger.note import VerifierKey, parse_verifier_key
from jupyter_audit.ledger.proof import ENTRY_FORMAT, ProvenEntry, ProvenGrowth, check_proof, format_tlog_proof
from jupyter_audit.ledger.proving import prove_entry, prove_growth


def first_key(story: Story) -> VerifierKey:
    return parse_verifier_key(story.home.verifier_key.read_text())


def entry_proof(story: Story, seq: int, *, with_contents: bool = False) -> str:
    with LedgerReader.open(story.home.ledger) as reader:
        return prove_entry(reader, seq, with_contents=with_contents)


def test_every_entry_is_proven_with_the_first_key_alone_though_the_key_was_changed(story: Story) -> None:
    with LedgerReader.open(story.home.ledger) as reader:
        for seq in [*range(20), 255, 256, 257, *range(270, story.size)]:
            proven = check_proof(prove_entry(reader, seq, with_contents=True), [first_key(story)])

            assert isinstance(proven, ProvenEntry)
            assert proven.entry == reader.entry(seq)
            assert proven.checkpoint.size == story.size
            held = {name: reader.content(seq, name) for name in proven.entry.contents}
            assert proven.contents == {name: data for name, data in held.items() if data is not None}


def test_contents_are_only_in_a_proof_that_was_asked_for_them(story: Story) -> None:
    assert "print(3)" not in entry_proof(story, 3)
    assert json.loads(entry_proof(story, 3))["contents"] == {}
    assert json.loads(entry_proof(story, story.purged, with_contents=True))["contents"] == {}


def test_a_proof_is_none_under_another_key_or_under_a_later_one_alone(story: Story) -> None:
    stranger = Signer.generate(first_key(story).name).verifier
    for keys in ([], [stranger]):
        with pytest.raises(VerificationError, match="cannot be believed"):
            check_proof(entry_proof(story, 3), keys)


def test_the_key_that_was_ended_cannot_prove_what_came_after_it(story: Story) -> None:
    """Whoever finds the old secret signs a tree of their own; shown beside the key change it is not believed."""
    value = json.loads(entry_proof(story, 3))
    old = Signer.generate(first_key(story).name)  # stands for the old secret: trusted by the auditor below
    forged = '{"actor":{"name":"eve","vouched_by":"x"},"body":{},"seq":0,"time":"2026-11-24T09:00:00.000000Z","type":"a.b","v":1}'
    leaf = leaf_hash(forged.encode())
    note = old.sign(format_checkpoint(Checkpoint(old.verifier.name, 1, leaf)))
    value["entry"], value["proof"] = forged, format_tlog_proof(0, inclusion_proof(lambda *_: leaf, 0, 1), note)

    with pytest.raises(VerificationError, match="cannot be believed"):
        check_proof(json.dumps(value), [first_key(story), old.verifier])


def test_an_entry_that_stands_elsewhere_than_it_says_is_not_proven() -> None:
    """Whoever has the key could show one of two entries of the same number, as it suits them."""
    liar = Signer.generate("a/ledger")
    raw = '{"actor":{"name":"eve","vouched_by":"x"},"body":{},"seq":1,"time":"2026-11-24T09:00:00.000000Z","type":"a.b","v":1}'
    leaf = leaf_hash(raw.encode())
    note = liar.sign(format_checkpoint(Checkpoint(liar.verifier.name, 1, leaf)))
    shown = format_tlog_proof(0, inclusion_proof(lambda *_: leaf, 0, 1), note)
    value = {"format": ENTRY_FORMAT, "entry": raw, "proof": shown, "key_changes": [], "contents": {}}

    with pytest.raises(VerificationError, match="says that it is entry 1"):
        check_proof(json.dumps(value), [liar.verifier])


def test_growth_between_any_two_checkpoints_is_proven(story: Story) -> None:
    with LedgerReader.open(story.home.ledger) as reader:
        notes = [note for (note,) in reader.connection.execute("SELECT note FROM entry WHERE note IS NOT NULL ORDER BY seq")]
        for older, newer in [(0, 1), (0, -1), (3, 12), (11, 13), (-4, -1), (-1, -1)]:
            shown = check_proof(prove_growth(reader, notes[older], notes[newer]), [first_key(story)])
            assert isinstance(shown, ProvenGrowth)
        newest = check_proof(prove_growth(reader, story.kept), [first_key(story)])
        assert isinstance(newest, ProvenGrowth)
        assert (newest.old.size, newest.new.size) == (12, story.size)
        with pytest.raises(UsageError, match="fewer than"):
            prove_growth(reader, notes[-1], notes[0])


def test_what_is_no_checkpoint_of_this_ledger_is_refused_in_words(story: Story) -> None:
    key = Signer.generate("jupyter-audit/0000000000000000")
    with LedgerReader.open(story.home.ledger) as reader:
        with pytest.raises(UsageError, match="not a checkpoint"):
            prove_growth(reader, "hello")
        with pytest.raises(UsageError, match="not of"):
            prove_growth(reader, key.sign("jupyter-audit/0000000000000000\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"))
        with pytest.raises(LedgerError, match="There is no entry"):
            prove_entry(reader, story.size, with_contents=False)


def test_growth_from_a_checkpoint_that_is_ahead_or_another_is_called_by_its_name(story: Story, clock: SetClock) -> None:
    with open_ledger(story.home, clock=clock) as ledger:
        before = story.kept.split("\n")
        other = "\n".join([before[0], before[1], "A" * 43 + "=", *before[3:]])
        with pytest.raises(VerificationError) as fork:
            prove_growth(ledger, other)
        ahead = "\n".join([before[0], "100000", *before[2:]])
        with pytest.raises(VerificationError) as rollback:
            prove_growth(ledger, ahead)
        ledger.append([a_draft(1)])
    assert (fork.value.damage, rollback.value.damage) == ("fork", "rollback")


@pytest.mark.parametrize("which", ["entry", "growth"])
def test_no_changed_character_of_a_proof_says_something_else(story: Story, which: str) -> None:
    with LedgerReader.open(story.home.ledger) as reader:
        text = prove_entry(reader, 5, with_contents=True) if which == "entry" else prove_growth(reader, story.kept)
    key = first_key(story)
    told = check_proof(text, [key])
    luck = random.Random(3)
    for at in range(0, len(text), 3):
        changed = text[:at] + chr(ord(text[at]) ^ (1 << luck.randrange(7))) + text[at + 1 :]
        with contextlib.suppress(VerificationError):
            assert check_proof(changed, [key]) == told  # white space between JSON's members


@given(st.text())
def test_any_text_is_a_proof_or_is_refused_in_words(text: str) -> None:
    with pytest.raises(VerificationError):
        check_proof(text, [])


JSON = st.recursive(st.none() | st.integers() | st.text() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8)


@given(st.fixed_dictionaries({"format": st.just(ENTRY_FORMAT), "entry": JSON, "proof": JSON, "key_changes": JSON, "contents": JSON}))
def test_any_object_of_the_right_members_is_refused_in_words(value: dict[str, object]) -> None:
    with pytest.raises(VerificationError):
        check_proof(json.dumps(value), [Signer("x", bytes(32)).verifier])
