"""Signed notes, checkpoints and key files, against the C2SP's example and against other spellings."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_audit.errors import KeyFileError
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from jupyter_audit.ledger.keys import (
    Signer,
    create_key_files,
    load_signer,
    load_verifier_key,
    parse_signing_key,
)
from jupyter_audit.ledger.note import (
    Note,
    NoteError,
    NoteSignature,
    format_note,
    format_verifier_key,
    parse_note,
    parse_verifier_key,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "note.json").read_text())
SIGNER = Signer("jupyter-audit/0123456789abcdef", bytes(range(32)))
OTHER = Signer("jupyter-audit/0123456789abcdef", bytes(32))

names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="+"), min_size=1
).filter(lambda name: not any(c.isspace() for c in name))
lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
note_texts = st.lists(lines, min_size=1, max_size=4).map(lambda many: "\n".join(many) + "\n")


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_known_notes_verify_and_are_signed_alike(vector: dict[str, str]) -> None:
    key = parse_verifier_key(vector["verifier_key"])

    note = parse_note(vector["note"])

    assert note.verify([key]) == (key,)
    assert format_note(note) == vector["note"]
    assert format_verifier_key(key) == vector["verifier_key"]
    if "signer_key" in vector:
        signer = parse_signing_key(vector["signer_key"])
        assert signer.verifier == key
        assert signer.sign(note.text) == vector["note"]
        assert signer.secret_text() == vector["signer_key"] + "\n"


@pytest.mark.parametrize("text", VECTORS["malformed"])
def test_another_form_is_no_note(text: str) -> None:
    with pytest.raises(NoteError):
        parse_note(text)


@given(names, note_texts)
def test_what_is_signed_is_read_back_and_verifies(name: str, text: str) -> None:
    signer = Signer(name, bytes(range(32)))

    note = parse_note(signer.sign(text))

    assert note.text == text
    assert note.verify([OTHER.verifier, signer.verifier]) == (signer.verifier,)
    assert format_note(note) == signer.sign(text)
    assert parse_verifier_key(format_verifier_key(signer.verifier)) == signer.verifier


@given(st.binary(min_size=1, max_size=300).map(lambda data: data.decode("latin-1")) | st.text(max_size=300))
def test_any_text_is_a_note_or_a_note_error(text: str) -> None:
    try:
        note = parse_note(text)
    except NoteError:
        return
    assert format_note(note) == text


def test_a_wrong_signature_of_a_known_key_is_no_signature() -> None:
    good = parse_note(SIGNER.sign("text\n"))

    with pytest.raises(NoteError, match="does not fit"):
        Note("other\n", good.signatures).verify([SIGNER.verifier])
    short = NoteSignature(SIGNER.verifier.name, SIGNER.verifier.id, b"short")
    with pytest.raises(NoteError, match="does not fit"):
        Note("text\n", (short,)).verify([SIGNER.verifier])


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    mine, other = parse_note(SIGNER.sign("text\n")), parse_note(OTHER.sign("text\n"))
    both = Note("text\n", other.signatures + mine.signatures)

    assert both.verify([SIGNER.verifier]) == (SIGNER.verifier,)
    with pytest.raises(NoteError, match="not signed by any"):
        other.verify([SIGNER.verifier])


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.integers(0, 2**60),
    st.binary(min_size=32, max_size=32),
)
def test_a_checkpoint_is_read_back(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin, size, root)

    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


ROOT = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize(
    "text",
    [
        f"origin\n5\n{ROOT}",
        f"origin\n5\n{ROOT}\nextension\n",
        f"\n5\n{ROOT}\n",
        f"origin\n05\n{ROOT}\n",
        f"origin\n-5\n{ROOT}\n",
        f"origin\n+5\n{ROOT}\n",
        f"origin\n٥\n{ROOT}\n",
        f"origin\n5 \n{ROOT}\n",
        f"origin\n{'9' * 30}\n{ROOT}\n",
        "origin\n5\nAAAA\n",
        f"origin\n5\n{ROOT[:-2]}B=\n",
        f"origin\n5\n{ROOT[:-1]}\n",
        "",
    ],
)
def test_another_form_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteError):
        parse_checkpoint(text)


def test_a_key_file_is_private_and_read_back(tmp_path: Path) -> None:
    secret, public = tmp_path / "ledger.key", tmp_path / "ledger.vkey"

    create_key_files(SIGNER, secret, public)

    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert load_signer(secret).verifier == load_verifier_key(public) == SIGNER.verifier
    with pytest.raises(FileExistsError):
        create_key_files(OTHER, secret, tmp_path / "other.vkey")
    assert load_signer(secret).verifier == SIGNER.verifier


def test_when_one_half_cannot_be_written_neither_is_left(tmp_path: Path) -> None:
    public = tmp_path / "ledger.vkey"
    public.write_text("already here")

    with pytest.raises(FileExistsError):
        create_key_files(SIGNER, tmp_path / "ledger.key", public)

    assert not (tmp_path / "ledger.key").exists()
    assert public.read_text() == "already here"


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "ledger.key"
    secret.write_text(SIGNER.secret_text())
    secret.chmod(mode)

    with pytest.raises(KeyFileError, match="open to other accounts") as refused:
        load_signer(secret)

    assert "chmod 600" in refused.value.advice


def test_a_key_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_text(SIGNER.secret_text())
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "ledger.key").symlink_to(tmp_path / "real")

    with pytest.raises(KeyFileError):
        load_signer(tmp_path / "ledger.key")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "PRIVATE+KEY+a",
        SIGNER.secret_text() * 2,
        SIGNER.secret_text().replace("+AQ", "+AB"),
        SIGNER.secret_text().replace("+AQ", "+Ag"),
        SIGNER.secret_text().replace("0123", "0124"),
        "ä",
    ],
)
def test_a_malformed_key_is_refused_without_repeating_it(tmp_path: Path, content: str) -> None:
    secret = tmp_path / "ledger.key"
    secret.write_text(content)
    secret.chmod(0o600)

    with pytest.raises(KeyFileError) as refused:
        load_signer(secret)

    body = SIGNER.secret_text().rpartition("+")[2].strip()
    assert body not in refused.value.explain()


def test_a_key_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no signing key"):
        load_signer(tmp_path / "ledger.key")
    assert list(tmp_path.iterdir()) == []
