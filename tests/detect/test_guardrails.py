"""Guardrails: each stops what it says, and what cannot be read is said to be unread, whatever the code."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_audit.access.guardrails import BUILT_IN, find_rules
from jupyter_audit.detect.guardrails import Asked, GuardrailJudge, Told, compile_rule, compile_rules, rule_from_json, rule_to_json
from jupyter_audit.detect.names import MOST_BINDINGS
from jupyter_audit.detect.sources import to_complete
from jupyter_audit.errors import ConfigError
from jupyter_audit.server.judging import JudgeProcess

TABLE = yaml.safe_load((Path(__file__).parent / "guardrails.yml").read_text(encoding="utf-8"))
RULES = compile_rules(find_rules(""))
JUDGE = GuardrailJudge({name: rule_from_json(json.loads(json.dumps(rule_to_json(rule)))) for name, rule in RULES.items()})
ABOUT: dict[str, str | int] = {"person": "ann", "profile": "p"}


def judge(cells: str | list[str], *rules: str) -> Told:
    """Judge the cells of one session; what is said of the first that breaks a guardrail, else of the last."""
    known: Any = {}
    told = Told({}, "", {})
    for code in [cells] if isinstance(cells, str) else cells:
        told = JUDGE.judge(Asked((code,), rules or tuple(RULES), known, ABOUT))
        if told.broken:
            break
        known = told.bindings
    return told


def cases(group: str) -> list[Any]:
    return [
        pytest.param(rule, code, id=f"{rule}-{number}")
        for rule, groups in TABLE.items()
        for number, code in enumerate(groups[group].values() if isinstance(groups[group], dict) else groups[group])
    ]


def test_every_guardrail_has_cases_and_none_that_is_not_there_has() -> None:
    assert set(TABLE) == set(RULES) == {path.stem for path in BUILT_IN.glob("*.yml")}


@pytest.mark.parametrize(("rule", "code"), cases("broken"))
def test_a_guardrail_stops_what_it_is_for_and_says_what_to_do(rule: str, code: Any) -> None:
    told = judge(code, rule)
    assert RULES[rule].check in told.broken[rule], told
    assert len(told.broken[rule]) > len(RULES[rule].check)


@pytest.mark.parametrize(("rule", "code"), cases("kept"))
def test_ordinary_work_breaks_no_guardrail_and_can_be_read(rule: str, code: Any) -> None:
    told = judge(code, rule)
    assert (dict(told.broken), told.unread) == ({}, "")


@pytest.mark.parametrize(("rule", "code"), cases("out_of_reach"))
def test_what_the_docs_call_out_of_reach_of_a_guardrail_still_is(rule: str, code: Any) -> None:
    told = judge(code, rule)
    assert rule not in told.broken
    assert not told.unread


UNREADABLE = {
    "no Python": "(",
    "another language": "library(dplyr); orders %>% filter(id == 1)",
    "an unknown cell magic": "%%mine\nimport os",
    "an unknown line magic": "%run script.py",
    "a cell magic of another interpreter": "%%ruby\n`id`",
    "a computed magic": "get_ipython().run_line_magic(name, 'x')",
    "too long": "x = 1\n" * 20_000,
    "too deep": "x = " + "(" * 500 + ")" * 500,
    "more names than are kept": "\n".join(f"a{n}.b()" for n in range(700)),
}


@pytest.mark.parametrize("code", UNREADABLE.values(), ids=UNREADABLE)
def test_code_that_cannot_be_read_whole_is_said_to_be_unread(code: str) -> None:
    assert judge(code).unread


def test_padding_does_not_push_the_name_that_counts_out_of_sight() -> None:
    told = judge("\n".join(f"a{n}.b()" for n in range(700)) + "\nimport os\nos.system('id')", "no_shell")
    assert told.unread


def test_a_session_that_names_more_than_is_followed_is_unread_rather_than_forgotten() -> None:
    flood = ["import os"] + [
        "\n".join(f"a{cell}_{n} = os.path" for n in range(400)) for cell in range(1 + MOST_BINDINGS // 400)
    ]
    assert "restart" in judge(flood).unread


def test_mere_variables_do_not_push_out_what_stands_for_something() -> None:
    flood = ["import os\no = os"] + ["\n".join(f"ls = {n}" for n in range(3)), *(f"v{n} = f()" for n in range(20))]
    assert "no_shell" in judge([*flood, "o.system('id')"]).broken


@given(st.text() | st.lists(st.sampled_from("!|%%x|import os|exec(|'a'|DELETE FROM x|\n|(|)|\x00|\ud800|x=".split("|"))).map("".join))
@settings(max_examples=200, deadline=None)
def test_no_code_makes_judging_fail(code: str) -> None:
    told = judge(code)
    assert set(told.broken) <= set(RULES)


RULE = """title: Mine
id: 5a0c6f2e-3d0b-4f61-9d6e-6c1f3f1b7aff
description: x
level: low
logsource: {product: jupyter_audit, service: guardrail}
detection:
  broken: {FIELD}
  condition: broken
jupyter_audit:
  explanation: ["It names $person."]
  check: "Do not."
"""


def test_a_rule_of_the_admins_own_is_asked_like_the_products() -> None:
    rule = compile_rule(Path("mine.yml"), RULE.replace("FIELD", "uses|contains: ' shop.refund '"))
    told = GuardrailJudge({"mine": rule}).judge(Asked(("import shop as s\ns.refund(1)",), ("mine",), {}, ABOUT))
    assert told.broken == {"mine": "It names ann. Do not."}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (RULE.replace("FIELD", "rows_out: 3"), "not known before code runs"),
        (RULE.replace("FIELD", "nonsense: 3"), "is no field"),
        (RULE.replace("FIELD", "uses: x") + "---\n" + RULE.replace("FIELD", "uses: y").replace("7aff", "7afe"), "one rule in a file"),
        ("", "holds no rule"),
        ("a: [", "not YAML"),
    ],
    ids=["field of the end", "no field", "two", "empty", "no yaml"],
)
def test_a_guardrail_that_cannot_be_used_is_an_error_that_names_the_file(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.yml, line") as caught:
        compile_rule(Path("mine.yml"), text)
    assert why in str(caught.value)


COMPLETED = {
    "import os\nos.sys": "os",
    "x = f('id').": "f('id')",
    "g(a, f('id').b": "a, f('id')",
    "d['k'][f(1).y": "f(1)",
    "plain": "",
    "if f('a b').": "f('a b')",
    "(": "",
}


@pytest.mark.parametrize("code", COMPLETED)
def test_the_expression_that_a_completer_would_evaluate_is_found(code: str) -> None:
    assert to_complete(code, len(code)) == COMPLETED[code]


def question(code: str, rule: str) -> dict[str, Any]:
    return {"sources": [code], "rules": [rule], "known": {}, "about": dict(ABOUT)}


def test_code_that_takes_too_long_gets_no_answer_and_the_next_code_does() -> None:
    text = RULE.replace("FIELD", "code|re: '(a+)+b$'")
    rules = {"mine": rule_to_json(compile_rule(Path("mine.yml"), text))}
    process = JudgeProcess(rules, logging.getLogger("test"), seconds=3)
    try:
        assert process.ask(question("x", "mine")) == {"broken": {}, "unread": "", "bindings": {}}
        assert process.ask(question("a" * 60, "mine")) is None
        answer = process.ask(question("aab", "mine"))
        assert answer is not None
        assert set(answer["broken"]) == {"mine"}
        # Nor is a process that dies the end of judging.
        assert process._process is not None
        os.kill(process._process.pid, signal.SIGKILL)
        process._process.wait()
        assert process.ask(question("x", "mine")) is not None
    finally:
        process.stop()
