"""Contents sealed to auditors: nobody else reads them, everybody can tell that they are those recorded."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ledger_story import EVE, SetClock, a_draft, check

from jupyter_audit.errors import ConfigError, KeyFileError, SealedError, UsageError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger, LedgerReader, create_ledger, open_ledger, sealing, verify_ledger
from jupyter_audit.ledger.auditorfile import load_auditor_secret, write_auditor_secret
from jupyter_audit.ledger.auditors import (
    AuditorKeyError,
    AuditorSecret,
    parse_auditor_key,
    parse_auditor_secret,
    parse_sealed_to,
)
from jupyter_audit.ledger.content import ContentError, UnopenedError, open_commitment, store
from jupyter_audit.ledger.passphrase import AUDITOR_KEY, passphrase
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.ledger.sealing import SealError, prove_sealing, recipients, seal, unseal
from jupyter_audit.model import Content

VECTORS = Path(__file__).parents[1] / "vectors"
GOOD, BAD = VECTORS / "sealed-v1", VECTORS / "bad-sealed"
SCRIPT = Path(__file__).parents[2] / "docs" / "verify_independently.py"
CASES = sorted(folder.name for folder in BAD.iterdir())
ANNA, BOB = AuditorSecret.generate("anna"), AuditorSecret.generate("bob@example.org")
CODE = "password = 'kitchen sink 4711'"


@pytest.fixture(scope="module")
def second() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sealed(home: Home, clock: SetClock) -> Iterator[Ledger]:
    with open_ledger(home, clock=clock, sealed_to=[ANNA.public, BOB.public]) as opened:
        yield opened


# --- the vectors --------------------------------------------------------------------------------------


def the_vectors_secret() -> AuditorSecret:
    return parse_auditor_secret((GOOD / "anna.auditor").read_text())


def ours(ledger: Path, auditors: list[AuditorSecret]) -> dict[str, Any]:
    try:
        verify_ledger(ledger, verifier_keys=[(GOOD / "ledger.vkey").read_text()], auditors=auditors)
    except VerificationError as error:
        return {"damage": error.damage, "seq": error.seq}
    return {"damage": "whole", "seq": None}


def theirs(second: Any, ledger: Path, auditor: str | None) -> dict[str, Any]:
    try:
        second.verify(ledger, (GOOD / "ledger.vkey").read_text(), None, auditor)
    except second.DamagedError as error:
        return {"damage": error.damage, "seq": error.seq}
    return {"damage": "whole", "seq": None}


@pytest.mark.parametrize("case", CASES)
def test_both_verifiers_find_what_was_done_to_sealed_contents(second: ModuleType, tmp_path: Path, case: str) -> None:
    ledger = tmp_path / "ledger.db"
    shutil.copy(BAD / case / "ledger.db", ledger)
    expected = json.loads((BAD / case / "expected.json").read_text())

    assert ours(ledger, []) == theirs(second, ledger, None) == expected["without_key"]
    secret = the_vectors_secret()
    assert ours(ledger, [secret]) == theirs(second, ledger, secret.text()) == expected["with_key"]


def test_the_sealed_ledger_of_version_1_verifies_and_opens(second: ModuleType, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    shutil.copy(GOOD / "ledger.db", ledger)
    key, anna = (GOOD / "ledger.vkey").read_text(), the_vectors_secret()

    assert theirs(second, ledger, None) == theirs(second, ledger, anna.text()) == {"damage": "whole", "seq": None}
    closed = verify_ledger(ledger, verifier_keys=[key])
    opened = verify_ledger(ledger, verifier_keys=[key], auditors=[anna])

    assert (closed.contents_held, closed.contents_sealed, closed.contents_opened) == (6, 5, 0)
    assert (opened.contents_held, opened.contents_sealed, opened.contents_opened) == (6, 5, 4)
    assert any("4 sealed contents" in said and "anna+" in said for said in closed.not_checked)
    assert [said for said in opened.not_checked if "sealed" in said] == [
        "what 1 sealed contents hold: they are sealed for bob@example.org+0f614ba96efb7704"
    ]
    with LedgerReader.open(ledger, auditors=[anna]) as reader:
        for seq, text in json.loads((GOOD / "contents.json").read_text()).items():
            assert reader.content(int(seq), "message") == text.encode()
        assert reader.content(6, "message") is None
        with pytest.raises(SealedError, match=r"bob@example\.org"):
            reader.content(5, "message")


def test_the_vectors_keys_are_spelled_as_the_page_says() -> None:
    lines = (GOOD / "auditors.txt").read_text().splitlines()
    assert [str(parse_auditor_key(line)) for line in lines] == lines
    assert str(the_vectors_secret().public) == lines[0]


# --- a ledger -----------------------------------------------------------------------------------------


def test_nothing_of_a_sealed_content_is_on_disk_or_read_back_by_who_recorded_it(home: Home, sealed: Ledger) -> None:
    [entry] = sealed.append([a_draft(1, code=CODE)])

    for file in home.path.rglob("*"):
        assert not file.is_file() or CODE.encode() not in file.read_bytes()
    (salt,) = sealed.connection.execute("SELECT salt FROM content WHERE seq = ?", (entry.seq,)).fetchone()
    assert salt == b""  # with it and the digest in the entry, likely contents could be tried
    with pytest.raises(SealedError, match=r"sealed for anna\+.*, bob@example\.org\+"):
        sealed.content(entry.seq, "message")
    for auditor in (ANNA, BOB):
        with LedgerReader.open(home.ledger, auditors=[auditor]) as reader:
            assert reader.content(entry.seq, "message") == CODE.encode()
    stranger = AuditorSecret.generate("anna")
    with LedgerReader.open(home.ledger, auditors=[stranger]) as reader, pytest.raises(SealedError):
        reader.content(entry.seq, "message")


def test_sealed_contents_are_purged_like_others(home: Home, sealed: Ledger) -> None:
    sealed.append([a_draft(1), a_draft(2)])
    done = purge(sealed, Wanted(session="s-0"), actor=EVE, reason="asked for")

    assert done.extent.contents == 1
    report = verify_ledger(home.ledger, verifier_keys=[home.verifier_key.read_text()], auditors=[ANNA])
    assert (report.contents_purged, report.contents_sealed, report.contents_opened) == (1, 1, 1)


def test_sealing_can_begin_end_and_change_its_auditors(home: Home, clock: SetClock) -> None:
    for number, auditors in enumerate(([], [ANNA.public], [BOB.public], [])):
        with open_ledger(home, clock=clock, sealed_to=auditors) as ledger:
            ledger.append([a_draft(number, code=CODE)])
    with LedgerReader.open(home.ledger, auditors=[ANNA, BOB]) as reader:
        assert {reader.content(seq, "message") for seq in range(1, 5)} == {CODE.encode()}
    assert check(home).contents_sealed == 2


def test_what_stays_in_clear_is_the_size_and_for_whom(sealed: Ledger) -> None:
    [entry] = sealed.append([a_draft(1, code=CODE)])
    commitment = json.loads(entry.raw)["contents"]["message"]
    assert commitment.keys() == {"digest", "media_type", "sealed", "size"}
    assert commitment["size"] == len(CODE)


# --- bytes --------------------------------------------------------------------------------------------


@given(st.binary(max_size=3000), st.integers(1, 3))
@example(b"", 1)
@example(b"x" * 5000, 2)
def test_what_is_sealed_opens_for_each_auditor_and_for_nobody_else(data: bytes, many: int) -> None:
    auditors = [AuditorSecret.generate(f"a{number}") for number in range(many)]
    row = store(Content(data), [auditor.public for auditor in auditors])
    for auditor in auditors:
        assert open_commitment(*row, auditors=[auditor]) == data
    with pytest.raises(UnopenedError) as caught:
        open_commitment(*row, auditors=[AuditorSecret.generate("a0")])
    assert caught.value.recipients == tuple(auditor.public.label for auditor in auditors)


@given(st.data())
def test_any_other_bytes_are_found_to_be_other_bytes(data: st.DataObject) -> None:
    commitment, salt, encoding, sealed = store(Content(b"print(1)"), [ANNA.public])
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    for auditors in ([], [ANNA]):
        with pytest.raises(ContentError, match="not those that were recorded"):
            open_commitment(commitment, salt, encoding, other, auditors=auditors)
    # Also where a liar commits to them: never opened as something else, never a crash.
    try:
        opened = unseal(other, ANNA)
    except SealError:
        return
    assert opened is None or opened[33:] == b"print(1)"


@given(st.binary(max_size=400), st.sampled_from([b"", b"jupyter-audit/sealed@v1\n", b"jupyter-audit/sealed@v1\nanna+0123456789abcdef "]))
def test_noise_is_no_sealed_content(noise: bytes, start: bytes) -> None:
    with pytest.raises(SealError):
        recipients(start + noise)


@pytest.mark.parametrize("broken", [lambda inner, auditors: inner, lambda inner, auditors: seal(b"another", auditors)], ids=["open", "other"])
def test_a_seal_is_proven_by_what_opens_again(monkeypatch: pytest.MonkeyPatch, broken: Callable[..., bytes]) -> None:
    prove_sealing([ANNA.public, BOB.public])
    monkeypatch.setattr(sealing, "seal", broken)
    with pytest.raises(ConfigError, match="cannot be sealed here"):
        prove_sealing([ANNA.public, BOB.public])


# --- keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "auditor", "auditor+anna", "auditor+anna+0123456789abcdef+AAAA", "auditor++0123456789abcdef+" + "A" * 43 + "=",
     str(ANNA.public).replace("anna", "otto"), str(ANNA.public)[:-8] + "AAAAAAA=", str(ANNA.public) + "x", "auditor+a b+0+AA"],
    ids=["empty", "a_word", "a_name", "short_key", "no_name", "another_name", "another_key", "longer", "a_space"],
)  # fmt: skip
def test_a_public_key_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(AuditorKeyError):
        parse_auditor_key(text)
    with pytest.raises(ConfigError, match=r"c\.JupyterAudit\.sealed_to"):
        parse_sealed_to([text])


def test_a_key_that_protects_nothing_is_refused() -> None:
    zero = type(ANNA.public)("zero", bytes(32))
    with pytest.raises(AuditorKeyError, match="protects nothing"):
        parse_auditor_key(str(zero))


def test_the_setting_takes_no_secret_and_no_key_twice() -> None:
    assert parse_sealed_to([f" {ANNA.public}\n"]) == (ANNA.public,)
    with pytest.raises(ConfigError, match="secret key") as caught:
        parse_sealed_to([ANNA.text()])
    assert ANNA.text().split("+", 4)[-1].strip() not in caught.value.explain()
    with pytest.raises(ConfigError, match="twice"):
        parse_sealed_to([str(ANNA.public)] * 2)
    with pytest.raises(ConfigError, match="16 are possible"):
        parse_sealed_to([str(AuditorSecret.generate(f"a{number}").public) for number in range(17)])


def test_a_key_file_is_private_never_written_over_and_refused_when_others_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "anna.auditor"
    write_auditor_secret(path, ANNA, protected=False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_auditor_secret(path) == ANNA
    with pytest.raises(UsageError, match="already"):
        write_auditor_secret(path, BOB, protected=False)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="open to other accounts"):
        load_auditor_secret(path)
    path.unlink()
    with pytest.raises(KeyFileError, match="There is no auditor's key"):
        load_auditor_secret(path)
    path.write_text(str(ANNA.public))
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="not an auditor's secret key") as caught:
        load_auditor_secret(path)
    assert "not the public line" in caught.value.advice


def test_a_key_file_can_be_under_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passphrase.cache_clear()
    monkeypatch.setenv(AUDITOR_KEY.variable, "correct horse battery")
    path = tmp_path / "anna.auditor"
    write_auditor_secret(path, ANNA, protected=True)
    assert ANNA.text().split("+", 4)[-1].strip() not in path.read_text()
    assert load_auditor_secret(path) == ANNA
    passphrase.cache_clear()
    monkeypatch.setenv(AUDITOR_KEY.variable, "some other words")
    with pytest.raises(KeyFileError, match="passphrase"):
        load_auditor_secret(path)
    passphrase.cache_clear()


def test_an_unsealed_ledger_says_nothing_of_sealing(tmp_path: Path) -> None:
    home = Home(tmp_path / "plain")
    create_ledger(home, clock=SetClock(), actor=EVE)
    with open_ledger(home, clock=SetClock()) as ledger:
        [entry] = ledger.append([a_draft(1)])
    assert "sealed" not in entry.raw
    assert "ealed" not in check(home).text()
    with closing(sqlite3.connect(home.ledger)) as connection:
        assert connection.execute("SELECT DISTINCT encoding FROM content").fetchall() == [("plain",)]
