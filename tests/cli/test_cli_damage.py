"""What `verify` says of every bad ledger of the vectors, to somebody who has to answer for it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from jupyter_audit.cli.main import main
from jupyter_audit.ledger.damage import DAMAGES, exit_code

BAD = Path(__file__).parents[1] / "vectors" / "bad"

NOT_READ = "NOT COMPARED ({}). The ledger itself was not looked at"
BESIDE = "DAMAGED ({}). What the file stores beside its entries, to save time, is not theirs"
CHANGED = "DAMAGED ({}). The ledger is not what was signed."
VERDICTS = {
    "file": "DAMAGED (file). The file cannot be read as a whole.",
    "schema": "DAMAGED (schema). The file is not a ledger of this format, or it was changed",
    "key": "DAMAGED (key). The ledger was not begun under the key that was given",
    "leaf": BESIDE,
    "subtree": BESIDE,
    "place": BESIDE,
    "content_false": "DAMAGED (content_false). Content was recorded that is not what its entry says.",
    "rollback": "DAMAGED (rollback). What the file holds is as it was signed, and it is not all that was",
    "fork": "DAMAGED (fork). The file is whole in itself, and not the ledger whose checkpoint was kept",
    "remembered": NOT_READ,
    "witness": NOT_READ,
}


def words_for(damage: str, folder: Path) -> list[str]:
    """The command for one of the vectors, on a copy of it."""
    shutil.copytree(BAD / damage, folder)
    words = ["verify", "--ledger", str(folder / "ledger.db"), "--key", str(folder / "ledger.vkey")]
    if (folder / "witness.vkey").exists():
        return [*words, "--witness-key", str(folder / "witness.vkey"), "--cosigned", str(folder / "kept.checkpoint")]
    return [*words, "--since", str(folder / "kept.checkpoint")] if (folder / "kept.checkpoint").exists() else words


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_the_verdict_says_what_a_damage_means_and_what_to_do(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = words_for(damage, tmp_path / "bad")

    assert main(words) == exit_code(damage)
    told = capsys.readouterr().out
    [verdict] = re.findall(r"^Verdict +(.*)$", told, re.MULTILINE)
    assert verdict.startswith(VERDICTS.get(damage, CHANGED).format(damage))
    assert re.search(r"^Reason +\S", told, re.MULTILINE)
    assert re.search(r"^Next step +\S", told, re.MULTILINE)

    assert main([*words, "--json"]) == exit_code(damage)
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == ("not compared" if damage in ("remembered", "witness") else "damaged")
    assert found["advice"]


def test_a_whole_ledger_is_not_called_damaged_because_the_checkpoint_is_anothers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, other = tmp_path / "ours", BAD / "rollback" / "kept.checkpoint"
    shutil.copytree(BAD.parent / "ledger-v1", ours)
    words = ["verify", "--ledger", str(ours / "ledger.db"), "--key", str(ours / "ledger.vkey"), "--since", str(other)]

    assert main(words) == exit_code("remembered")

    told = capsys.readouterr().out
    assert re.search(r"^Entries +the first 282 of 282 are as they were signed$", told, re.MULTILINE)
    assert re.search(r"^Verdict +NOT COMPARED \(remembered\)\. The file is whole in itself\.", told, re.MULTILINE)
    assert re.search(r"^Next step +Give the checkpoint that was kept of this ledger", told, re.MULTILINE)
