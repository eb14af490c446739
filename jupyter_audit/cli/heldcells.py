"""`jupyter audit held | approve-cell | deny-cell`: cells that wait for somebody's approval, here or through a server."""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Callable
from typing import Any

from jupyter_audit.access.cellsigning import CellStatement, sign_cell
from jupyter_audit.access.holds import Hold, HoldState
from jupyter_audit.access.service import UNSIGNED, AccessService
from jupyter_audit.access.signing import Decision, Signed
from jupyter_audit.access.views import View, hold_view, parts_of_message, plain
from jupyter_audit.cli import ownkeys
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.lists import all_pages
from jupyter_audit.cli.options import add_command
from jupyter_audit.cli.output import clean, clean_block, print_json, print_rows
from jupyter_audit.cli.remote import find_server
from jupyter_audit.clock import SystemClock, format_time
from jupyter_audit.errors import LedgerError, NotFoundError, SealedError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.content import ContentError, commit
from jupyter_audit.ledger.envelope import EnvelopeError, parse_envelope
from jupyter_audit.ledger.merkle import leaf_hash
from jupyter_audit.model import Entry, Principal
from jupyter_audit.record import kinds

COLUMNS = {
    "id": "CELL",
    "principal": "WHO",
    "profile": "PROFILE",
    "lines": "LINES",
    "state": "STATE",
    "lapses": "LAPSES",
    "begins": "BEGINS",
    "notes": "NOTES",
}
SHOWN = (
    *("id", "principal", "on_behalf_of", "profile", "grant", "held", "lapses"),
    *("state", "answered_by", "answer", "besides"),
)
UNSEEN = "(not at hand: it is sealed for auditors, or was purged)"


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "held",
        held,
        "list the cells that wait for an approval, or show one",
        about="Where a profile says so (`cell_approval`), every cell waits for an approver's yes to that very code.",
        server=True,
    )
    command.add_argument("cell", nargs="?", metavar="CELL", help="the id of one (h-…), to be shown whole")
    command.add_argument("--all", action="store_true", help="also the latest that were answered")
    command = add_command(
        commands,
        "approve-cell",
        approve,
        "say yes to a held cell: it runs then, once",
        examples="  jupyter audit approve-cell h-0123456789ab\n  jupyter audit approve-cell h-0123456789ab --sign",
        server=True,
    )
    command.add_argument("cell", metavar="CELL", help="its id (h-…)")
    ownkeys.add_signing(command)
    command = add_command(commands, "deny-cell", deny, "say no to a held cell", server=True)
    command.add_argument("cell", metavar="CELL", help="its id (h-…)")
    command.add_argument("--reason", required=True, metavar="TEXT", help="why; whoever wants it run reads this")
    ownkeys.add_signing(command)


def held(options: argparse.Namespace) -> int:
    """List held cells, or show one."""
    context = context_of(options)
    everything = options.all or options.cell is not None
    if options.server:
        server = find_server(context.home, options.server)
        rows = all_pages(server, "held-cells", "state=all" if everything else "", "held")
    else:
        with context.reader() as reader:
            book = context.book(reader)
            now = book.now(context.clock.now())
            found = [hold for hold in book.holds() if everything or hold.state(now) is HoldState.WAITING]
            rows = [hold_view(hold, now, _message(reader, hold)) for hold in found]
        if any(row["principal"] != context.principal.name for row in rows):
            context.note_read("held cells")
    if options.cell is not None:
        _show(next((row for row in rows if row["id"] == options.cell), None), options)
    else:
        told = rows if options.json else [_told(row) for row in rows]
        print_rows(told, COLUMNS, "No cell waits for an approval.", as_json=options.json)
    return 0


def approve(options: argparse.Namespace) -> int:
    """Say yes."""
    signed = _sign(options, Decision.APPROVE, "") if options.sign else UNSIGNED
    said = {"statement": signed.statement, "signature": signed.signature} if signed else {}
    row = _do(options, "approve", said, lambda access, me: access.approve_cell(me, options.cell, signed))
    return _say(options, row, f"The cell {row['id']} of {row['principal']} is approved, and runs once if its kernel still waits.")


def deny(options: argparse.Namespace) -> int:
    """Say no."""
    signed = _sign(options, Decision.DENY, options.reason.strip()) if options.sign else UNSIGNED
    said = {"statement": signed.statement, "signature": signed.signature} if signed else {}
    said["reason"] = options.reason
    row = _do(options, "deny", said, lambda access, me: access.deny_cell(me, options.cell, options.reason, signed))
    return _say(options, row, f"The cell {row['id']} of {row['principal']} is denied.")


def _do(
    options: argparse.Namespace, verb: str, body: dict[str, Any], act: Callable[[AccessService, Principal], Hold]
) -> View:
    context = context_of(options)
    if options.server:
        made: View = find_server(context.home, options.server).api("POST", f"held-cells/{options.cell}/{verb}", body)
        return made
    with context.access() as access:
        hold = act(access, context.principal)
    return hold_view(hold, context.clock.now(), None)


def _say(options: argparse.Namespace, row: View, sentence: str) -> int:
    if options.json:
        print_json(row)
    else:
        print(clean(sentence))
    return 0


def _message(reader: LedgerReader, hold: Hold) -> bytes | None:
    try:
        return reader.content(hold.seq, "message")
    except SealedError:
        return None


def _told(row: View) -> View:
    """Return a held cell with how its code begins, and what there is to say beside its columns."""
    code = row["code"]
    notes = [f"asks besides: {row['besides']}"] if row["besides"] else []
    notes += [f"for {row['on_behalf_of']}"] if row["on_behalf_of"] else []
    notes += [f"{row['answered_by']}: {row['answer']}" if row["answer"] else row["answered_by"]] if row["answered_by"] else []
    return {**row, "begins": UNSEEN if code is None else plain(code).strip().split("\n")[0][:60], "notes": "; ".join(notes)}


def _show(row: View | None, options: argparse.Namespace) -> None:
    if row is None:
        raise NotFoundError(f"There is no held cell {options.cell} that you may see.", advice="`jupyter audit held` lists them.")
    if options.json:
        print_json(row)
        return
    for name in SHOWN:
        if row[name]:
            print(f"{name.replace('_', ' '):<13} {clean(row[name])}")
    print(clean_block(UNSEEN if row["code"] is None else plain(row["code"])))


# --- signing ------------------------------------------------------------------------------------


def _sign(options: argparse.Namespace, decision: Decision, reason: str) -> Signed:
    """Show what an answer to a held cell says, the code first, and return it signed."""
    context = context_of(options)
    found = _found(context, options)
    signer = ownkeys.signer_for(options, found["origin"])
    entry, said = _entry(found["entry"], options.cell)
    code, besides, sure = _code(entry, found)
    statement = CellStatement(
        origin=found["origin"],
        hold=said.hold,
        entry=leaf_hash(entry.raw.encode()).hex(),
        requester=entry.actor.name,
        profile=said.profile,
        decision=decision.value,
        reason=reason,
        approver=found["me"],
        key="",
        time=format_time(SystemClock().now()),
    )
    rows = [*((name, getattr(statement, name)) for name in ("origin", "decision", "approver", "hold", "requester", "profile")),
            *((("for", said.on_behalf_of),) if said.on_behalf_of else ()), ("code", plain(code)),
            *((("besides", besides),) if besides else ()), *((("because", reason),) if reason else ())]  # fmt: skip
    if not sure:
        print("The contents of this ledger are sealed: that this is the code is the server's word.", file=sys.stderr)
    ownkeys.agree(rows, yes=options.yes)
    return sign_cell(signer, statement)


def _found(context: Context, options: argparse.Namespace) -> dict[str, Any]:
    """Return what the server, or the ledger here, has of a held cell that is to be signed."""
    if options.server:
        found = dict(find_server(context.home, options.server).api("GET", f"held-cells/{options.cell}/entry"))
        try:
            found["salt"] = base64.b64decode(found["salt"])
            found["message"] = None if found["message"] is None else base64.b64decode(found["message"])
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"What the server gave for the cell {options.cell} is no such thing: {error}") from error
        return found
    with context.reader() as reader:
        hold = context.book(reader).hold(options.cell)
        if hold is None:
            raise NotFoundError(f"There is no held cell {options.cell}.", advice="`jupyter audit held` lists those that wait.")
        salted = reader.salted(hold.seq, "message") or (b"", None)
        entry = reader.entry(hold.seq).raw
    return {"origin": reader.origin, "me": context.principal.name, "entry": entry, "salt": salted[0], "message": salted[1]}


def _entry(raw: str, hold_id: str) -> tuple[Entry, kinds.CellHeld]:
    """Return the entry of a held cell and what it says. Raises `LedgerError` if it is not that cell's."""
    try:
        entry = parse_envelope(raw).entry
        said = kinds.read(entry, kinds.CellHeld)
    except (EnvelopeError, LedgerError) as error:
        raise LedgerError(f"What was given for the cell {hold_id} is none: {error}") from error
    if said.hold != hold_id:
        raise LedgerError(f"Another cell than {hold_id} was given to sign: {said.hold}.", advice="Tell an auditor.")
    return entry, said


def _code(entry: Entry, found: dict[str, Any]) -> tuple[str, str, bool]:
    """
    Return code, what is asked for besides, and whether the entry commits to just that.

    Raises `LedgerError` if it commits to something else, or there is nothing to be seen.
    """
    message, commitment = found["message"], entry.contents.get("message")
    if message is None or commitment is None:
        raise LedgerError("The code of the cell is not at hand, so nothing was signed.", advice="Ask an auditor.")
    sealed = commitment.sealed is not None
    try:
        same = sealed or commit(message, found["salt"]) == commitment.digest
        code, besides = parts_of_message(message)
    except (ContentError, ValueError) as error:
        raise LedgerError(f"What was given as the cell's code is none: {error}") from error
    if not same:
        raise LedgerError("Another code was given than the entry commits to. Nothing was signed.", advice="Tell an auditor.")
    return code, besides, not sealed
