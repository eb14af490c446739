"""Key files that are kept: what the page says of a passphrase is enough to unlock a key, without any code of ours."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_pwhash_alg, crypto_secretbox_open

from jupyter_audit.errors import KeyFileError
from jupyter_audit.ledger.auditorfile import load_auditor_secret
from jupyter_audit.ledger.keys import load_signer
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.ledger.passphrase import AUDITOR_KEY, VARIABLE, passphrase

KEYS: list[dict[str, str]] = json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text(encoding="utf-8"))
ARGON2ID = 2
"""libsodium's number for Argon2id in version 0x13."""


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key["of"])
def test_the_page_is_enough_to_unlock_a_key(key: dict[str, str]) -> None:
    prefix, inside = {
        "ledger": ("PROTECTED+KEY+", "PRIVATE+KEY+"),
        "auditor": ("PROTECTED+AUDITOR+KEY+", "AUDITOR+KEY+"),
    }[key["of"]]
    assert key["protected"].startswith(prefix)
    name, key_id, box = key["protected"].removesuffix("\n").removeprefix(prefix).split("+", 2)
    data = base64.b64decode(box, validate=True)
    salt, nonce, sealed = data[:16], data[16:40], data[40:]
    stretched = crypto_pwhash_alg(32, key["passphrase"].encode(), salt, 2, 65_536 * 1024, ARGON2ID)
    plain = crypto_secretbox_open(sealed, nonce, stretched).decode()
    assert plain == key["plain"]
    assert plain.startswith(f"{inside}{name}+{key_id}+")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key["of"])
@pytest.mark.parametrize("form", ["plain", "protected"])
def test_the_code_reads_it(key: dict[str, str], form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(key[form], key, tmp_path, monkeypatch) == key["public"]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key["of"])
def test_a_file_that_names_another_key_than_it_protects_is_refused(
    key: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = key["public"].removeprefix("auditor+").partition("+")[0]
    with pytest.raises(KeyFileError, match="another key than it names"):
        read(key["protected"].replace(name, name[:-1] + "x"), key, tmp_path, monkeypatch)


def read(text: str, key: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the public key of what the product reads in such a file."""
    path = folder / "key"
    path.write_text(text)
    path.chmod(0o600)
    of: dict[str, Any] = {"ledger": (load_signer, VARIABLE), "auditor": (load_auditor_secret, AUDITOR_KEY.variable)}
    load, variable = of[key["of"]]
    passphrase.cache_clear()
    monkeypatch.setenv(variable, key["passphrase"])
    try:
        secret = load(path)
    finally:
        passphrase.cache_clear()
    return format_verifier_key(secret.verifier) if key["of"] == "ledger" else str(secret.public)
