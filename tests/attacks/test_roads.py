"""The table of roads (roads.yml) says what is there: no road without a test, no attack without a road."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from attack_house import HERE, load, roads

from jupyter_audit.gate.messages import MESSAGES
from jupyter_audit.record.kinds import KINDS

ROOT = HERE.parents[1]
GROUPS: dict[str, list[dict[str, Any]]] = yaml.safe_load((HERE / "roads.yml").read_text(encoding="utf-8"))
ROADS = [road for group in GROUPS.values() for road in group]
NOT_ATTACKS = {"test_message_roads.py", "test_request_roads.py", "test_roads.py"}
"""Tests of this folder that carry out the files of messages/ and requests/, or hold the table."""
SITUATIONS = ("plain", "without_grant", "expired", "anothers", "good")
NOT_MEANT = "not meant: "


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def named_by(road: dict[str, Any]) -> list[str]:
    """Return the ids of the tests that a road names, but for those that carry out its `attack`."""
    named = list(road.get("tests", ()))
    for tried in road.get("situations", {}).values():
        named += [tried] if isinstance(tried, str) else tried
    return [name for name in named if not name.startswith(NOT_MEANT)]


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road["road"][:40])
def test_a_road_is_gated_recorded_and_tested(road: dict[str, Any]) -> None:
    assert set(road) <= {"road", "attack", "situations", "tests", "messages", "gated", "recorded"}
    assert road["gated"]
    assert set(road["recorded"]) <= set(KINDS)
    for name in named_by(road):
        path, _, test = name.partition("::")
        assert test in names_in(ROOT / path), name


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road["road"][:40])
def test_a_road_is_tried_in_every_situation_or_says_why_there_is_none(road: dict[str, Any]) -> None:
    """Those with an `attack` are, by test_message_roads.py and test_request_roads.py."""
    assert ("attack" in road) != ("situations" in road), "one of the two"
    if "situations" not in road:
        return
    assert tuple(road["situations"]) == SITUATIONS
    for situation, tried in road["situations"].items():
        assert tried, situation
        if isinstance(tried, str) and "::" not in tried:
            assert tried.startswith(NOT_MEANT), tried
            assert len(tried) > len(NOT_MEANT) + 20, tried
    assert any("::" in test for test in named_by(road))


def test_every_attack_has_a_road_and_says_what_it_is() -> None:
    attacks = {f"{folder}/{name}" for folder in ("messages", "requests") for name in roads(folder)}
    named = [road["attack"] for road in ROADS if "attack" in road]
    assert sorted(named) == sorted(attacks)
    for attack in attacks:
        assert load(*attack.split("/")).__doc__


def test_every_other_test_of_an_attack_stands_in_the_table() -> None:
    named = {name for road in ROADS for name in named_by(road)}
    for path in HERE.glob("test_*.py"):
        if path.name not in NOT_ATTACKS:
            assert any(f"tests/attacks/{path.name}::{test}" in named for test in names_in(path)), path.name


def test_every_message_type_travels_on_a_road_that_leaves_the_entries_of_its_row() -> None:
    recorded: dict[str, set[str]] = {}
    for road in ROADS:
        for msg_type in road.get("messages", ()):
            recorded.setdefault(msg_type, set()).update(road["recorded"])
    assert set(recorded) == set(MESSAGES)
    for msg_type, entries in recorded.items():
        rule = MESSAGES[msg_type]
        assert rule.admitted_as in entries or not rule.channels
        assert rule.refused_as in entries or not rule.needs_grant


def test_no_road_is_named_twice() -> None:
    assert len({road["road"] for road in ROADS}) == len(ROADS)
