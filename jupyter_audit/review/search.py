"""
Searching what people wrote: code, reasons, tickets, outputs as far as they were kept. Pure, but for reading entries.

What an entry says decides whether it is a hit, never an index (P4): an index only names entries worth looking at.
Letters are compared as a reader takes them: without case, width and spacing, and without characters that cannot be
seen, so that nobody hides a word by how it is spelt.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jupyter_audit.errors import SealedError, UsageError, VerificationError
from jupyter_audit.ledger import LedgerReader
from jupyter_audit.model import Entry, Json
from jupyter_audit.record.kinds import DetectionJudged, LedgerRead
from jupyter_audit.review.filters import Filters, select

ContentOf = Callable[[int, str], bytes | None]

UNSEARCHED_TYPES = frozenset({DetectionJudged.TYPE, LedgerRead.TYPE})
"""Entries that would be found by what somebody else looked for, or by the names of rules."""

UNSEARCHED_FIELDS = frozenset(
    (
        *("kernel_id", "msg_id", "cell", "request", "server", "channel", "reported_by", "status", "version", "mode"),
        *("isolation", "kernel_name", "vouched_by", "not_before", "not_after", "lapses", "outputs", "policy"),
        *("policy_digest", "verifier_key", "rules"),
    )
)
"""Fields of a body that hold no words: names that machines gave, and what most entries say alike."""

MOST_FOUND = 3
"""Lines shown of one entry."""

# A hyphen and quotes belong to the syntax; whatever does not fit it is a word as it stands.
_TERM = re.compile(r'(?P<no>-?)"(?P<phrase>[^"]*)"|(?P<word>\S+)')
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\U000e0000-\U000e0fff]"
)

# Control sequences of terminals (ECMA-48): CSI, OSC and its like, and two-character ones.
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


@dataclass(frozen=True, slots=True)
class Query:
    """What an entry must say, all of it, and what it must not. Every term is folded."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A line that holds a term: where it stands (`code`, `output`, or a field of the body), its number from 1, its text."""

    where: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that says what was asked for."""

    entry: Entry
    found: tuple[Found, ...]


@dataclass(slots=True)
class Reading:
    """
    Reads contents. Keeps which ones are not what was committed to, or sealed for others, instead of stopping at the first.
    """

    reader: LedgerReader
    damaged: dict[tuple[int, str], str] = field(default_factory=dict)
    sealed: set[tuple[int, str]] = field(default_factory=set)

    def __call__(self, seq: int, name: str) -> bytes | None:
        try:
            return self.reader.content(seq, name)
        except VerificationError as error:
            self.damaged[seq, name] = str(error)
        except SealedError:
            self.sealed.add((seq, name))
        return None


def parse_query(text: str, unwanted: Iterable[str] = ()) -> Query:
    """
    Return the query that people mean by `text`: words, "phrases", and -words or -"phrases" that must not be there.

    Whatever does not fit that is a word as it stands; nothing is an error of syntax. Each of `unwanted` is a phrase.
    Raises `UsageError` if there is no word to look for.
    """
    yes: list[str] = []
    no = [fold(term) for term in unwanted]
    for term in _TERM.finditer(text):
        word, phrase = term["word"], term["phrase"]
        if word is None:
            (no if term["no"] else yes).append(fold(phrase))
        elif word.startswith("-") and len(word) > 1:
            no.append(fold(word[1:]))
        else:
            yes.append(fold(word))
    wanted = tuple(dict.fromkeys(filter(None, yes)))
    if not wanted:
        raise UsageError(
            "There is no word to look for.",
            advice='Such as: orders "DROP TABLE" -test. A word that begins with - is looked for in quotes: "-rf".',
        )
    return Query(wanted, tuple(dict.fromkeys(filter(None, no))))


def fold(text: str) -> str:
    """
    Return `text` as it is compared: NFKC (Python reads identifiers so), without case, runs of spaces as one space.

    Characters that cannot be seen are left out; lone surrogates become question marks, which SQLite can take.
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text).casefold())
    # A NUL would end the text for SQLite's tokenizer, and hide what comes after it.
    return " ".join(text.casefold().replace("\0", " ").split())


def texts_of(entry: Entry, content_of: ContentOf) -> dict[str, str]:
    """Return what of an entry is searched, by where it stands. Contents that were purged or cannot be read are left out."""
    if entry.type in UNSEARCHED_TYPES:
        return {}
    texts: dict[str, str] = {}
    for name, value in entry.body.items():
        if name not in UNSEARCHED_FIELDS:
            texts[name] = "\n".join(_strings(value))
    for name in entry.contents:
        data = content_of(entry.seq, name)
        if data is not None:
            where, text = content_text(name, data.decode("utf-8", "replace"))
            texts[where] = text
    return {where: text for where, text in texts.items() if text}


def match(query: Query, texts: Mapping[str, str]) -> bool:
    """Return whether texts of one entry hold all that is wanted and nothing that is not."""
    folded = [fold(text) for text in texts.values()]

    def there(term: str) -> bool:
        return any(term in text for text in folded)

    return all(map(there, query.wanted)) and not any(map(there, query.unwanted))


def show_lines(query: Query, texts: Mapping[str, str]) -> tuple[Found, ...]:
    """Return the first lines that hold a term; of a term that goes over several lines, the first of its text."""
    found: list[Found] = []
    for where, text in texts.items():
        whole = fold(text)
        here = [term for term in query.wanted if term in whole]
        if not here:
            continue
        lines = text.splitlines() or [text]
        hits = [n for n, line in enumerate(lines) if any(term in fold(line) for term in here)] or [0]
        found.extend(Found(where, n + 1, lines[n]) for n in hits)
    return tuple(found[:MOST_FOUND])


def search(reading: Reading, query: Query, filters: Filters, candidates: Iterable[int] | None = None) -> Iterator[Hit]:
    """
    Yield the entries that say what was asked for, newest first.

    `candidates` are the numbers of entries worth looking at, in descending order; None: look at all.
    """
    for entry in select(reading.reader, filters, candidates=candidates, newest_first=True):
        texts = texts_of(entry, reading)
        if match(query, texts):
            yield Hit(entry, show_lines(query, texts))


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def content_text(name: str, text: str) -> tuple[str, str]:
    """
    Return where a content stands for a reader, and its words without the JSON around them.

    Of a cell its code, of outputs their previews, of a terminal what it showed without colours and movements.
    """
    try:
        value = json.loads(text)
        if name == "message" and isinstance(value["code"], str):
            return "code", value["code"]
        if name == "outputs":
            return "output", "\n".join(str(output["preview"]) for output in value["outputs"] if "preview" in output)
        if name == "output":
            return "output", _CONTROL.sub("", "".join(str(said) for _, kind, said in value["events"] if kind == "o"))
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    try:
        return name, "\n".join(_strings(json.loads(text)))
    except (ValueError, RecursionError):
        return name, text
