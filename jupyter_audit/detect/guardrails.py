"""
Guardrails: what code says it does, judged before it runs, by the facts and the Sigma rules that detections go by. Pure.

A guardrail is a Sigma rule that a profile names. `compile_rule` reads one; a `GuardrailJudge` says which of them a piece
of code breaks. What cannot be read whole is said to be `unread`, and why: whoever asked decides what that means (the
gate refuses it). Code that hides what it does from a reader is not seen here: a seatbelt, not a wall (docs/guardrails.md).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_audit.access.guardrails import RuleFile
from jupyter_audit.detect.engine import first_sentence
from jupyter_audit.detect.facts import MOST_CODE, CodeFacts, extract
from jupyter_audit.detect.fields import ALL_FIELDS
from jupyter_audit.detect.names import MOST_BINDINGS, Bindings
from jupyter_audit.detect.rules import STRETCH, Rule, broken, parse_rules
from jupyter_audit.detect.view import code_field, matches
from jupyter_audit.detect.vocabulary import READ_MAGICS, UNREAD

KNOWN_BEFORE = frozenset(field.name for field in ALL_FIELDS if field.before)

RULE_FAILED = "the guardrail could not be asked"


@dataclass(frozen=True, slots=True)
class Asked:
    """
    Code that is to be judged: its pieces, the names that earlier cells of its session gave, and what is known besides.

    `rules` are the names of the guardrails to ask; `about` holds fields that are no facts of the code, such as `person`.
    """

    sources: Sequence[str]
    rules: Sequence[str]
    known: Bindings
    about: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Told:
    """
    What is to be said of code: for each guardrail that it breaks a sentence, and why it could not be read, if so.

    `bindings` are the names that later cells of the session can use, those of earlier ones among them.
    """

    broken: Mapping[str, str]
    unread: str
    bindings: Bindings


def compile_rule(path: Path, text: str) -> Rule:
    """Return the guardrail in `text`, which stands in the file `path`. Raises `ConfigError` naming file and line."""
    rules = list(parse_rules(path, text, KNOWN_BEFORE))
    if len(rules) != 1 or rules[0].is_burst:
        raise broken(path, 1, "a guardrail is one rule in a file of its own, and no correlation")
    return rules[0]


def compile_rules(files: Mapping[str, RuleFile]) -> dict[str, Rule]:
    """Return the guardrails in files, by name. Raises `ConfigError` for the first that cannot be used."""
    return {name: compile_rule(file.path, file.text) for name, file in files.items()}


class GuardrailJudge:
    """Asks guardrails, by their names. Belongs to one thread."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = dict(rules)
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.create_function("regexp", 2, matches, deterministic=True)
        columns = ", ".join(f'"{field.name}"' for field in ALL_FIELDS)
        self._connection.execute(f"CREATE TABLE {STRETCH} ({columns})")

    def judge(self, asked: Asked) -> Told:
        """Return what is to be said. Never raises, whatever the code."""
        if sum(map(len, asked.sources)) > MOST_CODE:
            return Told({}, f"it is longer than the {MOST_CODE // 1000},000 characters that are read", asked.known)
        facts = extract(asked.sources, asked.known)
        unread = _unread(facts)
        row = self._show(facts, asked)
        told: dict[str, str] = {}
        for name in asked.rules:
            rule = self._rules[name]
            try:
                if self._connection.execute(rule.query).fetchone() is not None:
                    told[name] = f"{first_sentence(rule, row) or rule.title + '.'} {rule.check}"
            except (sqlite3.Error, ValueError, TypeError, RecursionError):
                unread = unread or f"{RULE_FAILED} ({name})"
        bindings = _kept({**asked.known, **facts.bindings})
        if bindings is None:
            return Told(told, "the session uses more other names for things than are followed: restart its kernel", asked.known)
        return Told(told, unread, bindings)

    def _show(self, facts: CodeFacts, asked: Asked) -> dict[str, object]:
        code = "\n".join(asked.sources)
        row: dict[str, object] = {"seq": 0, "work": 1, "lines": code.count("\n") + 1, **asked.about}
        for field in ALL_FIELDS:
            if field.name in CodeFacts.__dataclass_fields__ or field.name == "code":
                row[field.name] = code_field(field.name, code, facts)
        self._connection.execute(f"DELETE FROM {STRETCH}")  # noqa: S608
        marks = ", ".join("?" for _ in ALL_FIELDS)
        values = [_storable(row.get(field.name)) for field in ALL_FIELDS]
        self._connection.execute(f"INSERT INTO {STRETCH} VALUES ({marks})", values)  # noqa: S608
        return {name: value for name, value in row.items() if name != "seq"}


def _storable(value: object) -> object:
    """Return a value as SQLite takes it: without lone surrogates."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _unread(facts: CodeFacts) -> str:
    """Return why a piece of code was not read whole, or nothing."""
    if facts.read_as == "text":
        return "it does not parse as Python"
    hidden = UNREAD & set(facts.obfuscated)
    if hidden:
        return f"it is not read whole ({', '.join(sorted(hidden))})"
    unknown = [magic for magic in facts.magics if magic not in READ_MAGICS]
    return f"what these magics run is not known: {', '.join(f'%{magic}' for magic in unknown)}" if unknown else ""


def _kept(bindings: Bindings) -> Bindings | None:
    """Return the names to remember: those that stand for something go before mere variables. None if they are too many."""
    if len(bindings) <= MOST_BINDINGS:
        return bindings
    aliases = {name: dotted for name, dotted in bindings.items() if dotted}
    if len(aliases) > MOST_BINDINGS:
        return None
    variables = [name for name, dotted in bindings.items() if not dotted]
    return aliases | dict.fromkeys(variables[:MOST_BINDINGS - len(aliases)], ())


def rule_to_json(rule: Rule) -> dict[str, Any]:
    """Return a compiled guardrail as JSON, for the process that asks it."""
    return {
        "id": rule.id,
        "title": rule.title,
        "query": rule.query,
        "explanations": list(rule.explanations),
        "check": rule.check,
        "terms": {field: list(words) for field, words in rule.terms.items()},
    }


def rule_from_json(given: Mapping[str, Any]) -> Rule:
    """Return the guardrail that `rule_to_json` wrote down."""
    return Rule(
        id=given["id"],
        title=given["title"],
        level="",
        description="",
        falsepositives=(),
        tags=(),
        query=given["query"],
        once_per="cell",
        explanations=tuple(given["explanations"]),
        check=given["check"],
        terms={field: tuple(words) for field, words in given["terms"].items()},
        path=Path(),
        digest="",
    )
