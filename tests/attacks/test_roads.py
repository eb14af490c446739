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


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road["road"][:40])
def test_a_road_is_gated_recorded_and_tested(road: dict[str, Any]) -> None:
    assert set(road) <= {"road", "attack", "tests", "messages", "gated", "recorded"}
    assert road["gated"]
    assert set(road["recorded"]) <= set(KINDS)
    assert "attack" in road or road["tests"]
    for name in road.get("tests", ()):
        path, _, test = name.partition("::")
        assert test in names_in(ROOT / path), name


def test_every_attack_has_a_road_and_says_what_it_is() -> None:
    attacks = {f"{folder}/{name}" for folder in ("messages", "requests") for name in roads(folder)}
    named = [road["attack"] for road in ROADS if "attack" in road]
    assert sorted(named) == sorted(attacks)
    for attack in attacks:
        assert load(*attack.split("/")).__doc__


def test_every_other_test_of_an_attack_stands_in_the_table() -> None:
    named = {name for road in ROADS for name in road.get("tests", ())}
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
