"""`jupyter audit profile` and `policy`: what is in force, what it means for one person, and what changed."""

from __future__ import annotations

import json
import re
from pathlib import Path

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


def test_an_act_under_another_policy_says_so_before_it_is_done(cli: CommandLine) -> None:
    config = cli.config('c.JupyterAudit.solo = True\nc.JupyterAudit.profiles = {"production-debug": {"longest_minutes": 60}}\n')
    cli.granted()
    cli.granted()
    (first,) = cli.entries("policy.changed")
    assert (first.body["previous"], first.body["noticed_by"]) == ("", "command line")
    cli.good("request", "--reason", "orders are stuck", "--ticket", "T-1", "--config", config)
    _, second = cli.entries("policy.changed")
    assert second.body["previous"] == first.body["digest"]
    assert {"op": "replace", "path": "/profiles/production-debug/longest_minutes", "old": 480, "value": 60} in second.body["changes"]
    assert second.seq == cli.entries("access.requested")[-1].seq - 1


def test_diff_compares_the_ledger_with_the_configuration_and_entries_with_each_other(cli: CommandLine) -> None:
    config = cli.config('c.JupyterAudit.solo = True\nc.JupyterAudit.profiles = {"production-debug": {"hours": "Mon 08:00-09:00 UTC"}}\n')
    assert "nothing recorded" in cli.good("policy", "diff").out
    cli.granted()
    assert "No difference." in cli.good("policy", "diff").out
    text = cli.good("policy", "diff", "--config", config).out
    assert '~ profiles.production-debug.hours: null -> "Mon 08:00-09:00 UTC"' in text
    assert "- profiles.recovery" in text
    cli.good("request", "--reason", "orders are stuck", "--ticket", "T-1", "--config", config)
    first, second = (entry.seq for entry in cli.entries("policy.changed"))
    row = cli.json("policy", "diff", str(first + 1), str(second))
    assert (row["from"]["entry"], row["to"]["entry"]) == (first, second)
    assert len(row["changes"]) == 2
    assert "hours: null" in cli.good("policy", "show", str(first)).out
    assert cli.json("policy", "show", "--config", config)["digest"] == row["to"]["digest"]


@pytest.mark.parametrize("words", [["diff", "x"], ["diff", "1", "2", "3"], ["show", "-1"], ["show", "0"], ["test"]])
def test_what_is_no_entry_is_refused(cli: CommandLine, words: list[str]) -> None:
    assert cli("policy", *words).code == 2


def fenced(language: str) -> str:
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    found, *_ = re.findall(rf"```{language}\n(.*?)```", page, flags=re.S)
    return str(found)


def test_the_documented_cases_hold_and_notice_a_policy_that_was_loosened(cli: CommandLine) -> None:
    cases = cli.folder / "cases.yaml"
    cases.write_text(fenced("yaml"))
    config = cli.config(fenced("python"))
    assert "7 cases, 0 failed." in cli.good("policy", "test", str(cases), "--config", config).out
    config = cli.config(fenced("python").replace('{"hours"', '{"self_approval": True, "hours"'))
    done = cli("policy", "test", str(cases), "--config", config)
    assert done.code == 1
    assert "FAIL nobody approves their own request: allowed (expected: refused" in done.out
    as_json = cli.folder / "cases.json"
    as_json.write_text(json.dumps([{"user": "ada", "profile": "nothing", "expect": "refused", "why": "no profile"}]))
    assert cli.json("policy", "test", str(as_json), "--config", config)["passed"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cases: []", "no cases"),
        ("- 3", "Case 1"),
        ("- {user: ada, profile: p, expect: maybe}", "expect"),
        ("- {user: ada, profile: p}", "expect"),
        ("- {user: ada, profile: p, expect: allowed, tiem: now}", "tiem"),
        ("- {user: ada, profile: p, expect: allowed, time: 2026-11-24T09:00:00}", "time"),
        ("- {user: ada, profile: p, expect: allowed, act: approve}", "requester"),
        ("- {user: ada, profile: p, expect: allowed, why: x}", "why"),
        ("- {user: ada, groups: dev, profile: p, expect: allowed}", "groups"),
        ("{", "YAML"),
    ],
    ids=["none", "number", "maybe", "nothing", "unknown", "zone", "approve", "why", "groups", "syntax"],
)
def test_a_case_that_cannot_be_judged_is_refused_not_passed(cli: CommandLine, text: str, told: str) -> None:
    cases = cli.folder / "cases.yaml"
    cases.write_text(text)
    done = cli("policy", "test", str(cases))
    assert done.code == 2
    assert told in done.err


ACKNOWLEDGED = 'c.JupyterAudit.solo = True\nc.JupyterAudit.profiles = {"production-debug": {"acknowledge": True}}\n'


def test_the_rules_are_shown_before_a_request_until_they_are_acknowledged(cli: CommandLine) -> None:
    config = ("--config", cli.config(ACKNOWLEDGED))
    ask = ("request", "--reason", "orders are stuck", "--ticket", "T-1", *config)
    done = cli(*ask)
    assert done.code == 6
    assert "Everything that you run is recorded" in done.err
    word = done.err.partition("--acknowledge ")[2].split()[0]
    assert f"version {word}" in cli.good("rules", *config).out
    assert word in cli.good("rules", "--acknowledge", word, *config).out
    assert "recorded" not in cli.good(*ask).err
    assert cli.json("rules", *config)["acknowledged"]
    assert len(cli.entries("access.acknowledged")) == 1


def test_feedback_and_numbers_on_the_command_line(cli: CommandLine) -> None:
    cli.granted()
    assert cli.json("feedback", "nobody answers at night")["about"] == cli.entries("access.requested")[0].seq
    row = cli.json("stats")
    assert (row["approved"], row["feedback"]) == (1, 1)
    assert "approved          1: half within" in cli.good("stats", "--since", "1h").out
    assert cli("feedback", "--about", "100000", "x").code == 6
    config = cli.config('c.JupyterAudit.roles = {"engineer": ["*"]}\n')
    assert cli("stats", "--config", config).code == 6


GUARDED = """\
c.JupyterAudit.roles = {"engineer": ["ada"], "approver": ["bea"], "admin": ["*"], "auditor": ["*"]}
c.JupyterAudit.profiles = {"p": {"guardrails": {"no_shell": "refuse", "no_network": "warn"}}}
"""

CODE_CASES = """\
cases:
  - {user: ada, profile: p, act: run, code: "!ls", expect: refused, why: Guardrail no_shell}
  - {user: ada, profile: p, act: run, code: "import requests as r; r.get('x')", expect: warned, why: no_network}
  - {user: ada, profile: p, act: run, code: "print(1)", expect: allowed}
  - {user: ada, profile: p, act: run, code: "(", expect: refused, why: does not parse}
"""


def test_cases_of_code_are_asked_of_the_guardrails_and_a_loosened_policy_fails_them(cli: CommandLine) -> None:
    config, file = cli.config(GUARDED), cli.folder / "cases.yaml"
    file.write_text(CODE_CASES)
    assert "4 cases, 0 failed." in cli.good("policy", "test", str(file), "--config", config).out
    config = cli.config(GUARDED.replace('"no_shell": "refuse"', '"no_shell": "warn"'))
    done = cli("policy", "test", str(file), "--config", config)
    assert done.code == 1
    assert "warned" in done.out.splitlines()[0]


def test_a_guardrail_in_force_is_shown_in_words_and_in_the_diff(cli: CommandLine) -> None:
    cli.good("request", "--profile", "p", "--reason", "because it is", "--ticket", "T-1", "--config", cli.config(GUARDED + SOLO))
    loosened = cli.config(GUARDED.replace("refuse", "warn") + SOLO)
    assert 'no_shell.mode: "refuse" -> "warn"' in cli.good("policy", "diff", "--config", loosened).out
    words = cli.good("profile", "explain", "ada", "p", "--config", loosened).out
    assert "runs with a warning, and auditors are told: no_network, no_shell." in words


SOLO = "c.JupyterAudit.solo = True\n"
