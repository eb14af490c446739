"""Proof files that are kept: the code and the page find in each of them what it was found to show, for ever."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from proofs_by_page import Reader
from test_two_verifiers import load_second

from jupyter_audit.errors import VerificationError
from jupyter_audit.ledger.auditors import AuditorSecret, parse_auditor_secret
from jupyter_audit.ledger.note import parse_verifier_key
from jupyter_audit.ledger.proof import ProvenEntry, check_proof

VECTORS = Path(__file__).parents[1] / "vectors"
PROOFS = VECTORS / "proofs"
EXPECTED: dict[str, dict[str, Any]] = json.loads((PROOFS / "expected.json").read_text())
BAD = sorted(path.stem for path in (PROOFS / "bad").iterdir())
PARTS = ["", "0", "-0", "1.0", "true", "null", '""', "{}", "[]", " ", "\\n", "\u2028", "\x7f", "+", "=", "A", '"', ",", ":", "\u0661"]
ANNA = (VECTORS / "sealed-v1" / "anna.auditor").read_text()


def by_code(text: str, ledger: str, auditors: tuple[AuditorSecret, ...] = ()) -> dict[str, Any]:
    key = parse_verifier_key((VECTORS / ledger / "ledger.vkey").read_text())
    proven = check_proof(text, [key], auditors=auditors)
    if not isinstance(proven, ProvenEntry):
        return {"old": proven.old.size, "new": proven.new.size}
    shown = {"contents": sorted(proven.contents), "sealed": sorted(proven.sealed)}
    return {"seq": proven.entry.seq, "size": proven.checkpoint.size, **shown}


def by_page(text: str, ledger: str, auditor: str | None = None) -> dict[str, Any]:
    return Reader(load_second(), (VECTORS / ledger / "ledger.vkey").read_text(), auditor).check(text)


def test_every_proof_is_expected() -> None:
    assert {path.stem for path in (PROOFS / "good").iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_code_and_page_find_in_a_good_proof_what_it_shows(name: str) -> None:
    text = (PROOFS / "good" / f"{name}.proof").read_text(encoding="utf-8")
    expected = dict(EXPECTED[name])
    ledger = expected.pop("ledger")
    if "seq" in expected:
        expected.setdefault("sealed", [])
    assert by_code(text, ledger) == by_page(text, ledger) == expected
    if expected.get("sealed"):
        expected |= {"contents": expected["sealed"], "sealed": []}
        assert by_code(text, ledger, (parse_auditor_secret(ANNA),)) == by_page(text, ledger, ANNA) == expected


@pytest.mark.parametrize("name", BAD)
def test_code_and_page_refuse_a_proof_that_shows_nothing(name: str) -> None:
    text = (PROOFS / "bad" / f"{name}.proof").read_text(encoding="utf-8")
    for ledger in ("ledger-v1", "sealed-v1"):
        if name == "another-ledgers" and ledger == "sealed-v1":
            continue
        with pytest.raises(VerificationError) as refused:
            by_code(text, ledger, (parse_auditor_secret(ANNA),))
        assert refused.value.damage == "proof"
        with pytest.raises(ValueError, match=r".|^$"):
            by_page(text, ledger, ANNA)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_code_and_page_find_the_same_in_a_proof_that_was_changed_anywhere(name: str) -> None:
    text = (PROOFS / "good" / f"{name}.proof").read_text(encoding="utf-8")
    key = (VECTORS / EXPECTED[name]["ledger"] / "ledger.vkey").read_text()
    reader, luck = Reader(load_second(), key), random.Random(name)
    for _ in range(20):
        at, length = luck.randrange(len(text)), luck.choice([0, 1, 1, 2, 20])
        changed = text[:at] + luck.choice(PARTS) + text[at + length :]
        found: list[object] = []
        for read in (lambda text: by_code(text, EXPECTED[name]["ledger"]), reader.check):
            try:
                found.append(read(changed))
            except (VerificationError, ValueError):
                found.append("refused")
        assert found[0] == found[1], changed


@pytest.mark.parametrize("ledger", ["sealed-v1"])
def test_a_good_proof_shows_nothing_under_another_ledgers_key(ledger: str) -> None:
    for name, expected in EXPECTED.items():
        if expected["ledger"] != ledger:
            text = (PROOFS / "good" / f"{name}.proof").read_text(encoding="utf-8")
            with pytest.raises(VerificationError):
                by_code(text, ledger)
            with pytest.raises(ValueError, match="signature"):
                by_page(text, ledger)
