"""`jupyter audit prove`: a file that shows one entry, or the ledger's growth, to somebody who has no ledger."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from jupyter_audit.cli.context import named_home
from jupyter_audit.cli.options import add_auditor_key, add_command, auditors_of
from jupyter_audit.cli.output import clean_block
from jupyter_audit.errors import SealedError, UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.ledger.proving import prove_entry, prove_growth, purge_of

WITHOUT_A_CONTENT = 1
"""What `prove --with-contents` exits with where a content that it was to show was purged; the proof is written."""


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "prove",
        prove,
        "write a proof of one entry, or of growth since a checkpoint",
        about="`jupyter audit verify --proof FILE --key VKEY` checks it with the first verifier key alone, without the ledger. "
        "The contents (code, output) are only in it with --with-contents; sealed ones as they are sealed, or opened "
        "with --auditor-key. Of a purged one there is only what the entry says of it, size and digest: the proof is written "
        "without it, and the exit code is 1.",
        examples="  jupyter audit prove 1742 --with-contents --output 1742.proof\n"
        "  jupyter audit prove --from last-week.checkpoint --output week.proof",
    )
    command.add_argument("entry", nargs="?", type=int, metavar="ENTRY", help="the number of the entry to prove")
    command.add_argument("--with-contents", action="store_true", help="put the entry's code and output in, where held")
    command.add_argument("--from", dest="old", metavar="FILE", help="a checkpoint kept from before: prove growth since then")
    command.add_argument("--to", dest="new", metavar="FILE", help="the later checkpoint (default: the newest)")
    command.add_argument("--output", metavar="FILE", help="write here, readable by this account alone (default: print)")
    command.add_argument("--ledger", metavar="FILE", help="the ledger's file (default: the home's)")
    add_auditor_key(command)


def prove(options: argparse.Namespace) -> int:
    """Write the proof that was asked for."""
    if (options.entry is None) == (options.old is None):
        raise UsageError("Name the entry to prove, or a checkpoint with --from: one of the two.")
    if options.new is not None and options.old is None:
        raise UsageError("--to needs --from.")
    path = Path(options.ledger) if options.ledger else named_home(options).ledger
    code, told = 0, list[str]()
    with closing(LedgerReader.open(path, auditors=auditors_of(options))) as reader:
        if options.old is not None:
            text = prove_growth(reader, _read(options.old), _read(options.new) if options.new else None)
        else:
            text = prove_entry(reader, options.entry, with_contents=options.with_contents)
            if options.with_contents:
                code, told = _not_shown(reader, options.entry, json.loads(text)["contents"])
    _write(text, options.output)
    for sentence in told:
        print(clean_block(sentence, indent=""), file=sys.stderr)
    return code


def _write(text: str, output: str | None) -> None:
    if not output:
        sys.stdout.write(text)
        return
    # It can hold code and output of production: not for other accounts, and never over another file.
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{output} is there already. Name another file.") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _not_shown(reader: LedgerReader, seq: int, shown: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Return an exit code, and sentences on the contents of entry `seq` that its proof does not show in clear."""
    names = reader.entry(seq).contents
    code, told = 0, [] if names else [f"Entry {seq} has no contents: there are none to put in."]
    for name in names:
        if name not in shown:
            purge = purge_of(reader, seq, name)
            told.append(
                f"Content {name} of entry {seq} is not in the proof: it was purged, as entry {purge} says. Its size and digest "
                f"are proven.\n`jupyter audit prove {purge}` proves the purge, who did it and why."
            )
            code = WITHOUT_A_CONTENT
        elif "sealed" in shown[name]:
            try:
                reader.content(seq, name)
            except SealedError as error:
                told.append(f"{error} The proof has it as it is sealed: `verify --proof` opens it with --auditor-key.")
    return code, told


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{name} cannot be read: {error}.") from error
