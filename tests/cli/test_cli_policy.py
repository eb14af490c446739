"""`jupyter audit profile` and `policy`: what is in force, what it means for one person, and what changed."""

from __future__ import annotations

import pytest
from cli_house import CommandLine

CONFIG = """\
c.JupyterAudit.roles = {"engineer": ["ada"], "approver": ["bea"], "admin": ["*"], "auditor": ["*"]}
c.JupyterAudit.profiles = {
    "production-debug": {
        "longest_minutes": 60,
        "break_glass": True,
    },
}
"""


def test_explain_says_what_a_person_could_do_and_the_ledger_says_who_looked(cli: CommandLine) -> None:
    config = cli.config(CONFIG)
    row = cli.json("profile", "explain", "ada", "production-debug", "--config", config)
    assert row["ask"]["allowed"]
    assert row["break_glass"]["allowed"]
    assert row["approvers"] == [{"name": "bea", "allowed": True, "why": ""}]
    text = cli.good("profile", "explain", "eve", "production-debug", "--config", config).out
    assert "eve may not hold the profile" in text
    assert [entry.body["detail"]["user"] for entry in cli.entries("ledger.read")] == ["ada", "eve"]


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-28T23:00:00"])
def test_a_time_that_is_none_is_refused(cli: CommandLine, moment: str) -> None:
    done = cli("profile", "explain", "ada", "production-debug", "--at", moment)
    assert done.code == 2
    assert moment in done.err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (CONFIG.replace("60", "6000"), 4),
        (CONFIG + 'c.JupyterAudit.profiles["production-debug"]["hours"] = "always"\n', 8),
        (CONFIG.replace("break_glass", "brake_glass"), 5),
        ('c.JupyterAudit.solo = True\nc.JupyterAudit.profiles = {"p": 3}\n', 2),
        ("c.JupyterAudit.solo = True\nc.JupyterAudit.grace_seconds = 'long'\n", 2),
        ("c.JupyterAudit.sollo = True\n", 1),
    ],
    ids=["value", "later-line", "unknown-key", "profile", "trait", "unknown-setting"],
)
def test_a_wrong_setting_is_named_with_its_file_and_line(cli: CommandLine, text: str, line: int) -> None:
    config = cli.config(text)
    done = cli("requests", "--config", config)
    assert done.code == 3
    assert f"{config}, line {line}: " in done.err


def test_a_wrong_setting_that_no_line_shows_is_named_all_the_same(cli: CommandLine) -> None:
    config = cli.config('c.JupyterAudit.profiles = dict(p=dict(longest_minutes=0))\nc.JupyterAudit["solo"] = True\n')
    done = cli("requests", "--config", config)
    assert done.code == 3
    assert "c.JupyterAudit.profiles['p']['longest_minutes']" in done.err
