"""`jupyter audit anchor`, and what the doctor says of anchors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_house import CommandLine

from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.damage import exit_code
from jupyter_audit.ledger.keys import load_signer

sys.path.insert(0, str(Path(__file__).parents[1] / "witness"))

from witness_house import RunningWitness, make_witness


def test_checkpoints_are_sent_and_the_doctor_shows_how_far_each_sink_is(cli: CommandLine) -> None:
    kept = cli.folder / "away" / "kept.jsonl"
    config = cli.config(f"c.JupyterAudit.solo = True\nc.JupyterAudit.anchors = ['file:{kept}']\n")
    down = cli("anchor", "--config", config, "--json")
    assert (down.code, down.rows()[0]["behind"]) == (1, 1)
    assert "failing since" in cli("doctor", "--config", config).out

    kept.parent.mkdir()
    assert cli("anchor", "--config", config).code == 0
    assert "1 entries, 0 behind" in cli("doctor", "--config", config).out
    assert cli.good("verify", "--since", str(kept)).code == 0


def test_without_anchors_the_doctor_says_what_that_means_and_a_wrong_one_is_refused(cli: CommandLine) -> None:
    assert "kept nowhere else" in cli("doctor").out
    assert cli("anchor").code == 0
    wrong = cli("anchor", "--config", cli.config("c.JupyterAudit.solo = True\nc.JupyterAudit.anchors = ['ftp://x']\n"))
    assert wrong.code == 3
    assert "is no sink" in wrong.err


@pytest.fixture
def witness(cli: CommandLine) -> Iterator[RunningWitness]:
    made = make_witness(cli.folder, [cli.home.verifier_key.read_text().strip()])
    made.start()
    yield made
    made.stop(kill=True)


def test_a_witness_cosigns_and_verify_demands_it(cli: CommandLine, witness: RunningWitness) -> None:
    config = cli.config(f"c.JupyterAudit.solo = True\nc.JupyterAudit.anchors = ['{witness.setting}']\n")
    key = ("--witness-key", witness.key_text)
    missing = cli("verify", *key, "--json")
    assert (missing.code, missing.rows()[0]["damage"]) == (exit_code("witness"), "witness")

    assert cli.good("anchor", "--config", config)
    assert "1 entries, 0 behind" in cli.good("doctor", "--config", config).out
    cli.granted()
    [said] = cli.json("verify", *key)["witnesses"]
    assert (said["name"], said["entries"], said["not_yet"]) == (witness.key.name, 1, 3)
    assert f"Witness       {witness.key.name} cosigned the first 1 entries" in cli.good("verify", *key).out
    assert cli.good("verify", "--witness-key", str(witness.folder.public))

    # What the witness itself says; and a ledger somewhere else, to which nothing was kept.
    newest = cli.folder / "newest"
    newest.write_text(witness.newest(cli.entries()[0].body["origin"])[1])
    copy = cli.folder / "copy" / "ledger.db"
    copy.parent.mkdir()
    with LedgerReader.open(cli.home.ledger) as reader:
        reader.connection.execute("VACUUM INTO ?", (str(copy),))
    assert cli("verify", "--ledger", str(copy), *key).code == exit_code("witness")
    assert cli.good("verify", "--ledger", str(copy), *key, "--cosigned", str(newest))
    assert cli("verify", "--cosigned", str(newest)).code == 2
    assert cli("verify", "--witness-key", cli.home.verifier_key.read_text().strip()).code == 2


def test_an_alarm_fails_the_doctor_and_the_command(cli: CommandLine, witness: RunningWitness) -> None:
    config = cli.config(f"c.JupyterAudit.solo = True\nc.JupyterAudit.anchors = ['{witness.setting}']\n")
    signer = load_signer(cli.home.signing_key)
    elsewhere = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, 9, bytes(32))))
    assert witness.add(0, [], elsewhere)[0] == 200
    alarm = cli("anchor", "--config", config, "--json")
    assert (alarm.code, alarm.rows()[0]["alarm"]) == (1, True)
    told = cli("doctor", "--config", config)
    assert told.code == 1
    assert "fail  witness: " in told.out
    assert "this ledger has 1" in told.out


def test_an_alarm_is_an_entry_once_and_doctor_does_not_forget_it(cli: CommandLine, witness: RunningWitness) -> None:
    config = cli.config(f"c.JupyterAudit.solo = True\nc.JupyterAudit.anchors = ['{witness.setting}']\n")
    assert cli.good("anchor", "--config", config)
    early = cli.folder / "early"
    shutil.copytree(cli.home.path, early)
    cli.granted()
    assert cli.good("anchor", "--config", config)
    late = cli.folder / "late"
    shutil.copytree(cli.home.path, late)

    put_back(early, cli.home.path)
    assert cli("anchor", "--config", config).code == 1
    [alarm] = cli.entries("witness.alarm")
    assert (alarm.body["sink"], alarm.body["stands"]) == (witness.setting, True)
    assert "entries were cut off, or an old copy was put back" in str(alarm.body["said"])
    assert f"entry {alarm.seq} says so" in cli("doctor", "--config", config).out
    assert cli("anchor", "--config", config).code == 1
    witness.stop()
    assert cli("anchor", "--config", config).code == 1
    assert [entry.seq for entry in cli.entries("witness.alarm")] == [alarm.seq]

    # Neither without the state of the sinks nor without the setting does doctor forget it.
    shutil.rmtree(cli.home.anchors)
    assert f"fail  witness: {witness.setting} has 0 entries" in cli("doctor", "--config", config).out
    told = cli("doctor", "--config", cli.config("c.JupyterAudit.solo = True\n"))
    assert told.code == 1
    assert f"{witness.setting} is not asked any more; entry {alarm.seq} says since {alarm.body['since']}" in told.out

    witness.start()
    put_back(late, cli.home.path)
    config = cli.config(f"c.JupyterAudit.solo = True\nc.JupyterAudit.anchors = ['{witness.setting}']\n")
    assert cli.good("anchor", "--config", config)
    assert cli.entries("witness.alarm") == []  # that was another ledger


def put_back(copy: Path, home: Path) -> None:
    shutil.rmtree(home)
    shutil.copytree(copy, home)
