"""`jupyter audit log | tail | verify`: reading the ledger, and proving it whole."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from jupyter_audit.clock import format_time
from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.output import clean, clean_block, print_json
from jupyter_audit.errors import UsageError, VerificationError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.verify import verify_ledger
from jupyter_audit.model import Entry

POLL_S = 0.25


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this module."""
    command = commands.add_parser("log", parents=[common], help="show entries, oldest first")
    _filters(command)
    command.add_argument("--limit", type=int, default=50, help="how many of the newest (default: %(default)s)")
    command.set_defaults(run=log)
    command = commands.add_parser("tail", parents=[common], help="show entries as they are appended, until Ctrl-C")
    _filters(command)
    command.set_defaults(run=tail)
    command = commands.add_parser("verify", parents=[common], help="prove the ledger whole with its public key alone")
    command.add_argument("--ledger", help="the ledger's file (default: the home's)")
    command.add_argument("--key", action="append", help="verifier key, or a file that holds it (default: the home's)")
    command.add_argument("--since", help="a file with a checkpoint kept from before: finds rollback and truncation")
    command.set_defaults(run=verify)


def _filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--ledger", help="read this file instead of the home's")
    command.add_argument("--type", action="append", help="only this type, or a prefix that ends in a dot (repeatable)")
    command.add_argument("--session", help="only this session (s-…)")
    command.add_argument("--grant", help="only this grant (g-…)")
    command.add_argument("--content", action="store_true", help="show code and output previews too")


def log(options: argparse.Namespace) -> int:
    """Show the newest entries."""
    reader = _open(options, "log")
    with reader:
        found = list(
            reader.entries(types=options.type, session=options.session, grant=options.grant, newest_first=True,
                           limit=options.limit)
        )
        for entry in reversed(found):
            _show(reader, entry, options)
        if not found and not options.json:
            print("No entry matches.")
    return 0


def tail(options: argparse.Namespace) -> int:
    """Follow the ledger until interrupted."""
    reader = _open(options, "tail")
    with reader:
        following = max(0, reader.size() - 10)
        try:
            while True:
                size = reader.size()
                if size > following:
                    for entry in reader.entries(
                        start=following, stop=size, types=options.type, session=options.session, grant=options.grant
                    ):
                        _show(reader, entry, options)
                    sys.stdout.flush()
                    following = size
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            return 0


def _open(options: argparse.Namespace, view: str) -> LedgerReader:
    if options.ledger:
        return LedgerReader.open(Path(options.ledger))
    context = context_of(options)
    context.note_read(view)
    return LedgerReader.open(context.home.ledger)


def _show(reader: LedgerReader, entry: Entry, options: argparse.Namespace) -> None:
    if options.json:
        value: dict[str, Any] = json.loads(entry.raw)
        if options.content:
            value["content"] = {name: _text(reader.content(entry.seq, name)) for name in entry.contents}
        print_json(value)
        return
    where = " ".join(filter(None, (entry.grant, entry.session)))
    facts = ", ".join(f"{key}={_short(value)}" for key, value in entry.body.items())
    print(f"{entry.seq:>6}  {format_time(entry.time)}  {entry.type:<18} {clean(entry.actor.name)}  {where}  {facts}".rstrip())
    if options.content:
        for name in entry.contents:
            text = _text(reader.content(entry.seq, name))
            print(clean_block(f"(purged {name})" if text is None else _readable(name, text)))


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "replace")


def _readable(name: str, text: str) -> str:
    """Code as code, outputs as their previews; anything else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if name == "message" and isinstance(value, dict) and isinstance(value.get("code"), str):
        code: str = value["code"]
        return code
    if name == "outputs" and isinstance(value, dict):
        return "\n".join(f"[{o.get('output')} {o.get('mime')}] {o.get('preview')}" for o in value.get("outputs", []))
    return text


def _short(value: object, most: int = 60) -> str:
    text = clean(json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict, tuple)) else value)
    return text if len(text) <= most else text[: most - 1] + "…"


def verify(options: argparse.Namespace) -> int:
    """Prove the ledger whole; say exactly what is wrong where it is not."""
    context = context_of(options) if not (options.ledger and options.key) else None
    path = Path(options.ledger) if options.ledger else _home(context).home.ledger
    keys = [_key(text) for text in options.key] if options.key else [_key(str(_home(context).home.verifier_key))]
    since = _read(Path(options.since)) if options.since else None
    progress = _progress if sys.stderr.isatty() and not options.json else None
    try:
        report = verify_ledger(path, verifier_keys=keys, progress=progress, since=since)
    except VerificationError as error:
        if options.json:
            print_json({"verdict": "damaged", "damage": error.damage, "seq": error.seq, "detail": str(error), "advice": error.advice})
            return error.exit_code
        raise
    finally:
        if progress is not None:
            print(file=sys.stderr)
    if options.json:
        print_json({"verdict": "whole", **report.to_json()})
    else:
        print(report.text())
    return 0


def _home(context: Context | None) -> Context:
    assert context is not None
    return context


def _key(text: str) -> str:
    """Return a verifier key given as such, or by the file that holds it."""
    return text.strip() if text.count("+") >= 2 and not Path(text).is_file() else _read(Path(text)).strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error


def _progress(done: int, total: int) -> None:
    share = 100 * done // total if total else 100
    print(f"\rverifying {done} of {total} entries ({share} %)", end="", file=sys.stderr, flush=True)
