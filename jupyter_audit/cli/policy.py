"""`jupyter audit policy | profile`: what is in force, what changed, and what it means for somebody."""

from __future__ import annotations

import argparse
import functools
import importlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jupyter_audit.access.explain import explain
from jupyter_audit.access.policy import Policy, digest_of
from jupyter_audit.access.policycases import JudgeRun, judge, parse_cases
from jupyter_audit.access.policydiff import Recorded, as_far_as_known, changes, recorded, recorded_by
from jupyter_audit.access.profiles import Profile
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean, print_json
from jupyter_audit.errors import UsageError
from jupyter_audit.model import Json, Principal


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "profile",
        profile,
        "say what somebody could do under a profile, and why",
        about="Asks the rules that judge requests themselves, with the configuration and the ledger as they are now. The "
        "groups of a person are known to the server's IdentityProvider alone: name them with --group.",
        examples="  jupyter audit profile explain ada production-debug\n"
        "  jupyter audit profile explain ada production-debug --group dba --at 2026-11-28T23:00:00Z --json",
    )
    command.add_argument("action", choices=["explain"], help="what to do")
    command.add_argument("user", metavar="USER", help="the person's name, as the server knows it")
    command.add_argument("profile", metavar="PROFILE", help="the profile's name")
    command.add_argument("--group", action="append", default=[], metavar="NAME", help="a group that they are in (repeatable)")
    command.add_argument("--on-behalf-of", default="", metavar="NAME", help="USER is a service, which acts for this person")
    command.add_argument("--at", metavar="TIME", help="a moment in RFC 3339 (default: now)")
    command = add_command(
        commands,
        "policy",
        policy,
        "show the policy, what changed in it, or try it on cases",
        about="`show` prints what is in force by the configuration, or was by the time of an entry. `diff` compares what the "
        "ledger last recorded, or held by the entry FROM, with the configuration, or with the entry TO. `test` asks the rules "
        "the cases in a file (YAML or JSON, docs/policy.md), and exits with 1 if one is not as expected.",
        examples="  jupyter audit policy show\n  jupyter audit policy diff\n  jupyter audit policy diff 120 340\n"
        "  jupyter audit policy test cases.yaml --config /etc/jupyter/jupyter_server_config.py",
    )
    command.add_argument("action", choices=["show", "diff", "test"], help="what to do")
    command.add_argument("what", nargs="*", metavar="ENTRY|FILE", help="entries by number, or the file of cases")


def profile(options: argparse.Namespace) -> int:
    """Explain a profile for one person."""
    context = context_of(options)
    wanted = context.policy.profile(options.profile)
    groups = frozenset(options.group)
    roles = context.policy.roles_of(options.user, groups)
    person = Principal(options.user, "command line", roles, groups, options.on_behalf_of)
    with context.reader() as reader:
        book = context.book(reader)
        now = moment(options.at) if options.at else book.now(context.clock.now())
        told = explain(context.policy, book, person, wanted, now)
    if options.json:
        print_json(told.to_json())
    else:
        print("\n".join(map(clean, told.lines())))
    if options.user != context.principal.name:
        context.note_read("profile", {"user": options.user, "profile": wanted.name})
    return 0


def policy(options: argparse.Namespace) -> int:
    """Show, compare or try the policy."""
    context = context_of(options)
    most = {"show": 1, "diff": 2, "test": 1}[options.action]
    if len(options.what) > most or (options.action == "test" and not options.what):
        raise UsageError(f"`policy {options.action}` takes {'one file' if options.action == 'test' else f'{most} at most'}.")
    if options.action == "test":
        return _test(context, Path(options.what[0]), as_json=options.json)
    entries = [_number(word) for word in options.what]
    return _show(context, entries, options) if options.action == "show" else _diff(context, entries, options)


def _show(context: Context, entries: list[int], options: argparse.Namespace) -> int:
    held = _by(context, entries[0]) if entries else None
    shown = context.policy.to_json() if held is None else held.policy
    digest = context.policy.digest() if held is None else held.digest
    if options.json:
        print_json({"digest": digest, "entry": held.seq if held else None, "policy": shown})
        return 0
    print(f"Policy {digest}" + (f", as entry {held.seq} holds it" if held else ", by the configuration"))
    for change in changes({}, _flat(shown)):
        print(clean(str(change).removeprefix("+ ")))
    return 0


def _diff(context: Context, entries: list[int], options: argparse.Namespace) -> int:
    with context.reader() as reader:
        old = recorded_by(reader, entries[0]) if entries else recorded(reader)
        new = recorded_by(reader, entries[1]) if len(entries) > 1 else None
    before: Mapping[str, Json] = {} if old is None else old.policy
    after: Mapping[str, Json] = as_far_as_known(context.policy, old) if new is None else new.policy
    found = changes(before, after)
    digest = digest_of(after)
    if options.json:
        print_json(
            {
                "from": {"entry": old.seq if old else None, "digest": old.digest if old else ""},
                "to": {"entry": new.seq if new else None, "digest": digest},
                "changes": [change.to_json() for change in found],
            }
        )
        return 0
    print(f"from: {'nothing recorded' if old is None else f'entry {old.seq}, {old.digest}'}")
    print(f"to:   {'the configuration' if new is None else f'entry {new.seq}'}, {digest}")
    for change in found:
        print(clean(str(change)))
    if not found:
        print("No difference.")
    return 0


def _test(context: Context, path: Path, *, as_json: bool) -> int:
    cases = parse_cases(_load(path), context.clock.now())
    outcomes = [judge(context.policy, case, code_judge(context.policy)) for case in cases]
    for outcome in outcomes:
        if as_json:
            print_json(outcome.to_json())
        else:
            row = outcome.to_json()
            told = "ok  " if outcome.passed else "FAIL"
            said = f"{outcome.came}: {row['why']}" if row["why"] else outcome.came
            missing = f", with {outcome.case.why!r}" if outcome.case.why and not outcome.passed else ""
            wanted = "" if outcome.passed else f" (expected: {row['expected']}{missing})"
            print(clean(f"{told} {row['name']}: {said}{wanted}"))
    failed = sum(not outcome.passed for outcome in outcomes)
    if not as_json:
        print(f"{len(outcomes)} cases, {failed} failed.")
    return 1 if failed else 0


def code_judge(policy: Policy) -> JudgeRun:
    """Return what asks the guardrails of `policy`; they are compiled at the first question."""

    @functools.cache
    def guardrails() -> Any:
        # Here and not at the top: a kernel alone has no pySigma, and asks no guardrails.
        from jupyter_audit.detect.guardrails import GuardrailJudge, compile_rules

        return GuardrailJudge(compile_rules(policy.guardrails))

    def run(profile: Profile, user: str, code: str) -> tuple[bool, bool, str]:
        from jupyter_audit.detect.guardrails import Asked
        from jupyter_audit.gate.guardrails import verdict

        if not profile.guardrails:
            return True, False, ""
        rules = [one.name for one in profile.guardrails if one.name in policy.guardrails]
        told = guardrails().judge(Asked((code,), rules, {}, {"person": user, "profile": profile.name}))
        judged = verdict(profile, told.broken, told.unread)
        return not judged.refused, bool(judged.warned and not judged.refused), judged.sentence

    return run


def _load(path: Path) -> Any:
    """Return what a file of cases holds."""
    text = path.read_bytes()
    try:
        if path.suffix == ".json":
            return json.loads(text)
        return importlib.import_module("yaml").safe_load(text)
    except ModuleNotFoundError as error:
        raise UsageError("PyYAML is not installed here.", advice="Write the cases as .json, or pip install pyyaml.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise UsageError(f"{path} is no YAML: {error}") from error
        raise


def _by(context: Context, seq: int) -> Recorded:
    with context.reader() as reader:
        return recorded_by(reader, seq)


def _number(word: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 16:
        raise UsageError(f"{word!r} is no number of an entry.")
    return int(word)


def _flat(value: Mapping[str, Json], path: str = "") -> dict[str, Json]:
    """Return each value of an object by its whole way."""
    flat: dict[str, Json] = {}
    for key, item in value.items():
        way = f"{path}.{key}" if path else key
        flat |= _flat(item, way) if isinstance(item, Mapping) and item else {way: item}
    return flat


def moment(text: str) -> datetime:
    """Return the moment that a text names. Raises `UsageError`."""
    try:
        made = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a time.", advice="Write it such as 2026-11-28T23:00:00Z.") from error
    if made.tzinfo is None:
        raise UsageError(f"{text!r} names no time zone.", advice="Write it such as 2026-11-28T23:00:00Z.")
    return made
