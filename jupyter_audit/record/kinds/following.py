"""Kinds of entries about what follows from entries: findings, gaps, readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_audit.model import Json
from jupyter_audit.record.kinds.base import Kind


@dataclass(frozen=True, slots=True)
class FindingRaised(Kind):
    """A detection matched the entries named in `entries`. `level` is Sigma's: informational … critical."""

    TYPE = "finding.raised"
    rule: str
    title: str
    level: str
    explanation: str
    entries: Sequence[int]


@dataclass(frozen=True, slots=True)
class DetectionJudged(Kind):
    """
    Every entry up to `through` was judged by the detections, so they go on after it.

    `rules` names the rules that judged and the SHA-256 of each one's file: a rule that was taken away or
    changed shows here.
    """

    TYPE = "detection.judged"
    through: int
    rules: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class GapRecorded(Kind):
    """Something that should be in the ledger is not, and this says what and why."""

    TYPE = "gap.recorded"
    what: str
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LedgerRead(Kind):
    """
    A person read other people's entries through the server or the command line (P9).

    What somebody searched for may be what is to be forgotten: it stands in the content `query`, which can be purged.
    """

    TYPE = "ledger.read"
    view: str
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LedgerExported(Kind):
    """
    A person had entries written into a file, which no purge reaches; put down before the file was (P9).

    `entries` is how many the ledger had; of those the file has the ones that pass `filters`. `to` is the file as they
    named it, `-` for standard output; `contents` says whether code and output went with them, `auditors` whose keys
    opened what was sealed.
    """

    TYPE = "ledger.exported"
    form: str
    to: str
    contents: bool
    entries: int
    filters: Mapping[str, Json]
    auditors: Sequence[str]


@dataclass(frozen=True, slots=True)
class AlertRouted(Kind):
    """
    From here on events go to these targets, as the admin set it: the names of targets with the kinds of their services,
    people's targets, and for each event whom it goes to. No address of a service stands here.
    """

    TYPE = "alert.routed"
    targets: Mapping[str, Json]
    people: Mapping[str, Json]
    routes: Mapping[str, Json]
    finding_level: str


@dataclass(frozen=True, slots=True)
class AlertSent(Kind):
    """
    A target's service took a message about `count` things of one `event`, after `attempts`.

    Up to the entry `through` everything of this event is told there; `about` names what is of no entry (a grant's end).
    The event `test` is a trial that the actor asked for.
    """

    TYPE = "alert.sent"
    event: str
    target: str
    count: int
    through: int
    about: Sequence[str]
    attempts: int


@dataclass(frozen=True, slots=True)
class AlertFailed(Kind):
    """
    A target could not be told; put down when it begins to fail, and where something is given up. It is tried again meanwhile.

    `given_up`: what was owed up to the entry `through`, or is named in `about`, is too old and will not be told.
    """

    TYPE = "alert.failed"
    event: str
    target: str
    count: int
    through: int
    about: Sequence[str]
    error: str
    given_up: bool
