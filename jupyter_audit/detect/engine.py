"""
Runs the rules over a stretch of the ledger and says what matched, in words. Writes nothing.

Each rule sees each entry once, when the entry is new. A burst is looked for only when an entry that it counts
is new, over as many earlier entries as its time span needs.
"""

from __future__ import annotations

import json
import sqlite3
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jupyter_audit.clock import parse_time
from jupyter_audit.detect.fields import FIELDS, Form
from jupyter_audit.detect.rules import Rule
from jupyter_audit.detect.view import EventView
from jupyter_audit.model import Draft
from jupyter_audit.record import kinds

MOST_NAMED = 5
"""Words of a list that an explanation repeats."""

MOST_COUNTED = 100
"""Entries of a burst that its finding names."""

MOST_BURST = 1000
"""Earlier refusals that are looked at to find where a burst began."""

FINDING = kinds.FindingRaised.TYPE


@dataclass(frozen=True, slots=True)
class Match:
    """
    A rule matched `entries` (the cell's entry first).

    `about` are the entries of which a finding by this rule would be about the same thing: the cell, or the
    whole run of refusals that a burst stands in.
    """

    rule: Rule
    entries: tuple[int, ...]
    about: tuple[int, ...]
    grant: str | None
    session: str | None
    explanation: str

    def draft(self) -> Draft:
        """Return the finding as it is to be put down."""
        kind = kinds.FindingRaised(
            rule=self.rule.id,
            title=self.rule.title,
            level=self.rule.level,
            explanation=self.explanation,
            entries=list(self.entries),
        )
        return kinds.draft(kind, grant=self.grant, session=self.session)


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule could not judge the entries `low` to `high`."""

    rule: Rule
    low: int
    high: int
    error: str


class Engine:
    """Judges the entries of one reader, in the reader's thread."""

    def __init__(self, view: EventView, rules: Sequence[Rule]) -> None:
        self._view = view
        self._rules = tuple(rules)
        self._open_bursts: dict[tuple[str, str], float] = {}
        self._grants_found: set[tuple[str, str]] = set()

    def judge(self, low: int, high: int) -> tuple[list[Match], list[Failure]]:
        """
        Return what matched among the entries `low` to `high`, in the order of the ledger, and what failed.

        Call it with every stretch once, in order.
        """
        self._view.read_code(low, high)
        matches: list[Match] = []
        failures: list[Failure] = []
        for rule in self._rules:
            self._judge(rule, low, high, matches, failures)
        matches.sort(key=lambda match: match.entries[-1])
        return matches, failures

    def forget(self) -> None:
        """Forget what was thought to be put down: the findings of the last stretch were not stored."""
        self._open_bursts.clear()
        self._grants_found.clear()

    def _judge(self, rule: Rule, low: int, high: int, matches: list[Match], failures: list[Failure]) -> None:
        run = self._bursts if rule.is_burst else self._events
        try:
            matches += run(rule, low, high)
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            if low < high:
                # One entry must not keep the others from being judged.
                middle = (low + high) // 2
                self._judge(rule, low, middle, matches, failures)
                self._judge(rule, middle + 1, high, matches, failures)
            else:
                failures.append(Failure(rule, low, high, type(error).__name__))

    def _events(self, rule: Rule, low: int, high: int) -> list[Match]:
        self._view.lay_out(low, high)
        found: dict[int, Match] = {}
        for (seq,) in self._view.connection.execute(rule.query).fetchall():
            row = self._view.row(seq)
            cell, grant = row["cell_entry"], row["grant"]
            first = cell if isinstance(cell, int) else int(seq)
            grant = grant if isinstance(grant, str) else None
            if rule.once_per == "grant" and grant is not None:
                if (rule.id, grant) in self._grants_found:
                    continue
                self._grants_found.add((rule.id, grant))
            if first not in found:
                entries = (first,) if first == seq else (first, int(seq))
                found[first] = _match(rule, entries, (first,), row, explain(rule, row))
        return list(found.values())

    def _bursts(self, rule: Rule, low: int, high: int) -> list[Match]:
        self._view.show(low, high)
        new: dict[str, list[tuple[int, float]]] = {}
        for seq, person, time in self._view.connection.execute(rule.counted).fetchall():
            new.setdefault(str(person), []).append((int(seq), _seconds(time)))
        return [match for person, counted in new.items() for match in self._bursts_of(rule, person, counted, high)]

    def _bursts_of(self, rule: Rule, person: str, new: list[tuple[int, float]], high: int) -> list[Match]:
        """The bursts of one person that the newly counted entries make or reach, unless one goes on."""
        key = (rule.id, person)
        for position, (_, moment) in enumerate(new):
            last = self._open_bursts.get(key)
            if last is None or moment - last > rule.timespan:
                self._open_bursts.pop(key, None)
                new = new[position:]
                break
            self._open_bursts[key] = max(last, moment)
        else:
            return []
        earlier = self._counted_before(rule, person, new[0])
        counted = earlier + new
        self._view.show(counted[0][0], high, person)
        alerts = self._view.connection.execute(rule.query).fetchall()
        bursts = _joined([_evidence(alert[8]) for alert in alerts], counted, rule.timespan)
        matches = []
        for entries, run in bursts:
            row = self._view.row(entries[-1])
            facts = {
                "count": len(entries),
                "first": entries[0],
                "last": entries[-1],
                "timespan": f"{rule.timespan // 60} minutes",
            }
            matches.append(_match(rule, entries[:MOST_COUNTED], run, row, explain(rule, {**row, **facts})))
        if bursts and new[-1][0] in bursts[-1][0]:
            self._open_bursts[key] = new[-1][1]
        return matches

    def _counted_before(self, rule: Rule, person: str, first: tuple[int, float]) -> list[tuple[int, float]]:
        """The counted entries before `first` in one run with it: no gap is longer than the time span."""
        found: list[tuple[int, float]] = []
        seq, moment = first
        step = 64
        while seq > 0 and len(found) < MOST_BURST:
            low = max(0, seq - step)
            self._view.show(low, seq - 1, person)
            rows = self._view.connection.execute(rule.counted).fetchall()
            for number, _, time in reversed(rows):
                if moment - _seconds(time) > rule.timespan:
                    return found
                moment = min(moment, _seconds(time))
                found.insert(0, (int(number), _seconds(time)))
            (oldest,) = self._view.connection.execute("SELECT time FROM main.entry WHERE seq = ?", (low,)).fetchone()
            if moment - _seconds(oldest) > rule.timespan:
                return found
            seq, step = low, min(step * 2, 4096)
        return found


def explain(rule: Rule, row: Mapping[str, object]) -> str:
    """Return the rule's first sentence whose fields all have a value in `row`, and what to check."""
    told = first_sentence(rule, row)
    if not told:
        told = f"{rule.title}: {_said('person', row.get('person') or 'somebody')}, entry {row.get('seq', '?')}."
    return f"{told} {rule.check}"


def first_sentence(rule: Rule, row: Mapping[str, object]) -> str:
    """Return the rule's first sentence whose fields all have a value in `row`; nothing if none has."""
    words = {name: _said(name, value) for name, value in row.items() if value is not None}
    matched = _matched(rule, row)
    if matched:
        words["matched"] = ", ".join(matched[:MOST_NAMED])
    for sentence in rule.explanations:
        template = string.Template(sentence)
        if all(words.get(name) for name in template.get_identifiers()):
            return template.substitute(words)
    return ""


def _match(rule: Rule, entries: tuple[int, ...], about: tuple[int, ...], row: Mapping[str, object], explanation: str) -> Match:
    grant, session = row["grant"], row["session"]
    return Match(
        rule=rule,
        entries=entries,
        about=about,
        grant=grant if isinstance(grant, str) else None,
        session=session if isinstance(session, str) else None,
        explanation=explanation,
    )


def _matched(rule: Rule, row: Mapping[str, object]) -> list[str]:
    """The words of list fields that matched, as the rule spells them: nothing that a person wrote."""
    return sorted(
        {
            term.strip(" .")
            for field, terms in rule.terms.items()
            for term in terms
            if isinstance(row.get(field), str) and term.lower() in str(row[field]).lower()
        }
    )


def _said(name: str, value: object) -> str:
    if name in FIELDS and FIELDS[name].form is Form.LIST:
        items = str(value).split()
        more = f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else ""
        return ", ".join(item.replace(":", " ", 1) for item in items[:MOST_NAMED]) + more
    text = str(value)
    return "".join(character if character.isprintable() else "?" for character in text)[:200]


def _seconds(time: object) -> float:
    return parse_time(str(time)).timestamp()


def _evidence(event_ids: str) -> list[int]:
    """The entry numbers of an alert; the backend writes each as `<source>:<number>`."""
    return sorted(int(str(event).rpartition(":")[2]) for event in json.loads(event_ids))


def _joined(
    alerts: Sequence[Sequence[int]], counted: Sequence[tuple[int, float]], timespan: int
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """
    Return each burst as its entries and the run of counted entries that it stands in.

    A run is a row of counted entries with no gap above the time span; all alerts in one run are one burst.
    """
    alerted = {seq for alert in alerts for seq in alert}
    bursts: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    run: list[int] = []
    last: float | None = None
    for seq, moment in [*counted, (-1, float("inf"))]:
        if last is not None and moment - last > timespan:
            entries = tuple(number for number in run if number in alerted)
            if entries:
                bursts.append((entries, tuple(run)))
            run = []
        run.append(seq)
        last = moment
    return bursts
