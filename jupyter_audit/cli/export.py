"""`jupyter audit export`: entries for other programs, and an entry that says who took them out."""

from __future__ import annotations

import argparse
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_audit.cli.context import context_of
from jupyter_audit.cli.filters import add_filters, filters_of, filters_said
from jupyter_audit.cli.options import add_auditor_key, add_command, auditors_of
from jupyter_audit.cli.output import print_json
from jupyter_audit.errors import LedgerError, UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.record.kinds import LedgerExported
from jupyter_audit.review.export import Wanted, export_lines, export_tables
from jupyter_audit.review.sqliteutils import database_class

FORMATS = ("jsonl", "sqlite")
STDOUT = "-"


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "export",
        run_export,
        "write entries, code and outputs into a file for other programs",
        about="JSON lines lose nothing and can be verified from themselves; SQLite tables are for analysts and Datasette. "
        "An entry says that you took them, before the file is written. Only you can read the file, and no purge reaches "
        "it. Never overwrites.",
        examples="  jupyter audit export ledger.jsonl\n"
        "  jupyter audit export week.db --format sqlite --from 7d --type cell.\n"
        "  jupyter audit export - --no-contents | jq .entry.type",
    )
    command.add_argument("file", metavar="FILE", help="the file to make; - is standard output, for JSON lines")
    command.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: %(default)s")
    add_filters(command)
    command.add_argument("--no-contents", action="store_true", help="entries alone, without code and outputs")
    command.add_argument("--ledger", metavar="FILE", help="read this file instead of the home's ledger")
    add_auditor_key(command)


def run_export(options: argparse.Namespace) -> int:
    """Write what was asked for, or nothing."""
    filters = filters_of(options, datetime.now(UTC))
    tables = options.format == "sqlite"
    if tables:
        database_class()  # before anything is put down
    target = Path(options.file)
    _check_target(options.file, target, tables=tables)
    context = None if options.ledger else context_of(options)
    path = Path(options.ledger) if context is None else context.home.ledger
    if context is not None:
        context.home.check()
    with closing(LedgerReader.open(path, auditors=auditors_of(options))) as reader:
        wanted = Wanted(reader.size(), filters, contents=not options.no_contents)
        if context is not None:
            opened_by = [secret.public.label for secret in reader.auditors]
            said = filters_said(options)
            context.put_down(LedgerExported(options.format, options.file, wanted.contents, wanted.stop, said, opened_by))
        if options.file == STDOUT:
            for line in export_lines(reader, wanted):
                print_json(line)
            return 0
        with _new_file(target) as unfinished:
            entries = _write_tables(reader, wanted, unfinished) if tables else _write_lines(reader, wanted, unfinished)
    if options.json:
        print_json({"file": options.file, "entries": entries, "of": wanted.stop})
    else:
        print(f"{entries} of {wanted.stop} entries are in {target}.")
    return 0


def _check_target(named: str, target: Path, *, tables: bool) -> None:
    if named == STDOUT:
        if tables:
            raise UsageError("SQLite tables cannot go to standard output.", advice="Name a file.")
        return
    if os.path.lexists(target):
        raise UsageError(f"There is a {target} already, and it is not overwritten.", advice="Name another file, or remove it.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}.", advice="Make it, or name another file.")


def _write_lines(reader: LedgerReader, wanted: Wanted, path: Path) -> int:
    entries = 0
    with path.open("w", encoding="utf-8") as file:
        for line in export_lines(reader, wanted):
            print_json(line, file=file)
            entries += "entry" in line
    return entries


def _write_tables(reader: LedgerReader, wanted: Wanted, path: Path) -> int:
    try:
        with closing(database_class()(sqlite3.connect(path))) as database:
            return export_tables(reader, wanted, database)
    except sqlite3.Error as error:
        raise LedgerError(
            f"No file could be made in {path.parent}: {error}.", advice="Check the folder's free space and its mode."
        ) from error


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Give an empty, private file that becomes `target` when the block is done, and is gone when it fails."""
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield unfinished
        _check_target(str(target), target, tables=False)  # somebody may have made one meanwhile
        unfinished.replace(target)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
