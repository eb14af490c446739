"""A key file under a passphrase: of no use without it, and the passphrase comes from where admins can put it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_story import EVE, SetClock, a_draft

from jupyter_audit.errors import KeyFileError
from jupyter_audit.home import Home
from jupyter_audit.ledger import open_ledger
from jupyter_audit.ledger.keys import Signer, is_protected, load_signer, read_signer, unprotect
from jupyter_audit.ledger.note import NoteError
from jupyter_audit.ledger.passphrase import CREDENTIAL, SIGNING_KEY, VARIABLE, confirm, passphrase
from jupyter_audit.settings import JupyterAudit

GOOD = b"correct horse battery staple"


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is a new process as far as the passphrase is concerned, and has no terminal."""
    for name in (VARIABLE, f"{VARIABLE}_FD", f"{VARIABLE}_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", None)
    passphrase.cache_clear()
    yield
    passphrase.cache_clear()


def test_a_protected_key_is_none_without_its_passphrase_and_signs_with_it(
    home: Home, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = home.signing_key.read_text()
    monkeypatch.setenv(VARIABLE, GOOD.decode())
    with home.signing_key.open("rb") as same_file, open_ledger(home, clock=clock) as ledger:
        ledger.protect_key(protected=True)
        assert not any(same_file.read())  # the plain secret was written over
    assert plain.split("+", 4)[-1].strip() not in home.signing_key.read_text()  # base64 has plus signs, too
    assert is_protected(home.signing_key)

    passphrase.cache_clear()
    with pytest.raises(KeyFileError, match="none was given"):
        open_ledger(home, clock=clock)
    monkeypatch.setenv(VARIABLE, "another passphrase")
    with pytest.raises(KeyFileError, match="not protected by this passphrase"):
        open_ledger(home, clock=clock)

    passphrase.cache_clear()
    monkeypatch.setenv(VARIABLE, GOOD.decode())
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        ledger.rotate_key(actor=EVE, reason="yearly")
        assert is_protected(home.signing_key)  # also after a rotation
        ledger.append([a_draft(2)])
        ledger.protect_key(protected=False)
    passphrase.cache_clear()
    assert VARIABLE not in os.environ
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(3)])


def test_it_comes_from_a_descriptor_a_file_or_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / CREDENTIAL
    file.write_bytes(GOOD + b"\n")
    file.chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert passphrase(SIGNING_KEY) == GOOD

    passphrase.cache_clear()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(file))
    assert passphrase(SIGNING_KEY) == GOOD

    passphrase.cache_clear()
    monkeypatch.setenv(f"{VARIABLE}_FD", str(os.open(file, os.O_RDONLY)))
    assert passphrase(SIGNING_KEY) == GOOD
    assert f"{VARIABLE}_FD" not in os.environ


def test_a_credential_is_taken_as_systemd_writes_it_and_not_from_a_folder_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On tmpfs systemd gives it to the unit's account by an ACL, whose mask shows as the group's bits."""
    file = tmp_path / CREDENTIAL
    file.write_bytes(GOOD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for mode in (0o400, 0o440):
        file.chmod(mode)
        assert passphrase(SIGNING_KEY) == GOOD
        passphrase.cache_clear()
    for mode in (0o444, 0o460):
        file.chmod(mode)
        with pytest.raises(KeyFileError, match="open to other accounts"):
            passphrase(SIGNING_KEY)
    file.chmod(0o440)
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(file))
    with pytest.raises(KeyFileError, match="open to other accounts"):
        passphrase(SIGNING_KEY)
    monkeypatch.delenv(f"{VARIABLE}_FILE")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "not-made"))
    with pytest.raises(KeyFileError, match="folder of credentials"):
        passphrase(SIGNING_KEY)


@pytest.mark.parametrize(
    ("mode", "content", "said"), [(0o644, GOOD, "open to other accounts"), (0o600, b"short", "shorter than"), (None, b"", "cannot be read")]
)
def test_what_is_not_safe_or_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int | None, content: bytes, said: str
) -> None:
    file = tmp_path / "passphrase"
    if mode is not None:
        file.write_bytes(content)
        file.chmod(mode)
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(file))
    with pytest.raises(KeyFileError, match=said):
        passphrase(SIGNING_KEY)


def test_kernels_are_never_given_it() -> None:
    assert not [name for name in JupyterAudit().kernel_environment if "PASSPHRASE" in name or "CREDENTIALS" in name]


@given(st.text(st.characters(codec="ascii")))
def test_any_text_as_a_protected_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(NoteError) as refused:
        unprotect(f"PROTECTED+KEY+{text}", GOOD)
    assert str(refused.value) in (
        "it is not in the form of a protected key",
        "it is not protected by this passphrase",
        "it protects another key than it names",
    )


def test_a_wrong_passphrase_is_no_reason_to_put_an_older_key_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, GOOD.decode())
    protected = Signer.generate("a").protected_text(b"another passphrase")
    with pytest.raises(KeyFileError) as refused:
        read_signer(protected.encode(), "The key", SIGNING_KEY)
    assert "Give the passphrase" in refused.value.explain()
    assert "Restore" not in refused.value.explain()


def test_a_protected_file_that_names_another_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, GOOD.decode())
    one, two = Signer.generate("a"), Signer.generate("a")
    text = one.protected_text(passphrase(SIGNING_KEY)).replace(one.verifier.id.hex(), two.verifier.id.hex())
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(KeyFileError, match="another key"):
        load_signer(file)


def test_a_new_passphrase_that_is_typed_must_be_typed_twice_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    answers = [GOOD.decode(), GOOD.decode() + "!"]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    with pytest.raises(KeyFileError, match="not the same"):
        confirm()
    passphrase.cache_clear()
    answers[:] = [GOOD.decode()] * 2
    confirm()
    assert passphrase(SIGNING_KEY) == GOOD
