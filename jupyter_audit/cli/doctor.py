"""
`jupyter audit doctor`: everything that recording depends on, a line each, with what to do about it.

Looks and never mends. Each check yields findings; a check that cannot be done is itself a finding.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from jupyter_audit_kernel.version import __version__

from jupyter_audit.access.peoplefile import digest_in_force, load_people
from jupyter_audit.access.policy import Policy
from jupyter_audit.cli.context import Context, context_of, home_of, named_home
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean, print_json
from jupyter_audit.cli.server_checks import Finding, check_server
from jupyter_audit.clock import SystemClock, format_time
from jupyter_audit.errors import AuditError, KeyFileError, RollbackError
from jupyter_audit.gate.room import Room
from jupyter_audit.home import Home
from jupyter_audit.ledger import Ledger
from jupyter_audit.ledger.anchors import Anchors
from jupyter_audit.ledger.envelope import CREATED, KEY_ROTATED
from jupyter_audit.ledger.sealing import prove_sealing
from jupyter_audit.model import Entry, Role
from jupyter_audit.notify.routes import Routes
from jupyter_audit.notify.standing import UNHEARD_ADVICE, glasses_unheard, standings, unheard_sentence
from jupyter_audit.notify.trial import check_targets
from jupyter_audit.record.alarms import alarms_that_stand
from jupyter_audit.settings import JupyterAudit

MIB = 1024 * 1024
LARGEST_LOG = 64 * MIB
PARTS = ("ipykernel", "jupyter-server", "jupyterlab")
INSTALL = "pip install 'jupyter-audit[lab]'"


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    add_command(
        commands,
        "doctor",
        doctor,
        "check everything that recording depends on",
        about="Exits with 1 if a check fails; a warning is no failure.",
    )


def doctor(options: argparse.Namespace) -> int:
    """Look at everything."""
    failed = False
    for finding in _examine(options):
        failed = failed or finding.level == "fail"
        if options.json:
            print_json({name: getattr(finding, name) for name in Finding.__slots__})
            continue
        print(f"{finding.level:<4}  {finding.check}: {clean(finding.result)}")
        if finding.advice:
            print(f"      {clean(finding.advice)}")
    return 1 if failed else 0


def _examine(options: argparse.Namespace) -> Iterator[Finding]:
    yield from _versions()
    try:
        context = context_of(options)
        yield Finding("ok", "settings", options.config or "of the system's folders, or the defaults")
        yield from _policy(context.policy)
    except AuditError as error:
        yield Finding("fail", "settings", str(error), error.advice)
        # What does not depend on the settings can still be looked at.
        settings = JupyterAudit()
        context = Context(_home_despite(options), settings, Policy.from_settings(settings), SystemClock())
    yield from _evidence(context)
    yield from _space(context)
    if find_spec("jupyter_server") is None:
        yield Finding("warn", "server", "jupyter-server is not installed here", INSTALL)
        return
    yield from check_server(context)


def _home_despite(options: argparse.Namespace) -> Home:
    """Return the audit home that the configuration names, though something else in it cannot be used."""
    try:
        return named_home(options)
    except AuditError:
        return home_of(options)


def _versions() -> Iterator[Finding]:
    parts = [f"jupyter-audit {__version__}"]
    for name in PARTS:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"no {name}")
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}"
    yield Finding("ok", "versions", ", ".join([*parts, system]))


def _policy(policy: Policy) -> Iterator[Finding]:
    told = f"profiles {', '.join(sorted(policy.profiles))}; digest {policy.digest()[:12]}"
    if policy.solo:
        yield Finding("ok", "policy", f"solo mode, one person holds every role; {told}")
    elif not policy.roles.get(Role.APPROVER):
        advice = "Name people in c.JupyterAudit.roles['approver'], or set c.JupyterAudit.solo."
        yield Finding("warn", "policy", f"nobody can approve a request; {told}", advice)
    else:
        yield Finding("ok", "policy", told)
    if policy.sealed_to:
        prove_sealing(policy.sealed_to)
        labels = ", ".join(key.label for key in policy.sealed_to)
        yield Finding("ok", "sealing", f"code and outputs are sealed to {labels}; this server cannot read them back")
        if len(policy.sealed_to) == 1:
            advice = "If its secret is lost, so is all that was sealed. Add a second auditor to c.JupyterAudit.sealed_to."
            yield Finding("warn", "sealing", "there is one auditor's key only", advice)
    else:
        yield Finding("ok", "sealing", "none: whoever can read the ledger reads code and outputs (c.JupyterAudit.sealed_to)")
    if not policy.solo and not policy.roles.get(Role.AUDITOR):
        yield Finding("warn", "auditors", "nobody is an auditor", "Name people in c.JupyterAudit.roles['auditor'].")


def _evidence(context: Context) -> Iterator[Finding]:
    """Home, key, ledger and remembered checkpoint: opening the ledger looks at all of them with suspicion."""
    try:
        context.home.check()
        yield Finding("ok", "audit home", f"{context.home.path}, private to this account")
        with context.ledger() as ledger:
            yield Finding("ok", "signing key", f"{context.home.signing_key}, private, and this ledger's")
            yield from _ledger(context, ledger)
            yield Finding("ok", "remembered checkpoint", "the ledger extends it")
    except AuditError as error:
        checks: dict[type[AuditError], str] = {KeyFileError: "signing key", RollbackError: "remembered checkpoint"}
        yield Finding("fail", checks.get(type(error), "audit home and ledger"), str(error), error.advice)


def _ledger(context: Context, ledger: Ledger) -> Iterator[Finding]:
    newest = ledger.entry(ledger.size() - 1)
    told = f"{ledger.size()} entries, the newest of {format_time(newest.time)}; they are those that were signed"
    yield Finding("ok", "ledger", told)
    yield from _age_of_key(context, ledger)
    if newest.time > context.clock.now():
        advice = "Grants end by the later of the two. Set the clock right."
        yield Finding("warn", "clock", "it is behind the ledger's newest entry", advice)
    yield from _log_of_writes(context)
    yield from _anchors(context, ledger)
    yield from _people(context, ledger)
    yield from _alerts(context, ledger)
    book = context.book(ledger)
    unreviewed = book.unreviewed(book.now(context.clock.now()))
    if unreviewed:
        first = unreviewed[0]
        told = f"{len(unreviewed)} wait for a review; the oldest is {first.id} of {first.principal}"
        yield Finding("warn", "broken glass", told, "Somebody else reviews it: `jupyter audit review`, or the panel.")
    anomalies = book.anomalies()
    if anomalies:
        last = anomalies[-1]
        told = f"{len(anomalies)} entries about access had no effect; the last is entry {last.seq}: {last.what}"
        yield Finding("warn", "access", told, "Find out who wrote them: the rules of access would not.")


def _age_of_key(context: Context, ledger: Ledger) -> Iterator[Finding]:
    """Whoever steals a key can sign anew what was signed with it, and no more: each change bounds that."""
    began = next(iter(ledger.entries(types=[CREATED, KEY_ROTATED], newest_first=True, limit=1)))
    days = (context.clock.now() - began.time).days
    told = f"in force since entry {began.seq}, {days} days; it has signed {ledger.size() - began.seq} entries"
    most = context.settings.signing_key_days
    if most and days >= most:
        advice = "`jupyter audit keys rotate` gives a new one and destroys the old; a timer can do it (docs/keys.md)."
        yield Finding("warn", "age of the key", f"{told}, and c.JupyterAudit.signing_key_days is {most}", advice)
    else:
        yield Finding("ok", "age of the key", told)


def _log_of_writes(context: Context) -> Iterator[Finding]:
    """SQLite's write-ahead log: a reader that never lets go of the past keeps it from being used again."""
    ledger = context.home.ledger
    wal = ledger.with_name(f"{ledger.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > LARGEST_LOG:
        told = f"the ledger's write-ahead log has {size // MIB} MiB: somebody has been reading the ledger for long"
        advice = f"Find who has {wal} open (`fuser`), and let them finish. Nothing is lost; the log only takes room."
        yield Finding("warn", "write-ahead log", told, advice)


def _anchors(context: Context, ledger: Ledger) -> Iterator[Finding]:
    anchors = Anchors(context.home, context.settings.anchors, context.clock)
    if not anchors:
        advice = "Set c.JupyterAudit.anchors, or keep `jupyter audit checkpoint` elsewhere: only then a replaced end shows."
        yield Finding("warn", "anchors", "checkpoints are kept nowhere else", advice)
    entries = alarms_that_stand(ledger)
    advice = "Keep the audit home as it is, for evidence, and verify against what is kept elsewhere (docs/anchors.md)."
    for standing in anchors.standing(ledger):
        has = "was sent" if standing.sink.startswith("syslog") else "has"  # syslog confirms nothing
        told = f"{standing.sink} {has} {standing.delivered} entries, {standing.behind} behind"
        entry = entries.pop(standing.sink, None)
        if standing.alarm:
            said = "no entry says so yet (`jupyter audit anchor` puts it down)" if entry is None else f"entry {entry.seq} says so"
            yield Finding("fail", "witness", f"{told}; since {standing.failing_since}: {standing.error}; {said}", advice)
        elif entry is not None:
            yield Finding("fail", "witness", f"{told}; {_alarm_in(entry)}", advice)
        elif standing.failing_since:
            told += f"; failing since {standing.failing_since}: {standing.error}"
            yield Finding("warn", "anchor", told, "Mend the sink; it gets what it missed (`jupyter audit anchor` sends now).")
        else:
            yield Finding("ok", "anchor", told)
    for sink, entry in entries.items():
        yield Finding("fail", "witness", f"{sink} is not asked any more; {_alarm_in(entry)}", advice)


def _alarm_in(entry: Entry) -> str:
    return f"entry {entry.seq} says since {entry.body['since']}, and no later one that it is over: {entry.body['said']}"


def _alerts(context: Context, ledger: Ledger) -> Iterator[Finding]:
    """Who hears of what, and whether it arrives."""
    try:
        routes = Routes.from_settings(context.settings, context.home)
    except AuditError as error:
        yield Finding("fail", "alerts", str(error), error.advice)
        return
    if unheard := glasses_unheard(routes, context.policy):
        yield Finding("fail", "alerts", unheard_sentence(unheard), UNHEARD_ADVICE)
    elif not routes.targets:
        advice = "Set c.JupyterAudit.alert_targets (docs/alerts.md)."
        yield Finding("warn", "alerts", "nobody is told of findings, requests and incidents", advice)
    checked = check_targets(routes)
    for standing in standings(ledger, routes):
        name = f"alerts to {standing.target}"
        if wrong := checked[standing.target]:
            yield Finding("fail", name, wrong, "Mend c.JupyterAudit.alert_targets; see docs/alerts.md.")
        elif standing.failing_since:
            told = f"{standing.service}: failing since {standing.failing_since}: {standing.error}"
            yield Finding("fail", name, told, "Try it with `jupyter audit alerts test`. What is owed is told when it works.")
        else:
            when = f"last took a message {standing.last_sent}" if standing.last_sent else "nothing was sent yet"
            yield Finding("ok", name, f"{standing.service}: {when}")
        if standing.given_up:
            yield Finding("warn", name, f"{standing.given_up} things were given up after 30 days", "The ledger has them.")
        if routes.targets[standing.target].readable_by_kernels:
            advice = "Put the URL into a file of mode 0600 in the folder `alerts` of the audit home: file:NAME."
            yield Finding("warn", name, "its URL, which holds secrets, stands where code in kernels may read it", advice)


def _people(context: Context, ledger: Ledger) -> Iterator[Finding]:
    """The people file, where there is or should be one."""
    if digest_in_force(ledger) is None and not context.home.people.exists():
        return
    try:
        found = load_people(context.home, ledger)
    except AuditError as error:
        yield Finding("fail", "people", str(error), error.advice)
    else:
        yield Finding("ok", "people", f"{len(found.by_name)} in the people file, which is as the ledger says")


def _space(context: Context) -> Iterator[Finding]:
    folder = next(step for step in (context.home.path, *context.home.path.parents) if step.exists())
    room = Room(folder, context.settings.free_space_floor)
    if room.files < room.files_floor:
        advice = "No session starts and no cell runs. Delete files there (a recovery grant lets an admin in)."
        yield Finding("fail", "space", f"{room}", advice)
        return
    told = f"{room.free // MIB} MiB free, the floor is {room.floor // MIB} MiB"
    if room.short:
        advice = "No session starts and no cell runs. Make room (a recovery grant lets an admin in), or lower "
        yield Finding("fail", "space", told, f"{advice}c.JupyterAudit.free_space_floor.")
    else:
        yield Finding("ok", "space", told)
