"""
Cases for a policy: who may do what, when, written down by an admin and asked of the rules themselves. Pure.

A case is judged as if nobody had asked for anything yet: it is about the policy, not about what is in a ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from jupyter_audit.access import rules
from jupyter_audit.access.book import GrantBook
from jupyter_audit.access.explain import Answer, asked, explain, may_approve
from jupyter_audit.access.notebooks import outside, spelled
from jupyter_audit.access.policy import Policy
from jupyter_audit.access.profiles import Profile
from jupyter_audit.errors import NotPermittedError, UsageError
from jupyter_audit.model import Principal

RUN = "run"
ACTS = ("ask", "begin", "approve", "break_glass", "open", RUN)
EXPECTED = ("allowed", "refused")
WARNED = "warned"
KEYS = frozenset({"name", "user", "groups", "profile", "time", "act", "requester", "notebook", "code", "expect", "why"})
VOUCHED_BY = "policy test"


JudgeRun = Callable[[Profile, str, str], tuple[bool, bool, str]]
"""
Says of a profile, a user and code whether the guardrails let it run, whether with a warning, and what the user reads.
"""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One case: may `user`, in `groups`, do `act` under `profile` at `time`?

    `act` is `ask`, `begin` (ask for a grant that begins now), `approve` (a request of `requester`), `break_glass`, `open`
    (use a kernel for `notebook` under a grant) or `run`: do the guardrails let `code` pass, once there is a grant? `why` are
    words that the refusal or warning must hold.
    """

    name: str
    user: str
    groups: tuple[str, ...]
    profile: str
    time: datetime
    act: str
    requester: str
    notebook: str
    code: str
    expect: str
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rules said to a case, and whether that is what it expects."""

    case: Case
    answer: Answer
    warned: bool = False

    @property
    def came(self) -> str:
        """What the rules say: `allowed`, `refused`, or `warned` (allowed, with a warning)."""
        return WARNED if self.warned else EXPECTED[0 if self.answer.allowed else 1]

    @property
    def passed(self) -> bool:
        """Whether the rules say what the case expects."""
        return self.came == self.case.expect and (self.case.why in self.answer.why)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome for programs."""
        return {
            "name": self.case.name,
            "passed": self.passed,
            "expected": self.case.expect,
            "came": self.came,
            **self.answer.to_json(),
        }


def judge(policy: Policy, case: Case, judge_run: JudgeRun | None = None) -> Outcome:
    """Ask the rules; `judge_run` those of code. Raises `UsageError` for a case of code where nobody can be asked about it."""
    groups = frozenset(case.groups)
    person = Principal(case.user, VOUCHED_BY, policy.roles_of(case.user, groups), groups)
    try:
        profile = policy.profile(case.profile)
    except NotPermittedError as error:
        return Outcome(case, Answer(allowed=False, why=error.explain()))
    if case.act == RUN:
        if judge_run is None:
            raise UsageError(f"{case.name}: there is nobody to ask about code here.")
        allowed, warned, why = judge_run(profile, case.user, case.code)
        return Outcome(case, Answer(allowed, " ".join(why.split())), warned)
    if case.act == "approve":
        return Outcome(case, may_approve(policy, person, case.requester, profile, case.time))
    if case.act == "open":
        return Outcome(case, _may_open(person, case.notebook, policy, profile))
    told = explain(policy, GrantBook(), person, profile, case.time)
    answers = {"ask": told.ask, "begin": told.begin_now, "break_glass": told.break_glass}
    return Outcome(case, answers[case.act])


def _may_open(person: Principal, notebook: str, policy: Policy, profile: Profile) -> Answer:
    """Return whether somebody may hold the profile, and it is for a notebook."""
    may_hold = asked(lambda: rules.may_hold(policy, person.name, person.groups, profile, service=profile.services))
    if not may_hold.allowed or not outside({profile.name: profile}, [spelled(notebook)]):
        return may_hold
    return Answer(allowed=False, why=f"It is for these notebooks: {', '.join(profile.notebooks)}.")


def parse_cases(given: Any, now: datetime) -> list[Case]:
    """Return the cases that a file holds: a list, or an object whose `cases` is one. Raises `UsageError` naming the case."""
    rows = given.get("cases") if isinstance(given, Mapping) else given
    if not isinstance(rows, Sequence) or isinstance(rows, (str, bytes)) or not rows:
        raise UsageError("The file holds no cases.", advice="Write a list under `cases:`; see docs/policy.md.")
    return [_case(number, row, now) for number, row in enumerate(rows, 1)]


def _case(number: int, row: Any, now: datetime) -> Case:
    if not isinstance(row, Mapping):
        raise UsageError(f"Case {number} is no object.", advice=f"Known keys: {', '.join(sorted(KEYS))}.")
    unknown = sorted(str(key) for key in row if key not in KEYS)
    if unknown:
        raise UsageError(f"Case {number} has unknown keys: {', '.join(unknown)}.", advice=f"Known: {', '.join(sorted(KEYS))}.")
    act, expect = _text(number, row, "act", "ask"), _text(number, row, "expect")
    requester = _text(number, row, "requester", "")
    _one_of(number, "act", act, ACTS)
    code = _text(number, row, "code", "")
    _one_of(number, "expect", expect, (*EXPECTED, WARNED) if act == RUN else EXPECTED)
    if (act == RUN) != bool(code):
        raise UsageError(f"Case {number}: `code` goes with the act {RUN}, and with no other.")
    if (act == "approve") != bool(requester):
        raise UsageError(f"Case {number}: `requester` goes with the act approve, and with no other.")
    notebook = _text(number, row, "notebook", "")
    if (act == "open") != bool(notebook):
        raise UsageError(f"Case {number}: `notebook` goes with the act open, and with no other.")
    why = _text(number, row, "why", "")
    if why and expect == "allowed":
        raise UsageError(f"Case {number}: what is allowed has no `why`.")
    groups = row.get("groups", ())
    if not isinstance(groups, (list, tuple)) or not all(isinstance(group, str) for group in groups):
        raise UsageError(f"Case {number}: `groups` must be a list of names.")
    return Case(
        name=_text(number, row, "name", f"case {number}"),
        user=_text(number, row, "user"),
        groups=tuple(groups),
        profile=_text(number, row, "profile"),
        time=_time(number, row.get("time"), now),
        act=act,
        requester=requester,
        notebook=notebook,
        code=code,
        expect=expect,
        why=why,
    )


def _text(number: int, row: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise UsageError(f"Case {number}: `{key}` must be a text.")
    return value


def _one_of(number: int, key: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"Case {number}: `{key}` is {value!r}.", advice=f"One of {', '.join(known)}.")


def _time(number: int, value: Any, now: datetime) -> datetime:
    if value is None:
        return now
    try:
        # YAML reads times by itself, and keeps no zone where none was written.
        made = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(made, datetime) and made.tzinfo is not None:
            return made.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    told = value.isoformat() if isinstance(value, date) else repr(value)
    raise UsageError(f"Case {number}: `time` is {told}.", advice="Write it with its zone, such as 2026-11-28T23:00:00Z.")
