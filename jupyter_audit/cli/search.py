"""`jupyter audit search`: entries by what people wrote in them."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from jupyter_audit.cli.context import Context, context_of
from jupyter_audit.cli.entries import describe
from jupyter_audit.cli.filters import add_filters, filters_of, filters_said
from jupyter_audit.cli.options import add_auditor_key, add_command, auditors_of
from jupyter_audit.cli.output import clean, print_json, short
from jupyter_audit.errors import UsageError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Content, Json
from jupyter_audit.review.filters import Filters
from jupyter_audit.review.search import Hit, Query, Reading, parse_query, search
from jupyter_audit.review.searchindex import nominate

LINE = 160
"""Characters shown of a line that was found."""

_VERIFY = "Run `jupyter audit verify`."


def add_commands(commands: Any) -> None:
    """Add the command of this module."""
    command = add_command(
        commands,
        "search",
        run_search,
        "find entries by words in code, reasons, tickets and outputs",
        about='All of the words must be in an entry, in any order, also as parts of longer ones; "words in quotes" as they '
        "stand; -words must not be in it. Letters are compared without case, width and spacing. An index in the audit home "
        "makes it quick; it is made by itself, and every entry that is shown was read from the ledger. What was purged is not "
        "found; what is sealed only with --auditor-key, without the index.",
        examples="  jupyter audit search DROP TABLE --person eve --from 7d\n"
        "  jupyter audit search '\"read_sql(\" orders -test' --type cell. --json\n"
        "  jupyter audit search SHOP-1042 --ledger copy.db",
    )
    command.add_argument("words", nargs="+", metavar="WORDS", help='words, "phrases", and -words that must not be there')
    command.add_argument(
        "--not", action="append", default=[], dest="unwanted", metavar="WORDS", help="must not be there (repeatable)"
    )
    add_filters(command)
    command.add_argument("--limit", type=int, default=50, metavar="N", help="at most, the newest (default: %(default)s)")
    command.add_argument(
        "--scan",
        action="store_true",
        help="read every entry instead of asking the index, which an insider could have thinned out",
    )
    command.add_argument(
        "--ledger", metavar="FILE", help="search this file instead of the home's ledger; always reads every entry"
    )
    add_auditor_key(command)


def run_search(options: argparse.Namespace) -> int:
    """Show the newest entries that say what was asked for, oldest of them first."""
    if options.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {options.limit}.")
    query = parse_query(" ".join(options.words), options.unwanted)
    filters = filters_of(options, datetime.now(UTC))
    auditors = auditors_of(options)
    if options.ledger:
        with closing(LedgerReader.open(Path(options.ledger), auditors=auditors)) as reader:
            return _show(options, reader, query, filters, None)
    context = context_of(options)
    _note(context, options, [secret.public.label for secret in auditors])
    with context.reader() as reader:
        reader.auditors = auditors
        # What only auditors can read is in no index, and never gets into one.
        candidates = None if options.scan or reader.auditors else _ask_index(context, reader, query)
        return _show(options, reader, query, filters, candidates)


def _note(context: Context, options: argparse.Namespace, auditors: list[str]) -> None:
    """Put the search down before anything is shown (P9); its words can be purged with whatever they ask for."""
    asked = json.dumps({"words": options.words, "not": options.unwanted}, ensure_ascii=False)
    content = Content(asked.encode("utf-8", "replace"), "application/json")
    opened_with: dict[str, Json] = {"auditors": auditors} if auditors else {}
    context.note_read("search", {**filters_said(options), **opened_with}, {"query": content})


def _ask_index(context: Context, reader: LedgerReader, query: Query) -> list[int] | None:
    progress = _Progress() if sys.stderr.isatty() else None
    nominated = nominate(context.home, reader, query, tell=_say, progress=progress)
    if nominated.damaged:
        _say(f"{nominated.damaged} contents are not what their entries commit to, and were not searched: {_VERIFY}")
    _say_sealed(nominated.sealed)
    return nominated.candidates


def _show(
    options: argparse.Namespace, reader: LedgerReader, query: Query, filters: Filters, candidates: list[int] | None
) -> int:
    reading = Reading(reader)
    hits = search(reading, query, filters, candidates)
    newest = list(islice(hits, options.limit))
    more = next(hits, None) is not None
    for hit in reversed(newest):
        _show_hit(hit, as_json=options.json)
    if candidates is None:
        for said in reading.damaged.values():
            _say(f"Not searched: {said} {_VERIFY}")
        _say_sealed(len(reading.sealed))
    if not newest:
        _say("No entry matches.")
    if more:
        _say(f"There are older ones. These are the newest {options.limit}; --limit shows more.")
    return 0


def _show_hit(hit: Hit, *, as_json: bool) -> None:
    row = json.loads(hit.entry.raw)
    if as_json:
        print_json({**row, "found": [{"in": one.where, "line": one.line, "text": one.text} for one in hit.found]})
        return
    print(describe(row))
    for one in hit.found:
        print(f"    {clean(one.where)}:{one.line}: {short(one.text.strip(), LINE)}")


def _say_sealed(contents: int) -> None:
    if contents:
        _say(f"{contents} contents are sealed for auditors, and were not searched (--auditor-key).")


def _say(sentence: str) -> None:
    print(clean(sentence), file=sys.stderr)


class _Progress:
    """Says how far the index is, on a terminal."""

    def __call__(self, done: int, whole: int) -> None:
        end = "\n" if done == whole else ""
        print(f"\rReading entries for the index: {done:,} of {whole:,}", end=end, file=sys.stderr, flush=True)
