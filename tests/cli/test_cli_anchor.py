"""`jupyter audit anchor`, and what the doctor says of anchors."""

from __future__ import annotations

from cli_house import CommandLine


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
