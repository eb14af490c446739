"""
Sigma rules (rules/*.yml) made into SQL by pySigma, checked as they are loaded. Nothing is judged here.

A rule is plain Sigma with one section of ours, `jupyter_audit`: `once_per` (cell or grant), `explanation`
(sentences with `$field`; the first whose fields all have a value is used) and `check` (what to do about it).
A rule that cannot be used is an error with file and line, never skipped: a detection that silently is not
there is worse than a server that does not start.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule, SigmaCorrelationType
from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetectionItem, SigmaRule
from sigma.types import SigmaString

from jupyter_audit.detect.fields import FIELDS, Form
from jupyter_audit.errors import ConfigError

RULES_FOLDER = Path(__file__).parent / "rules"
SECTION = "jupyter_audit"
VIEW = "audit_events"
STRETCH = "audit_stretch"
ONCE_PER = ("cell", "grant")
BURST_FIELDS = frozenset({"count", "first", "last", "timespan"})
"""What an explanation of a burst can name besides the fields of its last entry."""

_CONDITION_KEYS = {
    "SigmaConditionError": ("detection", "condition"),
    "SigmaDetectionError": ("detection",),
    "SigmaModifierError": ("detection",),
    "SigmaTypeError": ("detection",),
    "SigmaValueError": ("detection",),
    "SigmaRegularExpressionError": ("detection",),
    "SigmaLogsourceError": ("logsource",),
    "SigmaLevelError": ("level",),
    "SigmaStatusError": ("status",),
    "SigmaIdentifierError": ("id",),
    "SigmaTimespanError": ("correlation", "timespan"),
    "SigmaCorrelationConditionError": ("correlation", "condition"),
    "SigmaCorrelationTypeError": ("correlation", "type"),
    "SigmaCorrelationRuleError": ("correlation",),
    "SigmaRuleNotFoundError": ("correlation", "rules"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One detection, ready to run.

    `query` selects the matching rows of the stretch that is judged, or for a burst the alerts of the correlation. `counted`
    selects the entries that a burst counts (empty for other rules), `timespan` is its length in seconds and
    `group_by` the field it counts by. `terms` are the words that the rule looks for in list fields, by field.
    """

    id: str
    title: str
    level: str
    description: str
    falsepositives: tuple[str, ...]
    tags: tuple[str, ...]
    query: str
    once_per: str
    explanations: tuple[str, ...]
    check: str
    terms: Mapping[str, tuple[str, ...]]
    path: Path
    digest: str
    counted: str = ""
    timespan: int = 0
    group_by: str = ""

    @property
    def is_burst(self) -> bool:
        """Whether the rule counts entries rather than judging each."""
        return bool(self.counted)


def load_rules(folder: Path = RULES_FOLDER) -> tuple[Rule, ...]:
    """
    Return the rules in the `.yml` files of `folder`, by file name.

    Raises `ConfigError` naming file and line of the first rule that cannot be used.
    """
    rules: list[Rule] = []
    seen: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yml")):
        for rule in parse_rules(path, read_text(path)):
            if rule.id in seen:
                raise broken(path, 1, f"rule {rule.id} is in {seen[rule.id].name} too")
            seen[rule.id] = path
            rules.append(rule)
    if not rules:
        raise ConfigError(f"There are no detection rules in {folder}.", advice="Reinstall jupyter-audit.")
    return tuple(rules)


def read_text(path: Path) -> str:
    """Return the text of a file of rules. Raises `ConfigError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise broken(path, 1, f"it cannot be read: {error}") from error


def parse_rules(path: Path, text: str, fields: Collection[str] = FIELDS) -> Iterator[Rule]:
    """
    Return the rules in `text`, which stands in the file `path`; they may name `fields`.

    Raises `ConfigError` naming file and line of the first that cannot be used.
    """
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        documents = list(yaml.safe_load_all(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise broken(path, line, f"it is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise broken(path, 1, f"it cannot be read: {error}") from error
    if not documents:
        raise broken(path, 1, "it holds no rule")
    where = [_Place(path, node) for node in nodes]
    for place, document in zip(where, documents, strict=True):
        if not isinstance(document, dict):
            raise broken(path, place.line(()), "a rule is a mapping with title, id, logsource and detection")
        for required in ("id", "title", "level", "description"):
            if not document.get(required):
                raise broken(path, place.line(()), f"the rule lacks {required}")
    collection = SigmaCollection([], resolve_references=False)
    for place, document in zip(where, documents, strict=True):
        with place.explaining():
            parsed = SigmaCollection.from_dicts([document], resolve_references=False)
            collection = SigmaCollection([*collection.rules, *parsed.rules], resolve_references=False)
    places = dict(zip((rule.id for rule in collection.rules), where, strict=True))
    last = where[-1]
    with last.explaining():
        collection.resolve_rule_references()
    backend = sqliteBackend(table=VIEW, timestamp_field="time", event_id_field="seq", collate_nocase=True, collect_errors=False)
    with last.explaining():
        for sigma in collection.rules:
            if isinstance(sigma, SigmaRule):
                _check_fields(sigma, places[sigma.id], fields)
    counted = {
        id(reference.rule) for sigma in collection.rules if isinstance(sigma, SigmaCorrelationRule) for reference in sigma.rules
    }
    digest = hashlib.sha256(text.encode()).hexdigest()
    queries: dict[int, str] = {}
    for sigma in collection.rules:  # referenced rules stand first: resolve_rule_references sorts them so
        with places[sigma.id].explaining():
            queries[id(sigma)] = _convert(backend, sigma)
    for sigma in collection.rules:
        if id(sigma) in counted:
            continue
        place = places[sigma.id]
        section = _section(sigma, place)
        if isinstance(sigma, SigmaCorrelationRule):
            yield _burst(sigma, place, section, queries, digest)
        else:
            query = f"SELECT seq FROM {STRETCH} WHERE {queries[id(sigma)]} ORDER BY seq"  # noqa: S608
            yield _rule(sigma, place, section, query, digest, terms=_terms(sigma))


def _convert(backend: Any, sigma: Any) -> str:
    """Return the condition of a plain rule, or the whole query of a correlation."""
    if isinstance(sigma, SigmaCorrelationRule):
        (query,) = backend.convert_correlation_rule(sigma)
        return str(query)
    backend.convert_rule(sigma)
    conditions = [
        backend.convert_condition(condition.parsed, state)
        for condition, state in zip(sigma.detection.parsed_condition, sigma.get_conversion_states(), strict=True)
    ]
    return " OR ".join(f"({condition})" for condition in conditions)


def _burst(sigma: Any, place: _Place, section: Mapping[str, Any], queries: Mapping[int, str], digest: str) -> Rule:
    if sigma.type is not SigmaCorrelationType.EVENT_COUNT:
        raise broken(place.path, place.line(("correlation", "type")), "only event_count can be run here")
    group_by = list(sigma.group_by or [])
    if group_by != ["person"]:
        raise broken(place.path, place.line(("correlation", "group-by")), "a burst is counted by person")
    conditions = " OR ".join(f"({queries[id(reference.rule)]})" for reference in sigma.rules)
    counted = f"SELECT seq, person, time FROM {VIEW} WHERE {conditions} ORDER BY seq"  # noqa: S608
    return _rule(
        sigma, place, section, queries[id(sigma)], digest,
        counted=counted, timespan=int(sigma.timespan.seconds), group_by=group_by[0],
    )  # fmt: skip


def _rule(
    sigma: Any,
    place: _Place,
    section: Mapping[str, Any],
    query: str,
    digest: str,
    *,
    terms: Mapping[str, tuple[str, ...]] | None = None,
    counted: str = "",
    timespan: int = 0,
    group_by: str = "",
) -> Rule:
    return Rule(
        id=str(sigma.id),
        title=sigma.title,
        level=sigma.level.name.lower(),
        description=sigma.description,
        falsepositives=tuple(sigma.falsepositives),
        tags=tuple(str(tag) for tag in sigma.tags),
        query=query,
        once_per=section.get("once_per", "cell"),
        explanations=tuple(section["explanation"]),
        check=section["check"],
        terms=terms or {},
        path=place.path,
        digest=digest,
        counted=counted,
        timespan=timespan,
        group_by=group_by,
    )


def _section(sigma: Any, place: _Place) -> Mapping[str, Any]:
    """Return the rule's own section, checked: what its sentences name must exist and be safe to say."""
    section = sigma.custom_attributes.get(SECTION)
    line = place.line((SECTION,))
    if not isinstance(section, Mapping):
        raise broken(place.path, line, f"the rule lacks the section {SECTION}")
    sentences = section.get("explanation")
    if not isinstance(sentences, Sequence) or isinstance(sentences, str) or not sentences:
        raise broken(place.path, line, f"{SECTION}.explanation must be a list of sentences")
    if not isinstance(section.get("check"), str):
        raise broken(place.path, line, f"{SECTION}.check must be a sentence")
    if section.get("once_per", "cell") not in ONCE_PER:
        raise broken(place.path, line, f"{SECTION}.once_per must be one of {', '.join(ONCE_PER)}")
    burst = isinstance(sigma, SigmaCorrelationRule)
    for sentence in sentences:
        template = string.Template(str(sentence))
        if not template.is_valid():
            raise broken(place.path, line, f"{SECTION}.explanation has a stray $: {sentence}")
        for name in template.get_identifiers():
            if name == "matched" or (burst and name in BURST_FIELDS):
                continue
            if name not in FIELDS:
                raise broken(place.path, line, f"{SECTION}.explanation names ${name}, which is no field")
            if not FIELDS[name].sayable:
                raise broken(
                    place.path,
                    line,
                    f"{SECTION}.explanation names ${name}: a finding cannot be purged, so it must not say what people wrote",
                )
    return section


def _check_fields(sigma: Any, place: _Place, fields: Collection[str]) -> None:
    for item in _items(sigma.detection.detections.values()):
        if item.field is None:
            raise broken(place.path, place.line(("detection",)), "keywords without a field cannot be run here")
        if item.field not in FIELDS:
            line = place.line_of_key(item.field)
            raise broken(place.path, line, f"{item.field} is no field (docs/detections.md lists them)")
        if item.field not in fields:
            line = place.line_of_key(item.field)
            raise broken(place.path, line, f"{item.field} is not known before code runs (docs/guardrails.md lists what is)")


def _terms(sigma: Any) -> dict[str, tuple[str, ...]]:
    terms: dict[str, tuple[str, ...]] = {}
    for item in _items(sigma.detection.detections.values()):
        if FIELDS[item.field].form is Form.LIST:
            words = tuple(str(value).strip("*") for value in item.value if isinstance(value, SigmaString))
            terms[item.field] = terms.get(item.field, ()) + words
    return terms


def _items(detections: Any) -> Iterator[Any]:
    for detection in detections:
        if isinstance(detection, SigmaDetectionItem):
            yield detection
        else:
            yield from _items(detection.detection_items)


class _Place:
    """Where a rule stands: finds the line of a key, and turns Sigma's errors into ours with that line."""

    def __init__(self, path: Path, node: Any) -> None:
        self.path = path
        self._node = node

    def line(self, keys: Sequence[str]) -> int:
        """Return the line of the key reached by `keys`, or as far as they lead."""
        node, line = self._node, self._node.start_mark.line + 1
        for key in keys:
            for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
                if name.value == key:
                    node, line = value, name.start_mark.line + 1
                    break
            else:
                break
        return int(line)

    def line_of_key(self, key: str) -> int:
        """Return the line of the first key that is `key`, with or without modifiers."""
        waiting = [self._node]
        while waiting:
            node = waiting.pop(0)
            if isinstance(node, yaml.MappingNode):
                for name, value in node.value:
                    if str(name.value).partition("|")[0] == key:
                        return int(name.start_mark.line) + 1
                    waiting.append(value)
            elif isinstance(node, yaml.SequenceNode):
                waiting.extend(node.value)
        return self.line(("detection",))

    def explaining(self) -> _Explaining:
        """Return a context in which Sigma's errors become `ConfigError`."""
        return _Explaining(self)


class _Explaining:
    def __init__(self, place: _Place) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # pySigma lets TypeError, AttributeError and the like through for values of a wrong shape.
        if isinstance(error, (SigmaError, TypeError, AttributeError, KeyError, ValueError)) and not isinstance(
            error, ConfigError
        ):
            keys = _CONDITION_KEYS.get(type(error).__name__, ())
            raise broken(self._place.path, self._place.line(keys), f"{error}") from error


def broken(path: Path, line: int, why: str) -> ConfigError:
    """Return the error of a rule that cannot be used."""
    return ConfigError(
        f"The rule {path.name}, line {line}, cannot be used: {why}.",
        advice=f"Correct {path}, or reinstall jupyter-audit to get the rules that it came with.",
    )
