"""
What an auditor looks at first: findings, refusals, and gaps in the record. Pure functions over entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from jupyter_audit.model import Entry, Json

LEVELS = ("", "informational", "low", "medium", "high", "critical")
"""Sigma's levels, mildest first; the empty text stands for no finding."""

FINDING_TYPES = ("finding.raised", "gap.recorded")
REFUSAL_TYPES = ("cell.refused", "message.refused", "session.refused", "request.refused", "access.refused")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a detection raised, or (level `gap`) what is known to be missing in the record."""

    seq: int
    time: datetime
    principal: str
    session: str | None
    level: str
    title: str
    explanation: str
    rule: str
    entries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was tried and not let through: a cell, another message, a kernel's start, an action."""

    seq: int
    time: datetime
    principal: str
    session: str | None
    what: str
    cause: str


def worse_level(one: str, other: str) -> str:
    """Return the graver of two levels; a level that Sigma does not know counts as the gravest."""
    return max(one, other, key=_gravity)


def list_findings(entries: Iterable[Entry], owners: Mapping[str, str] | None = None) -> list[Finding]:
    """
    Return the findings and gaps among `entries`, gravest first, then newest first.

    `owners` maps sessions to the people whose they are: with it a finding that the server raised names the
    person whom it is about.
    """
    found = [_finding(entry) for entry in entries if entry.type in FINDING_TYPES]
    if owners:
        found = [replace(one, principal=owners.get(one.session or "", one.principal)) for one in found]
    return sorted(found, key=lambda finding: (-_gravity(finding.level), -finding.seq))


def list_refusals(entries: Iterable[Entry]) -> list[Refusal]:
    """Return the refusals among `entries`, in their order."""
    return [_refusal(entry) for entry in entries if entry.type in REFUSAL_TYPES]


def read_finding(entry: Entry) -> Finding:
    """Return the one finding or gap that `entry` is."""
    return _finding(entry)


def _gravity(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def _finding(entry: Entry) -> Finding:
    body = entry.body
    if entry.type == "gap.recorded":
        title, level, rule = f"Gap in the record: {body.get('what', '')}", "gap", ""
        detail = body.get("detail")
        named = detail.get("entries") if isinstance(detail, dict) else None
        explanation = _pairs(detail)
    else:
        title, level, rule = (str(body.get(name, "")) for name in ("title", "level", "rule"))
        named, explanation = body.get("entries"), str(body.get("explanation", ""))
    entries = tuple(seq for seq in named if isinstance(seq, int)) if isinstance(named, list) else ()
    return Finding(
        entry.seq, entry.time, entry.actor.name, entry.session, level, title, explanation, rule, entries
    )


def _refusal(entry: Entry) -> Refusal:
    body = entry.body
    match entry.type:
        case "cell.refused":
            lines = body.get("lines")
            what = f"cell of {lines} line{'' if lines == 1 else 's'}"
        case "message.refused":
            what = f"{body.get('msg_type', '')} on {body.get('channel', '')}"
        case "session.refused":
            what = f"start of kernel {body.get('kernel_name', '')}"
        case "request.refused":
            what = f"{body.get('method', '')} {body.get('path', '')}"
        case _:
            what = f"{body.get('action', '')} {body.get('target', '')}".strip()
    return Refusal(entry.seq, entry.time, entry.actor.name, entry.session, what, str(body.get("cause", "")))


def _pairs(value: Json) -> str:
    return ", ".join(f"{key}: {item}" for key, item in value.items()) if isinstance(value, dict) else ""
