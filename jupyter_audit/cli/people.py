"""`jupyter audit people`: who may log in to a server of a small team, by the people file in the audit home."""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import sys
from collections.abc import Callable, Sequence
from typing import Any

from jupyter_audit.access.people import (
    People,
    Person,
    PersonKind,
    group_names,
    parse_people,
    person_name,
    with_password,
    with_token,
)
from jupyter_audit.access.peoplefile import accept_people, change_people, load_people, people_known, read_bytes
from jupyter_audit.access.service import AccessService
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean, print_json, print_rows
from jupyter_audit.errors import ConfigError, NotPermittedError, UsageError
from jupyter_audit.ledger import Ledger
from jupyter_audit.model import Actor, Role
from jupyter_audit.record import kinds

COLUMNS = {"name": "NAME", "kind": "KIND", "groups": "GROUPS", "credentials": "LOGS IN WITH", "on_behalf_of": "ON BEHALF OF"}

Change = Callable[[People], tuple[People, Callable[[str], Sequence[kinds.Kind]]]]
"""From the people there are to those there will be, and to the entries that say so, given the new file's digest."""


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "people",
        people,
        "say who may log in to a server that keeps its own list of people",
        about="For a server with jupyter_audit.server.login.PeopleIdentityProvider (docs/people.md). The file is people.json in "
        "the audit home and holds Argon2id hashes; each change is an entry, and a running server follows it at once. `add` "
        "gives a token, or with --password a password, which is asked for (or read from standard input). `remove` also "
        "revokes what the person holds, and takes their services along. Roles are c.JupyterAudit.roles, by name or group:NAME.",
        examples="  jupyter audit people add ann --password --group oncall\n  jupyter audit people token ann\n"
        "  jupyter audit people add nightly --service --on-behalf-of ann\n  jupyter audit people groups ann --group leads\n"
        "  jupyter audit people remove ann",
    )
    command.add_argument(
        "action",
        choices=list(ACTIONS),
        help="list them; add or remove somebody; give somebody another token, password or other groups; or accept a file that "
        "was changed by other means",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="whom")
    command.add_argument("--group", action="append", default=[], metavar="NAME", help="a group they are in (repeatable)")
    command.add_argument("--password", action="store_true", help="add: with a password instead of a token")
    command.add_argument("--service", action="store_true", help="add: a service or an AI agent, no person")
    command.add_argument("--on-behalf-of", default="", metavar="NAME", help="add --service: the person it acts for")


def people(options: argparse.Namespace) -> int:
    """Do what the action says."""
    _check_options(options)
    context = context_of(options)
    if Role.ADMIN not in context.principal.roles:
        raise NotPermittedError("Only an admin may manage people.", advice="Ask somebody in c.JupyterAudit.roles['admin'].")
    return ACTIONS[options.action](context, options)


def _check_options(options: argparse.Namespace) -> None:
    """Raise `UsageError` for an option that the action does not take."""
    action = options.action
    if (action in ("list", "accept")) != (options.name is None):
        raise UsageError(f"people {action} takes {'no name' if options.name else 'a name'}.")
    if (options.password or options.service or options.on_behalf_of) and action != "add":
        raise UsageError("--password, --service and --on-behalf-of are for add.")
    if options.group and action not in ("add", "groups"):
        raise UsageError("--group is for add and groups.")
    if options.service != bool(options.on_behalf_of):
        raise UsageError("A service acts on behalf of a person: --service --on-behalf-of NAME.")
    if options.service and options.password:
        raise UsageError("A service has a token and no password.")


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.reader() as reader:
        try:
            found = load_people(context.home, reader)
        except ConfigError as error:
            print(clean(str(error)), file=sys.stderr)
            found = parse_people(read_bytes(context.home.people))
    print_rows([_row(found.by_name[name]) for name in sorted(found.by_name)], COLUMNS, "There is nobody.", as_json=options.json)
    return 0


def _add(context: Context, options: argparse.Namespace) -> int:
    kind = PersonKind.SERVICE if options.service else PersonKind.PERSON
    person = Person(
        name=person_name(options.name), kind=kind, groups=group_names(options.group), on_behalf_of=options.on_behalf_of
    )
    token = ""
    if options.password:
        person = with_password(person, _new_password())
    else:
        person, token = with_token(person)
    credential = "password" if options.password else "token"

    def change(before: People) -> tuple[People, Callable[[str], Sequence[kinds.Kind]]]:
        return before.added(person), lambda digest: [
            kinds.PeopleAdded(
                person=person.name,
                kind=kind.value,
                groups=list(person.groups),
                on_behalf_of=person.on_behalf_of,
                credential=credential,
                digest=digest,
            )
        ]

    _change(context, change)
    return _tell(options, person, token, f"{clean(person.name)} may log in.")


def _token(context: Context, options: argparse.Namespace) -> int:
    made: list[tuple[Person, str]] = []

    def change(before: People) -> tuple[People, Callable[[str], Sequence[kinds.Kind]]]:
        made.append(with_token(before.get(options.name)))
        return _changed(before, made[0][0], "token")

    _change(context, change)
    return _tell(options, *made[0], f"{clean(options.name)} has another token; the old one and their cookies are void.")


def _password(context: Context, options: argparse.Namespace) -> int:
    with context.reader() as reader:
        load_people(context.home, reader).get(options.name)
    typed = _new_password()

    def change(before: People) -> tuple[People, Callable[[str], Sequence[kinds.Kind]]]:
        return _changed(before, with_password(before.get(options.name), typed), "password")

    after = _change(context, change)
    return _tell(options, after.get(options.name), "", f"{clean(options.name)} has another password; their cookies are void.")


def _groups(context: Context, options: argparse.Namespace) -> int:
    groups = group_names(options.group)

    def change(before: People) -> tuple[People, Callable[[str], Sequence[kinds.Kind]]]:
        person = dataclasses.replace(before.get(options.name), groups=groups)
        return _changed(before, person, "groups")

    after = _change(context, change)
    _end_all(context, after)
    told = f"{clean(options.name)} is in {clean(', '.join(groups)) or 'no group'} now."
    return _tell(options, after.get(options.name), "", told)


def _remove(context: Context, options: argparse.Namespace) -> int:
    gone: list[str] = []

    def change(before: People) -> tuple[People, Callable[[str], Sequence[kinds.Kind]]]:
        names = [before.get(options.name).name, *(service.name for service in before.services_of(options.name))]
        gone.extend(names)
        return before.removed(names), lambda digest: [kinds.PeopleRemoved(person=name, digest=digest) for name in names]

    after = _change(context, change)
    revoked, closed = _end_all(context, after, gone)
    if options.json:
        print_json({"removed": gone, "revoked": revoked, "closed": closed})
        return 0
    print(f"{clean(', '.join(gone))} can no longer log in.")
    if closed:
        print(f"Closed requests: {', '.join(closed)}.")
    if revoked:
        print(f"Revoked: {', '.join(revoked)}. A running server ends what runs under them within seconds.")
    return 0


def _accept(context: Context, options: argparse.Namespace) -> int:
    with context.ledger() as ledger:
        found = accept_people(context.home, ledger, lambda said: _put_down(context, ledger, said))
    _end_all(context, found)
    if options.json:
        print_json({"people": sorted(found.by_name)})
    else:
        print(f"In force, as it is: {clean(', '.join(sorted(found.by_name))) or 'nobody'}.")
    return 0


ACTIONS: dict[str, Callable[[Context, argparse.Namespace], int]] = {
    "list": _list,
    "add": _add,
    "remove": _remove,
    "token": _token,
    "password": _password,
    "groups": _groups,
    "accept": _accept,
}


# --- what they share ----------------------------------------------------------------------------


def _change(context: Context, change: Change) -> People:
    """Change the people and put it down; return them."""
    after: list[People] = []

    def both(before: People, write: Callable[[People], str]) -> Sequence[kinds.Kind]:
        made, said = change(before)
        after.append(made)
        return said(write(made))

    with context.ledger() as ledger:
        change_people(context.home, ledger, both, lambda said: _put_down(context, ledger, said))
    return after[0]


def _changed(before: People, person: Person, what: str) -> tuple[People, Callable[[str], Sequence[kinds.Kind]]]:
    return before.changed(person), lambda digest: [
        kinds.PeopleChanged(person=person.name, what=what, groups=list(person.groups), digest=digest)
    ]


def _put_down(context: Context, ledger: Ledger, said: Sequence[kinds.Kind]) -> None:
    actor = Actor.of(context.principal)
    ledger.append([kinds.draft(kind, actor=actor) for kind in said])


def _end_all(context: Context, people: People, removed: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """End the grants and close the requests of whoever may not have them, with `people` in force; return the ids of both."""
    with context.ledger() as ledger:
        access = AccessService(ledger.transact, context.policy, context.clock)
        ended = access.end_leavers(people_known(people, removed), Actor.of(context.principal))
    closed = [str(entry.body["request"]) for entry in ended if entry.type == kinds.AccessClosed.TYPE]
    return [entry.grant for entry in ended if entry.grant is not None], closed


def _new_password() -> str:
    """Return a new password: typed twice on a terminal, else the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    typed = getpass.getpass("New password: ")
    if getpass.getpass("The same password again: ") != typed:
        raise UsageError("The two passwords are not the same. Nothing was changed.")
    return typed


def _row(person: Person) -> dict[str, Any]:
    credentials = [name for name in ("password", "token") if getattr(person, name)]
    return {
        "name": person.name,
        "kind": person.kind.value,
        "groups": list(person.groups),
        "credentials": credentials,
        "on_behalf_of": person.on_behalf_of,
    }


def _tell(options: argparse.Namespace, person: Person, token: str, sentence: str) -> int:
    if options.json:
        print_json({**_row(person), **({"token": token} if token else {})})
        return 0
    print(sentence)
    if token:
        print(f"The token, which nothing can show again: {token}")
    return 0
