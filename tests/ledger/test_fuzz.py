"""
The reader of every part of the format, fed with changed input: it reads what has the one spelling, or says its own error.

`READERS` is the table: what it starts from, how it is read, the error that its docstring promises, and how what was
read is written again. `make test` tries some hundred inputs for each, the same ones each time; `make soak` thousands.
"""

from __future__ import annotations

import json
import shutil
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_story import SetClock
from mutations import changed_bytes, changed_json, changed_texts
from nacl.public import PrivateKey
from nacl.pwhash import argon2id
from nacl.signing import SigningKey

from jupyter_audit.clock import format_time
from jupyter_audit.errors import RollbackError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.anchors import Anchors, newest_kept
from jupyter_audit.ledger.auditors import AuditorKey, AuditorKeyError, AuditorSecret, parse_auditor_key, parse_auditor_secret
from jupyter_audit.ledger.canonical import CanonicalError, canonicalize, parse_canonical
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint, unverified_checkpoint
from jupyter_audit.ledger.content import ContentError, check_commitment, pack, unpack
from jupyter_audit.ledger.cosignature import (
    WitnessKey,
    cosignature_line,
    cosigned_message,
    format_witness_key,
    parse_witness_key,
    verify_cosignatures,
)
from jupyter_audit.ledger.envelope import KEY_ROTATED, EnvelopeError, format_entry, parse_envelope, write_down
from jupyter_audit.ledger.keys import Signer, parse_signing_key, unprotect
from jupyter_audit.ledger.merkle import CompactRange, leaf_hash
from jupyter_audit.ledger.note import (
    Note,
    NoteError,
    format_note,
    format_signature,
    format_verifier_key,
    parse_named_key,
    parse_note,
    parse_signatures,
    parse_verifier_key,
)
from jupyter_audit.ledger.places import parse_offsets
from jupyter_audit.ledger.proof import (
    Inclusion,
    ProvenEntry,
    ProvenGrowth,
    _parse_tlog_proof,
    check_key_change,
    check_proof,
    format_key_change,
    format_tlog_proof,
    unverified_origin,
)
from jupyter_audit.ledger.proving import prove_entry, prove_growth
from jupyter_audit.ledger.purge import parse_selections
from jupyter_audit.ledger.remembered import load_remembered, remember
from jupyter_audit.ledger.sealing import SealError, recipients, seal, unseal
from jupyter_audit.model import Commitment, Content, Draft

GOLDEN = Path(__file__).parents[1] / "vectors" / "ledger-v1"
SIGNER = Signer("jupyter-audit/0123456789abcdef", bytes(range(32)))
CHECKPOINTS = [
    format_checkpoint(Checkpoint(SIGNER.verifier.name, size, bytes([size % 256]) * 32)) for size in (0, 1, 12, 10**6, 2**63 - 1)
]
NOTES = [SIGNER.sign(text) for text in CHECKPOINTS]
NOTES.append(NOTES[1] + Signer("witness.example/w", bytes(32)).sign(CHECKPOINTS[1]).rpartition("\n\n")[2])
ENTRY: dict[str, Any] = {
    "actor": {"name": "eve", "vouched_by": "os-account"}, "body": {"number": 3, "list": [1, None, "ü"]}, "clock_back": True,
    "commit": 2, "contents": {"message": {"digest": "0" * 64, "media_type": "text/plain", "size": 9}}, "grant": "g-1",
    "seq": 40, "session": "s-1", "time": "2026-11-24T09:00:00.000000Z", "type": "cell.admitted", "v": 1,
}  # fmt: skip
PLAIN_ENTRY = {name: ENTRY[name] for name in ("actor", "body", "seq", "time", "type", "v")}
SELECTIONS: list[dict[str, Any]] = [
    {"first": 0, "last": 39, "session": "s-1", "actor": "eve", "names": ["message", "output"]},
    {"first": 4, "last": 4},
]
PURGE = PLAIN_ENTRY | {"type": "content.purged", "body": {"contents": SELECTIONS, "reason": "asked for"}}
AUDITOR = AuditorSecret(AuditorKey("ada", bytes(PrivateKey(bytes(range(32))).public_key)), bytes(range(32)))
SUCCESSOR = Signer(SIGNER.verifier.name, bytes(range(1, 33)))
WITNESS = SigningKey(bytes(range(2, 34)))
WITNESS_KEY = WitnessKey("witness.example/w", bytes(WITNESS.verify_key))
COSIGNED_AT = 1_800_000_000
PASSPHRASE = b"correct horse battery staple"


def entry_again(raw: str) -> str:
    """Read an entry and make it again from what was read, as the writer makes it."""
    envelope = parse_envelope(raw)
    entry = envelope.entry
    draft = Draft(
        entry.type, entry.body, actor=entry.actor, grant=entry.grant, session=entry.session,
        contents={name: Content(b"", commitment.media_type) for name, commitment in entry.contents.items()},
    )  # fmt: skip
    return format_entry(
        write_down(draft, entry.contents), entry.seq, entry.time, format_time(entry.time),
        clock_back=envelope.clock_back, commit=envelope.commit,
    ).raw  # fmt: skip


def purge_again(raw: str) -> str:
    """Read a purge and write its selections again; the order of names, and a name said twice, mean nothing."""
    entry = parse_envelope(raw).entry
    written = []
    for selection in parse_selections(entry):
        item: dict[str, Any] = {"first": selection.first, "last": selection.last}
        item |= {"session": selection.session} if selection.session is not None else {}
        item |= {"actor": selection.actor} if selection.actor is not None else {}
        item |= {"names": sorted(selection.names)} if selection.names is not None else {}
        written.append(item)
    said = json.loads(raw)["body"]["contents"]
    assert written == [item | ({"names": sorted(set(item["names"]))} if "names" in item else {}) for item in said]
    return raw


def proof_again(text: str) -> str:
    index, path, note = _parse_tlog_proof(text)
    return format_tlog_proof(index, path, note)


def note_kept_again(text: str) -> str:
    """What was kept is the text itself, or a checkpoint that one of its lines holds."""
    newest = newest_kept(text)
    if newest != text:
        assert isinstance(attempt(lambda: unverified_checkpoint(newest), NoteError), Checkpoint)
        assert newest in [json.loads(line).get("note") for line in text.splitlines() if _is_object(line)]
    return text


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def protected_again(text: str) -> str:
    """A protected line opens to the very key that was protected, or not at all."""
    assert unprotect(text, PASSPHRASE) == SIGNER.secret_text()
    assert text.split("+")[:4] == SIGNER.protected_text(PASSPHRASE).split("+")[:4]
    return text


def auditor_key_again(text: str) -> str:
    """White space around it is passed over: it comes from a setting."""
    return text if str(parse_auditor_key(text)) == text.strip() else ""


def auditor_secret_again(text: str) -> str:
    return text if parse_auditor_secret(text).text() == text.removesuffix("\n") + "\n" else ""


def cosigned_again(text: str) -> str:
    """What the witness is said to have cosigned is what it did cosign, then and no other time; its line may be missing."""
    note = parse_note(text)
    for cosignature in verify_cosignatures(note, [WITNESS_KEY]).values():
        assert (note.text, cosignature.time.timestamp()) == (CHECKPOINTS[2], COSIGNED_AT)
    return format_note(note)


def answer_again(text: str) -> str:
    return "".join(map(format_signature, parse_signatures(text)))


def key_change_again(text: str) -> str:
    """Nothing names a next key but the entry that the key before it signed."""
    unverified_origin(text)
    ended, named, checkpoint = check_key_change(text, [SIGNER.verifier])
    assert (ended, named, checkpoint.size) == (SIGNER.verifier, SUCCESSOR.verifier, 2)
    assert json.loads(text)["entry"] == json.loads(a_key_change())["entry"]
    return text


def places_again(text: str) -> str:
    """Whatever is stored, what is read are places in the block."""
    assert all(type(offset) is int and 0 <= offset < 256 for offset in parse_offsets(0, text))
    return text


def a_cosigned_note() -> str:
    line = cosignature_line(WITNESS_KEY, COSIGNED_AT, WITNESS.sign(cosigned_message(CHECKPOINTS[2], COSIGNED_AT)).signature)
    note = parse_note(NOTES[2])
    return format_note(Note(note.text, (*note.signatures, line)))


def a_key_change() -> str:
    body = {"epoch": 1, "verifier_key": format_verifier_key(SUCCESSOR.verifier)}
    raw = canonicalize(PLAIN_ENTRY | {"seq": 1, "type": KEY_ROTATED, "body": body})[0]
    tree, first = CompactRange(), leaf_hash(b"{}")
    tree.append(first)
    tree.append(leaf_hash(raw.encode()))
    note = SIGNER.sign(format_checkpoint(Checkpoint(SIGNER.verifier.name, 2, tree.root())))
    return format_key_change(Inclusion(raw, format_tlog_proof(1, [first], note)))


@dataclass(frozen=True)
class Reader:
    """One reader of the format: `again` reads a text and writes what was read."""

    name: str
    inputs: st.SearchStrategy[str]
    again: Callable[[str], str]
    error: type[Exception]


def readers() -> list[Reader]:
    objects: list[Any] = [ENTRY, PLAIN_ENTRY, PURGE, {"a": {"ü": [1, -5, "x"], "\U0001f600": {}}, "": None, "ﬀ": 0}]
    tlog_proofs = [format_tlog_proof(5, [bytes(32), b"\xff" * 32], NOTES[2]), format_tlog_proof(0, [], NOTES[1])]
    kept = "".join(json.dumps({"origin": SIGNER.verifier.name, "size": size, "note": NOTES[size]}) + "\n" for size in (1, 2))
    return [
        Reader("canonical JSON", changed_json(objects), lambda text: canonicalize(parse_canonical(text))[0], CanonicalError),
        Reader("an entry", changed_json([ENTRY, PLAIN_ENTRY]), entry_again, EnvelopeError),
        Reader("a purge", changed_json([PURGE], SELECTIONS), purge_again, EnvelopeError),
        Reader("a signed note", changed_texts([*NOTES, "text\n\n\u2014 name AAAAAAA=\n"]), lambda text: format_note(parse_note(text)), NoteError),
        Reader("a checkpoint", changed_texts(CHECKPOINTS), lambda text: format_checkpoint(parse_checkpoint(text)), NoteError),
        Reader("a verifier key", changed_texts([format_verifier_key(SIGNER.verifier)]),
               lambda text: format_verifier_key(parse_named_key(text)), NoteError),
        Reader("a signing key", changed_texts([SIGNER.secret_text()]),
               lambda text: parse_signing_key(text).secret_text().removesuffix("\n" * (not text.endswith("\n"))), NoteError),
        Reader("a protected key", changed_texts([SIGNER.protected_text(PASSPHRASE)]), protected_again, NoteError),
        Reader("an auditor's key", changed_texts([str(AUDITOR.public)]), auditor_key_again, AuditorKeyError),
        Reader("an auditor's secret key", changed_texts([AUDITOR.text()]), auditor_secret_again, AuditorKeyError),
        Reader("a tlog-proof", changed_texts(tlog_proofs), proof_again, VerificationError),
        Reader("a witness's key", changed_texts([format_witness_key(WITNESS_KEY)]),
               lambda text: text if format_witness_key(parse_witness_key(text)) == text.strip() else "", NoteError),
        Reader("a cosigned checkpoint", changed_texts([a_cosigned_note()]), cosigned_again, NoteError),
        Reader("a witness's answer", changed_texts([a_cosigned_note().rpartition("\n\n")[2]]), answer_again, NoteError),
        Reader("a key change alone", changed_json([json.loads(a_key_change())]), key_change_again, VerificationError),
        Reader("stored places", changed_json([[], [0], [3, 4, 255]]), places_again, VerificationError),
        Reader("a file of checkpoints", changed_texts([kept, *NOTES]), note_kept_again, NoteError),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def cheap_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id is made to be slow; what is tried here is what surrounds it."""
    monkeypatch.setattr(argon2id, "OPSLIMIT_INTERACTIVE", argon2id.OPSLIMIT_MIN)
    monkeypatch.setattr(argon2id, "MEMLIMIT_INTERACTIVE", argon2id.MEMLIMIT_MIN)


NAMES = [reader.name for reader in readers()]


def fuzz(inputs: st.SearchStrategy[Any], judge: Callable[[Any], None], examples: int) -> None:
    """Give `judge` this many inputs."""

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def run(value: Any) -> None:
        judge(value)

    run()


def attempt(act: Callable[[], Any], error: type[Exception]) -> Any:
    """Return what `act` returns, or the error of this type that it raises."""
    try:
        return act()
    except error as raised:
        return raised


def check_reader(name: str, examples: int) -> None:
    [reader] = [reader for reader in readers() if reader.name == name]
    read_any = False

    def judge(text: str) -> None:
        nonlocal read_any
        again = attempt(lambda: reader.again(text), reader.error)
        if isinstance(again, str):
            assert again == text
            read_any = True
        else:
            assert isinstance(again, reader.error)
            assert str(again)

    fuzz(reader.inputs, judge, examples)
    assert read_any, "nothing that was tried could be read: the inputs are too far from what is valid"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a purge", json.dumps(PURGE | {"body": {"contents": [SELECTIONS[1] | {"session": None}]}}, separators=(",", ":"), sort_keys=True)),
        ("a verifier key", format_verifier_key(SIGNER.verifier) + "\n"),
        ("a verifier key", "\ud800" + format_verifier_key(SIGNER.verifier)),
        ("a signing key", SIGNER.secret_text().replace("jupyter", "\ud800")),
        ("a signing key", SIGNER.secret_text().removeprefix("PRIVATE+KEY+")),
    ],
)
def test_what_once_was_read_and_has_another_spelling_is_refused(name: str, text: str) -> None:
    [reader] = [reader for reader in readers() if reader.name == name]
    with pytest.raises(reader.error):
        reader.again(text)


def test_a_protected_key_that_does_not_say_so_is_none() -> None:
    with pytest.raises(NoteError, match="not a protected"):
        unprotect(SIGNER.protected_text(PASSPHRASE).removeprefix("PROTECTED+KEY+"), PASSPHRASE)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_has_the_one_spelling_and_the_rest_is_refused_in_words(name: str) -> None:
    check_reader(name, 120)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_thousands_of_changed_inputs_are_read_or_refused_in_words(name: str) -> None:
    check_reader(name, 5_000)


# --- contents -------------------------------------------------------------------------------------------


PACKED = {pack(text): text for text in (b"", b"short", b"x" * 5000, b"print(1)\n" * 300, bytes(range(256)) * 8)}


def stored_contents() -> st.SearchStrategy[tuple[object, object, int]]:
    bombs = [zlib.compress(bytes(3_000_000), 9), zlib.compress(zlib.compress(bytes(3_000_000), 9))]
    anything = st.tuples(
        st.sampled_from(["plain", "zlib", "", "ZLIB", None, b"zlib", 5]),
        changed_bytes([*(data for _, data in PACKED), *bombs]) | st.sampled_from([None, "text", 5]),
        st.sampled_from([0, 1, 5000, 2700, 2048, 3_000_000, 2**53 - 1]) | st.integers(0, 10_000),
    )
    nearly = st.sampled_from(list(PACKED)).flatmap(
        lambda stored: st.tuples(st.just(stored[0]), changed_bytes([stored[1]]), st.just(len(PACKED[stored])))
    )
    return anything | nearly


def check_contents(examples: int) -> None:
    unpacked = []

    def judge(stored: tuple[Any, Any, int]) -> None:
        encoding, data, size = stored
        whole = attempt(lambda: unpack(encoding, data, size), ContentError)
        if isinstance(whole, bytes):
            assert len(whole) == size
            assert encoding in ("plain", "zlib")
            assert whole == PACKED.get((encoding, data), whole)
            unpacked.append((encoding, data) in PACKED)
        else:
            assert str(whole)

    fuzz(stored_contents(), judge, examples)
    assert any(unpacked), "nothing that was packed was unpacked"


def test_stored_content_unpacks_to_its_size_or_is_refused_in_words() -> None:
    check_contents(150)


@pytest.mark.soak
def test_thousands_of_stored_contents_unpack_or_are_refused_in_words() -> None:
    check_contents(5_000)


@pytest.mark.parametrize("more", [b"", b"\x00", b"more"])
def test_content_that_packs_comes_back_and_what_is_behind_it_is_not_passed_over(more: bytes) -> None:
    whole = b"print('a cell')\n" * 200
    encoding, data = pack(whole)
    assert encoding == "zlib"
    if not more:
        assert unpack(encoding, data, len(whole)) == whole
        return
    with pytest.raises(ContentError, match="does not end where it should"):
        unpack(encoding, data + more, len(whole))


@pytest.mark.parametrize("claimed", [0, 8, 50_000_000, 64_000_000, 2**53 - 1])
def test_a_bomb_takes_no_more_memory_than_it_must(claimed: int) -> None:
    """Also where the entry, which nobody has believed yet, claims that so much is right."""
    bomb = zlib.compress(bytes(64_000_000), 9)
    tracemalloc.start()
    try:
        with pytest.raises(ContentError):
            check_commitment(Commitment("0" * 64, claimed, "text/plain"), b"s" * 32, "zlib", bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


def sealed_contents() -> st.SearchStrategy[bytes]:
    others = [AuditorSecret.generate(name).public for name in ("bob", "cyn")]
    whole = [seal(b"what was sealed", auditors) for auditors in ([AUDITOR.public], [*others, AUDITOR.public], others)]
    heads, boxes = zip(*(data.split(b"\n\n", 1) for data in whole), strict=True)
    behind_a_head = st.builds(lambda head, box: head + b"\n\n" + box, st.sampled_from(heads), changed_bytes(boxes))
    return changed_bytes(whole) | behind_a_head


def check_sealed(examples: int) -> None:
    """What opens is what was sealed; the rest is for somebody else, or refused in words."""
    ends = set()

    def judge(data: bytes) -> None:
        named, opened = attempt(lambda: recipients(data), SealError), attempt(lambda: unseal(data, AUDITOR), SealError)
        if isinstance(opened, bytes):
            assert opened == b"what was sealed"
            assert AUDITOR.public.label in named
            ends.add("opened")
        else:
            assert opened is None or str(opened)
            ends.add("for others" if opened is None else "not sealed so" if AUDITOR.public.label in str(opened) else "malformed")

    fuzz(sealed_contents(), judge, examples)
    assert ends == {"opened", "for others", "not sealed so", "malformed"}


def test_sealed_content_opens_to_what_was_sealed_or_not_at_all() -> None:
    check_sealed(200)


@pytest.mark.soak
def test_thousands_of_sealed_contents_open_to_what_was_sealed_or_not_at_all() -> None:
    check_sealed(5_000)


# --- proof files ----------------------------------------------------------------------------------------


@pytest.fixture
def golden(tmp_path: Path) -> Iterator[LedgerReader]:
    """The committed ledger: its bytes are the same in each run, and with them what is tried."""
    shutil.copy(GOLDEN / "ledger.db", tmp_path / "golden.db")
    with LedgerReader.open(tmp_path / "golden.db") as reader:
        yield reader


def proofs_of(reader: LedgerReader) -> list[str]:
    notes = [note for (note,) in reader.connection.execute("SELECT note FROM entry WHERE note IS NOT NULL ORDER BY seq")]
    entries = [prove_entry(reader, seq, with_contents=True) for seq in (3, 276, 278, 281)]
    return [*entries, prove_growth(reader, notes[11]), prove_growth(reader, notes[0], notes[3])]


def shows_the_truth(text: str, reader: LedgerReader) -> None:
    """Whatever a proof file shows, entry and contents or two checkpoints, must be so in the ledger."""
    proven = check_proof(text, [parse_verifier_key((GOLDEN / "ledger.vkey").read_text().strip())])
    if isinstance(proven, ProvenGrowth):
        for checkpoint in (proven.old, proven.new):
            assert reader.root(checkpoint.size) == checkpoint.root
        return
    assert isinstance(proven, ProvenEntry)
    assert proven.entry == reader.entry(proven.entry.seq)
    assert reader.root(proven.checkpoint.size) == proven.checkpoint.root
    for name, data in proven.contents.items():
        assert reader.content(proven.entry.seq, name) == data


@st.composite
def mixed_proofs(draw: st.DrawFn, values: list[dict[str, Any]]) -> str:
    """A proof with one or two members, or its contents, taken from another: each of them is right in itself."""
    value, other = draw(st.permutations(values))[:2]
    names = [name for name in sorted(value.keys() & other.keys()) if value[name] != other[name]]
    mixed = value | {name: other[name] for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))}
    return json.dumps(mixed)


def check_changed_proofs(reader: LedgerReader, examples: int) -> None:
    valid = proofs_of(reader)
    values = [json.loads(text) for text in valid]
    parts = [value[name] for value in values for name in ("entry", "proof", "key_changes", "contents", "old", "new") if name in value]
    why = set()

    def judge(text: str) -> None:
        refused = attempt(lambda: shows_the_truth(text, reader), VerificationError)
        if refused is not None:
            assert (refused.damage, bool(refused.advice)) == ("proof", True)
            why.update(last for last in LAST_CHECKS if last in str(refused))

    for text in valid:
        shows_the_truth(text, reader)
    fuzz(changed_json(values, parts) | mixed_proofs(values), judge, examples)
    assert why == LAST_CHECKS


LAST_CHECKS = {"is not what the entry commits to", "is not under its checkpoint", "does not extend the earlier one", "cannot be believed"}
"""Where a change is found that all checks of form let pass."""


def test_a_changed_proof_file_shows_nothing_that_is_not_true(golden: LedgerReader) -> None:
    check_changed_proofs(golden, 300)


@pytest.mark.soak
def test_thousands_of_changed_proof_files_show_nothing_that_is_not_true(golden: LedgerReader) -> None:
    check_changed_proofs(golden, 3000)


# --- what lies beside the ledger ------------------------------------------------------------------------


def test_a_remembered_checkpoint_is_one_or_says_that_a_rollback_could_go_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "remembered.checkpoint"

    def judge(data: bytes) -> None:
        path.write_bytes(data)
        found = attempt(lambda: load_remembered(path, tmp_path / "ledger.db"), RollbackError)
        if isinstance(found, RollbackError):
            assert found.advice
            remember(path, NOTES[2])  # what cannot be read does not hinder what comes after it
        else:
            assert format_checkpoint(found) in data.decode().replace("\r\n", "\n").replace("\r", "\n")

    fuzz(changed_bytes([note.encode() for note in NOTES]), judge, 80)


def test_whatever_is_kept_of_a_sink_it_is_told_what_it_lacks(golden: LedgerReader, tmp_path: Path, clock: SetClock) -> None:
    """A sink's standing is no evidence: where it cannot be, everything is sent again."""
    target = tmp_path / "sink.jsonl"
    anchors = Anchors(Home(tmp_path), [f"file:{target}"], clock)
    anchors.send(golden)
    [state] = (tmp_path / "anchors").iterdir()
    lines = target.read_text().splitlines()
    valid = {"sink": "file:/mnt/sink.jsonl", "origin": golden.origin, "delivered": 282, "failing_since": "", "error": ""}

    def judge(text: str) -> None:
        state.write_bytes(text.encode("utf-8", "surrogatepass"))
        target.write_text("")
        [standing] = anchors.send(golden)
        assert (standing.delivered, standing.behind) == (golden.size(), 0)
        sent = target.read_text().splitlines()
        assert sent == lines[len(lines) - len(sent) :]

    for text in (json.dumps(valid | {"delivered": 283}), json.dumps(valid | {"delivered": -1}), '{"a":' * 3000, '{"delivered": 1e999}'):
        judge(text)
        assert len(target.read_text().splitlines()) == len(lines), "a sink's standing that cannot be was believed"
    fuzz(changed_json([valid]), judge, 60)
