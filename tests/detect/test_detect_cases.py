"""
Every file under cases/ is one claim: this code matches that rule, does not, or is out of its reach.

Adding a case is adding a file. Its first lines begin with `#:`: the reason, then directives (`at`, `apart`,
`canary`, `refused`, `message`, `request`, `output`, `user_expression`, and `entry`, whose type and body come before the cells).
`# %%` alone on a line begins another cell of the same session. All cases are put into one real ledger and judged together.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import TUESDAY_MORNING, SetClock, Work

from jupyter_audit.detect.engine import Engine
from jupyter_audit.detect.hours import parse_working_hours
from jupyter_audit.detect.rules import load_rules
from jupyter_audit.detect.view import EventView
from jupyter_audit.home import Home
from jupyter_audit.ledger import create_ledger, open_ledger
from jupyter_audit.model import Actor, Draft

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*/*/*.ipy"))
RULES = {Path(rule.path).stem: rule for rule in load_rules()}


@dataclass
class Case:
    """One file, read."""

    path: Path
    cells: list[str] = field(default_factory=list)
    at: datetime = TUESDAY_MORNING
    apart: float = 1.0
    canary: bool = False
    refused: str = ""
    message: str = ""
    request: str = ""
    expression: str = ""
    output: dict[str, object] | None = None
    entry: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        return self.path.relative_to(CASES).with_suffix("").as_posix()


def read_case(path: Path) -> Case:
    lines = path.read_text(encoding="utf-8").splitlines()
    case = Case(path)
    header = [line.removeprefix("#:").strip() for line in lines if line.startswith("#:")]
    assert header, f"{path} does not say why"
    for directive in header[1:]:
        word, _, rest = directive.partition(" ")
        match word:
            case "at":
                case.at = datetime.strptime(rest, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
            case "apart":
                case.apart = float(rest)
            case "canary":
                case.canary = True
            case "refused":
                case.refused = rest
            case "message":
                case.message = rest
            case "request":
                case.request = rest
            case "user_expression":
                case.expression = rest
            case "output":
                output, mime, *numbers = rest.split()
                case.output = {
                    "output": output,
                    "mime": mime,
                    "bytes": 0,
                    "lines": 0,
                    "rows": None,
                    "cut": False,
                }
                case.output |= {key: int(value) for key, value in (pair.split("=") for pair in numbers)}
            case "entry":
                kind, _, body = rest.partition(" ")
                case.entry = (kind, body)
            case _:
                raise AssertionError(f"{path}: unknown directive {directive!r}")
    body = "\n".join(line for line in lines if not line.startswith("#:"))
    case.cells = [cell.strip("\n") for cell in ("\n" + body + "\n").split("\n# %%\n")]
    return case


def drafts_of(case: Case) -> list[Draft]:
    work = Work(person=case.name, session=f"s-{case.name}", grant=f"g-{case.name}")
    drafts = []
    if case.entry is not None:
        drafts.append(Draft(case.entry[0], json.loads(case.entry[1]), actor=work.actor, grant=work.grant))
    for code in filter(None, case.cells) if case.entry else case.cells:
        if case.message:
            content = {"arguments": {"expression": code}, "value": code, "code": code}
            drafts.append(work.message(case.message, content, refused=case.refused))
        elif case.request:
            drafts.append(work.request(case.request, case.refused))
        elif case.refused:
            drafts.append(work.refused(code, case.refused))
        else:
            expressions = {"x": case.expression} if case.expression else None
            drafts.append(work.cell(code, canary=case.canary, expressions=expressions))
    return drafts


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Put all cases into a ledger and return which rule matched which case."""
    clock = SetClock(TUESDAY_MORNING - timedelta(days=1))
    home = Home(tmp_path_factory.mktemp("cases") / "home")
    create_ledger(home, clock=clock, actor=Actor("admin", "test"))
    # The clock of a ledger does not go back, so what the cases do is put down in the order of its time.
    events = sorted(
        (
            (case.at + timedelta(seconds=number * case.apart), case, draft)
            for case in map(read_case, FILES)
            for number, draft in enumerate(drafts_of(case))
        ),
        key=lambda event: event[0],
    )
    with open_ledger(home, clock=clock) as ledger:
        for moment, case, draft in events:
            clock.moment = max(clock.moment, moment)
            (entry,) = ledger.append([draft])
            if case.output is not None:
                work = Work(session=f"s-{case.name}", grant=f"g-{case.name}")
                ledger.append([work.finished(entry.seq, [case.output])])
        engine = Engine(EventView(ledger, parse_working_hours("07:00-20:00", "UTC")), load_rules())
        matches, failures = engine.judge(0, ledger.size() - 1)
        assert not failures
        return {(Path(m.rule.path).stem, str(ledger.entry(m.entries[0]).actor.name)) for m in matches}


def of_folder(folder: str) -> Sequence[Path]:
    return [path for path in FILES if path.parent.name == folder]


def name_of(path: Path) -> str:
    return path.relative_to(CASES).with_suffix("").as_posix()


@pytest.mark.parametrize("path", of_folder("match"), ids=name_of)
def test_what_a_rule_is_for_matches_it(path: Path, matched: set[tuple[str, str]]) -> None:
    assert (path.parent.parent.name, name_of(path)) in matched


@pytest.mark.parametrize("path", of_folder("no_match"), ids=name_of)
def test_a_near_miss_does_not_match(path: Path, matched: set[tuple[str, str]]) -> None:
    assert (path.parent.parent.name, name_of(path)) not in matched


@pytest.mark.parametrize("path", of_folder("out_of_reach"), ids=name_of)
def test_what_is_out_of_reach_is_said_to_be(path: Path, matched: set[tuple[str, str]]) -> None:
    """A case that matches now is a rule that got better: move its file to match/."""
    assert (path.parent.parent.name, name_of(path)) not in matched


def test_every_rule_has_cases_of_each_sort() -> None:
    assert {path.parent.parent.name for path in FILES} == set(RULES)
    for rule in RULES:
        for sort in ("match", "no_match", "out_of_reach"):
            assert list((CASES / rule / sort).glob("*.ipy")), f"{rule} has no case in {sort}"
