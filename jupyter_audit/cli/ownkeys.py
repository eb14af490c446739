"""
`jupyter audit keys mine | people`, and the signing of answers: what an approver does with a key of their own.

All that is signed is made and shown here, on the approver's machine, from the text of the request's entry; what a server says
besides is not believed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_audit.access.ownkey import create_own_key, default_key_file, known_ledgers, load_own_key, remember_ledger
from jupyter_audit.access.principals import os_account, same_person
from jupyter_audit.access.service import AccessService
from jupyter_audit.access.signing import (
    PASSKEY_REGISTRATION,
    REGISTRATION,
    WITHDRAWAL,
    Decision,
    Signed,
    Statement,
    registration_text,
    seal,
    sign,
    withdrawal_text,
)
from jupyter_audit.access.views import key_view
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.output import clean, clean_block, print_json, print_rows
from jupyter_audit.cli.remote import find_server
from jupyter_audit.clock import SystemClock, format_time
from jupyter_audit.errors import LedgerError, NotFoundError, NotPermittedError, UsageError
from jupyter_audit.ledger.canonical import CanonicalError, parse_canonical
from jupyter_audit.ledger.envelope import EnvelopeError, parse_envelope
from jupyter_audit.ledger.keys import Signer
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.ledger.note import format_verifier_key
from jupyter_audit.ledger.passphrase import APPROVER_KEY, confirm
from jupyter_audit.model import Principal
from jupyter_audit.record import kinds

COLUMNS = {
    "person": "WHO",
    "kind": "KIND",
    "label": "NAME",
    "key": "KEY",
    "entry": "ENTRY",
    "registered": "SINCE",
    "trust": "TRUST",
    "ended": "ENDED BY ENTRY",
    "ended_by": "OF",
}
OFFERED = ("origin", "name", "rp_id", "key")
"""What is shown of a passkey before it is signed in."""

Row = dict[str, Any]


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what `keys mine` takes."""
    command.add_argument(
        "verb", nargs="?", choices=["create", "show", "register", "vouch", "withdraw"], help="of `mine`: what to do with your key"
    )
    add_key_file(command)
    command.add_argument("--name", metavar="NAME", help="of `mine create`: the key's name (default: your account's)")
    command.add_argument("--protect", action="store_true", help="of `mine create`: put the key under a passphrase")
    command.add_argument("--old-key", metavar="FILE", help="of `mine register`: your key until now, which signs the new one in")
    command.add_argument("--yes", action="store_true", help="of `mine vouch`: sign without asking once more")
    command.add_argument("--passkey", metavar="KEY", help="of `mine withdraw`: the passkey to end, by its public key (passkey:…)")
    command.add_argument("--person", metavar="NAME", help="of `mine withdraw`: whose key, for an admin (default: your own)")


def add_key_file(command: argparse.ArgumentParser) -> None:
    """Add the option that names the approver's key."""
    command.add_argument(
        "--key-file",
        metavar="FILE",
        help="your key (default: $JUPYTER_AUDIT_APPROVER_KEY, or jupyter-audit/approver.key in your configuration folder)",
    )


def add_signing(command: argparse.ArgumentParser) -> None:
    """Add the options of an answer that can be signed."""
    command.add_argument("--sign", action="store_true", help="sign it with your own key (`jupyter audit keys mine`)")
    command.add_argument("--yes", action="store_true", help="sign without asking once more")
    add_key_file(command)


def refuse_options(options: argparse.Namespace) -> None:
    """Raise `UsageError` if options of `mine` were given without it."""
    names = ("verb", "key_file", "name", "protect", "old_key", "yes", "passkey", "person", "server")
    given = [name.replace("_", "-") for name in names if getattr(options, name)]
    if given:
        raise UsageError(f"{', '.join(given)}: only for `keys mine` and `keys people`.")


def own_keys(options: argparse.Namespace) -> int:
    """Do what `keys mine` or `keys people` asks for."""
    if options.action == "people":
        rows = _house(options).keys()["keys"]
        print_rows(rows, COLUMNS, "Nobody has registered a key.", as_json=options.json)
        return 0
    if options.verb is None:
        raise UsageError("Say what to do with your key.", advice="create, show, register, vouch or withdraw.")
    acts: dict[str, Callable[[argparse.Namespace], int]] = {
        "create": _create,
        "show": _show,
        "register": _register,
        "vouch": _vouch,
        "withdraw": _withdraw,
    }
    return acts[options.verb](options)


# --- the key ------------------------------------------------------------------------------------


def _create(options: argparse.Namespace) -> int:
    path = _key_file(options)
    if options.protect:
        confirm(APPROVER_KEY)
    signer = create_own_key(path, options.name or os_account().name, protected=options.protect)
    register = "`jupyter audit keys mine register`, with --server URL where that is elsewhere"
    _tell_key(options, signer, f"Your key is in {path}. Register it: {register}.")
    return 0


def _show(options: argparse.Namespace) -> int:
    path = _key_file(options)
    known = "".join(f"\nIt signs for {origin} ({where})." for origin, where in sorted(known_ledgers(path).items()))
    _tell_key(options, load_own_key(path), f"Tell it to auditors yourself, past the server.{known}")
    return 0


def _register(options: argparse.Namespace) -> int:
    path, house = _key_file(options), _house(options)
    signer, listed = load_own_key(path), house.keys()
    origin, me = str(listed["origin"]), str(listed["me"])
    old = _key_of(listed, me)
    key = format_verifier_key(signer.verifier)
    if old is not None and old["key"] == key:
        remember_ledger(path, origin, house.where)
        print(f"It is registered already, by entry {old['entry']}.", file=sys.stderr)
    else:
        replaces, vouched = "" if old is None else str(old["key"]), ""
        text = registration_text(origin, me, key, replaces)
        if old is None and any(_in_force(row, me) for row in listed["keys"]):
            raise UsageError(
                f"{me} has passkeys, one of which would have to sign this key in, and no browser does that here.",
                advice="Remove your passkeys in the panel, register the key, then register a passkey that the key signs in "
                "(`jupyter audit keys mine vouch`).",
            )
        if old is not None:
            if not options.old_key:
                raise UsageError(
                    f"{me} has a key already ({replaces}), and it must sign the new one in.",
                    advice="Name its file with --old-key, or withdraw it if it is lost (`jupyter audit keys mine withdraw`).",
                )
            vouched = seal(load_own_key(Path(options.old_key)), REGISTRATION, text)
        given = {"key": key, "proof": seal(signer, REGISTRATION, text), "replaces": replaces, "vouched": vouched}
        old = house.do("approver-keys", given, lambda access, person: key_view(access.register_key(person, **given)))
        remember_ledger(path, origin, house.where)
    _tell_key(options, signer, f"It signs for {clean(me)} in {origin}, since entry {old['entry']}. Tell it to auditors yourself.")
    return 0


def _vouch(options: argparse.Namespace) -> int:
    """Sign one's passkeys in that wait for it, each as it says itself."""
    if not options.server:
        raise UsageError("A passkey waits where it was made.", advice="Name the server with --server URL.")
    house = _house(options)
    listed = house.keys()
    signer = signer_for(options, str(listed["origin"]))
    offers = house.get("passkeys/offers")["offers"]
    if not offers:
        raise NotFoundError(
            "No passkey of yours waits to be signed in.", advice="Make one in the panel; it waits for a quarter of an hour."
        )
    for offer in offers:
        said = _offered(offer, str(listed["origin"]), str(listed["me"]))
        agree([("passkey", said["label"]), *((name, said[name]) for name in OFFERED)], yes=options.yes)
        given = {"offer": offer["offer"], "vouched": seal(signer, PASSKEY_REGISTRATION, offer["statement"])}
        made = dict(find_server(house.context.home, options.server).api("POST", "passkeys", given))
        if options.json:
            print_json(made)
        else:
            print(f"The passkey {clean(made['label'])} signs for {clean(made['person'])}, since entry {made['entry']}.")
    return 0


def _offered(offer: Row, origin: str, me: str) -> Row:
    """Return what the statement of an offer says, which is what is signed. Raises `LedgerError` if that is none of one's own."""
    try:
        said = parse_canonical(str(offer["statement"]))
    except CanonicalError as error:
        raise LedgerError(f"What was given of the passkey is no statement: {error}") from error
    if said.keys() != {*OFFERED, "label", "aaguid", "credential"} or (said["origin"], said["name"]) != (origin, me):
        raise LedgerError("Something else than a passkey of yours was given to sign.", advice="Tell an auditor.")
    return said


def _withdraw(options: argparse.Namespace) -> int:
    if not options.reason:
        raise UsageError("Say why: --reason TEXT.")
    house = _house(options)
    listed = house.keys()
    person = options.person or str(listed["me"])
    row = _key_of(listed, person)
    if options.passkey:
        row = next((each for each in listed["keys"] if _in_force(each, person) and each["key"] == options.passkey), None)
    if row is None:
        such = "such passkey" if options.passkey else "key"
        raise NotFoundError(f"{person} has no {such}.", advice="`jupyter audit keys people` lists them.")
    signature, path = "", _key_file(options)
    if path.exists() and not options.passkey:
        signer = load_own_key(path)
        if format_verifier_key(signer.verifier) == row["key"]:
            signature = seal(signer, WITHDRAWAL, withdrawal_text(str(listed["origin"]), row["person"], row["key"]))
    reason, key = options.reason, str(row["key"])
    given = {"person": person, "reason": reason, "signature": signature, "key": key}
    made = house.do(
        "approver-keys/withdraw",
        given,
        lambda access, me: key_view(access.withdraw_key(me, person, reason=reason, signature=signature, key=key)),
    )
    if options.json:
        print_json(made)
    else:
        print(f"The key {clean(made['key'])} of {clean(made['person'])} signs no more.")
    return 0


def _key_of(listed: Row, person: str) -> Row | None:
    """Return the key (no passkey) with which a person signs now."""
    return next((row for row in listed["keys"] if _in_force(row, person) and row["kind"] == "key"), None)


def _in_force(row: Row, person: str) -> bool:
    return row["ended"] is None and same_person(row["person"], person)


def _tell_key(options: argparse.Namespace, signer: Signer, more: str) -> None:
    key = format_verifier_key(signer.verifier)
    if options.json:
        print_json({"key": key})
    else:
        print(key)
        print(more, file=sys.stderr)


def _key_file(options: argparse.Namespace) -> Path:
    return Path(options.key_file).expanduser().absolute() if options.key_file else default_key_file()


# --- the answers --------------------------------------------------------------------------------


def sign_answer(options: argparse.Namespace, request_id: str, decision: Decision, reason: str = "") -> Signed:
    """
    Show what an answer to a request says, and return it signed.

    Raises `UsageError` unless the person agrees, `NotPermittedError` for a ledger that the key is not registered with.
    """
    # Whoever has no key is told that first, whatever there is to sign.
    path = _key_file(options)
    signer, found = load_own_key(path), _house(options).entry(request_id)
    _must_know(path, found["origin"])
    statement = statement_of(found, request_id, decision, reason)
    agree(
        [*((name, getattr(statement, name)) for name in ("origin", "decision", "approver", "request", "requester")),
         *found["words"].items(), *((("because", reason),) if reason else ())],
        yes=options.yes,
    )  # fmt: skip
    return sign(signer, statement)


def signer_for(options: argparse.Namespace, origin: str) -> Signer:
    """Return one's own key. Raises `NotPermittedError` if it was not registered with this ledger from this machine."""
    path = _key_file(options)
    signer = load_own_key(path)
    _must_know(path, origin)
    return signer


def _must_know(path: Path, origin: str) -> None:
    """Raise `NotPermittedError` for a ledger that the key in `path` was not registered with from this machine."""
    if origin not in known_ledgers(path):
        raise NotPermittedError(
            f"Your key is not registered with the ledger {origin} from this machine.",
            advice="If that is the ledger you mean: `jupyter audit keys mine register`. If not, tell somebody.",
        )


def agree(rows: Iterable[tuple[str, object]], *, yes: bool) -> None:
    """Show what would be signed, and ask. Raises `UsageError` unless the person agrees, or did by `yes`."""
    print("You sign:", *(f"  {name:<11} {_shown(value)}" for name, value in rows), sep="\n", file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Nobody is here to say that this is to be signed.", advice="Add --yes.")
    print("Sign? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("Nothing was signed.")


def statement_of(found: Row, request_id: str, decision: Decision, reason: str) -> Statement:
    """
    Return the statement about the entry that was found, and put what it says in words into `found`.

    Raises `LedgerError` if the entry is not that request.
    """
    try:
        entry = parse_envelope(found["entry"]).entry
        said = kinds.read(entry, kinds.AccessRequested)
    except (EnvelopeError, LedgerError) as error:
        raise LedgerError(f"What was given for the request {request_id} is none: {error}") from error
    if said.request != request_id:
        raise LedgerError(f"Another request than {request_id} was given to sign: {said.request}.", advice="Tell an auditor.")
    found["words"] = {
        "profile": said.profile,
        "ticket": said.ticket,
        "reason": said.reason,
        "minutes": f"{said.duration_s / 60:g}",
        **{name: value for name in ("target", "starts", "extends", "takes_over") if (value := getattr(said, name))},
    }
    return Statement(
        origin=found["origin"],
        request=said.request,
        entry=leaf_hash(entry.raw.encode()).hex(),
        requester=entry.actor.name,
        profile=said.profile,
        ticket=said.ticket,
        duration_s=said.duration_s,
        decision=decision.value,
        reason=reason,
        approver=found["me"],
        key="",
        time=format_time(SystemClock().now()),
    )


def _shown(value: object) -> str:
    return clean_block(str(value), indent=" " * 14).lstrip()


# --- here, or through a server ------------------------------------------------------------------


@dataclass(frozen=True)
class House:
    """Where the ledger is: on this machine, or behind the server that is named."""

    context: Context
    server: str | None

    @property
    def where(self) -> str:
        return self.server or str(self.context.home.path)

    def keys(self) -> Row:
        """Return origin, who one is there, and everybody's keys."""
        if self.server:
            return dict(find_server(self.context.home, self.server).api("GET", "approver-keys"))
        with self.context.reader() as reader:
            book = self.context.book(reader)
            return {"origin": book.origin, "me": self.context.principal.name, "keys": [key_view(key) for key in book.keys]}

    def get(self, path: str) -> Row:
        """Return what the server answers."""
        return dict(find_server(self.context.home, self.server or "").api("GET", path))

    def entry(self, request_id: str) -> Row:
        """Return origin, who one is there, and the text of a request's entry."""
        if self.server:
            return dict(find_server(self.context.home, self.server).api("GET", f"requests/{request_id}/entry"))
        with self.context.reader() as reader:
            request = self.context.book(reader).request(request_id)
            if request is None:
                raise NotFoundError(f"There is no request {request_id}.", advice="`jupyter audit requests` lists them.")
            return {"origin": reader.origin, "me": self.context.principal.name, "entry": reader.entry(request.seq).raw}

    def do(self, path: str, body: Row, act: Callable[[AccessService, Principal], Row]) -> Row:
        """Do an act there."""
        if self.server:
            return dict(find_server(self.context.home, self.server).api("POST", path, body))
        with self.context.access() as access:
            return act(access, self.context.principal)


def _house(options: argparse.Namespace) -> House:
    return House(context_of(options), options.server)
