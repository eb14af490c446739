"""A running server sends its checkpoints, what is left when it stops, and raises the alarm that a witness gives."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import audited_server, make_home, wait_for

from jupyter_audit.ledger import verify_ledger
from jupyter_audit.ledger.checkpoint import Checkpoint, format_checkpoint
from jupyter_audit.ledger.keys import load_signer
from jupyter_audit.ledger.witness_sink import cosigned_path

sys.path.insert(0, str(Path(__file__).parents[1] / "witness"))

from witness_house import RunningWitness, make_witness


@pytest.fixture
def witnesses(tmp_path: Path) -> Iterator[tuple[RunningWitness, RunningWitness]]:
    """Two witnesses of the ledger in `tmp_path`; the second has seen another one under the same key."""
    home = make_home(tmp_path)
    key = home.verifier_key.read_text().strip()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (make_witness(tmp_path / name, [key], f"witness.example.org/{name}") for name in ("one", "two"))
    one.start()
    two.start()
    signer = load_signer(home.signing_key)
    elsewhere = signer.sign(format_checkpoint(Checkpoint(signer.verifier.name, 1000, bytes(32))))
    assert two.add(0, [], elsewhere)[0] == 200
    yield one, two
    one.stop(kill=True)
    two.stop(kill=True)


def test_a_running_server_sends_checkpoints_and_the_last_one_as_it_stops_and_says_loudly_what_a_witness_refuses(
    tmp_path: Path, witnesses: tuple[RunningWitness, RunningWitness]
) -> None:
    one, two = witnesses
    kept = tmp_path / "kept.jsonl"
    sinks = [f"--JupyterAudit.anchors={text}" for text in (f"file:{kept}", two.setting, one.setting)]
    with audited_server(tmp_path, *sinks, "--JupyterAudit.anchor_seconds=0.2") as server:
        cosigned = cosigned_path(server.home.cosigned, one.key)
        wait_for(kept.exists, "the first checkpoint to be sent")
        wait_for(cosigned.exists, "the first one to be cosigned")
        wait_for(lambda: "ALARM" in server.log, "the alarm")
        assert "two cosigned 1000 entries" in server.log
        alarm = server.await_entry("witness.alarm")
        assert (alarm.body["sink"], alarm.body["stands"]) == (two.setting, True)
        assert "two cosigned 1000 entries" in alarm.body["said"]
        one.stop()
        server.grant()
        size = server.reader.size()
        wait_for(lambda: json.loads(kept.read_text().splitlines()[-1])["size"] >= size, "the newest one")
        wait_for(lambda: f"{one.setting} fails" in server.log, "the server to notice that a witness is down")
        one.start()
        wait_for(lambda: f"{one.setting} works again" in server.log, "the server to get through again")
        assert len(server.entries("witness.alarm")) == 1
    stopped = server.verify()
    assert json.loads(kept.read_text().splitlines()[-1])["size"] == stopped.entries
    report = verify_ledger(
        server.home.ledger,
        verifier_keys=[server.home.verifier_key.read_text()],
        witness_keys=[one.key_text],
        cosigned=[cosigned.read_text()],
    )
    assert report.witnesses[0].not_yet == 0
