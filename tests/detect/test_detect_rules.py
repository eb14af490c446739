"""The rules are valid Sigma, say nothing that cannot be unsaid, and a broken one names its line."""

from __future__ import annotations

import uuid
from pathlib import Path
from string import Template

import pytest
import yaml
from sigma.collection import SigmaCollection
from sigma.validation import SigmaValidator
from sigma.validators.core import validators

from jupyter_audit.detect.engine import explain
from jupyter_audit.detect.fields import ALL_FIELDS, FIELDS
from jupyter_audit.detect.rules import RULES_FOLDER, Rule, load_rules
from jupyter_audit.errors import ConfigError
from jupyter_audit.record.kinds import KINDS

DOCUMENTS = [
    document for path in sorted(RULES_FOLDER.glob("*.yml")) for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
# Validators whose question does not arise here: besides these they are about SigmaHQ's lists of products and
# file names, or object to a section of one's own, which Sigma allows.
NOT_ASKED = {
    # These fetch MITRE's lists from the network; the form of the tags is checked below.
    "attacktag",
    "d3_fendtag",
    "filename_length",
    "duplicate_filename",
    "custom_attributes",
    "fieldname_logsource",
    "specific_instead_of_generic_logsource",
    # LIST fields have a space before and after each word, so `|contains: ' rm '` is what is meant.
    "wildcards_instead_of_modifiers",
}


def test_the_rules_pass_sigmas_own_validators() -> None:
    asked = {name: validator for name, validator in validators.items() if name not in NOT_ASKED}
    collection = SigmaCollection.load_ruleset([RULES_FOLDER])
    issues = SigmaValidator(set(asked.values())).validate_rules(iter(collection.rules))
    assert not [str(issue) for issue in issues]


def test_there_are_the_rules_that_were_promised() -> None:
    assert sorted(rule.title for rule in load_rules()) == [
        "A passkey that may have been copied",
        "Broken glass",
        "Burst of refusals",
        "Burst of refused attempts",
        "Guardrail crossed",
        "Shell escape",
        "Unlimited mass read",
        "Work at an unusual hour",
        "Write to production",
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["title"])
def test_a_rule_says_what_a_reviewer_needs(document: dict[str, object]) -> None:
    assert uuid.UUID(str(document["id"])).version is not None
    for key in ("title", "status", "description", "author", "date", "level"):
        assert document.get(key), key
    if document.get("name"):
        return  # a building block of another rule
    assert document["falsepositives"]
    assert all(str(tag).startswith("attack.") for tag in document["tags"])  # type: ignore[attr-defined]
    if "logsource" in document:
        assert document["logsource"] == {"product": "jupyter_audit", "service": "ledger"}


def test_no_field_that_people_write_freely_can_be_said() -> None:
    for name in ("code", "uses", "programs", "cell", "msg_id", "msg_type", "error", "channel"):
        assert not FIELDS[name].sayable


def test_every_field_of_a_body_is_a_field_of_some_kind_of_entry() -> None:
    """A field that no entry has would make a rule that never matches."""
    from dataclasses import fields

    names = {field.name for kind in KINDS.values() for field in fields(kind)}  # type: ignore[arg-type]
    for field in ALL_FIELDS:
        if field.sql.startswith("json_extract(e.raw, '$.body."):
            assert field.name in names, field.name
            for quoted in field.sql.split("$.body.")[1:]:
                assert quoted.split("'")[0] in names


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.title)
def test_every_sentence_of_a_rule_can_be_said(rule: Rule) -> None:
    for sentence in rule.explanations:
        named = Template(sentence).get_identifiers()
        assert "person" in named
        row: dict[str, object] = {name: f" {name} " for name in named if name != "matched"}
        if "matched" in named:
            field, terms = next((field, terms) for field, terms in rule.terms.items() if terms)
            row[field] = f" x{terms[0]}x "
        said = explain(rule, {"person": "bob", "seq": 7, **row})
        assert "$" not in said
        assert said.endswith(rule.check)


GOOD = """\
title: A rule
id: 11111111-2222-3333-4444-555555555555
description: It is for a test.
logsource:
  product: jupyter_audit
  service: ledger
detection:
  selection:
    work: true
    code|contains: x
  condition: selection
level: low
jupyter_audit:
  once_per: cell
  explanation:
    - "$person did it in entry $seq."
  check: "Ask."
"""


def test_the_rule_that_is_broken_below_is_good(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    assert [rule.title for rule in load_rules(tmp_path)] == ["A rule"]


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("title: A rule", "title: [", 3, "not YAML"),
        ("title: A rule", "- a list", 2, "not YAML"),
        ("id: 11111111-2222-3333-4444-555555555555\n", "", 1, "lacks id"),
        ("11111111-2222-3333-4444-555555555555", "one", 2, "uuid"),
        ("level: low", "level: enormous", 12, "level"),
        ("level: low\n", "", 1, "lacks level"),
        ("  condition: selection", "  condition: selektion", 11, "selektion"),
        ("  condition: selection", "  condition: selection and (", 11, ""),
        ("    work: true", "    wrok: true", 9, "wrok is no field"),
        ("code|contains", "code|kontains", 7, "kontains"),
        ("    code|contains: x", "    code|re: '('", 7, "regular expression"),
        ("once_per: cell", "once_per: hour", 13, "once_per"),
        ("$person did", "$code did", 13, "cannot be purged"),
        ("$person did", "$nobody did", 13, "no field"),
        ("$person did", "$ did", 13, "stray"),
        ('    - "$person did it in entry $seq."', "    text", 13, "list of sentences"),
        ('  check: "Ask."\n', "", 13, "check"),
        ("jupyter_audit:\n  once", "jupyter:\n  once", 1, "lacks the section"),
    ],
)
def test_a_broken_rule_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, why: str) -> None:
    assert old in GOOD
    (tmp_path / "bad.yml").write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_rules(tmp_path)
    assert str(caught.value).startswith(f"The rule bad.yml, line {line}, cannot be used:")
    assert why.lower() in str(caught.value).lower()
    assert "bad.yml" in caught.value.advice


def test_two_rules_of_one_id_and_no_rule_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no detection rules"):
        load_rules(tmp_path)
    (tmp_path / "a.yml").write_text(GOOD)
    (tmp_path / "b.yml").write_text(GOOD)
    with pytest.raises(ConfigError, match=r"is in a\.yml too"):
        load_rules(tmp_path)


@pytest.mark.parametrize("kind", ["value_count", "temporal"])
def test_a_correlation_that_cannot_be_run_is_refused(tmp_path: Path, kind: str) -> None:
    text = (RULES_FOLDER / "refusal_burst.yml").read_text().replace("type: event_count", f"type: {kind}")
    (tmp_path / "burst.yml").write_text(text.replace("    gte: 5", "    gte: 5\n    field: cause"))
    with pytest.raises(ConfigError, match=r"burst\.yml, line \d+"):
        load_rules(tmp_path)
