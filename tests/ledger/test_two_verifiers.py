"""The second verifier, written from the specification, gives the same verdict as ours on every good and bad ledger."""

from __future__ import annotations

import ast
import importlib.util
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ledger_story import EVE, SetClock, Story, a_draft, check, tamper
from test_tampering import ATTACKS, Attack

from jupyter_audit.errors import LedgerError, VerificationError
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.cosignature import format_witness_key
from jupyter_audit.ledger.damage import DAMAGES
from jupyter_audit.ledger.keys import Signer, load_signer
from jupyter_audit.ledger.note import Note, format_note, parse_note
from jupyter_audit.ledger.purging import Wanted, purge
from jupyter_audit.witness.cosigner import Cosigner

SCRIPT = Path(__file__).parents[2] / "docs" / "verify_independently.py"
GOLDEN = Path(__file__).parents[1] / "vectors" / "ledger-v1"
BAD = GOLDEN.parent / "bad"


@pytest.fixture(scope="module")
def second() -> ModuleType:
    return load_second()


def load_second() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdict(second: Any, home: Home, kept: str | None = None, witness: str | None = None) -> tuple[str, int | None]:
    try:
        second.verify(home.ledger, home.verifier_key.read_text(), kept, witness=witness)
    except second.DamagedError as damaged:
        return damaged.damage, damaged.seq
    return "whole", None


def ours(home: Home, kept: str | None = None, witness: str | None = None) -> tuple[str, int | None]:
    try:
        if witness is None:
            check(home, since=kept)
        else:
            check(home, witness=witness, cosigned=kept)
    except VerificationError as error:
        return error.damage, error.seq
    return "whole", None


def test_it_knows_nothing_of_us_and_is_short_enough_to_read() -> None:
    source = SCRIPT.read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert imported - sys.stdlib_module_names == {"nacl"}
    assert len(source.splitlines()) < 500


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_both_verifiers_find_the_same_damage_at_the_same_place(second: ModuleType, story: Story, attack: Attack) -> None:
    attack.act(story)
    assert verdict(second, story.home) == ours(story.home)


def test_both_find_a_ledger_whole_that_is(second: ModuleType, story: Story) -> None:
    assert verdict(second, story.home) == ("whole", None)
    assert verdict(second, story.home, story.kept) == ours(story.home, story.kept) == ("whole", None)


@pytest.mark.parametrize("line", [0, 1, 2, 4])
def test_both_judge_a_kept_checkpoint_alike(second: ModuleType, story: Story, line: int) -> None:
    for text in ("", "x", "100000", "A" * 43 + "="):
        lines = story.kept.split("\n")
        lines[line] = text
        kept = "\n".join(lines)
        assert verdict(second, story.home, kept) == ours(story.home, kept)


def cosigned(story: Story, note: str) -> tuple[str, str]:
    """Have a checkpoint cosigned, by a witness that asks nothing; return the note and the witness's key."""
    witness = Cosigner(Signer.generate("witness.example.org/w1"), SetClock())
    parsed = parse_note(note)
    lines = (*parsed.signatures, witness.cosign(parsed.text, not_before=None))
    return format_note(Note(parsed.text, lines)), format_witness_key(witness.key)


def test_both_demand_the_witness_s_cosignature_and_judge_it_alike(second: ModuleType, story: Story) -> None:
    note, key = cosigned(story, story.kept)
    _, other = cosigned(story, story.kept)
    assert verdict(second, story.home, note, key) == ours(story.home, note, key) == ("whole", None)
    assert verdict(second, story.home, None, key) == ours(story.home, None, key) == ("witness", None)
    assert verdict(second, story.home, story.kept, key) == ours(story.home, story.kept, key) == ("witness", None)
    assert verdict(second, story.home, note, other) == ours(story.home, note, other) == ("witness", None)
    lines = note.split("\n")
    unsigned = "\n".join([*lines[:4], *lines[5:]])  # the witness's word alone, without the ledger's own
    assert verdict(second, story.home, unsigned, key) == ours(story.home, unsigned, key) == ("witness", None)
    for line in (0, 1, 2, 4, 5):
        for text in ("", "x", "100000", "A" * 43 + "=", lines[line][:-3] + "AA="):
            changed = "\n".join([*lines[:line], text, *lines[line + 1 :]])
            assert verdict(second, story.home, changed, key) == ours(story.home, changed, key) != ("whole", None)


def test_both_find_rollback_and_fork_with_a_cosigned_checkpoint(second: ModuleType, story: Story) -> None:
    signer = load_signer(story.home.signing_key)
    origin = signer.verifier.name
    for size, root, found in ((story.size + 1, bytes(32), "rollback"), (9, bytes(32), "fork")):
        note, key = cosigned(story, signer.sign(format_checkpoint(Checkpoint(origin, size, root))))
        assert verdict(second, story.home, note, key) == ours(story.home, note, key)
        assert ours(story.home, note, key)[0] == found


def test_both_say_the_same_of_noise_in_the_file(second: ModuleType, story: Story, clock: SetClock, tmp_path: Path) -> None:
    """Which class noise falls into can differ where several fit; whether there is damage cannot."""
    whole = story.home.ledger.read_bytes()
    luck = random.Random(11)
    for _ in range(60):
        at = luck.randrange(len(whole))
        story.home.ledger.write_bytes(whole[:at] + luck.randbytes(1) + whole[at + 1 :])
        try:
            found = ours(story.home)[0]
        except LedgerError:
            found = "file"
        assert (verdict(second, story.home)[0] == "whole") == (found == "whole")


def test_the_command_says_what_it_found_and_how_it_is_used(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "golden")
    ledger, key, kept = (str(tmp_path / "golden" / name) for name in ("ledger.db", "ledger.vkey", "kept.checkpoint"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)

    good = run(ledger, key, kept)
    assert (good.returncode, good.stdout.startswith("WHOLE")) == (0, True)
    assert run().returncode == 2
    assert run(ledger, "no key").returncode == 2
    assert run(ledger, key, kept, "--witness-key", str(BAD / "witness" / "witness.vkey")).stdout.startswith("DAMAGED (witness)")
    with Path(ledger).open("r+b") as file:
        file.truncate(20_000)
    bad = run(ledger, key)
    assert (bad.returncode, bad.stdout.startswith("DAMAGED (file")) == (1, True)


def test_there_is_a_bad_ledger_for_every_class_of_damage() -> None:
    assert {folder.name for folder in BAD.iterdir()} == set(DAMAGES)


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_both_find_in_a_bad_ledger_what_it_is_bad_for(second: ModuleType, tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / "bad")
    shutil.copytree(BAD / name, home.path)
    (home.path / "keys").mkdir()
    (home.path / "ledger.vkey").rename(home.verifier_key)
    kept = (BAD / name / "kept.checkpoint").read_text() if (BAD / name / "kept.checkpoint").exists() else None
    witness = (BAD / name / "witness.vkey").read_text() if (BAD / name / "witness.vkey").exists() else None
    expected = json.loads((BAD / name / "expected.json").read_text())

    found = ours(home, kept, witness)

    assert {"damage": found[0], "seq": found[1]} == expected
    assert verdict(second, home, kept, witness) == found


def test_a_purge_that_is_hidden_from_searches_is_still_taken_for_one(second: ModuleType, tmp_path: Path, clock: SetClock) -> None:
    home = Home(tmp_path / "hidden")
    create_ledger(home, clock=clock, actor=EVE)
    with open_ledger(home, clock=clock) as ledger:
        ledger.append([a_draft(1)])
        purge(ledger, Wanted(session="s-0"), actor=EVE, reason="asked for")
        ledger.append([a_draft(number) for number in range(3, 300)])
    tamper(home, "DELETE FROM place WHERE value = 'content.purged'")

    assert ours(home) == verdict(second, home) == ("place", 0)
